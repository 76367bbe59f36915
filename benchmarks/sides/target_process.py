"""A capture process whose cameras are targets: they take every tick at once, where a camera would wait for a frame.

All else is as it comes: timerfd, epoll, scheduler, the accounts, histogram and ring in the shared page, the command
socket. `TARGET` notes when each tick was due and fired; a tick of `MARKS` notes the CPU time of the process.
"""

from __future__ import annotations

import argparse
import json
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic_ns
from typing import Any

from agent.capture.child import Inherited
from agent.capture.loop import CaptureLoop
from agent.capture.order import CameraOrder
from agent.capture.process import Equipment, leave, serve
from agent.capture.publish import NoPublisher
from agent.capture.requests import Choice, Request
from agent.capture.state_word import Phase
from agent.capture.stop import Waiter, off_already
from agent.kernel import LinuxKernel
from agent.schedule.run import Tick
from agent.scope import Ended
from agent.trigger.gpio import GpioLines
from benchmarks.common import own_cpu_ns

TARGET, MARKS = "target", "marks"


class Notes:
    """What the targets saw."""

    def __init__(self) -> None:
        self.dues_ns = array("q")
        self.fired_ns = array("q")
        self.cpu_ns = array("q")

    def tick(self, request: Request) -> None:
        """A tick of the target."""
        self.dues_ns.append(request.due_ns)
        self.fired_ns.append(request.fired_ns)

    def mark(self, _request: Request) -> None:
        """A tick of the marks."""
        self.cpu_ns.append(own_cpu_ns())

    def write(self, path: Path) -> None:
        """As lists of numbers."""
        path.write_text(json.dumps({name: list(found) for name, found in vars(self).items()}))


class Target:
    """Stands where a `CameraUnit` does: always ready, answers at once."""

    wanted = armed = settled = True
    phase = Phase.ARMED
    next_ns = cause = session = None
    lent = 0

    def __init__(self, name: str, loop: TargetLoop, note: Callable[[Request], None]) -> None:
        self.name = name
        self._loop = loop
        self._note = note

    @property
    def word(self) -> Target:
        """Its state, read by `phase`."""
        return self

    def start(self, then: Callable[[None], None] | None = None) -> None:
        """It is always on."""
        self._loop.changed(self)  # type: ignore[arg-type]
        if then is not None:
            then(None)

    def want(self, tick: Tick, stores: bool) -> None:
        """A tick was fired: note it, and tell its end."""
        request = Request(tick, tick.due_ns, tick.fired_ns, tick.wanted, stores)
        self._note(request)
        self._loop.plans.ended(request, monotonic_ns())

    def drop(self, of: Choice) -> None:
        """Nothing ever waits here."""

    def when_back(self, _of: Choice, then: Callable[[int], None]) -> None:
        """Nothing is ever out."""
        then(0)

    def join_stop(self, waiter: Waiter) -> None:
        """No stop is ever under way."""
        waiter.done(off_already(self.name, monotonic_ns()))

    def cancel(self, _ended: Ended, waiter: Waiter) -> None:
        """There is no stream to stop."""
        waiter.done(off_already(self.name, monotonic_ns()))

    def release(self) -> bool:
        """Nothing to let go of."""
        return True


class TargetLoop(CaptureLoop):
    """The loop with targets."""

    notes: Notes

    def _make_unit(self, _place: int, camera: CameraOrder) -> Any:
        return Target(camera.name, self, self.notes.mark if camera.name == MARKS else self.notes.tick)


def run(arguments: Sequence[str] | None = None) -> int:
    """Serve on the inherited descriptors, then write the notes; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in Inherited._fields:
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--notes", type=Path, required=True)
    options = parser.parse_args(arguments)
    notes = TargetLoop.notes = Notes()  # before the loop makes its units

    def make_loop(equipment: Equipment) -> CaptureLoop:
        return TargetLoop(equipment, NoPublisher())

    inherited = Inherited(*(getattr(options, name) for name in Inherited._fields))
    status = serve(LinuxKernel(), inherited, make_loop, GpioLines())
    notes.write(options.notes)
    return status


if __name__ == "__main__":
    leave(run())
