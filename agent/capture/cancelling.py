"""Cancels carried out: STREAMOFF first, then the plans, and an answer when no frame can be delivered any more (G3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from agent.capture import messages as m
from agent.capture.channel import Channel
from agent.capture.emergency import Pressed
from agent.capture.order import GroupOrder
from agent.capture.plans import Plans
from agent.capture.requests import Choice
from agent.capture.stop import Waiter
from agent.capture.unit import CameraUnit
from agent.clock import ReadClock
from agent.schedule.account import State
from agent.schedule.run import Run
from agent.scope import Ended


class _Gathering:
    """What has to come before a cancel is answered: the reports of cameras, and frames of those that go on."""

    def __init__(self) -> None:
        self.reports: list[m.CameraReport] = []
        self.still_out = 0
        self._open = 1
        self._then: Callable[[], None] | None = None

    def report(self, report: m.CameraReport) -> None:
        """A camera is at rest."""
        self.reports.append(report)
        self._one()

    def back(self, still_out: int) -> None:
        """The frames of a plan whose camera goes on are back, as far as they come."""
        self.still_out += still_out
        self._one()

    def expect(self) -> None:
        """One more has to come."""
        self._open += 1

    def then(self, then: Callable[[], None]) -> None:
        """All that has to come is known: call `then` when it is there, which may be now."""
        self._then = then
        self._one()

    def _one(self) -> None:
        self._open -= 1
        if not self._open and self._then is not None:
            self._then()


class _What(NamedTuple):
    """What one cancel does. `stops`: cameras to stop; `end`: ends the plans and counts them; `of`: their ticks."""

    ended: Ended
    stops: Sequence[CameraUnit]
    end: Callable[[], int]
    of: Choice | None = None
    still_on: tuple[str, ...] = ()


class Cancelling:
    """Owned by the loop's commands."""

    def __init__(
        self,
        order: GroupOrder,
        channel: Channel,
        units: Mapping[str, CameraUnit],
        plans: Plans,
        now_ns: ReadClock,
    ) -> None:
        self._order = order
        self._channel, self._units, self._plans, self._now_ns = channel, units, plans, now_ns
        self._scheduler = plans.scheduler

    def plan(self, cancel: m.Cancel) -> Ended:
        """One plan, and the cameras it needs that no other plan does. Raises PlanUnknown."""
        run = self._scheduler.run(cancel.name)
        cameras, own = self._order.needed_by(run.plan), self._order.cameras_of(run.plan)
        if run.state is not State.RUNNING:
            return self._plan_again(cancel, run, [self._units[name] for name in cameras])
        others = {name for name in cameras if self._is_wanted(name, run)}
        what = _What(
            self._plans.end_plan(run, cancel.by),
            [self._units[name] for name in cameras if name not in others],
            lambda: int(self._scheduler.cancel(cancel.name, self._now_ns())),
            lambda tick: tick.run is run,
            tuple(name for name in own if name in others),
        )
        self._answer_later(cancel, what)
        return what.ended

    def camera(self, cancel: m.Cancel, unit: CameraUnit) -> Ended:
        """A camera and all its plans. Sets of its group are skipped until it is started again."""
        ended = self._plans.end_camera(unit.name, cancel.by)
        end = lambda: self._scheduler.cancel_all(self._now_ns(), camera=unit.name)  # noqa: E731
        self._answer_later(cancel, _What(ended, [unit], end))
        return ended

    def client(self, cancel: m.Cancel) -> Ended:
        """All plans of a client, and the cameras that nobody else needs."""
        client, runs = cancel.name, self._scheduler.runs()
        ours = self._wanted_by(run for run in runs if run.plan.client == client)
        others = self._wanted_by(run for run in runs if run.plan.client != client)
        own = {name for run in runs if run.plan.client == client for name in self._order.cameras_of(run.plan)}
        what = _What(
            self._plans.end_client(client, cancel.by),
            [unit for name, unit in self._units.items() if name in ours - others],
            lambda: self._scheduler.cancel_all(self._now_ns(), client=client),
            lambda tick: tick.run.plan.client == client,
            tuple(sorted(own & others)),
        )
        self._answer_later(cancel, what)
        return what.ended

    def all(self, command: m.Cancel | m.Quit, then: Callable[[], None] | None = None) -> Ended:
        """Everything; `then` is called after the answer."""
        what = self._everything(command.by)
        self._answer_later(command, what, then)
        return what.ended

    def emergency(self, pressed: Pressed) -> None:
        """Everything, asked by a line: nobody waits for an answer, an event tells how it went."""
        what = self._everything(f"the emergency stop: {pressed.why}")

        def tell(facts: m.CancelReport) -> None:
            at_ns, why = pressed
            self._channel.send(m.EmergencyStopped(at_ns=self._now_ns(), pressed_ns=at_ns, why=why, facts=facts))

        self._carry_out(what, 0, tell)

    def _everything(self, by: str) -> _What:
        units = list(self._units.values())
        return _What(self._plans.end_all(by), units, lambda: self._scheduler.cancel_all(self._now_ns()))

    def _wanted_by(self, runs: Iterable[Run]) -> set[str]:
        """The cameras that these plans want."""
        return {name for run in runs for name in self._order.needed_by(run.plan)}

    def _is_wanted(self, camera: str, but: Run) -> bool:
        """Whether another plan wants the camera; the first one found is enough."""
        runs = self._scheduler.runs()
        return any(camera in self._order.needed_by(run.plan) for run in runs if run is not but)

    def _plan_again(self, cancel: m.Cancel, run: Run, units: Sequence[CameraUnit]) -> Ended:
        """It had ended before: nothing is changed, and answered when the stop under way for it is over."""
        gathering = _Gathering()
        for unit in units:
            gathering.expect()
            unit.join_stop(self._waiter(cancel.id, gathering))
        unit_reports = gathering.reports
        cause = self._plans.cause(run)

        def done() -> None:
            reports = tuple(report for report in unit_reports if report.was_on)
            self._answer(cancel, m.CancelReport(plans=0, already=True, cameras=reports, cause=cause))

        gathering.then(done)
        return self._plans.end_plan(run, cancel.by)

    def _answer_later(self, command: m.Cancel | m.Quit, what: _What, then: Callable[[], None] | None = None) -> None:
        def answer(facts: m.CancelReport) -> None:
            self._answer(command, facts)
            if then is not None:
                then()

        self._carry_out(what, command.id, answer)

    def _carry_out(self, what: _What, re: int, then: Callable[[m.CancelReport], None]) -> None:
        """STREAMOFF first. `re`: the command that is told of progress, 0 for none."""
        gathering = _Gathering()
        for unit in what.stops:
            gathering.expect()
            unit.cancel(what.ended, self._waiter(re, gathering))
        plans = what.end()
        if what.of is not None:
            self._let_go(what.of, (unit for unit in self._units.values() if unit not in what.stops), gathering)

        def done() -> None:
            reports = tuple(gathering.reports)
            facts = m.CancelReport(
                plans=plans,
                already=not plans and not any(report.was_on for report in reports),
                cameras=reports,
                still_on=what.still_on,
                cause=str(what.ended),
                still_out=gathering.still_out,
            )
            then(facts)

        gathering.then(done)

    def _let_go(self, of: Choice, units: Iterable[CameraUnit], gathering: _Gathering) -> None:
        """Cameras that go on: the ticks that were cancelled end, and their frames that are out are waited for."""
        for unit in units:
            unit.drop(of)
            gathering.expect()
            unit.when_back(of, gathering.back)

    def _waiter(self, re: int, gathering: _Gathering) -> Waiter:
        def progress(step: str, told: str) -> None:
            self._channel.offer(m.Progress(re=re, at_ns=self._now_ns(), step=step, told=told))

        return Waiter(progress, gathering.report)

    def _answer(self, command: m.Command, facts: m.CancelReport) -> None:
        self._channel.send(m.Done(re=command.id, at_ns=self._now_ns(), facts=facts))
