"""Pictures of cameras as values: how one is to look, and one that is made, with what is known of its frame."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

MEDIA: Mapping[str, str] = {"jpeg": "image/jpeg", "png": "image/png", "tiff": "image/tiff"}
"""What a picture can be, and its media type."""
TRACES_TOLD = 16
"""Trace ids in the headers of one picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a picture is to look. `kind`: a key of MEDIA.

    `width_px`, `height_px`: with both exactly this size, with one the other follows the camera's sides (rounded to
    the nearest pixel), with none the camera's own. `quality`: 1 to 100, of JPEG; None: what the camera sent as JPEG
    passes as it is, all else gets the usual 90.
    """

    kind: str = "jpeg"
    width_px: int | None = None
    height_px: int | None = None
    quality: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFacts:
    """What is known of a picture and its frame. Times: CLOCK_MONOTONIC unless named otherwise; None: not known.

    `began_ns`: start of exposure. `trace_ids`: of the ticks that the frame served.
    """

    camera: str
    kind: str
    width_px: int
    height_px: int
    sequence: int
    timestamp_ns: int
    began_ns: int | None
    exposure_ns: int | None
    gain: int | None
    realtime_ns: int
    trace_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """A whole picture in memory, perhaps another process's."""

    data: bytes | memoryview
    facts: PictureFacts

    @property
    def media(self) -> str:
        """Its media type."""
        return MEDIA[self.facts.kind]

    def headers(self) -> list[tuple[str, str]]:
        """What is known of it, as HTTP headers; what is not known has none."""
        facts = self.facts
        known = (
            ("x-camera", facts.camera if facts.camera.isascii() else None),
            ("x-sequence", facts.sequence),
            ("x-timestamp-ns", facts.timestamp_ns),
            ("x-began-ns", facts.began_ns),
            ("x-exposure-ns", facts.exposure_ns),
            ("x-gain", facts.gain),
            ("x-realtime-ns", facts.realtime_ns),
            ("x-width-px", facts.width_px),
            ("x-height-px", facts.height_px),
            ("x-frame-trace-ids", ", ".join(facts.trace_ids[:TRACES_TOLD]) or None),
        )
        return [(name, str(value)) for name, value in known if value is not None]


class PictureStream(Protocol):
    """Pictures as they come, the newest each time: an async iterator; `aclose` ends it."""

    def __aiter__(self) -> AsyncIterator[Picture]: ...

    async def __anext__(self) -> Picture: ...

    async def aclose(self) -> None:
        """See no more; idempotent."""
        ...
