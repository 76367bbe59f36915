"""Capture processes forked from the test's own: they begin in milliseconds, and take any kernel along.

A new interpreter takes seconds to import everything under software emulation, and this one has done so already. The
program itself, `python -m agent.cli.process`, is `driver.PROGRAM`.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterable

from agent.capture.child import Inherited, describe_standing
from agent.capture.loop import CaptureLoop
from agent.capture.process import serve
from agent.capture.publish import NoPublisher, SinkPublisher
from agent.cli.process import make_loop
from agent.kernel import Kernel
from agent.trigger.gpio import GpioLines
from agent.units import NS_PER_MS

__all__ = ["CaptureLoop", "Forked", "NoPublisher", "SinkPublisher", "forking"]
"""The loop and its publishers are imported here so that no child has to."""

_LAST_FD = 4096


class Forked:
    """An `agent.capture.child.Child` that runs `serve` on a kernel of the test's choice. `kept`: more descriptors."""

    def __init__(self, kernel: Kernel, inherited: Inherited, kept: Iterable[int] = ()) -> None:
        self.pid = os.fork()
        if not self.pid:
            _be_a_capture_process(kernel, inherited, kept)
        self._pidfd = os.pidfd_open(self.pid)
        self._status: int | None = None

    def fileno(self) -> int:
        """Its pidfd."""
        return self._pidfd

    def kill(self) -> None:
        """SIGKILL."""
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)

    def status(self) -> int | None:
        """Reap it if it has gone."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status

    def standing(self) -> str:
        """What it does or hangs in."""
        return describe_standing(self.pid)

    def release(self, limit_ns: int) -> bool:
        """Kill, wait, reap, close the pidfd."""
        if self._pidfd < 0:
            return self.status() is not None
        self.kill()
        waiting = select.poll()
        waiting.register(self._pidfd, select.POLLIN)
        waiting.poll(-(-limit_ns // NS_PER_MS))
        os.close(self._pidfd)
        self._pidfd = -1
        return self.status() is not None


def forking(make_kernel: Callable[[], Kernel], kept: Iterable[int] = ()) -> Callable[[Inherited], Forked]:
    """A way to start capture processes, each on a kernel of its own."""
    return lambda inherited: Forked(make_kernel(), inherited, kept)


def _be_a_capture_process(kernel: Kernel, inherited: Inherited, kept: Iterable[int]) -> None:
    """In the child: nothing of the test but memory comes along, and nothing of the test is run at the end."""
    status = 70
    try:
        # the test runner's has buffers that nobody would flush
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        os.setsid()
        close_all_but({0, 1, 2, *inherited, *kept})
        status = serve(kernel, inherited, make_loop, GpioLines())
    except SystemExit as error:
        status = int(error.code or 0)
    except BaseException:  # noqa: BLE001 - it must end here, whatever it is
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(status)


def close_all_but(kept: set[int]) -> None:
    """In a child: close every descriptor but those `kept`."""
    first = 0
    for fd in sorted(kept):
        if first < fd:  # os.closerange(0, 0) asks close_range(2) for 0 to -1, which is everything
            os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, _LAST_FD)
