"""One camera inside the capture loop: brought up, served, stopped and brought back, without ever blocking the loop.

Whatever may take its time in the driver runs in other threads (`bring_up`, `stop`). The unit's own methods all run in
the loop, and what a thread has, the loop leaves alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from agent.capture.board import Of
from agent.capture.bring_up import BringUp, Brought
from agent.capture.gate import StartGate
from agent.capture.helper import Helper, Outcome
from agent.capture.messages import CameraReport
from agent.capture.order import CameraOrder, StageLimits
from agent.capture.publish import Publisher
from agent.capture.requests import Requests, Told
from agent.capture.serving import Serving
from agent.capture.session import Session, State
from agent.capture.state_word import Phase, StateWord, Step
from agent.capture.station import Station
from agent.capture.stop import Halted, Stop, StopThread, Waiter, off_already
from agent.capture.tick_log import End
from agent.clock import ReadClock
from agent.errors import AgentError, DeviceGone, DeviceNotFound, StateError
from agent.frames.wire import State as ClientState
from agent.frames.wire import Streaming
from agent.kernel import Kernel
from agent.scope import Ended, ScopeEnded
from agent.trigger.lines import Written
from agent.v4l2.gain import GainRequest

_DEVELOPED = frozenset({"RGGB", "GRBG", "GBRG", "BA81", "RG10", "BA10", "GB10", "BG10", "RG12", "BA12", "GB12", "BG12"})
"""Bayer formats: making a picture of them is developing, with its own limit."""

StartedThen = Callable[[AgentError | None], None]


class Around(Told, Protocol):
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

    def stopping(self, unit: CameraUnit) -> None:
        """Its STREAMOFF was begun: its trigger must not fire any more."""
        ...


class CameraUnit(Serving):
    """One camera of the group. Owned by the loop."""

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
        station: Station,
    ) -> None:
        """`helpers`: slow, stopper, closer."""
        slow, stopper, closer = helpers
        super().__init__(order, limits, words, StateWord(words, now_ns), now_ns, station)
        self.cause: AgentError | None = None
        """Why it is in fault, or hangs while it is started: the first since it last streamed."""
        self.wanted = False
        self.armed_ns = 0
        """When it was started last; what its trigger settles from."""
        self.requests = Requests(order.name, words, publisher, around, now_ns)
        self._around, self._publisher = around, publisher
        self._bring_up = BringUp(kernel, order, limits, slow, now_ns)
        self._stop = StopThread(order.name, words, limits, (stopper, closer), self)
        self._trigger_gate = StartGate()
        self._start_waiters: list[StartedThen] = []

    @property
    def settled(self) -> bool:
        """As far as it comes for now: streaming, in fault, not wanted, or hanging in its driver."""
        return self.word.phase in (Phase.ARMED, Phase.FAULT) or not self.wanted or self._bring_up.hangs

    # -- bringing up --------------------------------------------------------------------------------------------

    def start(self, then: StartedThen | None = None) -> None:
        """Open, prepare and arm, as far as it is not; `then` is told how it ended."""
        self.wanted = True
        if self.armed:
            if then is not None:
                then(None)
            return
        if then is not None:
            self._start_waiters.append(then)
        if self.word.allows(Step.WORK) and not self._bring_up.busy:
            self._begin()

    def _begin(self) -> None:
        self.word.step(Step.WORK)
        session, self.session = self.session, None  # the job's, until it ends
        if not self._bring_up.is_warm(session):
            self.closing()
        self._bring_up.start(session, self._up)

    def _up(self, outcome: Outcome) -> None:
        """The job ended; it gave the session back also where it could not start it."""
        brought = Brought(None, outcome.error) if outcome.error is not None else outcome.result
        self.session = brought.session
        if self.word.cancel_pending:
            self._stop_now()
        elif brought.error is not None:
            self.word.step(Step.FAILED)
            self._fault(brought.error)
        else:
            self._armed(self._session())

    def _armed(self, session: Session) -> None:
        self.word.step(Step.ARMED)
        self.cause = None
        self.words[Of.RESTARTS] += 1
        self.armed_ns = self._last_frame_ns = self._now_ns()
        if self.pairing is not None:
            self.pairing.start()
        self._around.watch(self, session.fileno())
        prepared = session.prepared
        if prepared is not None:
            is_raw = prepared.format.pixel_format in _DEVELOPED
            self._limit_ns = self._limits.develop_ns if is_raw else self._limits.encode_ns
            try:
                self._publisher.camera_armed(self.name, prepared.format, session.pool)
                self.station.armed(prepared.format, session.pool)
            except AgentError as error:
                self._broke(error)
        self._put_kept_back()
        if self.armed:
            self._around.changed(self)
            self._answer_start(None)

    def _fault(self, error: AgentError) -> None:
        """It could not be brought up, or its stream broke and was stopped: come back from it after a while."""
        self.cause = self.cause or error
        self.words[Of.FAULTS] += 1
        if self.wanted:
            self._bring_up.failed(error)
        self._around.changed(self)
        self._answer_start(error)

    def relocate(self, path: str) -> None:
        """The camera is at `path` now, or nowhere where that is empty."""
        self._bring_up.relocate(path)
        if self.wanted and self.word.phase is Phase.FAULT and not self._bring_up.busy:
            self._begin()

    def _answer_start(self, error: AgentError | None) -> None:
        waiters, self._start_waiters = self._start_waiters, []
        for then in waiters:
            then(error)

    def _resume(self) -> None:
        """Somebody asked for the camera while it was stopping or set: bring it up now."""
        resting = self.word.phase is not Phase.ARMED and self.word.allows(Step.WORK)
        if self.wanted and resting and not self._bring_up.busy and self._bring_up.retry_ns is None:
            self._begin()

    # -- a change of exposure -----------------------------------------------------------------------------------

    def expose(self, exposure_ns: int, gain: GainRequest | None, then: Callable[[Outcome], None]) -> None:
        """Set the exposure in the slow thread; `then` gets its report or its error. Raises StateError."""
        asked = self.session

        def done(outcome: Outcome) -> None:
            if outcome.error is None and asked is not None:
                self._bring_up.exposed(exposure_ns, gain)
                if asked is self.session:
                    asked.locked(outcome.result)
            then(outcome)

        self.consult(lambda session: session.lock(exposure_ns, gain), done)

    def consult(self, job: Callable[[Session], Any], then: Callable[[Outcome], None]) -> None:
        """Have the slow thread talk to the open camera; `then` gets what came of it. Raises StateError."""
        session = self.session
        if session is None or self._bring_up.busy or not self.word.allows(Step.WORK):
            raise self._cannot_expose()
        self.word.step(Step.WORK)

        def done(outcome: Outcome) -> None:
            then(outcome)
            self._rest(Step.SET)
            if self.word.cancel_pending and self.word.phase is not Phase.STOPPING:
                self._stop_now()
            self._resume()

        self._bring_up.submit(lambda: job(session), done)

    @property
    def free(self) -> bool:
        """Whether its slow thread has nothing to do."""
        return not self._bring_up.busy

    def trigger(self, number: int, then: Callable[[Written | AgentError], None]) -> None:
        """Tell the camera's software trigger in the slow thread, beside which nothing else may run there.

        Who waits for the pulse waits for its frame from now on, so a driver that never returns is a fault in time.
        """
        session = self.session
        if session is None or not self.armed or self._bring_up.busy:
            then(self._cannot_expose())
            return
        self.word.step(Step.WORK)
        self.requests.pulsed(number, self._now_ns())
        self._is_triggering, self._trigger_gate = True, StartGate()
        enter = self._trigger_gate.enter

        def job() -> Written:
            enter()
            return session.trigger()

        def done(outcome: Outcome) -> None:
            then(outcome.result if outcome.error is None else outcome.error)
            self._offer_held()
            self._rest(Step.SET)
            self._resume()

        self._bring_up.submit(job, done)

    def _cannot_expose(self) -> StateError:
        is_closed = self.session is None and not self._bring_up.busy
        state = "not open" if is_closed else "being started, stopped or set"
        return StateError(
            f"{self.name} cannot be set while it is {state}",
            hint="start it first" if is_closed else "ask again when what was asked before is answered",
            state=state,
            verb="expose",
        )

    # -- stopping -----------------------------------------------------------------------------------------------

    def cancel(self, ended: Ended, waiter: Waiter) -> None:
        """Stop the stream, whatever is under way, because of `ended`.

        The waiter is told when it is off and cannot come on again, and no frame of it can be stored any more.
        """
        now_ns = self._now_ns()
        self.wanted = False
        is_shut = self._bring_up.shut(ScopeEnded(ended))
        stop = self._stop.current
        if self.word.allows(Step.CANCEL):
            self.word.step(Step.CANCEL)
            if stop is None and (self.word.phase is Phase.ARMED or not is_shut):
                stop = self._stop.ask(now_ns)
        if stop is not None:
            stop.broke = None
            stop.waiters.append(waiter)
        if self.word.phase is Phase.ARMED:
            self._stop_now()
        self.requests.revoke()
        if stop is None:
            # a job may go on for a while in its thread, but it can not start the stream any more
            self._answer((waiter,), off_already(self.name, now_ns))
        self._answer_start(ScopeEnded(ended))

    def join_stop(self, waiter: Waiter) -> None:
        """Wait for a stop that somebody asked for already, if one is under way; nothing is changed."""
        stop = self._stop.current
        if stop is not None and stop.broke is None and not self.wanted:
            stop.waiters.append(waiter)
        else:
            waiter.done(off_already(self.name, self._now_ns()))

    def _broke(self, error: AgentError) -> None:
        """The stream broke: stop it, then come back from it. One that is off or being stopped is not touched."""
        if self.armed:
            self._stop.ask(self._now_ns()).broke = error
            self.cause = self.cause or error
            self.word.step(Step.CANCEL)
            self._stop_now()

    def _stop_now(self) -> None:
        """STREAMOFF first; everything else while it runs."""
        session, stop = self.session, self._stop.current
        if session is None or session.state is not State.ARMED:
            self.word.step(Step.STOP)
            self._stop.end(Halted(None))
            return
        self._trigger_gate.shut(self._cannot_expose())
        self._stop.halt(session)
        self._around.unwatch(session.fileno())
        self.word.step(Step.STOP)
        self.station.revoke()
        self.clients_let_go()
        self._kept += self._held
        self._held.clear()
        is_fault = stop is not None and stop.broke is not None
        self.requests.give_up(lambda _: True, End.BROKE if is_fault else End.SHOT_CANCELLED)
        if self.pairing is not None:
            self.pairing.stop(self._now_ns())
        self._around.stopping(self)

    def closing(self) -> None:
        """The session is about to be closed, and its buffers with it."""
        self._publisher.forget(self.name)
        self.station.forget()
        self.clients_let_go()

    def at_rest(self, stop: Stop | None, halted: Halted) -> None:
        """The stream is off."""
        broke = stop.broke if stop is not None else None
        session = self.session
        if session is None or halted.closed:
            self.session = None
            self.word.step(Step.CLOSED if broke is None else Step.FAILED)
        else:
            if halted.stopped is not None:
                session.halted()
            self.word.step(Step.STOPPED if broke is None else Step.FAILED)
        self._put_kept_back()
        if stop is not None:
            self._answer(stop.waiters, stop.report(self.name, halted, self._now_ns()))
        if broke is not None:
            self._fault(broke)
            return
        self.cause = None
        self._around.changed(self)
        self._resume()

    def _answer(self, waiters: Sequence[Waiter], report: CameraReport) -> None:
        """As soon as no frame is out any more that may still be stored."""

        def then(left: int) -> None:
            told = f"{left} frames are still with the process that stores them, and may be stored" if left else ""
            error = "; ".join(text for text in (report.error, told) if text)
            for waiter in waiters:
                waiter.done(replace(report, error=error))

        if waiters:
            self.when_back(lambda _: True, then)

    # -- time ---------------------------------------------------------------------------------------------------

    @property
    def next_ns(self) -> int | None:
        """When `check` should be called next."""
        requests = self.requests
        oldest_ns = requests.oldest_ns() if requests.waiting and self.armed else None
        frame_ns = None if oldest_ns is None else oldest_ns + self._limits.frame_ns
        pulse_ns = None if self.pairing is None or self._is_triggering else self.pairing.next_ns
        found = (frame_ns, pulse_ns, requests.next_ns, self._stop.next_ns, self._bring_up.next_ns)
        times = [instant_ns for instant_ns in found if instant_ns is not None]
        return min(times) if times else None

    def check(self, now_ns: int) -> None:
        """What is overdue: frames that should be back, a stop, a start, a new attempt, a frame."""
        self.requests.check(now_ns)
        if self.pairing is not None and self.armed and not self._is_triggering:
            self._paired(self.pairing.expire(now_ns))
        self._stop.check(now_ns)
        hangs = self._bring_up.overdue(now_ns)
        if hangs is not None:
            self.cause = self.cause or hangs
            self._around.changed(self)
            self._answer_start(hangs)
        retry_ns = self._bring_up.retry_ns
        if retry_ns is not None and now_ns >= retry_ns and not self._bring_up.busy:
            self._begin()
        if self.requests.waiting and self.armed:
            self._check_frames(now_ns - self._limits.frame_ns)

    def state(self) -> ClientState:
        """How it stands, as its clients are told."""
        cause = self.cause
        if self.armed:
            return ClientState(Streaming.STREAMING, self.name)
        if cause is None:
            return ClientState(Streaming.STOPPED, self.name)
        is_gone = isinstance(cause, DeviceGone | DeviceNotFound)
        return ClientState(Streaming.GONE if is_gone else Streaming.FAULT, self.name, cause.message, cause.hint)

    # -- ends ---------------------------------------------------------------------------------------------------

    def release(self) -> bool:
        """Close the camera and end the threads; False when one hangs in the driver."""
        self.station.forget()
        self.station.freed.clear()
        session, self.session = self.session, None
        is_ended = all([self._bring_up.release(), self._stop.release()])
        if session is not None and is_ended:
            session.release()
        return is_ended

    def _worked(self) -> None:
        self._bring_up.worked()

    def _rest(self, step: Step) -> None:
        """The word says so when it was the last reason to be busy."""
        if self.word.busy and not self.requests.waiting and not self._bring_up.busy and self.word.allows(step):
            self.word.step(step)
