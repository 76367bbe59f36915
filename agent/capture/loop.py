"""The loop of a capture process: one thread, one epoll, one order at every wake (brief: the loop's order).

1. cancels, commands, and what the helper threads have done; 2. due ticks; 3. cameras; 4. frames that come back;
5. what is overdue. Each step is bounded: what does not fit waits for the next turn, after cancels were looked at again.
"""

from __future__ import annotations

import gc
import os
import select
from collections.abc import Callable, Sequence
from typing import NamedTuple

from agent.capture import messages as m
from agent.capture import tick_log
from agent.capture.board import Head
from agent.capture.commands import CameraUnknown, Commands
from agent.capture.helper import Doorbell, Helper, HelperThread
from agent.capture.order import CameraOrder, PlanOrder
from agent.capture.process import Equipment
from agent.capture.publish import Publisher
from agent.capture.quotas import Toll
from agent.capture.state_word import Phase
from agent.capture.tick_log import End
from agent.capture.timer import Timer
from agent.capture.unit import CameraUnit, Request, Verdict
from agent.clock import ReadClock, monotonic_ns
from agent.schedule.account import Refusal
from agent.schedule.plan import Plan
from agent.schedule.requests import trace_id
from agent.schedule.ring import Ring
from agent.schedule.run import Tick
from agent.schedule.scheduler import Scheduler
from agent.schedule.snapshot import Snapshot
from agent.shared import FENCE
from agent.units import NS_PER_MS, NS_PER_S

BEAT_NS = 250 * NS_PER_MS
"""The loop wakes at least this often, to show that it is alive."""
_COMMANDS_A_TURN = 64
_TICKS_A_TURN = 128
# plain numbers: a member of an enumeration costs a look-up in the hottest path
_BEATS, _BEAT_NS, _LONGEST_TURN_NS = int(Head.BEATS), int(Head.BEAT_NS), int(Head.LONGEST_TURN_NS)
_ENDS_A_TURN = 16
_GAP_NS = 20 * NS_PER_MS
"""A collection of garbage fits into a gap this long."""
_COLLECT_EVERY_NS = 5 * NS_PER_S
_REFUSED = {
    Refusal.AGENT: End.REFUSED_AGENT,
    Refusal.CAMERA: End.REFUSED_CAMERA,
    Refusal.PLAN: End.REFUSED_PLAN,
    Refusal.CLIENT: End.REFUSED_CLIENT,
}

MakeHelper = Callable[[str, Doorbell], Helper]


class _Target(NamedTuple):
    """What a plan's ticks go to."""

    unit: CameraUnit | None
    toll: Toll
    stores: bool


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
        order = equipment.assignment.order
        self._equipment, self._order, self._now_ns = equipment, order, now_ns
        self.board = equipment.board
        self._words, self._inbox = self.board.words, equipment.inbox
        self._join_ns = order.realtime.join_ns
        self._count_late = self.board.lateness.add
        self.publisher = publisher
        self.scheduler = Scheduler(self.board.plans, capacity=self.board.capacity, ageing_ns=order.ageing_ns)
        self.epoll = select.epoll()
        self.bell = Doorbell()
        self.timer = Timer()
        self._make_helper = make_helper
        self._quotas = equipment.quotas
        self._ring = Ring(self.board.ring, FENCE)
        self._snapshot = Snapshot(self.board.words[Head.SEQUENCE : Head.SEQUENCE + 1], FENCE)
        self._targets: list[_Target | None] = [None] * self.board.capacity
        self._by_fd: dict[int, CameraUnit] = {}
        self._more: set[CameraUnit] = set()
        self._outside: set[int] = set()
        self._ready_told = False
        self._quitting = False
        self._released = False
        self._collected_ns = now_ns()
        self._overdue_ns = 0
        self.wait_s = 0
        self.units = {camera.name: self._make_unit(place, camera) for place, camera in enumerate(order.cameras)}
        self._units = tuple(self.units.values())
        self._commands = Commands(
            equipment.channel,
            self.units,
            self.scheduler,
            add=self._add,
            set_limit=self._set_limit,
            quit_=self._quit,
            now_ns=now_ns,
        )
        for fd in (self.timer.fd, self.bell.fd):
            self.epoll.register(fd, select.EPOLLIN)
        self._inbox_fds: set[int] = set()
        self._watch_inbox()
        self._watch_publisher()
        self._adopt()

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
        for unit in self._units:
            if unit.name not in self._equipment.assignment.left_off:
                unit.start()
        self._plan_wake(self._now_ns())

    def turn(self, events: Sequence[tuple[int, int]]) -> None:
        """One wake: what `events` and the time call for, in the order of this module."""
        now_ns = self._now_ns()
        words = self._words
        self._snapshot.begin()
        words[_BEATS] += 1
        words[_BEAT_NS] = now_ns
        only_time = not events or (len(events) == 1 and events[0][0] == self.timer.fd)
        if not only_time or self._inbox.waiting:
            self._commands_and_outcomes(events)
        for tick in self.scheduler.due(now_ns, _TICKS_A_TURN):
            self._fire(tick)
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
        if self._released:
            return
        self._released = True
        self.publisher.release()
        # a thread that hangs in the driver rings once more when it is let go: the bell stays open for it
        ended = [unit.release() for unit in self._units]
        if all(ended):
            self.bell.release()
        self.timer.release()
        self.epoll.close()

    def _over(self) -> bool:
        """All streams are off, and all lent frames are back."""
        return self._quitting and not any(unit.lent for unit in self._units)

    def _quit(self) -> None:
        self._quitting = True

    # -- the steps ------------------------------------------------------------------------------------------------

    def _commands_and_outcomes(self, events: Sequence[tuple[int, int]]) -> None:
        inbox = self._inbox
        fds = {fd for fd, _ in events}
        if inbox.waiting or self._inbox_fds & fds:
            received = inbox.drain(_COMMANDS_A_TURN)
            self._commands.handle(received, inbox.waiting)
            if set(inbox.fds()) != self._inbox_fds:
                self._watch_inbox()
        if self.bell.fd in fds:
            self.bell.collect()

    def _fire(self, tick: Tick) -> None:
        target = self._targets[tick.run.slot]
        if target is None:
            return
        now_ns = self._now_ns()
        unit = target.unit
        if unit is None or not unit.armed:
            self._log(tick, End.NOT_READY, now_ns)
            self.scheduler.not_ready(tick)
            return
        if target.toll.buckets:
            refused = self._quotas.pass_(target.toll, now_ns)
            if refused is not None:
                self._log(tick, _REFUSED[refused], now_ns)
                self.scheduler.refused(tick, refused)
                return
        if not self.scheduler.fired(tick, now_ns):
            return
        self._count_late(now_ns - tick.due_ns)
        unit.want(tick, target.stores)

    def _cameras(self, events: Sequence[tuple[int, int]]) -> None:
        ready = {self._by_fd[fd]: mask for fd, mask in events if fd in self._by_fd}
        for unit in self._more - ready.keys():
            ready[unit] = select.EPOLLIN
        self._more.clear()
        for unit, mask in ready.items():
            if unit.on_readable(mask):
                self._more.add(unit)

    def _returns(self, events: Sequence[tuple[int, int]]) -> None:
        if any(fd in self._outside for fd, _ in events):
            self._collect(self._now_ns())
        channel = self._equipment.channel
        if any(fd == channel.fileno() and mask & select.EPOLLOUT for fd, mask in events):
            channel.flush()
            self._watch_inbox()

    def _collect(self, now_ns: int) -> None:
        for back in self.publisher.collect(now_ns):
            self.units[back.camera].returned(back)
        self._watch_publisher()

    def _overdue(self, now_ns: int) -> None:
        for unit in self._units:
            due_ns = unit.next_ns
            if due_ns is not None and due_ns <= now_ns:
                unit.check(now_ns)
        due_ns = self.publisher.next_ns()
        if due_ns is not None and due_ns <= now_ns:
            self._collect(now_ns)

    def _tell_ends(self) -> None:
        """Plans that ended, and whatever is still to be sent."""
        channel = self._equipment.channel
        for run in self.scheduler.ended(_ENDS_A_TURN):
            channel.offer(m.PlanEnded(at_ns=self._now_ns(), plan=run.plan.name, state=run.state.name.lower()))
        if channel.wants_write:
            self._watch_inbox()

    def _plan_wake(self, now_ns: int) -> None:
        """When to wake next: at once if something is left to do, else at the first instant at which something is due.

        In a long gap, garbage is looked for before.
        """
        overdue_ns = now_ns + BEAT_NS
        for unit in self._units:
            due_ns = unit.next_ns
            if due_ns is not None and due_ns < overdue_ns:
                overdue_ns = due_ns
        due_ns = self.publisher.next_ns()
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

    # -- plans ----------------------------------------------------------------------------------------------------

    def _add(self, orders: Sequence[PlanOrder]) -> dict[str, int]:
        """Start plans, all or none; their places in the page by name."""
        now_ns = self._now_ns()
        for order in orders:
            self._check_camera(order.plan)
        self.scheduler.check([order.plan for order in orders], now_ns)
        slots = {}
        for order in orders:
            run = self.scheduler.add(order.plan, now_ns)
            self._aim(order, run.slot, now_ns)
            slots[order.plan.name] = run.slot
        for name in {order.plan.camera for order in orders}:
            if not self.units[name].wanted:
                self.units[name].start()
        return slots

    def _aim(self, order: PlanOrder, slot: int, now_ns: int) -> None:
        plan = order.plan
        if order.quota is None:
            toll = self._quotas.toll(plan.camera, plan.client)
        else:
            toll = self._quotas.toll_of_plan(plan.camera, plan.client, plan.name, slot, order.quota, now_ns)
        self._targets[slot] = _Target(self.units.get(plan.camera), toll, order.store)

    def _check_camera(self, plan: Plan) -> None:
        if plan.camera not in self.units:
            raise CameraUnknown(
                f"plan {plan.name}: there is no camera {plan.camera!r} in this group",
                hint=f"its cameras are {', '.join(self.units)}",
                camera=plan.camera,
                allowed=list(self.units),
            )

    def _adopt(self) -> None:
        """Go on with the plans of a process that died."""
        now_ns = self._now_ns()
        for adopted in self._equipment.assignment.adopted:
            self.scheduler.adopt(adopted.order.plan, adopted.slot, now_ns)
            self._aim(adopted.order, adopted.slot, now_ns)
            if adopted.cancelled_by:
                self.scheduler.cancel(adopted.order.plan.name, now_ns)

    def _set_limit(self, message: m.SetQuota) -> None:
        self._quotas.set_limit(message.bucket, message.limit, self._now_ns())

    def _log(self, tick: Tick, end: End, now_ns: int) -> None:
        tick_log.put(self._ring, tick.run.slot, end, tick.trace_number, tick.due_ns, 0, now_ns)

    # -- what units need (unit.Around) ----------------------------------------------------------------------------

    def watch(self, unit: CameraUnit, fd: int) -> None:
        """Call `unit.on_readable` when frames wait."""
        self._by_fd[fd] = unit
        self.epoll.register(fd, select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        """Do not any more: a stream that is off polls as broken, again and again."""
        unit = self._by_fd.pop(fd, None)
        if unit is not None:
            self.epoll.unregister(fd)
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
        self._equipment.channel.offer(event)
        if not self._ready_told and all(each.settled for each in self._units):
            self._ready_told = True
            self._equipment.channel.offer(m.Ready(at_ns=self._now_ns(), cameras=self._prepared()))

    def ended(self, request: Request, now_ns: int) -> None:
        """A request ended: count it, and write its record."""
        tick = request.tick
        if request.verdict is None:
            end = End.DELIVERED
            self.scheduler.delivered(tick, now_ns, request.frames, request.bytes)
        elif request.verdict is Verdict.FAILED:
            end = End.FAILED
            self.scheduler.failed(tick, now_ns)
        else:
            end = End.SHOT_CANCELLED
            self.scheduler.dropped(tick, now_ns)
        tick_log.put(
            self._ring,
            tick.run.slot,
            end,
            tick.trace_number,
            request.due_ns,
            request.fired_ns,
            now_ns,
            request.frames,
            request.sequence,
            request.operator_ns,
        )

    def trace(self, tick: Tick) -> str:
        """The trace id of a tick."""
        return trace_id(self._order.run_id, tick.run.slot, tick.trace_number)

    # -- the rest -------------------------------------------------------------------------------------------------

    def _prepared(self) -> dict[str, object]:
        return {
            unit.name: unit.session.prepared if unit.session is not None and unit.word.phase is Phase.ARMED else None
            for unit in self._units
        }

    def _make_unit(self, place: int, camera: CameraOrder) -> CameraUnit:
        slow, stopper, closer = (
            self._make_helper(f"{kind} {camera.name}", self.bell) for kind in ("slow", "stopper", "closer")
        )
        stopper.start()
        return CameraUnit(
            self._equipment.kernel,
            camera,
            self._order.limits,
            self.board.camera(place),
            self,
            publisher=self.publisher,
            helpers=(slow, stopper, closer),
            now_ns=self._now_ns,
        )

    def _watch_inbox(self) -> None:
        channel = self._equipment.channel
        wanted = set(self._equipment.inbox.fds())
        for fd in self._inbox_fds - wanted:
            self.epoll.unregister(fd)
        for fd in wanted:
            writing = fd == channel.fileno() and channel.wants_write
            mask = select.EPOLLIN | (select.EPOLLOUT if writing else 0)
            if fd in self._inbox_fds:
                self.epoll.modify(fd, mask)
            else:
                self.epoll.register(fd, mask)
        self._inbox_fds = wanted

    def _watch_publisher(self) -> None:
        wanted = set(self.publisher.fds())
        if wanted == self._outside:
            return
        for fd in self._outside - wanted:
            _forget(self.epoll, fd)
        for fd in wanted - self._outside:
            self.epoll.register(fd, select.EPOLLIN)
        self._outside = wanted


def _forget(epoll: select.epoll, fd: int) -> None:
    try:
        epoll.unregister(fd)
    except (OSError, ValueError):  # its owner closed it already, which took it out
        return
