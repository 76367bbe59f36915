"""What a recording does: a value, as it is asked for on the command line or in the configuration."""

from __future__ import annotations

import enum
import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from agent.errors import InputError
from agent.pipeline.encode import PictureKind
from agent.pipeline.files import Durability
from agent.pipeline.jpeg import DEFAULT_QUALITY
from agent.pipeline.video import VideoCodec
from agent.pipeline.video_file import VideoKind
from agent.templates import USUAL
from agent.units import NS_PER_MS

ENCODE_LIMIT_NS = 800 * NS_PER_MS
RING_BYTES = 256 * 1024 * 1024


class Target(enum.StrEnum):
    """Whose frames."""

    CAMERA = "camera"
    GROUP = "group"
    PLAN = "plan"


class RecordFormat(enum.StrEnum):
    """What is written."""

    JPG = "jpg"
    PNG = "png"
    TIFF = "tiff"
    DNG = "dng"
    RAW = "raw"
    MP4 = "mp4"
    MKV = "mkv"

    @property
    def picture(self) -> PictureKind | None:
        """A file for each frame; None: a video."""
        return None if self.video else PictureKind({"jpg": "jpeg"}.get(self.value, self.value))

    @property
    def video(self) -> VideoKind | None:
        """The container; None: pictures."""
        return VideoKind(self.value) if self.value in ("mp4", "mkv") else None


class OnFull(enum.StrEnum):
    """What becomes of a recording whose disk is full."""

    STOP = "stop"
    DROP_OLDEST = "drop-oldest"
    ALARM = "alarm"


class Trigger(enum.StrEnum):
    """What makes a recording keep what was before: an edge, a plan that ends, SIGUSR1."""

    EDGE = "edge"
    PLAN = "plan"
    SIGNAL = "signal"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOrder:
    """A recording. Times in nanoseconds; None: no such limit.

    `rate`: at most so many frames a second of each camera, None: every one. `codec` None: a camera's JPEGs are copied
    into MKV, all else is H.264. `segment_ns`, `segment_bytes`: a video goes on in another file then. `keep_ns`,
    `limit_bytes`: of what lies in the folder. With `on` (of the group or plan `on_name`, empty: of any), frames of
    `before_ns` are kept in memory, at most `ring_bytes`, and written when it happens, with those of `after_ns`.
    """

    target: Target
    name: str
    folder: Path
    format: RecordFormat = RecordFormat.JPG
    codec: VideoCodec | None = None
    quality: int = DEFAULT_QUALITY
    template: str = USUAL
    rate: Fraction | None = None
    count: int | None = None
    duration_ns: int | None = None
    segment_ns: int | None = None
    segment_bytes: int | None = None
    keep_ns: int | None = None
    limit_bytes: int | None = None
    on_full: OnFull = OnFull.STOP
    on: Trigger | None = None
    on_name: str = ""
    before_ns: int = 0
    after_ns: int = 0
    ring_bytes: int = RING_BYTES
    durability: Durability = Durability.CACHED
    encode_limit_ns: int = ENCODE_LIMIT_NS
    parquet: bool = False

    def __post_init__(self) -> None:
        """Raises InputError for what does not go together."""
        if self.format.video is None and (self.codec or self.segment_ns or self.segment_bytes):
            raise _unfit(
                f"{self.format} files have neither codec nor segments", "leave them away, or record mp4 or mkv"
            )
        if self.codec not in (None, VideoCodec.H264) and self.format is RecordFormat.MP4:
            raise _unfit(f"mp4 does not hold {self.codec}", "record mkv, or leave the codec away")
        if self.on is None and (self.before_ns or self.after_ns):
            raise _unfit("before and after are of an event, and none is named", "say on which: edge, plan or signal")
        if self.on is not None and not (self.before_ns or self.after_ns):
            raise _unfit(f"nothing before or after an event ({self.on}) is to be kept", "say how long, such as 5s")
        if self.parquet and self.limit_bytes is None and self.keep_ns is None:
            return
        if self.parquet:
            raise _unfit(
                "an index in parquet is made at the end, of a folder that is kept", "leave keep and limit away"
            )

    def codec_for(self, pixel_format: str) -> VideoCodec:
        """The codec of a video of such frames."""
        if self.codec is not None:
            return self.codec
        copied = self.format is RecordFormat.MKV and pixel_format in ("MJPG", "JPEG")
        return VideoCodec.COPY if copied else VideoCodec.H264

    def as_bytes(self) -> bytes:
        """One JSON object."""
        rate = None if self.rate is None else str(self.rate)
        return json.dumps({**asdict(self), "folder": str(self.folder), "rate": rate}).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> RecordOrder:
        """Raises ValueError, TypeError for anything that `as_bytes` did not make."""
        fields: dict[str, Any] = json.loads(content)
        kinds = {
            "target": Target,
            "folder": Path,
            "format": RecordFormat,
            "codec": VideoCodec,
            "rate": Fraction,
            "on_full": OnFull,
            "on": Trigger,
            "durability": Durability,
        }
        for name, kind in kinds.items():
            if fields[name] is not None:
                fields[name] = kind(fields[name])
        return cls(**fields)


def _unfit(problem: str, hint: str) -> InputError:
    return InputError(problem, hint=hint)
