"""A camera's frames and buffers as the frame protocol has them, for whoever lends them out."""

from __future__ import annotations

from agent.capture.shot import Shot
from agent.errors import AgentError
from agent.frames.ledger import FLOOR
from agent.frames.pool import LentPool, Memory
from agent.frames.wire import Facts, PoolFormat
from agent.v4l2.buffers import BufferPool
from agent.v4l2.format import Format
from agent.v4l2.frame import Frame
from agent.v4l2.uapi import BufType


class MemoryShort(AgentError):
    """There is no memory, or no descriptor, for what is to be lent."""

    code = "no_memory"


def lent_pool(camera: str, format: Format, pool: BufferPool, *, floor: int = FLOOR) -> LentPool:  # noqa: A002
    """The buffers of `pool`; it must be released before they are. Raises as LentPool."""
    planes = tuple((plane.bytes_per_line, plane.size_bytes) for plane in format.planes)
    form = PoolFormat(format.pixel_format, format.width_px, format.height_px, planes, format.interlaced)
    memory = [[Memory(plane.dmabuf, plane.mapping.length) for plane in buffer.planes] for buffer in pool]
    return LentPool(camera, form, memory, floor=floor)


def facts_of(shot: Shot, began_ns: int | None = None, pulse: int | None = None) -> Facts:
    """What is known of a frame. `began_ns`: when its exposure began; `pulse`: the number of the pulse it answers."""
    frame = shot.frame
    return Facts(
        frame.sequence,
        frame.timestamp_ns,
        frame.timestamp_clock,
        frame.timestamp_source,
        frame.uncertainty_ns,
        frame.dequeued_ns,
        frame.lost_before,
        shot.realtime_ns,
        shot.exposure_ns,
        shot.gain,
        began_ns,
        pulse,
    )


def offsets_of(pool: BufferPool, frame: Frame) -> tuple[int, ...]:
    """Where in the buffer's planes the frame begins: multi-planar drivers may put something before it."""
    if pool.buffer_type != BufType.VIDEO_CAPTURE_MPLANE:
        return (0,)
    planes = pool.buffers[frame.index].planes
    return tuple(
        int(view.__array_interface__["data"][0]) - plane.mapping.address
        for view, plane in zip(frame.planes, planes, strict=True)
    )
