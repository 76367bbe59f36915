"""The loop of a capture process: one thread, one epoll, one order at every wake.

1. the emergency stop; 2. cancels, commands, and what the helper threads have done; 3. edges; 4. due ticks; 5. cameras;
6. frames that come back; 7. what is overdue. Each step is bounded: what does not fit waits for the next turn, after
cancels were looked at again.
"""

from __future__ import annotations

import gc
import os
import select
from collections.abc import Callable
from contextlib import ExitStack

from agent.capture import messages as m
from agent.capture.board import Head
from agent.capture.commands import Commands
from agent.capture.group_lines import GroupLines
from agent.capture.helper import Doorbell, Helper, HelperThread
from agent.capture.order import CameraOrder
from agent.capture.plans import Plans
from agent.capture.process import Equipment
from agent.capture.publish import REVOKED, Publisher, Returned
from agent.capture.requests import Request
from agent.capture.serving import Serving
from agent.capture.state_word import Phase
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
_ENDS_A_TURN = 16
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
        self._make_helper = make_helper
        self._snapshot = Snapshot(self.board.words[Head.SEQUENCE : Head.SEQUENCE + 1], FENCE)
        self._more: set[Serving] = set()
        self._store_errors: dict[str, str] = {}
        self._is_ready_told = self._is_quitting = self._is_released = False
        self._hanging = False
        self._collected_ns = now_ns()
        self._overdue_ns = 0
        self.wait_s = 0
        self.units: dict[str, CameraUnit] = {}
        self.lines = GroupLines(order, self.board, equipment.lines, self._channel, now_ns, equipment.open_pwm)
        self.plans = Plans(order, self.board, self.units, equipment.quotas, now_ns, self.lines.taker)
        self.scheduler = self.plans.scheduler
        self.units.update((camera.name, self._make_unit(place, camera)) for place, camera in enumerate(order.cameras))
        self._units = tuple(self.units.values())
        self.lines.attach(self.units, self.plans.on_edge)
        self._commands = Commands(
            self._channel,
            self.units,
            self.plans,
            equipment.quotas,
            quit_=self._quit,
            now_ns=now_ns,
            stop=self.lines.stop,
        )
        self._watched = Watched(self._inbox, self._channel, publisher)
        self.epoll = self._watched.epoll
        for fd in (self.timer.fd, self.bell.fd):
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
        self._tell_ready()
        self._plan_wake(self._now_ns())

    def turn(self, events: Events) -> None:
        """One wake: what `events` and the time call for, in the order of this module."""
        now_ns = self._now_ns()
        words = self._words
        self._snapshot.begin()
        words[_BEATS] += 1
        words[_BEAT_NS] = now_ns
        only_time = not events or (len(events) == 1 and events[0][0] == self.timer.fd)
        if not only_time or self._inbox.waiting:
            self._lines_and_commands(events)
        fire = self.plans.fire
        for tick in self.scheduler.due(now_ns, _TICKS_A_TURN):
            fire(tick)
        if not only_time or self._more:
            self._cameras(events)
            self._returns(events)
        if now_ns >= self._overdue_ns:
            self._overdue(now_ns)
        self._tell_ends()
        self._snapshot.end()
        done_ns = self._now_ns()
        if done_ns - now_ns > words[_LONGEST_TURN_NS]:
            words[_LONGEST_TURN_NS] = done_ns - now_ns
        self._plan_wake(done_ns)

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
        if inbox.waiting or self._watched.inbox_fds & fds:
            received = inbox.drain(_COMMANDS_A_TURN)
            self._commands.handle(received, is_more=self._channel.waiting)
            if set(inbox.fds()) != self._watched.inbox_fds:
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
        if self._watched.is_writable(events):
            self._channel.flush()
            self._watched.follow_inbox()

    def _collect(self, now_ns: int) -> None:
        for back in self.publisher.collect(now_ns):
            self._tell_not_stored(back)
            self.units[back.camera].returned(back)
        self._watched.follow_publisher()
        if not self._is_ready_told:
            self._tell_ready()

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

    def _tell_ends(self) -> None:
        """Plans that ended, and whatever is still to be sent."""
        channel = self._channel
        for run in self.scheduler.ended(_ENDS_A_TURN):
            state, cause = run.state.name.lower(), self.plans.cause(run)
            channel.offer(m.PlanEnded(at_ns=self._now_ns(), plan=run.plan.name, state=state, cause=cause))
        if channel.wants_write:
            self._words[Head.EVENTS_DROPPED] = channel.dropped
            self._watched.follow_inbox()

    def _tell_not_stored(self, back: Returned) -> None:
        """The first of several frames in a row that were not stored for one reason; the others are in the ring."""
        if back.error not in (self._store_errors.get(back.camera, ""), REVOKED):
            self._store_errors[back.camera] = back.error
            if back.error:
                self._channel.offer(
                    m.NotStored(at_ns=self._now_ns(), camera=back.camera, code=back.error, told=back.told)
                )

    def _plan_wake(self, now_ns: int) -> None:
        """When to wake next: at once if something is left to do, else at the first instant at which something is due.

        In a long gap, garbage is looked for before.
        """
        overdue_ns = now_ns + BEAT_NS
        for unit in self._units:
            due_ns = unit.next_ns
            if due_ns is not None and due_ns < overdue_ns:
                overdue_ns = due_ns
        for due_ns in (self.publisher.next_ns(), self.lines.next_ns):
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
        """Tell the parent how a camera stands, and that all are up when they first are."""
        cause = unit.cause
        event = m.CameraChanged(
            at_ns=self._now_ns(),
            camera=unit.name,
            state=unit.word.phase.name.lower(),
            cause=cause.message if cause else "",
            hint=cause.hint if cause else "",
            code=cause.code if cause else "",
        )
        self._channel.offer(event)
        self.lines.changed(unit)
        self._tell_ready()

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

    def _tell_ready(self) -> None:
        """Once: when all cameras are as far as they come for now, and their frames can be taken."""
        if self._is_ready_told or not self.publisher.is_ready or not all(unit.settled for unit in self._units):
            return
        self._is_ready_told = True
        prepared = {
            unit.name: unit.session.prepared if unit.session is not None and unit.word.phase is Phase.ARMED else None
            for unit in self._units
        }
        self._channel.offer(m.Ready(at_ns=self._now_ns(), cameras=prepared))

    def _make_unit(self, place: int, camera: CameraOrder) -> CameraUnit:
        slow, stopper, closer = (
            self._make_helper(f"{kind} {camera.name}", self.bell) for kind in ("slow", "stopper", "closer")
        )
        stopper.start()
        unit = CameraUnit(
            self._equipment.kernel,
            camera,
            self._order.limits,
            self.board.camera(place),
            self,
            publisher=self.publisher,
            helpers=(slow, stopper, closer),
            now_ns=self._now_ns,
        )
        unit.pairing = self.lines.pairing(place, camera)
        return unit
