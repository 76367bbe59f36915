"""The loop of a capture process: one thread, one epoll, one order at every wake.

1. the emergency stop; 2. cancels, commands, and what the helper threads have done; 3. edges; 4. due ticks; 5. cameras;
6. frames that come back, and clients of frames; 7. what is overdue. Each step is bounded: what does not fit waits for
the next turn, after cancels were looked at again.
"""

from __future__ import annotations

import gc
import os
import select
from collections.abc import Callable
from contextlib import ExitStack

from agent.capture.board import Head
from agent.capture.commands import Commands
from agent.capture.group_lines import GroupLines
from agent.capture.helper import Doorbell, Helper, HelperThread
from agent.capture.order import CameraOrder
from agent.capture.plans import Plans
from agent.capture.process import Equipment
from agent.capture.publish import Publisher
from agent.capture.requests import Request
from agent.capture.serving import Serving
from agent.capture.station import Station
from agent.capture.subscribers import Subscribers
from agent.capture.telling import Telling
from agent.capture.timer import Timer
from agent.capture.unit import CameraUnit
from agent.capture.watched import Events, Watched
from agent.clock import ReadClock, monotonic_ns
from agent.schedule.run import Tick
from agent.schedule.snapshot import Snapshot
from agent.shared import FENCE
from agent.units import NS_PER_MS, NS_PER_S

BEAT_NS = 250 * NS_PER_MS
"""The loop wakes at least this often, to show that it is alive."""
_COMMANDS_A_TURN = 64
_TICKS_A_TURN = 128
_ENDS_APART_NS = NS_PER_MS
"""Between two events of many ends, so that whoever reads them gets a processor, and does so in between."""
# plain numbers: a member of an enumeration costs a look-up in the hottest path
_BEATS, _BEAT_NS, _LONGEST_TURN_NS = int(Head.BEATS), int(Head.BEAT_NS), int(Head.LONGEST_TURN_NS)
_GAP_NS = 20 * NS_PER_MS
"""A collection of garbage fits into a gap this long."""
_COLLECT_EVERY_NS = 5 * NS_PER_S

MakeHelper = Callable[[str, Doorbell], Helper]


class CaptureLoop:
    """Owns the cameras, plans and descriptors of one group. Everything here runs in one thread."""

    def __init__(
        self,
        equipment: Equipment,
        publisher: Publisher,
        *,
        make_helper: MakeHelper = HelperThread,
        now_ns: ReadClock = monotonic_ns,
    ) -> None:
        order, self.board = equipment.assignment.order, equipment.board
        self._equipment, self._order, self._now_ns = equipment, order, now_ns
        self._channel, self._inbox, self._words = equipment.channel, equipment.inbox, self.board.words
        self._join_ns = order.realtime.join_ns
        self.publisher = publisher
        self.bell = Doorbell()
        self.timer = Timer()
        self._timer_fd = self.timer.fd
        self._make_helper = make_helper
        self._snapshot = Snapshot(self.board.words[Head.SEQUENCE : Head.SEQUENCE + 1], FENCE)
        self._more: set[Serving] = set()
        self._is_quitting = self._is_released = self._hanging = False
        self._longest_ns: int = self._words[_LONGEST_TURN_NS]
        # a tick that is fired before the next whole turn has its frame's limit from then on
        self._beat_ns = min(BEAT_NS, order.limits.frame_ns)
        self._collected_ns = now_ns()
        self._overdue_ns = 0
        self.wait_s = 0
        self.units: dict[str, CameraUnit] = {}
        self.lines = GroupLines(order, self.board, equipment.lines, self._channel, now_ns, equipment.open_pwm)
        self.plans = Plans(order, self.board, self.units, equipment.quotas, now_ns, self.lines.taker)
        self.scheduler, self._fire = self.plans.scheduler, self.plans.fire
        self._stations: dict[str, Station] = {}
        self.subscribers = Subscribers(
            self._stations,
            equipment.door,
            cameras_of=self.plans.cameras_of,
            let_go=lambda camera: self.units[camera].clients_let_go(),
            now_ns=now_ns,
        )
        self.plans.on_begun = self.subscribers.plan_begun
        self._telling = Telling(self._channel, self.units, self.plans, publisher, now_ns)
        self.units.update((camera.name, self._make_unit(place, camera)) for place, camera in enumerate(order.cameras))
        self._units = tuple(self.units.values())
        self.lines.attach(self.units, self.plans.on_edge)
        self._commands = Commands(
            self._channel,
            self.units,
            self.plans,
            equipment.quotas,
            order=order,
            quit_=self._quit,
            now_ns=now_ns,
            stop=self.lines.stop,
        )
        self._watched = Watched(self._inbox, self._channel, publisher)
        self.epoll = self._watched.epoll
        self._subscribers_fd = self.subscribers.fileno()
        for fd in (self.timer.fd, self.bell.fd, self._subscribers_fd):
            self.epoll.register(fd, select.EPOLLIN)
        self._watched.follow_inbox()
        self._watched.follow_publisher()
        self.plans.adopt(equipment.assignment.adopted)

    # -- life -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Bring the cameras up, then turn until a Quit; every stream is off when it returns."""
        board = self.board.words
        board[Head.PID], board[Head.STARTED_NS] = os.getpid(), self._now_ns()
        gc.disable()
        try:
            self.start()
            while not self._over():
                self.turn(self.epoll.poll(self.wait_s))
        finally:
            gc.enable()

    def start(self) -> None:
        """Bring up the cameras that are wanted."""
        self._check_lines(self._now_ns())
        for unit in self._units:
            if unit.name not in self._equipment.assignment.left_off and not self._stopped:
                unit.start()
        self._telling.ready()
        self._plan_wake(self._now_ns())

    def turn(self, events: Events) -> None:
        """One wake: what `events` and the time call for, in the order of this module."""
        now_ns = self._now_ns()
        only_time = not events or (len(events) == 1 and events[0][0] == self._timer_fd)
        # who slept had left nothing to do; a pulse that a tick begins ends sooner than anything else a tick leads to
        if only_time and self.wait_s and now_ns < self._overdue_ns and not self.lines.any:
            self._ticks_alone(now_ns)
        else:
            self._whole_turn(events, now_ns, only_time=only_time)

    def _ticks_alone(self, now_ns: int) -> None:
        """Most wakes, and the shortest way: a tick is due, and nothing but ticks can be.

        What a fired tick makes overdue is so at `_overdue_ns` at the earliest; that turn, and none of these, beats.
        """
        self._snapshot.begin()
        fire = self._fire
        for tick in self.scheduler.due(now_ns, _TICKS_A_TURN):
            fire(tick)
        self._snapshot.end()
        done_ns = self._now_ns()
        self._took(done_ns - now_ns)
        next_ns = self.scheduler.next_ns
        if next_ns is None or next_ns >= self._overdue_ns or next_ns > done_ns + _GAP_NS or self.scheduler.ends_wait:
            self._whole_turn((), done_ns, only_time=True)
        elif next_ns <= done_ns:
            self.wait_s = 0
        else:
            if self._join_ns:
                next_ns = min(self.scheduler.last_due_within(next_ns, self._join_ns), self._overdue_ns)
            self.timer.set(next_ns)

    def _whole_turn(self, events: Events, now_ns: int, *, only_time: bool) -> None:
        words = self._words
        self._snapshot.begin()
        words[_BEATS] += 1
        words[_BEAT_NS] = now_ns
        if not only_time or self._inbox.waiting:
            self._lines_and_commands(events)
        fire = self._fire
        for tick in self.scheduler.due(now_ns, _TICKS_A_TURN):
            fire(tick)
        if not only_time or self._more:
            self.lines.foresee()
            self._cameras(events)
            self._returns(events)
        if now_ns >= self._overdue_ns:
            self._overdue(now_ns)
        self._tell()
        self._snapshot.end()
        done_ns = self._now_ns()
        self._took(done_ns - now_ns)
        self._plan_wake(done_ns)

    def _took(self, duration_ns: int) -> None:
        if duration_ns > self._longest_ns:
            self._words[_LONGEST_TURN_NS] = self._longest_ns = duration_ns

    def release(self) -> None:
        """Stop every stream, close every camera, end the threads; idempotent. A step that fails keeps none back."""
        if self._is_released:
            return
        self._is_released = True
        with ExitStack() as steps:
            steps.callback(self._release_bell)
            steps.callback(self._watched.release)
            steps.callback(self.timer.release)
            for unit in self._units:
                steps.callback(self._release_unit, unit)
            steps.callback(self.publisher.release)
            steps.callback(self.subscribers.release)
            # the first: a line at its safe level waits for nobody
            steps.callback(self.lines.release)

    def _release_bell(self) -> None:
        # a thread that hangs in the driver rings once more when it is let go: the bell stays open for it
        if not self._hanging:
            self.bell.release()

    def _release_unit(self, unit: CameraUnit) -> None:
        self._hanging |= not unit.release()

    def _over(self) -> bool:
        """All streams are off, and all lent frames are back."""
        return self._is_quitting and not any(unit.lent for unit in self._units)

    def _quit(self) -> None:
        self._is_quitting = True

    # -- the steps ------------------------------------------------------------------------------------------------

    def _lines_and_commands(self, events: Events) -> None:
        fds = {fd for fd, _ in events}
        edges = fds & self._watched.line_fds
        if edges:
            pressed = self.lines.pressed(edges)
            if pressed is not None:
                self._commands.emergency(pressed)
        self._commands_and_outcomes(fds)
        if edges:
            self.lines.on_edges(edges)
            self._watched.follow_lines(self.lines.fds())

    def _commands_and_outcomes(self, fds: set[int]) -> None:
        inbox = self._inbox
        if inbox.waiting or not fds.isdisjoint(self._watched.inbox_fds):
            received = inbox.drain(_COMMANDS_A_TURN)
            self._commands.handle(received, is_more=self._channel.waiting)
            self._watched.follow_inbox()
        if self.bell.fd in fds:
            self.bell.collect()

    def _cameras(self, events: Events) -> None:
        ready = self._watched.cameras(events)
        for unit in self._more - ready.keys():
            ready[unit] = select.EPOLLIN
        self._more.clear()
        for unit, mask in ready.items():
            if unit.on_readable(mask):
                self._more.add(unit)

    def _returns(self, events: Events) -> None:
        if self._watched.is_publisher(events):
            self._collect(self._now_ns())
        if any(fd == self._subscribers_fd for fd, _ in events):
            self.subscribers.turn()
        if self._watched.is_writable(events):
            self._channel.flush()
            self._watched.follow_inbox()

    def _collect(self, now_ns: int) -> None:
        for back in self.publisher.collect(now_ns):
            self._telling.not_stored(back)
            self.units[back.camera].returned(back)
        self._watched.follow_publisher()
        self._telling.ready()

    def _check_lines(self, now_ns: int) -> None:
        pressed = self.lines.check(now_ns)
        if pressed is not None:
            self._commands.emergency(pressed)
        self._watched.follow_lines(self.lines.fds())

    @property
    def _stopped(self) -> bool:
        return self.lines.stop is not None and self.lines.stop.latched

    def _overdue(self, now_ns: int) -> None:
        due_ns = self.lines.next_ns
        if due_ns is not None and due_ns <= now_ns:
            self._check_lines(now_ns)
        for unit in self._units:
            due_ns = unit.next_ns
            if due_ns is not None and due_ns <= now_ns:
                unit.check(now_ns)
        due_ns = self.publisher.next_ns()
        if due_ns is not None and due_ns <= now_ns:
            self._collect(now_ns)
        due_ns = self.subscribers.next_ns
        if due_ns is not None and due_ns <= now_ns:
            self.subscribers.check(now_ns)

    def _tell(self) -> None:
        """Plans that ended, and whatever is still to be sent."""
        if self.scheduler.ends_wait:
            self._telling.ends()
        if self._channel.wants_write:
            self._words[Head.EVENTS_DROPPED] = self._channel.dropped
            self._watched.follow_inbox()

    def _plan_wake(self, now_ns: int) -> None:
        """When to wake next: at once if something is left to do, else at the first instant at which something is due.

        In a long gap, garbage is looked for before.
        """
        overdue_ns = now_ns + (_ENDS_APART_NS if self._telling.has_more else self._beat_ns)
        for unit in self._units:
            due_ns = unit.next_ns
            if due_ns is not None and due_ns < overdue_ns:
                overdue_ns = due_ns
        for due_ns in (self.publisher.next_ns(), self.lines.next_ns, self.subscribers.next_ns):
            if due_ns is not None and due_ns < overdue_ns:
                overdue_ns = due_ns
        self._overdue_ns = overdue_ns
        tick_ns = self.scheduler.next_ns
        next_ns = overdue_ns if tick_ns is None or overdue_ns < tick_ns else tick_ns
        if next_ns <= now_ns or self._more or self._inbox.waiting:
            self.wait_s = 0
            return
        if next_ns == tick_ns and self._join_ns:
            next_ns = min(self.scheduler.last_due_within(tick_ns, self._join_ns), overdue_ns)
        if next_ns - now_ns > _GAP_NS and now_ns - self._collected_ns > _COLLECT_EVERY_NS:
            gc.collect(1)
            self._collected_ns = now_ns
        self.timer.set(next_ns)
        self.wait_s = -1

    # -- what units need (unit.Around) ----------------------------------------------------------------------------

    def watch(self, unit: CameraUnit, fd: int) -> None:
        """Call `unit.on_readable` when frames wait."""
        self._watched.add(unit, fd)

    def unwatch(self, fd: int) -> None:
        """Do not any more."""
        unit = self._watched.remove(fd)
        if unit is not None:
            self._more.discard(unit)

    def changed(self, unit: CameraUnit) -> None:
        """Tell the parent and the clients how a camera stands."""
        self._telling.camera(unit)
        unit.station.changed(unit.state())
        self.lines.changed(unit)

    def stopping(self, unit: CameraUnit) -> None:
        """A stream ends: its trigger does not fire any more."""
        self.lines.stopping(unit)

    def ended(self, request: Request, now_ns: int) -> None:
        """A request ended."""
        self.plans.ended(request, now_ns)

    def trace(self, tick: Tick) -> str:
        """The trace id of a tick."""
        return self.plans.trace(tick)

    # -- the rest -------------------------------------------------------------------------------------------------

    def _make_unit(self, place: int, camera: CameraOrder) -> CameraUnit:
        slow, stopper, closer = (
            self._make_helper(f"{kind} {camera.name}", self.bell) for kind in ("slow", "stopper", "closer")
        )
        stopper.start()
        words = self.board.camera(place)
        station = self._stations[camera.name] = Station(camera.name, words, self.subscribers, self._now_ns)
        unit = CameraUnit(
            self._equipment.kernel,
            camera,
            self._order.limits,
            words,
            self,
            publisher=self.publisher,
            helpers=(slow, stopper, closer),
            now_ns=self._now_ns,
            station=station,
        )
        unit.pairing = self.lines.pairing(place, camera)
        return unit
