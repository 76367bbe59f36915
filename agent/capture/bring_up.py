"""Bringing one camera up in the slow thread: within a limit, and again after a while where it failed (row G2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from agent.capture.gate import StartGate
from agent.capture.helper import Helper, Job, Outcome
from agent.capture.order import CameraOrder, StageLimits
from agent.capture.session import Session, State
from agent.capture.settings import Settings
from agent.clock import ReadClock
from agent.errors import AgentError, DeviceGone, InputError
from agent.kernel import Kernel
from agent.trigger.registry import KNOWN
from agent.units import NS_PER_MS, NS_PER_S, format_duration
from agent.v4l2.focus import focus_once
from agent.v4l2.gain import GainRequest

_FIRST_RETRY_NS = 500 * NS_PER_MS
_LONGEST_RETRY_NS = 8 * NS_PER_S
_MOST_DOUBLINGS = 4
_WARM_RETRIES = 1
"""After so many failures in a row the node is opened anew."""


class CameraAbsent(AgentError):
    """The camera is not there: nobody knows a node of it."""

    code = "camera_absent"
    exit_code = 3


class StartAbandoned(AgentError):
    """Opening, preparing and starting a camera took longer than its limit."""

    code = "start_abandoned"
    exit_code = 6


@dataclass(slots=True)
class _Attempt:
    """`due_ns`: by when it should be done; None once that was told."""

    due_ns: int | None
    gate: StartGate = field(default_factory=StartGate)


class Brought(NamedTuple):
    """How an attempt ended: a session that streams, or is kept for the next attempt because of `error`."""

    session: Session | None
    error: AgentError | None = None


class BringUp:
    """The slow thread of a camera: one attempt to start it, or one change of its settings, at a time."""

    def __init__(
        self, kernel: Kernel, order: CameraOrder, limits: StageLimits, slow: Helper, now_ns: ReadClock
    ) -> None:
        self.busy = False
        """The thread has a job, which may be one that nobody waits for any more."""
        self.retry_ns: int | None = None
        """When to try again; None: not by itself."""
        self._kernel, self._order, self._limits = kernel, order, limits
        self._slow, self._now_ns = slow, now_ns
        self._settings = order.settings
        if order.trigger is not None and order.settings.settle_frames is None:
            # a frame left out would be a pulse lost (mission row E2); the trigger settles by time
            self._settings = replace(order.settings, settle_frames=0)
        self._failures = 0
        self._is_gone = False
        self._attempt: _Attempt | None = None

    @property
    def hangs(self) -> bool:
        """An attempt is under way that took longer than its limit."""
        return self._attempt is not None and self._attempt.due_ns is None

    @property
    def next_ns(self) -> int | None:
        """When the attempt is over its limit, or the next one is due."""
        if self._attempt is not None:
            return self._attempt.due_ns
        return None if self.busy else self.retry_ns

    def is_warm(self, session: Session | None) -> bool:
        """Whether a start can do with `session`: its settings proven, its buffers mapped."""
        is_prepared = session is not None and session.state is State.PREPARED
        return is_prepared and not self._is_gone and self._failures <= _WARM_RETRIES

    def start(self, session: Session | None, then: Callable[[Outcome], None]) -> None:
        """Have a camera opened, prepared and started; `then` gets what was `Brought`. `session` is the job's."""
        self.retry_ns = None
        self._attempt = attempt = _Attempt(self._now_ns() + self._limit_ns())

        def done(outcome: Outcome) -> None:
            self._attempt = None
            then(outcome)

        self.submit(self._make_job(session, attempt.gate), done)

    def submit(self, job: Job, then: Callable[[Outcome], None]) -> None:
        """Run another job in the slow thread."""

        def done(outcome: Outcome) -> None:
            self.busy = False
            then(outcome)

        self.busy = True
        self._slow.submit(job, done)

    def shut(self, because: AgentError) -> bool:
        """Keep the attempt from starting the stream; False: it is too late for that."""
        self.retry_ns = None
        return self._attempt is None or self._attempt.gate.shut(because)

    def overdue(self, now_ns: int) -> StartAbandoned | None:
        """The error of an attempt that is over its limit, once. Its thread cannot be ended; it will start nothing."""
        attempt = self._attempt
        if attempt is None or attempt.due_ns is None or now_ns < attempt.due_ns:
            return None
        attempt.due_ns = None
        error = StartAbandoned(
            f"opening, preparing and starting {self._order.path} took longer than its limit of "
            f"{format_duration(self._limit_ns())}",
            hint="raise limits.session, or look into journalctl -k for what the camera does",
        )
        attempt.gate.shut(error)
        return error

    def failed(self, error: AgentError) -> None:
        """Try again after a wait that grows; not where it would be answered the same."""
        self._is_gone = isinstance(error, DeviceGone | CameraAbsent)
        if not self._order.path:
            # once more, to let go of its node; then whoever says where it is starts it
            self.retry_ns = None if isinstance(error, CameraAbsent) else self._now_ns()
            return
        if error.exit_code != InputError.exit_code:
            wait_ns = min(_FIRST_RETRY_NS << min(self._failures, _MOST_DOUBLINGS), _LONGEST_RETRY_NS)
            self._failures += 1
            self.retry_ns = self._now_ns() + wait_ns

    def worked(self) -> None:
        """A frame came: all is well."""
        self._failures = 0
        self._is_gone = False

    def relocate(self, path: str) -> None:
        """From the next attempt on the camera is looked for at `path`, and opened anew; empty: it is nowhere."""
        self._order = replace(self._order, path=path)
        self._is_gone, self._failures = True, 0

    def exposed(self, exposure_ns: int, gain: GainRequest | None) -> None:
        """The exposure was changed: it is also that of a camera that has to be opened anew."""
        self._settings = self._settings.exposed(exposure_ns, gain)

    def release(self) -> bool:
        """End the thread; False when a job hangs in it."""
        return self._slow.release()

    def _limit_ns(self) -> int:
        return self._limits.session_ns + (self._limits.focus_ns if self._order.focus_once else 0)

    def _make_job(self, found: Session | None, gate: StartGate) -> Job:
        """A session that is prepared is kept: only the loop knows who else has its buffers."""
        is_warm, settings = self.is_warm(found), self._settings

        def job() -> Brought:
            session = found
            if session is None or not is_warm:
                if session is not None:
                    session.release()
                session = self._open(settings)
            try:
                session.arm(gate.enter)
            except AgentError as error:
                return Brought(session, error)
            return Brought(session)

        return job

    def _open(self, settings: Settings) -> Session:
        if not self._order.path:
            raise CameraAbsent(
                f"camera {self._order.name} is not there", hint="plug it in: it is started when it appears"
            )
        session = Session(self._kernel, self._order.path, read_monotonic_ns=self._now_ns)
        try:
            session.prepare(settings)
            trigger = self._order.trigger
            if trigger is not None:
                session.enter_trigger_mode(trigger.wish, KNOWN.before(trigger.entries))
            if self._order.focus_once:
                focus_once(session.camera.node, self._limits.focus_ns, self._now_ns)
        except BaseException:
            session.release()
            raise
        return session
