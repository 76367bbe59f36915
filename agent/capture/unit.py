"""One camera inside the capture loop: brought up, served, stopped and brought back, without ever blocking the loop.

Whatever may take its time in the driver runs on one of two helper threads: `slow` for opening, preparing, starting and
setting, `stopper` for STREAMOFF, which therefore never waits behind them. The unit's own methods all run in the loop.
"""

from __future__ import annotations

import enum
import select
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from agent.capture.board import Of
from agent.capture.gate import StartGate
from agent.capture.helper import Helper, Outcome
from agent.capture.messages import CameraReport
from agent.capture.order import CameraOrder, StageLimits
from agent.capture.publish import REVOKED, Publisher, Returned
from agent.capture.session import Session, Shot, State
from agent.capture.state_word import Phase, StateWord, Step
from agent.clock import ReadClock
from agent.errors import AgentError, DeviceError, InputError, StreamFault
from agent.kernel import Kernel
from agent.schedule.run import Tick
from agent.units import NS_PER_MS, NS_PER_S, format_duration
from agent.v4l2.focus import focus_once
from agent.v4l2.gain import GainRequest
from agent.v4l2.stream import Stopped

_FRAMES_A_TURN = 8
_FIRST_RETRY_NS = 500 * NS_PER_MS
_LONGEST_RETRY_NS = 8 * NS_PER_S
_DEVELOPED = frozenset({"RGGB", "GRBG", "GBRG", "BA81", "RG10", "BA10", "GB10", "BG10", "RG12", "BA12", "GB12", "BG12"})
"""Bayer formats: making a picture of them is developing, with its own limit."""


class Waiter(NamedTuple):
    """Somebody who waits for a stop: `progress(step, told)` may be called before `done(report)` is, once."""

    progress: Callable[[str, str], None]
    done: Callable[[CameraReport], None]


class Around(Protocol):
    """What a unit needs of the loop."""

    def watch(self, unit: CameraUnit, fd: int) -> None:
        """Call `unit.on_readable` when frames wait on `fd`."""
        ...

    def unwatch(self, fd: int) -> None:
        """Do not any more."""
        ...

    def changed(self, unit: CameraUnit) -> None:
        """The unit's state changed: tell those who listen."""
        ...

    def ended(self, request: Request, now_ns: int) -> None:
        """A request ended: by its `verdict`, or well where that is None."""
        ...

    def trace(self, tick: Tick) -> str:
        """The trace id of a tick."""
        ...


class Verdict(enum.Enum):
    """Why a request ends without what it wanted."""

    FAILED = "failed"
    DROPPED = "dropped"


@dataclass(slots=True, eq=False)
class Request:
    """A fired tick on its way: `wanted` frames still to come, `out` lent and not back yet."""

    tick: Tick
    due_ns: int
    fired_ns: int
    wanted: int
    stores: bool
    out: int = 0
    frames: int = 0
    bytes: int = 0
    sequence: int = -1
    operator_ns: int = 0
    verdict: Verdict | None = None


@dataclass(slots=True)
class _Lent:
    """A frame that is out: whose buffer it is, and the requests that wait for it to be stored."""

    session: Session
    shot: Shot
    requests: list[Request]


class CameraUnit:
    """One camera of the group. Owned by the loop; jobs run elsewhere, and what they touch the loop leaves alone."""

    def __init__(
        self,
        kernel: Kernel,
        order: CameraOrder,
        limits: StageLimits,
        words: memoryview,
        around: Around,
        *,
        publisher: Publisher,
        helpers: tuple[Helper, Helper, Helper],
        now_ns: ReadClock,
    ) -> None:
        """`helpers`: slow, stopper, closer."""
        self.order = order
        self.name = order.name
        self.words = words
        self.word = StateWord(words, now_ns)
        self.session: Session | None = None
        self.cause: AgentError | None = None
        self.wanted = False
        self.waiting: deque[Request] = deque()
        self._kernel, self._limits, self._around = kernel, limits, around
        self._publisher = publisher
        self._slow, self._stopper, self._closer = helpers
        self._now_ns = now_ns
        self._gate = StartGate()
        self._slow_busy = False
        self._stop_waiters: list[Waiter] = []
        self._start_waiters: list[Callable[[AgentError | None], None]] = []
        self._lent: dict[int, _Lent] = {}
        self._steps: list[str] = []
        self._stop_due_ns: int | None = None
        self._retry_ns: int | None = None
        self._retries = 0
        self._limit_ns = limits.encode_ns
        self._last_frame_ns = 0

    # -- bringing up --------------------------------------------------------------------------------------------

    @property
    def armed(self) -> bool:
        """Streaming, and nobody wants it stopped."""
        return self.word.phase is Phase.ARMED and not self.word.cancel_pending

    @property
    def settled(self) -> bool:
        """As far as it comes for now: streaming, in fault, or not wanted."""
        return self.word.phase in (Phase.ARMED, Phase.FAULT) or not self.wanted

    @property
    def lent(self) -> int:
        """Frames that are out."""
        return len(self._lent)

    def start(self, then: Callable[[AgentError | None], None] | None = None) -> None:
        """Open, prepare and arm, as far as it is not; `then` is told how it ended."""
        self.wanted = True
        if self.armed:
            if then is not None:
                then(None)
            return
        if then is not None:
            self._start_waiters.append(then)
        if self.word.allows(Step.WORK) and not self._slow_busy:
            self._bring_up()

    def _bring_up(self) -> None:
        self.word.step(Step.WORK)
        self._retry_ns = None
        self._gate = StartGate()
        session, self.session = self.session, None  # the job's, until it ends
        worn = session is not None and (session.state is not State.PREPARED or self._retries > 1)
        if session is None or worn:
            self._publisher.forget(self.name)
        self._submit(lambda: self._up_job(session, worn), self._up)

    def _up_job(self, session: Session | None, worn: bool) -> Session:
        """In the slow thread: a session that streams. What fails leaves no session behind."""
        deadline_ns = self._now_ns() + self._limits.session_ns
        if session is not None and worn:
            session.release()
            session = None
        session = session or Session(self._kernel, self.order.path, read_monotonic_ns=self._now_ns)
        try:
            if session.state is State.IDLE:
                session.prepare(self.order.settings)
                if self.order.focus_once:
                    focus_once(session.camera.node, self._limits.focus_ns, self._now_ns)
                    deadline_ns += self._limits.focus_ns
            self._gate.check_time(self._now_ns(), deadline_ns, self._limits.session_ns, self.order.path)
            session.arm(self._gate.enter)
        except BaseException:
            session.release()
            raise
        return session

    def _up(self, outcome: Outcome) -> None:
        self._slow_busy = False
        self.session = outcome.result
        if self.word.cancel_pending:
            self._stop_now()
        elif outcome.error is not None:
            self._failed(outcome.error)
        else:
            self._armed()

    def _armed(self) -> None:
        session = self._session()
        self.word.step(Step.ARMED)
        self.cause, self._retries = None, 0
        self.words[Of.RESTARTS] += 1
        self._last_frame_ns = self._now_ns()
        prepared = session.prepared
        if prepared is not None:
            raw = prepared.format.pixel_format in _DEVELOPED
            self._limit_ns = self._limits.develop_ns if raw else self._limits.encode_ns
            try:
                self._publisher.camera_armed(self.name, prepared.format, session.pool)
            except AgentError as error:
                self._broke(error)
                return
        self._around.watch(self, session.fileno())
        self._around.changed(self)
        self._answer_start(None)

    def _failed(self, error: AgentError) -> None:
        """It could not be brought up, or its stream broke and was stopped."""
        self.word.step(Step.FAILED)
        self._fault(error)

    def _fault(self, error: AgentError) -> None:
        self.cause = self.cause or error
        self.words[Of.FAULTS] += 1
        # what was asked for cannot be: asking again would be answered the same
        if self.wanted and error.exit_code != InputError.exit_code:
            self._retries += 1
            wait_ns = min(_FIRST_RETRY_NS << (self._retries - 1), _LONGEST_RETRY_NS)
            self._retry_ns = self._now_ns() + wait_ns
        self._around.changed(self)
        self._answer_start(error)

    def _answer_start(self, error: AgentError | None) -> None:
        waiters, self._start_waiters = self._start_waiters, []
        for then in waiters:
            then(error)

    # -- a change of exposure while it streams ------------------------------------------------------------------

    def expose(self, exposure_ns: int, gain: GainRequest | None, then: Callable[[Outcome], None]) -> None:
        """Set the exposure in the slow thread; `then` gets its report or its error. Raises StateError."""
        session = self._session()
        self.word.step(Step.WORK)

        def done(outcome: Outcome) -> None:
            self._slow_busy = False
            if outcome.error is None and session is self.session:
                session.locked(outcome.result)
            if not self.word.cancel_pending and session is self.session:
                self._rest(Step.SET)
            then(outcome)
            self._resume()

        self._submit(lambda: session.lock(exposure_ns, gain), done)

    # -- ticks and frames ---------------------------------------------------------------------------------------

    def want(self, tick: Tick, stores: bool) -> None:
        """A fired tick waits for the first frames exposed from its instant on. Only while `armed`."""
        if not self.waiting:
            self.word.step(Step.WANTED)
        self.waiting.append(Request(tick, tick.due_ns, tick.fired_ns, tick.wanted, stores))

    def on_readable(self, events: int) -> bool:
        """Frames wait, or the queue broke; True when more may wait than one turn takes."""
        if not self.armed:
            return False
        session = self._session()
        try:
            for _ in range(_FRAMES_A_TURN):
                shot = session.take_waiting()
                if shot is None:
                    if events & ~select.EPOLLIN:
                        raise session.broken()
                    return False
                events = select.EPOLLIN
                self._offer(session, shot)
        except (DeviceError, StreamFault) as error:
            self._broke(error)
            return False
        return True

    def _offer(self, session: Session, shot: Shot) -> None:
        self._last_frame_ns = shot.frame.dequeued_ns
        self.words[Of.FRAMES] += 1
        takers = self._takers(session, shot) if self.waiting else []
        if not takers:
            session.give_back(shot)
            return
        self.words[Of.TAKEN] += 1
        self.words[Of.SHARED] += len(takers) - 1
        self.words[Of.BYTES] += shot.frame.size_bytes
        storing = [request for request in takers if request.stores]
        if not storing or not self._lend(session, shot, storing):
            for request in storing:
                _spoil(request, Verdict.FAILED)
            session.give_back(shot)
        for request in takers:
            self._settle(request)
        self._forget_satisfied()

    def _takers(self, session: Session, shot: Shot) -> list[Request]:
        """Those this frame is for: their instant lies before the beginning of its exposure."""
        began_ns = session.began_ns(shot.frame, shot.exposure_ns)
        takers = [request for request in self.waiting if request.due_ns <= began_ns]
        for request in takers:
            request.wanted -= 1
            request.frames += 1
            request.bytes += shot.frame.size_bytes
            request.sequence = shot.frame.sequence
        return takers

    def _lend(self, session: Session, shot: Shot, storing: list[Request]) -> bool:
        traces = [self._around.trace(request.tick) for request in storing]
        if not self._publisher.publish(self.name, shot, traces, self._limit_ns):
            return False
        for request in storing:
            request.out += 1
        self._lent[id(shot)] = _Lent(session, shot, storing)
        self.words[Of.LENT] += 1
        return True

    def returned(self, back: Returned) -> None:
        """A lent frame came back, stored or not."""
        lent = self._lent.pop(id(back.shot))
        self.words[Of.STORED if back.stored else Of.NOT_STORED] += 1
        for request in lent.requests:
            request.out -= 1
            request.operator_ns += back.took_ns
            if not back.stored:
                _spoil(request, Verdict.DROPPED if back.error == REVOKED else Verdict.FAILED)
            self._settle(request)
        self._forget_satisfied()
        if lent.session is self.session:
            try:
                lent.session.give_back(lent.shot)
            except DeviceError as error:
                self._broke(error)

    def _settle(self, request: Request) -> None:
        """Tell the end of a request when all of its frames are there and back."""
        if request.wanted <= 0 and not request.out:
            self._around.ended(request, self._now_ns())

    def _forget_satisfied(self) -> None:
        if any(request.wanted <= 0 for request in self.waiting):
            self.waiting = deque(request for request in self.waiting if request.wanted > 0)
            self._rest(Step.SERVED)

    def drop(self, of: Callable[[Tick], bool], verdict: Verdict = Verdict.DROPPED) -> None:
        """End the waiting requests that `of` picks: their plans were cancelled, or their frames did not come."""
        for request in [request for request in self.waiting if of(request.tick)]:
            _spoil(request, verdict)
            self._settle(request)
        self._forget_satisfied()

    # -- stopping -----------------------------------------------------------------------------------------------

    def cancel(self, waiter: Waiter) -> None:
        """Stop the stream, whatever is under way; the waiter is told when it is off and cannot come on again."""
        now_ns = self._now_ns()
        self.wanted, self._retry_ns = False, None
        if not self.word.allows(Step.CANCEL):
            waiter.done(CameraReport(camera=self.name, was_on=False, asked_ns=now_ns, entered_ns=0, returned_ns=0))
            return
        self.word.step(Step.CANCEL)
        if self.word.phase is Phase.STOPPING:
            self._stop_waiters.append(waiter)
        elif self.word.phase is Phase.ARMED:
            self._stop_waiters.append(waiter)
            self._stop_now()
        elif self._gate.shut():
            # the job goes on for a while in its thread, but it can not start the stream any more
            waiter.done(CameraReport(camera=self.name, was_on=False, asked_ns=now_ns, entered_ns=0, returned_ns=0))
        else:
            self._stop_waiters.append(waiter)
            self._stop_is_due(now_ns)
        if self.words[Of.ASKED_NS] <= self.words[Of.RETURNED_NS]:
            self.words[Of.ASKED_NS] = now_ns

    def _broke(self, error: AgentError) -> None:
        """The stream broke: stop it, then come back from it."""
        self.cause = self.cause or error
        if not self.word.cancel_pending:
            self.word.step(Step.CANCEL)
            self._stop_now()

    def _stop_now(self) -> None:
        """STREAMOFF first; everything else while it runs."""
        session = self.session
        if session is not None and session.state is State.ARMED:
            self._stopper.submit(session.halt, self._halted)
            self._around.unwatch(session.fileno())
            self.word.step(Step.STOP)
            self._stop_is_due(self._now_ns())
            self._publisher.revoke(self.name)
            self.drop(lambda _: True)
        else:
            self.word.step(Step.STOP)
            self._at_rest(None, None)

    def _stop_is_due(self, now_ns: int) -> None:
        if self._stop_due_ns is None:
            self._stop_due_ns = now_ns + self._limits.stop_ns
            self.words[Of.DUE_NS] = self._stop_due_ns + self._limits.step_ns
            self._steps = ["streamoff"]

    def _halted(self, outcome: Outcome) -> None:
        session = self._session()
        if outcome.error is None and "close" not in self._steps:
            session.halted()
            self._at_rest(outcome.result, None)
            return
        if "close" not in self._steps:
            self._steps.append("close")
        self._closer.submit(session.release, lambda closed: self._closed(closed, outcome.error, outcome.result))

    def _closed(self, outcome: Outcome, error: AgentError | None, stopped: Stopped | None) -> None:
        self.session = None
        self._publisher.forget(self.name)
        self._at_rest(stopped, error or outcome.error)

    def _at_rest(self, stopped: Stopped | None, error: AgentError | None) -> None:
        """The stream is off."""
        broke = self.cause is not None and self.wanted
        if self.session is None:
            self.word.step(Step.CLOSED)
        else:
            self.word.step(Step.FAILED if broke else Step.STOPPED)
        if stopped is not None:
            self.words[Of.ENTERED_NS], self.words[Of.RETURNED_NS] = stopped.entered_ns, stopped.returned_ns
        self._stop_due_ns, self.words[Of.DUE_NS] = None, 0
        steps, self._steps = tuple(self._steps), []
        report = CameraReport(
            camera=self.name,
            was_on=stopped is not None,
            asked_ns=self.words[Of.ASKED_NS],
            entered_ns=stopped.entered_ns if stopped else 0,
            returned_ns=stopped.returned_ns if stopped else self._now_ns(),
            steps=steps,
            error=error.message if error else "",
        )
        waiters, self._stop_waiters = self._stop_waiters, []
        for waiter in waiters:
            waiter.done(report)
        self._after_stop(broke)

    def _after_stop(self, broke: bool) -> None:
        if broke and self.cause is not None:
            self._fault(self.cause)
            return
        self._around.changed(self)
        self._resume()

    def _resume(self) -> None:
        """Somebody asked for the camera while it was stopping or set: bring it up now."""
        resting = self.word.phase is not Phase.ARMED and self.word.allows(Step.WORK)
        if self.wanted and self._retry_ns is None and resting and not self._slow_busy:
            self._bring_up()

    # -- time ---------------------------------------------------------------------------------------------------

    @property
    def next_ns(self) -> int | None:
        """When `check` should be called next."""
        times = [self._stop_due_ns, self._retry_ns]
        if self.waiting and self.armed:
            times.append(self._frame_due_ns())
        return min((time for time in times if time is not None), default=None)

    def check(self, now_ns: int) -> None:
        """What is overdue: a frame, a stop, a new attempt."""
        if self._stop_due_ns is not None:
            if now_ns >= self._stop_due_ns:
                self._escalate(now_ns)
        elif self._retry_ns is not None:
            if now_ns >= self._retry_ns and not self._slow_busy:
                self._bring_up()
        elif self.waiting and self.armed and now_ns >= self._frame_due_ns():
            self.drop(lambda _: True, Verdict.FAILED)
            self._broke(self._session().silent(self._limits.frame_ns))

    def _frame_due_ns(self) -> int:
        """A tick waits from its firing, but a camera that gives frames is not silent."""
        return max(self.waiting[0].fired_ns, self._last_frame_ns) + self._limits.frame_ns

    def _escalate(self, now_ns: int) -> None:
        """STREAMOFF hangs: close the node; past DUE_NS the supervisor kills this process."""
        since = format_duration(self._limits.stop_ns)
        if "close" in self._steps:
            self._stop_due_ns = None
            self._tell("kill", f"{self.name}: closing it did not help; this process has to be killed")
            return
        self._steps.append("close")
        self._stop_due_ns = now_ns + self._limits.step_ns
        self._tell("close", f"{self.name}: STREAMOFF has not returned for {since}; its node is being closed")
        session = self.session
        if session is not None:
            self._closer.submit(session.camera.node.release, lambda _: None)

    def _tell(self, step: str, told: str) -> None:
        for waiter in self._stop_waiters:
            waiter.progress(step, told)

    # -- ends ---------------------------------------------------------------------------------------------------

    def release(self) -> bool:
        """Close the camera and end the threads; False when one hangs in the driver."""
        session, self.session = self.session, None
        ended = [helper.release() for helper in (self._slow, self._stopper, self._closer)]
        if session is not None and all(ended):
            session.release()
        return all(ended)

    def _submit(self, job: Callable[[], object], then: Callable[[Outcome], None]) -> None:
        self._slow_busy = True
        self._slow.submit(job, then)

    def _rest(self, step: Step) -> None:
        """One reason to be busy is gone; the word says so when it was the last."""
        if not self.waiting and not self._slow_busy and self.word.allows(step):
            self.word.step(step)

    def _session(self) -> Session:
        if self.session is None:
            raise StreamFault(f"{self.name} is not open", hint="start it first", device=self.order.path)
        return self.session


def _spoil(request: Request, verdict: Verdict) -> None:
    """It cannot be served any more, and wants no further frames."""
    request.wanted = 0
    request.verdict = request.verdict or verdict
