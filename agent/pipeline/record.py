"""What is known of one written picture: a line of `frames.jsonl`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from agent.v4l2.frame import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a frame does not know of itself. None: not known.

    `realtime_ns`: the frame's timestamp on CLOCK_REALTIME. `exposure_requested_ns` is what was asked for,
    `exposure_ns` what the camera granted; `gain` is the raw value of its gain control. `trace_ids`: the requests that
    wanted this frame.
    """

    realtime_ns: int
    exposure_requested_ns: int | None = None
    exposure_ns: int | None = None
    gain: int | None = None
    trace_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRecord:
    """A written picture: its file's name (without folder), when and how it was taken, what was lost before it.

    Times, `sequence` and `lost_before` as in `agent.v4l2.frame.Frame`; the rest as in `Circumstances`.
    `bytes_per_line` of each memory plane: what a reader of a raw file needs.
    `began_ns`: start of the exposure as well as it is known. `pulse`: of its trigger. `encode_began_ns` and
    `encode_ended_ns`: when it was worked on. `video_frame`: its number in a video. `skipped`: frames of its camera that
    who recorded did not get since the one before. All on CLOCK_MONOTONIC.
    """

    file: str
    camera: str
    sequence: int
    timestamp_ns: int
    timestamp_clock: str
    timestamp_source: str
    uncertainty_ns: int
    dequeued_ns: int
    realtime_ns: int
    exposure_requested_ns: int | None
    exposure_ns: int | None
    gain: int | None
    width: int
    height: int
    pixel_format: str
    bytes_per_line: tuple[int, ...]
    lost_before: int
    trace_ids: tuple[str, ...] = ()
    began_ns: int | None = None
    pulse: int | None = None
    encode_began_ns: int | None = None
    encode_ended_ns: int | None = None
    video_frame: int | None = None
    skipped: int = 0
    plan: str = ""

    def as_line(self) -> bytes:
        """One JSON object and a newline, UTF-8. Without what is not known of the fields from `trace_ids` on."""
        fields = asdict(self)
        for name in _LEFT_OUT:
            if fields[name] is None or not (fields[name] or name in _NUMBERS):
                del fields[name]
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


_NUMBERS = ("began_ns", "pulse", "encode_began_ns", "encode_ended_ns", "video_frame")
_LEFT_OUT = ("trace_ids", *_NUMBERS, "skipped", "plan")


def record_of(frame: Frame, *, file: str, camera: str, circumstances: Circumstances) -> FrameRecord:
    """Put together what the frame and its surroundings know."""
    return FrameRecord(
        file=file,
        camera=camera,
        sequence=frame.sequence,
        timestamp_ns=frame.timestamp_ns,
        timestamp_clock=frame.timestamp_clock,
        timestamp_source=frame.timestamp_source,
        uncertainty_ns=frame.uncertainty_ns,
        dequeued_ns=frame.dequeued_ns,
        realtime_ns=circumstances.realtime_ns,
        exposure_requested_ns=circumstances.exposure_requested_ns,
        exposure_ns=circumstances.exposure_ns,
        gain=circumstances.gain,
        width=frame.format.width_px,
        height=frame.format.height_px,
        pixel_format=frame.format.pixel_format,
        bytes_per_line=tuple(plane.bytes_per_line for plane in frame.format.planes),
        lost_before=frame.lost_before,
        trace_ids=circumstances.trace_ids,
    )
