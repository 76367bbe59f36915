"""One capture process as its parent holds it: start, kill, whether it has gone, what it hangs in."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from agent.units import NS_PER_MS

_PROC = Path("/proc")
_UNINTERRUPTIBLE = "D"


class Child(Protocol):
    """What a supervisor needs of a process."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    def fileno(self) -> int:
        """A descriptor that is readable when the process, all of its threads, has gone."""
        ...

    def kill(self) -> None:
        """SIGKILL; idempotent, and no error when it has gone."""
        ...

    def status(self) -> int | None:
        """How it ended: the exit status, or minus a signal's number. None while it is there."""
        ...

    def standing(self) -> str:
        """What the kernel says it does, for people: `state D in uvc_stop_streaming`."""
        ...

    def release(self, limit_ns: int) -> bool:
        """Kill it, wait for at most `limit_ns`, let go of it; idempotent. False: the kernel has not let it go."""
        ...


class Inherited(NamedTuple):
    """The descriptors that a capture process inherits.

    Its command socket, its shared page, the page of quotas, the door that clients of frames come by.
    """

    channel: int
    page: int
    quotas: int
    door: int


Spawn = Callable[[Inherited], Child]
"""Starts a capture process. Raises OSError."""


class Process:
    """A `Child` that is a real process, in a session of its own: a Ctrl-C of the terminal reaches only the parent.

    When the parent dies, the end of the command socket tells it so.
    """

    def __init__(self, program: Sequence[str], inherited: Inherited) -> None:
        """Start `program --channel N --page M --quotas L --door K`. Raises OSError."""
        names = (f"--{name}={fd}" for name, fd in inherited._asdict().items())
        self._process = subprocess.Popen(
            [*program, *names],
            stdin=subprocess.DEVNULL,
            # standard output belongs to the command line's own answers
            stdout=subprocess.DEVNULL,
            pass_fds=inherited,
            start_new_session=True,
        )
        try:
            self._pidfd = os.pidfd_open(self._process.pid)
        except OSError:
            self._process.kill()
            self._process.wait()
            raise

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def fileno(self) -> int:
        """Its pidfd; pidfd_open(2): readable when the last of its threads has ended."""
        return self._pidfd

    def kill(self) -> None:
        """SIGKILL."""
        self._process.send_signal(signal.SIGKILL)

    def status(self) -> int | None:
        """Reap it if it has gone."""
        return self._process.poll()

    def standing(self) -> str:
        """State and place in the kernel of each thread that cannot be interrupted, or else of the first one."""
        return describe_standing(self.pid)

    def release(self, limit_ns: int) -> bool:
        """Kill, wait, reap, close the pidfd."""
        if self._pidfd < 0:
            return self.status() is not None
        self.kill()
        waiting = select.poll()
        waiting.register(self._pidfd, select.POLLIN)
        waiting.poll(-(-limit_ns // NS_PER_MS))
        gone = self.status() is not None
        os.close(self._pidfd)
        self._pidfd = -1
        return gone


def spawner(program: Sequence[str]) -> Spawn:
    """Starts `program`, an argv without the descriptors: `(sys.executable, "-m", "agent.cli.process")`."""
    return lambda inherited: Process(program, inherited)


def describe_standing(pid: int, proc: Path = _PROC) -> str:
    """What /proc tells of a process, proc(5): states of its threads, and the kernel function they wait in."""
    states = [_thread(task) for task in sorted(proc.glob(f"{pid}/task/[0-9]*"), key=lambda task: int(task.name))]
    known = [state for state in states if state]
    stuck = [state for state in known if state.startswith(f"state {_UNINTERRUPTIBLE}")]
    return ", ".join(stuck or known[:1]) or "nothing can be read of it in /proc"


def _thread(task: Path) -> str:
    try:
        # the name in parentheses may hold anything, also parentheses
        state = (task / "stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""
    place = ""
    with suppress(OSError):  # another user's, or hidden by the kernel
        place = (task / "wchan").read_text().strip()
    return f"state {state}" + (f" in {place}" if place and place != "0" else "")


def in_words(status: int) -> str:
    """How a process ended, as the end of a sentence: `was killed by SIGKILL`, `ended with status 70`."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"was killed by {name}"
