"""vivid as a camera for comparisons, and our real path on it: a session, frame by frame."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

from agent.capture.session import Session
from agent.capture.settings import Settings
from agent.capture.shot import Shot
from agent.kernel import LinuxKernel
from agent.units import NS_PER_S
from agent.v4l2.buffers import MemoryKind
from agent.v4l2.device import query_capabilities
from agent.v4l2.ioctl import Node
from agent.v4l2.uapi import BufType

KERNEL = LinuxKernel()
_LIMIT_NS = 30 * NS_PER_S
WARM_UP_FRAMES = 8


def find_vivid() -> str:
    """The first vivid node with a single-planar queue. Raises LookupError."""
    for path in KERNEL.video_nodes():
        with Node(KERNEL, path) as node:
            found = query_capabilities(node)
            if found.driver == "vivid" and found.buffer_type == BufType.VIDEO_CAPTURE:
                return path
    raise LookupError("no single-planar vivid: modprobe vivid n_devs=1 node_types=0x1 multiplanar=1, or make rig")


def find_others(path: str) -> list[str]:
    """The other vivid nodes that capture."""
    others = [other for other in KERNEL.video_nodes() if other != path]
    return [other for other in others if _is_vivid(other)]


def _is_vivid(path: str) -> bool:
    with Node(KERNEL, path) as node:
        found = query_capabilities(node)
        return found.driver == "vivid" and found.buffer_type is not None


def set_up(path: str, width_px: int, height_px: int, rate: int) -> None:
    """Format, rate, and stamps that do not lie in the future, for whoever opens it next."""
    set_stamps(path)
    control(path, "--set-fmt-video", f"width={width_px},height={height_px},pixelformat=YUYV")
    control(path, "--set-parm", str(rate))


def set_stamps(path: str) -> None:
    """Stamps of the start of exposure, which do not lie in the future."""
    control(path, "--set-ctrl", "timestamp_source=1")


def control(path: str, *arguments: str) -> None:
    """Call v4l2-ctl. Raises CalledProcessError."""
    subprocess.run(["v4l2-ctl", "--device", path, *arguments], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def shots(
    path: str, width_px: int, height_px: int, rate: int, *, warm_up: int = WARM_UP_FRAMES
) -> Iterator[Iterator[Shot]]:
    """Frames as a program of ours takes them: each is given back when the next one is asked for.

    The memory is the driver's own (MMAP), as the peers use. Warm already.
    """
    settings = Settings(
        pixel_format="YUYV",
        width_px=width_px,
        height_px=height_px,
        rate=Fraction(rate),
        memory=(MemoryKind.MMAP,),
    )
    with Session(KERNEL, path) as session:
        session.prepare(settings)
        session.arm()
        frames = _endless(session)
        for _ in range(warm_up):
            next(frames)
        yield frames


def _endless(session: Session) -> Iterator[Shot]:
    while True:
        shot = session.take(limit_ns=_LIMIT_NS)
        yield shot
        session.give_back(shot)
