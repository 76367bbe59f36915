"""Stopping one camera: STREAMOFF in a thread of its own, and what is tried when it hangs (mission rows G3 and G5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from agent.capture.board import Of
from agent.capture.helper import Helper, Outcome
from agent.capture.messages import CameraReport
from agent.capture.order import StageLimits
from agent.capture.session import Session
from agent.errors import AgentError, DeviceGone
from agent.units import format_duration
from agent.v4l2.stream import Stopped


class Waiter(NamedTuple):
    """Somebody who waits for a stop: `progress(step, told)` may be called before `done(report)` is, once."""

    progress: Callable[[str, str], None]
    done: Callable[[CameraReport], None]


class Halted(NamedTuple):
    """How a stop ended. `stopped` None: there was no stream to stop. `closed`: the node was closed for it."""

    stopped: Stopped | None
    closed: bool = False
    error: AgentError | None = None


@dataclass(slots=True)
class Stop:
    """A stop under way. `due_ns`: when the next step against a driver that hangs is due; None: no further one is.

    `broke`: the stream is stopped because of this, and is to come back; None: somebody wants it off.
    """

    asked_ns: int
    due_ns: int | None
    broke: AgentError | None = None
    waiters: list[Waiter] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    @property
    def must_close(self) -> bool:
        """Its node was closed to end it, or is that of a camera that is gone: plugged in again, it wants its number."""
        return "close" in self.steps or isinstance(self.broke, DeviceGone)

    def tell(self, step: str, told: str) -> None:
        """Tell all who wait how it stands."""
        for waiter in self.waiters:
            waiter.progress(step, told)

    def report(self, camera: str, halted: Halted, now_ns: int) -> CameraReport:
        """How it ended."""
        stopped, error = halted.stopped, halted.error
        return CameraReport(
            camera=camera,
            was_on=stopped is not None or halted.closed,
            asked_ns=self.asked_ns,
            entered_ns=stopped.entered_ns if stopped else 0,
            returned_ns=stopped.returned_ns if stopped else now_ns,
            steps=tuple(self.steps),
            error=error.message if error else "",
        )


class Owner(Protocol):
    """Whose stream it is."""

    def closing(self) -> None:
        """The session is about to be closed, and its buffers with it."""
        ...

    def at_rest(self, stop: Stop | None, halted: Halted) -> None:
        """The stream is off."""
        ...


class StopThread:
    """The threads that end one camera's stream: `stopper` for STREAMOFF, `closer` for a node whose STREAMOFF hangs.

    `current`: the stop that is under way, or asked for.
    """

    def __init__(
        self,
        camera: str,
        words: memoryview,
        limits: StageLimits,
        helpers: tuple[Helper, Helper],
        owner: Owner,
    ) -> None:
        self.current: Stop | None = None
        self._camera, self._words, self._limits = camera, words, limits
        # what a process left that died in a stop is not ours: the supervisor would kill us for it
        words[Of.DUE_NS] = 0
        self._stopper, self._closer = helpers
        self._owner = owner
        self._session: Session | None = None
        self._closing = False
        self._halted: Outcome | None = None

    @property
    def next_ns(self) -> int | None:
        """When `check` should be called next."""
        return None if self.current is None else self.current.due_ns

    def ask(self, now_ns: int) -> Stop:
        """A stop is wanted from now on, whether or not it can be begun already."""
        due_ns = now_ns + self._limits.stop_ns
        words = self._words
        words[Of.ENTERED_NS] = words[Of.RETURNED_NS] = 0
        words[Of.ASKED_NS], words[Of.DUE_NS] = now_ns, due_ns + self._limits.step_ns
        self.current = Stop(now_ns, due_ns)
        return self.current

    def halt(self, session: Session) -> None:
        """STREAMOFF. The session is the thread's until the end."""
        self._session = session
        self._stopper.submit(session.halt, self._on_halted, urgent=True)
        if self.current is not None:
            self.current.steps.append("streamoff")

    def end(self, halted: Halted) -> None:
        """The stream is off."""
        stop, self.current, self._session = self.current, None, None
        if halted.stopped is not None:
            self._words[Of.ENTERED_NS] = halted.stopped.entered_ns
            self._words[Of.RETURNED_NS] = halted.stopped.returned_ns
        self._words[Of.DUE_NS] = 0
        self._owner.at_rest(stop, halted)

    def check(self, now_ns: int) -> None:
        """The driver hangs: close the node if there is one; else, and past that, this process has to be killed."""
        stop, session = self.current, self._session
        if stop is None or stop.due_ns is None or now_ns < stop.due_ns:
            return
        what = "its start" if session is None else "STREAMOFF"
        since = f"{self._camera}: {what} has not returned for {format_duration(now_ns - stop.asked_ns)}"
        if session is None or "close" in stop.steps:
            stop.due_ns = None
            stop.tell("kill", f"{since}; this process has to be killed")
            return
        stop.steps.append("close")
        stop.due_ns = now_ns + self._limits.step_ns
        stop.tell("close", f"{since}; its node is being closed")
        self._closing = True
        self._closer.submit(session.camera.node.release, self._on_node_closed)

    def release(self) -> bool:
        """End the threads; False when a job hangs in one."""
        is_stopper_ended, is_closer_ended = self._stopper.release(), self._closer.release()
        return is_stopper_ended and is_closer_ended

    def _on_halted(self, outcome: Outcome) -> None:
        """STREAMOFF returned. The closer may still have the node, which it was given because this took so long."""
        if self._closing:
            self._halted = outcome
        elif outcome.error is not None or (self.current is not None and self.current.must_close):
            self._close(outcome)
        else:
            self.end(Halted(outcome.result))

    def _on_node_closed(self, _: Outcome) -> None:
        self._closing = False
        halted, self._halted = self._halted, None
        if halted is not None:
            self._close(halted)

    def _close(self, halted: Outcome) -> None:
        """Let go of everything: the last close of a node is itself a STREAMOFF."""
        if self.current is not None and "close" not in self.current.steps:
            self.current.steps.append("close")
        if self._session is not None:
            self._owner.closing()
            self._closer.submit(self._session.release, lambda closed: self._on_closed(halted, closed))

    def _on_closed(self, halted: Outcome, closed: Outcome) -> None:
        # DeviceGone: the node was closed by us before, or the camera is unplugged; its stream is off either way
        errors = [error for error in (halted.error, closed.error) if not isinstance(error, DeviceGone)]
        self.end(Halted(halted.result, closed=True, error=next(filter(None, errors), None)))


def off_already(camera: str, now_ns: int) -> CameraReport:
    """The report of a stop that nothing was to be done for."""
    return CameraReport(camera=camera, was_on=False, asked_ns=now_ns, entered_ns=0, returned_ns=0)
