"""The frames of one camera that streams: to the ticks that want them, to the sink, and back to the driver."""

from __future__ import annotations

import select
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from agent.capture.board import Of
from agent.capture.order import CameraOrder, StageLimits
from agent.capture.pairing import Pairing
from agent.capture.publish import Returned
from agent.capture.requests import Choice, Joint, Requests
from agent.capture.session import Session
from agent.capture.shot import Shot, exposure_span
from agent.capture.state_word import Phase, StateWord, Step
from agent.capture.station import Station
from agent.capture.tick_log import End
from agent.clock import ReadClock
from agent.errors import AgentError, DeviceError, StreamFault
from agent.schedule.run import Tick

_FRAMES_A_TURN = 8
_UNANSWERED = 3
"""Pulses in a row without a frame of their own, after which a triggered stream is started anew."""


class Serving(ABC):
    """This half of a camera knows nothing of its being started and stopped, but that it may break.

    `session` is the loop's own: None while a thread has it to start it.
    """

    def __init__(
        self,
        order: CameraOrder,
        limits: StageLimits,
        words: memoryview,
        word: StateWord,
        now_ns: ReadClock,
        station: Station,
    ) -> None:
        self.order = order
        self.name = order.name
        self.words = words
        self.word = word
        self.session: Session | None = None
        self.requests: Requests
        self.station = station
        """Its frames that clients have."""
        self.pairing: Pairing | None = None
        """Its frames and the pulses of its trigger; None while it runs free."""
        self._limits, self._now_ns = limits, now_ns
        self._limit_ns = limits.encode_ns
        self._last_frame_ns = 0
        self._kept: list[tuple[Session, Shot]] = []
        """Frames that came back while their session was in a thread."""
        self._shared: set[int] = set()
        """Frames that are out to be stored, and that clients have as well."""
        self._is_triggering = False
        """It is being told its software trigger: when that pulse was, its frames are not to be asked before."""
        self._held: list[tuple[Session, Shot]] = []
        """Frames that came meanwhile."""

    @property
    def armed(self) -> bool:
        """Streaming, and nobody wants it stopped."""
        return self.word.phase is Phase.ARMED and not self.word.cancel_pending

    @property
    def lent(self) -> int:
        """Frames that are out."""
        return self.requests.lent

    def want(self, tick: Tick, stores: bool, pulse: int | None = None, joint: Joint | None = None) -> None:
        """A fired tick waits for the first frames exposed from its instant on. Only while `armed`.

        Where it is triggered, for the frames of the trigger pulses from `pulse` on. `joint`: the shots it is one of.
        """
        if not self.requests.waiting:
            self.word.step(Step.WANTED)
        self.requests.add(tick, stores, pulse, joint)

    def pulsed(self, pulse: int, at_ns: int, uncertainty_ns: int) -> None:
        """A pulse of its trigger came at `at_ns`, give or take `uncertainty_ns`."""
        self.requests.pulsed(pulse, self._now_ns())
        if self.pairing is None:
            return
        if self.armed:
            self._paired(self.pairing.pulse(pulse, at_ns, uncertainty_ns))
        else:
            self.pairing.pulse(pulse, at_ns, uncertainty_ns)
            self.pairing.stop(self._now_ns())

    def without_pulse(self, first: int) -> None:
        """Pulses from this number on are not fired."""
        self.requests.without_pulse(first)
        self._rest(Step.SERVED)

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
                self._came(session, shot)
        except (DeviceError, StreamFault) as error:
            self._broke(error)
            return False
        return True

    def _came(self, session: Session, shot: Shot) -> None:
        self._last_frame_ns = shot.frame.dequeued_ns
        self._worked()
        self.words[Of.FRAMES] += 1
        self.words[Of.LOST] += shot.frame.lost_before
        if self._is_triggering:
            self._held.append((session, shot))
        else:
            self._offer(session, shot)

    def _offer_held(self) -> None:
        """The pulse they waited for is known, or there is none."""
        self._is_triggering = False
        held, self._held = self._held, []
        for session, shot in held:
            if not self.armed:
                self._kept.append((session, shot))
                continue
            try:
                self._offer(session, shot)
            except DeviceError as error:
                self._broke(error)

    def _offer(self, session: Session, shot: Shot) -> None:
        pulse = None
        if self.pairing is not None:
            pulse, ended = self.pairing.frame(shot.frame, exposure_span(shot, session.interval_ns))
            self._paired(ended)
            if pulse is None or not self.armed:
                # a ghost, or one that is not surely of its pulse: nobody gets it
                session.put_back(shot)
                return
        requests, lent, takers = self.requests, False, False
        if requests.waiting:
            lent = requests.offer(session, shot, self._limit_ns, pulse, self._has_room)
            takers = bool(requests.takers)
            self._rest(Step.SERVED)
        if self.station.subscribers and self._offer_clients(session, shot, pulse, lent=lent, takers=takers):
            return
        if not lent:
            session.put_back(shot)

    def _has_room(self) -> bool:
        """Whether one frame more may be out. Without clients, who lends for storing sees to that alone."""
        station = self.station
        while station.held and self._not_clients() + station.held >= station.limit:
            if not station.make_room():
                return False
        return True

    def _not_clients(self) -> int:
        """Frames that are out, and that no client has."""
        if self._shared and self.station.freed:
            self.station.freed = [
                (session, shot) for session, shot in self.station.freed if not self._is_unshared(shot)
            ]
        return self.requests.lent - len(self._shared)

    def _is_unshared(self, shot: Shot) -> bool:
        """Whether clients and sink had the frame; now only one of them has."""
        was_shared = id(shot) in self._shared
        self._shared.discard(id(shot))
        return was_shared

    def _offer_clients(self, session: Session, shot: Shot, pulse: int | None, *, lent: bool, takers: bool) -> bool:
        """Whether the frame is theirs too from now on; `lent`: it is out to be stored, `takers`: ticks got it."""
        served = self.requests.served() if takers else ()
        is_taken = self.station.offer(session, shot, pulse, served, self._not_clients, is_out=lent)
        if is_taken and lent:
            self._shared.add(id(shot))
        self.clients_let_go()
        return is_taken

    def clients_let_go(self) -> None:
        """Frames that no client has any more."""
        freed, self.station.freed = self.station.freed, []
        for session, shot in freed:
            self._let_go(session, shot)

    def _let_go(self, session: Session, shot: Shot) -> None:
        """One of the two who can have a frame has it no more: it is the driver's when the other one has not either."""
        if not self._is_unshared(shot):
            self._kept.append((session, shot))
            self._put_kept_back()

    def returned(self, back: Returned) -> None:
        """A lent frame came back, stored or not."""
        lent = self.requests.returned(back)
        self._rest(Step.SERVED)
        self._let_go(lent.session, lent.shot)

    def _put_kept_back(self) -> None:
        """Give frames that came back to the driver; those of a session that is closed are nobody's."""
        while self._kept and self.session is not None and self.word.phase is not Phase.STOPPING:
            session, shot = self._kept.pop()
            if session is self.session:
                try:
                    session.put_back(shot)
                except DeviceError as error:
                    self._broke(error)

    def drop(self, of: Choice) -> None:
        """Their plans were cancelled: the waiting requests that `of` picks end."""
        self.requests.give_up(of, End.SHOT_CANCELLED)
        self._rest(Step.SERVED)

    def when_back(self, of: Choice, then: Callable[[int], None]) -> None:
        """As `Requests.when_back`, for as long as one step of a stop may take."""
        self.requests.when_back(of, self._limits.step_ns, then)

    def _paired(self, unmatched: Sequence[int]) -> None:
        """Pulses that no frame is surely of. So many in a row are a fault of the camera or its wire: start it anew."""
        for pulse in unmatched:
            self.requests.unmatched(pulse)
        if unmatched:
            self._rest(Step.SERVED)
            if self.pairing is not None and self.pairing.unanswered >= _UNANSWERED:
                self._broke(unanswered(self.name, self.pairing.unanswered))

    def _check_frames(self, since_ns: int) -> None:
        """Ticks without a frame since then fail; where no frame came at all, the stream is restarted."""
        oldest_ns = self.requests.oldest_ns()
        if oldest_ns is None or oldest_ns > since_ns:
            return
        self.requests.give_up_late(since_ns)
        self._rest(Step.SERVED)
        if self._last_frame_ns <= since_ns and self.armed:
            self._broke(self._session().silent(self._limits.frame_ns))

    @abstractmethod
    def _worked(self) -> None:
        """A good frame came."""

    @abstractmethod
    def _broke(self, error: AgentError) -> None:
        """The stream broke."""

    @abstractmethod
    def _rest(self, step: Step) -> None:
        """One reason to be busy is gone."""

    def _session(self) -> Session:
        if self.session is None:
            raise StreamFault(f"{self.name} is not open", hint="start it first", device=self.order.path)
        return self.session


def unanswered(camera: str, pulses: int) -> StreamFault:
    """The fault of a camera that does not answer its trigger."""
    return StreamFault(
        f"{camera}: {pulses} trigger pulses in a row brought no frame of their own",
        hint="see whether its line is wired to the camera, and its trigger mode is on: camera-agent trigger self-test",
        device=camera,
    )
