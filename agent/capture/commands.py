"""What the capture process does with each command: cancels first, whatever was asked before them (mission row G3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from agent.capture import messages as m
from agent.capture.cancelling import Cancelling
from agent.capture.channel import Channel, Received
from agent.capture.control_jobs import controls_of, set_by_name
from agent.capture.emergency import EmergencyStop, Pressed
from agent.capture.order import PlanOrder
from agent.capture.plans import CameraUnknown, Plans
from agent.capture.quotas import Quotas
from agent.capture.session import Session
from agent.capture.unit import CameraUnit
from agent.clock import ReadClock
from agent.errors import AgentError
from agent.schedule.register import PlanUnknown
from agent.scope import Cause, Ended, Scope, ScopeEnded

_Target = tuple[str, str]
"""Kind and name, as in a Cancel."""


class _Overtaking(NamedTuple):
    """A cancel that may have overtaken commands which were asked before it."""

    number: int
    target: _Target
    ended: Ended


class Commands:
    """Carries out commands on the group's cameras and plans. Owned by the loop."""

    def __init__(
        self,
        channel: Channel,
        units: Mapping[str, CameraUnit],
        plans: Plans,
        quotas: Quotas,
        *,
        quit_: Callable[[], None],
        now_ns: ReadClock,
        stop: EmergencyStop | None = None,
    ) -> None:
        self._channel, self._units, self._plans, self._quotas = channel, units, plans, quotas
        self._quit, self._now_ns = quit_, now_ns
        self._stop = stop
        self._cancelling = Cancelling(channel, units, plans, now_ns)
        self._overtaking: list[_Overtaking] = []
        self._doubtful: dict[_Target, list[m.Cancel]] = {}
        self._ending: Ended | None = None

    def handle(self, received: Sequence[Received], *, is_more: bool) -> None:
        """Carry out what `Channel.drain` gave; `is_more`: commands that came before are not handed out yet."""
        for number, message in received:
            try:
                self._one(number, message)
            except AgentError as error:
                self._channel.send(m.refusal(message.id, self._now_ns(), error))
        if not is_more:
            self._settle_doubts()

    def _one(self, number: int, message: Any) -> None:
        match message:
            case m.Cancel():
                self._cancel(number, message)
            case m.Quit():
                self._ending = self._cancelling.all(message, self._quit)
            case m.Ping():
                self._answer(message, None)
            case m.Relocate():
                # a fact, not a wish: no cancel overtakes it
                self._unit(message.camera).relocate(message.path)
                self._answer(message, None)
            case m.SetLimits():
                self._plans.set_limits(message.places)
                self._answer(message, None)
            case _:
                self._check_time(message)
                self._refuse_overtaken(number, message)
                self._change(message)

    def _change(self, message: Any) -> None:
        scheduler = self._plans.scheduler
        if self._stop is not None and isinstance(message, m.AddPlans | m.StartCamera):
            self._stop.require_released("start plans" if isinstance(message, m.AddPlans) else "start a camera")
        match message:
            case m.ReleaseStop():
                if self._stop is not None:
                    self._stop.unlatch()
                self._answer(message, None)
            case m.AddPlans():
                self._answer(message, self._plans.add(message.orders))
            case m.StartCamera():
                self._start(message)
            case m.Expose() | m.ReadControls() | m.SetControls():
                self._consult(message)
            case m.SetPeriod():
                self._plans.set_period(message.plan, message.period_ns)
                self._answer(message, None)
            case m.SetPriority():
                scheduler.set_priority(message.plan, message.priority, self._now_ns())
                self._answer(message, None)
            case m.SetQuota():
                self._quotas.set_limit(message.bucket, message.limit, self._now_ns())
                self._answer(message, None)

    # -- cancel -------------------------------------------------------------------------------------------------

    def _cancel(self, number: int, cancel: m.Cancel) -> None:
        target = (cancel.kind, cancel.name)
        match cancel.kind:
            case "plan":
                ended = self._cancel_plan(cancel)
            case "camera":
                ended = self._cancelling.camera(cancel, self._unit(cancel.name))
            case "client":
                ended = self._cancelling.client(cancel)
            case _:
                ended = self._cancelling.all(cancel)
        self._overtaking.append(_Overtaking(number, target, ended))

    def _cancel_plan(self, cancel: m.Cancel) -> Ended:
        try:
            return self._cancelling.plan(cancel)
        except PlanUnknown:
            # it may be in a command that this cancel has overtaken
            self._doubtful.setdefault(("plan", cancel.name), []).append(cancel)
            return Ended(Cause.CANCELLED, f"plan {cancel.name}", cancel.by, self._now_ns())

    def _settle_doubts(self) -> None:
        """Cancels of plans that nobody knew, and that are in no command which they overtook."""
        doubtful, self._doubtful = self._doubtful, {}
        for (_, name), cancels in doubtful.items():
            for cancel in cancels:
                self._channel.send(m.refusal(cancel.id, self._now_ns(), PlanUnknown(name)))

    def _refuse_overtaken(self, number: int, message: Any) -> None:
        """Raises ScopeEnded when a cancel that was asked after this command names what it wants.

        Commands come in their order, cancels before them; so what this one finds older than itself overtakes no more.
        """
        if self._ending is not None:
            raise ScopeEnded(self._ending)
        self._overtaking = [overtaking for overtaking in self._overtaking if overtaking.number > number]
        wanted = _wanted(message)
        met = [each for each in self._overtaking if each.target[0] == "all" or each.target in wanted]
        for overtaking in met:
            for cancel in self._doubtful.pop(overtaking.target, ()):
                facts = m.CancelReport(plans=0, already=False, cause=str(overtaking.ended))
                self._answer(cancel, facts)
        if met:
            raise ScopeEnded(met[0].ended)

    # -- the rest -----------------------------------------------------------------------------------------------

    def emergency(self, pressed: Pressed) -> None:
        """The emergency stop: STREAMOFF for every camera first, told as an event when all are off."""
        self._cancelling.emergency(pressed)

    def _check_time(self, message: m.Command) -> None:
        if message.deadline_ns is not None:
            Scope(f"command {message.id}", deadline_ns=message.deadline_ns).check(self._now_ns())

    def _start(self, message: m.StartCamera) -> None:
        def then(error: AgentError | None) -> None:
            self._answer_or_refuse(message, None, error)

        self._unit(message.camera).start(then)

    def _expose(self, message: m.Expose) -> None:
        def then(outcome: Any) -> None:
            report = outcome.result.report if outcome.error is None else None
            self._answer_or_refuse(message, report, outcome.error)

        self._unit(message.camera).expose(message.exposure_ns, message.gain, then)

    def _consult(self, message: m.Expose | m.ReadControls | m.SetControls) -> None:
        """What its camera's slow thread has to do."""
        if isinstance(message, m.Expose):
            self._expose(message)
            return

        def job(session: Session) -> Any:
            return controls_of(session) if isinstance(message, m.ReadControls) else set_by_name(session, message.values)

        def then(outcome: Any) -> None:
            self._answer_or_refuse(message, outcome.result, outcome.error)

        self._unit(message.camera).consult(job, then)

    def _answer_or_refuse(self, message: m.Command, facts: Any, error: AgentError | None) -> None:
        if error is None:
            self._answer(message, facts)
        else:
            self._channel.send(m.refusal(message.id, self._now_ns(), error))

    def _answer(self, message: m.Command, facts: Any) -> None:
        self._channel.send(m.Done(re=message.id, at_ns=self._now_ns(), facts=facts))

    def _unit(self, name: str) -> CameraUnit:
        unit = self._units.get(name)
        if unit is None:
            raise CameraUnknown(
                f"there is no camera {name!r} in this group",
                hint=f"its cameras are {', '.join(self._units)}",
                camera=name,
                allowed=list(self._units),
            )
        return unit


def _wanted(message: Any) -> set[_Target]:
    """What a cancel must name to overtake this command."""
    match message:
        case m.AddPlans():
            return {target for order in message.orders for target in _targets(order)}
        case m.StartCamera() | m.Expose() | m.SetControls():
            return {("camera", message.camera)}
        case _:
            return set()


def _targets(order: PlanOrder) -> set[_Target]:
    plan = order.plan
    return {("plan", plan.name), ("camera", plan.camera), ("client", plan.client)}
