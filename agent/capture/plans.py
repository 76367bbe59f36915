"""The plans of a group in its capture process: where each one's ticks go, what they must pass, and who ended it.

The scopes are a tree: the group, its cameras, their plans (mission row G1). A cancel ends one of them, and with it all
below; what is started afterwards gets new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from agent.capture import tick_log
from agent.capture.board import Board, Head
from agent.capture.messages import PlanEnd, PlansEnded
from agent.capture.order import GroupOrder, PlanOrder
from agent.capture.process_messages import Adopted
from agent.capture.quotas import Quotas, Toll
from agent.capture.requests import Joint, Request
from agent.capture.takers import Taker
from agent.capture.tick_log import End
from agent.capture.unit import CameraUnit
from agent.clock import ReadClock
from agent.errors import InputError
from agent.schedule.account import Refusal, State
from agent.schedule.edges import EdgeGate
from agent.schedule.instants import check_period
from agent.schedule.plan import Plan
from agent.schedule.quota import check_limit
from agent.schedule.register import PlanUnknown
from agent.schedule.requests import trace_id
from agent.schedule.ring import Ring
from agent.schedule.run import Run, Tick
from agent.schedule.scheduler import Scheduler
from agent.scope import Cause, Ended, Scope
from agent.shared import FENCE
from agent.units import NS_PER_S

_REFUSED = {
    Refusal.AGENT: End.REFUSED_AGENT,
    Refusal.CAMERA: End.REFUSED_CAMERA,
    Refusal.PLAN: End.REFUSED_PLAN,
    Refusal.CLIENT: End.REFUSED_CLIENT,
}


def _nobody(_name: str) -> None:
    """Nobody waits for plans to begin."""


MakeTaker = Callable[[Plan], Taker]
"""What takes the ticks of a plan."""


class CameraUnknown(InputError):
    """No camera of this name is in the group. Details: camera, allowed."""

    code = "camera_unknown"


class _Target(NamedTuple):
    """What a plan's ticks go to."""

    taker: Taker
    toll: Toll
    order: PlanOrder


class Plans:
    """Owned by the loop; `units` is the loop's, and may be filled after this was made."""

    def __init__(
        self,
        order: GroupOrder,
        board: Board,
        units: Mapping[str, CameraUnit],
        quotas: Quotas,
        now_ns: ReadClock,
        make_taker: MakeTaker,
    ) -> None:
        self.on_begun: Callable[[str], None] = _nobody
        """Called with the name of each plan that was added."""
        self.scheduler = Scheduler(board.plans, capacity=board.capacity, ageing_ns=order.ageing_ns)
        self._order, self._units, self._quotas, self._now_ns = order, units, quotas, now_ns
        self._ring = Ring(board.ring, FENCE)
        self._count_late = board.lateness.add
        self._words = board.words
        self._make_taker = make_taker
        self._edges: dict[int, tuple[Run, EdgeGate]] = {}
        self._targets: list[_Target | None] = [None] * board.capacity
        self._scopes: list[tuple[Run, Scope] | None] = [None] * board.capacity
        self._group = Scope(f"group {order.name}")
        self._cameras = {camera.name: Scope(f"camera {camera.name}", self._group) for camera in order.cameras}

    # -- the hot path ---------------------------------------------------------------------------------------------

    def fire(self, tick: Tick) -> None:
        """A tick is due: its camera gets it, or it ends here, for a reason that is counted and written down."""
        target = self._targets[tick.run.slot]
        if target is None:
            return
        now_ns = self._now_ns()
        taker = target.taker
        if not taker.armed:
            self._log(tick, End.NOT_READY, now_ns)
            self.scheduler.not_ready(tick)
            return
        if target.toll.buckets:
            refused = self._quotas.pass_(target.toll, now_ns)
            if refused is not None:
                self._log(tick, _REFUSED[refused], now_ns)
                self.scheduler.refused(tick, refused)
                return
        if self.scheduler.fired(tick, now_ns):
            self._count_late(now_ns - tick.due_ns)
            taker.want(tick, target.order.store)

    def on_edge(self, at_ns: int) -> None:
        """An edge of the group's input, at `at_ns` by the kernel's clock: plans that start on edges have a tick."""
        over = [slot for slot, (run, _) in self._edges.items() if run.state is not State.RUNNING]
        for slot in over:
            del self._edges[slot]
        for run, gate in self._edges.values():
            if gate.admit(at_ns):
                tick = self.scheduler.edge(run, at_ns)
                if tick is not None:
                    self.fire(tick)

    def ended(self, request: Request, now_ns: int) -> None:
        """A request ended: count it, and write its record. That of a set ends with its last camera's."""
        if request.joint is not None:
            whole = request.joint.joined(request)
            if whole is None:
                return
            if whole.pulse is None:
                self._count_set(request.joint, whole.end)
            request = whole
        tick, end = request.tick, request.end
        if end is None:
            end = End.DELIVERED
            self.scheduler.delivered(tick, now_ns, request.frames, request.bytes)
        elif end is End.SHOT_CANCELLED:
            self.scheduler.dropped(tick, now_ns)
        else:
            self.scheduler.failed(tick, now_ns)
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

    def _count_set(self, joined: Joint, end: End | None) -> None:
        """Cameras that run free; those of a trigger are counted pulse by pulse."""
        words = self._words
        if end is not None:
            words[Head.SETS_INCOMPLETE] += 1
            return
        words[Head.SETS] += 1
        words[Head.SKEW_NS] = skew_ns = joined.skew_ns
        words[Head.SKEW_MAX_NS] = max(words[Head.SKEW_MAX_NS], skew_ns)

    def trace(self, tick: Tick) -> str:
        """The trace id of a tick."""
        return trace_id(self._order.run_id, tick.run.slot, tick.trace_number)

    def cameras_of(self, name: str) -> Sequence[str]:
        """The cameras whose frames a plan gets; none where no such plan is here."""
        try:
            return self._order.cameras_of(self.scheduler.run(name).plan)
        except PlanUnknown:
            return ()

    def _log(self, tick: Tick, end: End, now_ns: int) -> None:
        tick_log.put(self._ring, tick.run.slot, end, tick.trace_number, tick.due_ns, 0, now_ns)

    # -- beginnings and changes -----------------------------------------------------------------------------------

    def add(self, orders: Sequence[PlanOrder]) -> dict[str, int]:
        """Start plans and the cameras they want, all or none; their places in the page by name.

        Raises CameraUnknown, PlanError, QuotaError.
        """
        now_ns = self._now_ns()
        self._check(orders, now_ns)
        slots = {}
        for order in orders:
            run = self.scheduler.add(order.plan, now_ns)
            self._aim(order, run, self._quotas.toll(order, self._order.cameras_of(order.plan), run.slot, now_ns))
            slots[order.plan.name] = run.slot
            self.on_begun(order.plan.name)
        for name in {name for order in orders for name in self._order.needed_by(order.plan)}:
            if not self._units[name].wanted:
                self._units[name].start()
        return slots

    def adopt(self, all_adopted: Iterable[Adopted]) -> None:
        """Go on with the plans of a process that died."""
        now_ns = self._now_ns()
        for adopted in all_adopted:
            order = adopted.order
            run = self.scheduler.adopt(order.plan, adopted.slot, now_ns)
            self._aim(
                order, run, self._quotas.adopted_toll(order, self._order.cameras_of(order.plan), run.slot, now_ns)
            )
            if adopted.cancelled_by:
                self.end_plan(run, adopted.cancelled_by)
                self.scheduler.cancel(order.plan.name, now_ns)

    def _check(self, orders: Sequence[PlanOrder], now_ns: int) -> None:
        for order in orders:
            plan = order.plan
            self._check_camera(plan)
            check_period(plan, plan.period_ns, self._interval_ns(plan))
            if order.quota is not None:
                check_limit(order.quota, f"the quota of plan {plan.name}")
        self.scheduler.check([order.plan for order in orders], now_ns)

    def set_period(self, name: str, period_ns: int) -> None:
        """Change a plan's period, as `Scheduler.set_period`; also refused where the camera is not so fast."""
        plan = self.scheduler.run(name).plan
        check_period(plan, period_ns, self._interval_ns(plan))
        self.scheduler.set_period(name, period_ns, self._now_ns())

    def _interval_ns(self, plan: Plan) -> int | None:
        """From frame to frame as the slowest of its cameras granted it, rounded down.

        None while that is not known: none was prepared yet, or a thread has it.
        """
        sessions = (self._units[name].session for name in self._order.cameras_of(plan))
        prepared = (session.prepared for session in sessions if session is not None)
        intervals_s = (each.interval_s for each in prepared if each is not None)
        return max((each.numerator * NS_PER_S // each.denominator for each in intervals_s if each), default=None)

    def _check_camera(self, plan: Plan) -> None:
        if plan.on_edge is not None and (self._order.trigger is None or not self._order.trigger.has_edges):
            raise InputError(
                f"plan {plan.name} starts on edges, and group {self._order.name} has no input line",
                hint="give the group's trigger an input, or the plan a period",
                plan=plan.name,
                key="on_edge",
            )
        if plan.camera not in self._units and plan.camera != self._order.name:
            raise CameraUnknown(
                f"plan {plan.name}: there is no camera {plan.camera!r} in this group",
                hint=f"its cameras are {', '.join(self._units)}",
                camera=plan.camera,
                allowed=list(self._units),
            )

        fired = self._order.triggered
        free = [name for name in self._order.cameras_of(plan) if name not in fired]
        if free and len(free) < len(self._order.cameras_of(plan)):
            raise InputError(
                f"plan {plan.name}: {', '.join(free)} runs free, and the other cameras are triggered",
                hint="name one camera: frames that no pulse began together are no set",
                plan=plan.name,
                key="camera",
            )

    def set_limits(self, places: Mapping[str, int]) -> None:
        """Other named limits than before, for all plans at once."""
        self._quotas.name(places)
        for slot, target in enumerate(self._targets):
            if target is not None:
                cameras = self._order.cameras_of(target.order.plan)
                toll = self._quotas.same_toll(target.order, cameras, slot)
                self._targets[slot] = target._replace(toll=toll)

    def _aim(self, order: PlanOrder, run: Run, toll: Toll) -> None:
        plan = order.plan
        self._targets[run.slot] = _Target(self._make_taker(plan), toll, order)
        self._scopes[run.slot] = run, Scope(f"plan {plan.name}", self._cameras.get(plan.camera, self._group))
        if plan.on_edge is not None:
            self._edges[run.slot] = run, EdgeGate(plan.on_edge)

    # -- ends -----------------------------------------------------------------------------------------------------

    def ends(self, bound: int) -> PlansEnded | None:
        """At most `bound` of the ends that were not told yet; None when none of them can be told now."""
        runs = self.scheduler.ended(bound)
        if not runs:
            return None
        is_renewed = self.scheduler.is_renewed
        told = tuple(self._end_of(run) for run in runs if not is_renewed(run))
        renewed = tuple(self._end_of(run) for run in runs if is_renewed(run))
        return PlansEnded(at_ns=self._now_ns(), ends=told, renewed=renewed)

    def _end_of(self, run: Run) -> PlanEnd:
        return run.plan.name, run.state.name.lower(), self.cause(run)

    def cause(self, run: Run) -> str:
        """Who ended a plan, in words; empty for one that goes on, is finished, or has lost its place to another."""
        ended = self._scope(run).ended(self._now_ns()) if run.state is State.CANCELLED else None
        return "" if ended is None else str(ended)

    def end_plan(self, run: Run, by: str) -> Ended:
        """End a plan's scope; how it ended."""
        return self._end(self._scope(run), by)

    def end_client(self, client: str, by: str) -> Ended:
        """End the scopes of a client's plans; how they ended."""
        ended = Ended(Cause.CANCELLED, f"client {client}", by, self._now_ns())
        for run in self.scheduler.runs(client=client):
            self.end_plan(run, str(ended))
        return ended

    def end_camera(self, camera: str, by: str) -> Ended:
        """End a camera's scope; how it ended."""
        scope = self._cameras[camera]
        self._cameras[camera] = Scope(scope.name, self._group)
        return self._end(scope, by)

    def end_all(self, by: str) -> Ended:
        """End the group's scope; how it ended."""
        scope, self._group = self._group, Scope(self._group.name)
        self._cameras = {name: Scope(camera.name, self._group) for name, camera in self._cameras.items()}
        return self._end(scope, by)

    def _scope(self, run: Run) -> Scope:
        found = self._scopes[run.slot]
        return found[1] if found is not None and found[0] is run else Scope(f"plan {run.plan.name}")

    def _end(self, scope: Scope, by: str) -> Ended:
        now_ns = self._now_ns()
        scope.cancel(by, now_ns)
        return scope.ended(now_ns) or Ended(Cause.CANCELLED, scope.name, by, now_ns)
