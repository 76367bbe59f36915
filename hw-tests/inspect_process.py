"""What /proc and sysfs tell of a capture process and of a driver."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

_PF_EXITING = 0x4
"""include/linux/sched.h: set before anybody who waits for the thread's end is told of it."""


class Possessions(NamedTuple):
    """What a process holds."""

    descriptors: tuple[str, ...]
    threads: tuple[str, ...]
    children: int
    mappings_of_cameras: int


def possessions(pid: int) -> Possessions:
    """Of one process, now. What is closed while it is looked at is not counted."""
    process = Path(f"/proc/{pid}")
    maps = (process / "maps").read_text().splitlines()
    return Possessions(
        tuple(sorted(filter(None, map(_target, (process / "fd").iterdir())))),
        tuple(sorted((task / "comm").read_text().strip() for task in (process / "task").iterdir())),
        len((process / "task" / str(pid) / "children").read_text().split()),
        sum("/dev/video" in line or "dmabuf" in line for line in maps),
    )


def resident_kib(pid: int) -> int:
    """Memory that is its own and present: RssAnon of proc(5)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def vivid_streams(path: str) -> bool:
    """Whether the driver generates frames: it has a kernel thread `vivid-000-vid-cap` from STREAMON to STREAMOFF.

    Source: vivid-kthread-cap.c, vivid_start_generating_vid_cap and vivid_stop_generating_vid_cap.
    """
    name = Path(f"/sys/class/video4linux/{Path(path).name}/name").read_text().strip()
    threads = Path("/proc/2/task/2/children").read_text().split()
    return any(_runs(Path(f"/proc/{thread}"), name) for thread in threads)


def _runs(thread: Path, name: str) -> bool:
    with contextlib.suppress(OSError):
        if (thread / "comm").read_text().strip() != name:
            return False
        # behind the name in parentheses: state, six numbers, flags (proc(5))
        state, *rest = (thread / "stat").read_text().rpartition(")")[2].split()
        return state not in "ZX" and not int(rest[5]) & _PF_EXITING
    return False


def _target(fd: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        # sockets and pipes are told apart by a number of their own, which says nothing
        return str(fd.readlink()).partition("[")[0]
    return ""
