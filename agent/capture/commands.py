"""What the capture process does with each command: cancels first, whatever was asked before them (mission row G3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.capture import messages as m
from agent.capture.channel import Channel, Received
from agent.capture.order import PlanOrder
from agent.capture.unit import CameraUnit, Waiter
from agent.clock import ReadClock
from agent.errors import AgentError, InputError
from agent.schedule.account import State
from agent.schedule.register import PlanUnknown
from agent.schedule.scheduler import Scheduler


class CameraUnknown(InputError):
    """No camera of this name is in the group. Details: camera, allowed."""

    code = "camera_unknown"


class CancelledBefore(AgentError):
    """The command was not carried out: a cancel of what it wanted came after it and overtook it."""

    code = "cancelled"


class _Stop:
    """One cancel under way: answered when all the cameras it stops are at rest."""

    def __init__(self, cameras: int, done: Callable[[tuple[m.CameraReport, ...]], None]) -> None:
        self._left = cameras
        self._reports: list[m.CameraReport] = []
        self._done = done
        if not cameras:
            done(())

    def report(self, report: m.CameraReport) -> None:
        self._reports.append(report)
        self._left -= 1
        if not self._left:
            self._done(tuple(self._reports))


class Commands:
    """Carries out commands on the group's cameras and plans. Owned by the loop."""

    def __init__(
        self,
        channel: Channel,
        units: Mapping[str, CameraUnit],
        scheduler: Scheduler,
        *,
        add: Callable[[Sequence[PlanOrder]], dict[str, int]],
        set_limit: Callable[[m.SetQuota], None],
        quit_: Callable[[], None],
        now_ns: ReadClock,
    ) -> None:
        self._channel, self._units, self._scheduler = channel, units, scheduler
        self._add, self._set_limit, self._quit, self._now_ns = add, set_limit, quit_, now_ns
        self._overtaken: list[tuple[int, m.Cancel]] = []
        self._doubtful: list[tuple[m.Cancel, list[bool]]] = []

    def handle(self, received: Sequence[Received], more: bool) -> None:
        """Carry out what `Channel.drain` gave; `more`: commands that came before are still on their way."""
        for number, message in received:
            try:
                self._one(number, message)
            except AgentError as error:
                self._channel.send(m.refusal(message.id, self._now_ns(), error))
        if not more:
            self._settle_doubts()
            self._overtaken.clear()

    def _one(self, number: int, message: Any) -> None:
        match message:
            case m.Cancel():
                self._cancel(number, message)
            case m.Ping():
                self._answer(message, None)
            case m.AddPlans():
                self._refuse_overtaken(number, [_names(order) for order in message.orders])
                self._answer(message, self._add(message.orders))
            case m.StartCamera():
                self._refuse_overtaken(number, [{("camera", message.camera)}])
                self._start(message)
            case m.SetPeriod():
                self._scheduler.set_period(message.plan, message.period_ns, self._now_ns())
                self._answer(message, None)
            case m.SetPriority():
                self._scheduler.set_priority(message.plan, message.priority, self._now_ns())
                self._answer(message, None)
            case m.SetQuota():
                self._set_limit(message)
                self._answer(message, None)
            case m.Expose():
                self._expose(message)
            case m.Quit():
                units = list(self._units.values())
                self._stop(message.id, units, self._cancel_everything, lambda cameras: self._end(message, cameras))

    # -- cancel -------------------------------------------------------------------------------------------------

    def _cancel(self, number: int, cancel: m.Cancel) -> None:
        self._overtaken.append((number, cancel))
        if cancel.kind == "plan":
            self._cancel_plan(cancel)
        elif cancel.kind == "camera":
            unit = self._unit(cancel.name)
            self._cancel_many(cancel, [unit], lambda: self._scheduler.cancel_all(self._now_ns(), camera=cancel.name))
        elif cancel.kind == "client":
            self._cancel_client(cancel)
        else:
            self._cancel_many(cancel, list(self._units.values()), self._cancel_everything)

    def _cancel_everything(self) -> int:
        return self._scheduler.cancel_all(self._now_ns())

    def _cancel_plan(self, cancel: m.Cancel) -> None:
        try:
            run = self._scheduler.run(cancel.name)
        except PlanUnknown:
            # it may be in a command that this cancel has overtaken
            self._doubtful.append((cancel, [False]))
            return
        camera = run.plan.camera
        ended = run.state is State.RUNNING
        alone = ended and all(other is run for other in self._scheduler.runs(camera))
        unit = self._units.get(camera)

        def end() -> int:
            self._scheduler.cancel(cancel.name, self._now_ns())
            if unit is not None:
                unit.drop(lambda tick: tick.run is run)
            return int(ended)

        stops = [unit] if alone and unit is not None else []
        self._cancel_many(cancel, stops, end, still_on=() if alone or not ended else (camera,))

    def _cancel_client(self, cancel: m.Cancel) -> None:
        client = cancel.name
        ours = {run.plan.camera for run in self._scheduler.runs() if run.plan.client == client}
        others = {run.plan.camera for run in self._scheduler.runs() if run.plan.client != client}
        stops = [unit for name, unit in self._units.items() if name in ours - others]

        def end() -> int:
            count = self._scheduler.cancel_all(self._now_ns(), client=client)
            for unit in self._units.values():
                unit.drop(lambda tick: tick.run.plan.client == client)
            return count

        self._cancel_many(cancel, stops, end, still_on=tuple(sorted(ours & others)))

    def _cancel_many(
        self, cancel: m.Cancel, units: Sequence[CameraUnit], end: Callable[[], int], still_on: tuple[str, ...] = ()
    ) -> None:
        plans = [0]

        def done(cameras: tuple[m.CameraReport, ...]) -> None:
            already = not plans[0] and not any(camera.was_on for camera in cameras)
            self._answer(cancel, m.CancelReport(plans=plans[0], already=already, cameras=cameras, still_on=still_on))

        def end_and_count() -> int:
            plans[0] = end()
            return plans[0]

        self._stop(cancel.id, units, end_and_count, done)

    def _stop(
        self,
        re: int,
        units: Sequence[CameraUnit],
        end: Callable[[], int],
        done: Callable[[tuple[m.CameraReport, ...]], None],
    ) -> int:
        """STREAMOFF first, then the plans; `done` may be called before this returns."""
        counted: list[int] = []
        waiting: list[tuple[m.CameraReport, ...]] = []
        stop = _Stop(len(units), lambda cameras: done(cameras) if counted else waiting.append(cameras))

        def progress(step: str, told: str) -> None:
            self._channel.offer(m.Progress(re=re, at_ns=self._now_ns(), step=step, told=told))

        for unit in units:
            unit.cancel(Waiter(progress, stop.report))
        counted.append(end())
        for cameras in waiting:
            done(cameras)
        return counted[0]

    def _settle_doubts(self) -> None:
        """Cancels of plans nobody knew: right if they overtook the command that would have made them known."""
        doubtful, self._doubtful = self._doubtful, []
        for cancel, met in doubtful:
            if met[0]:
                self._answer(cancel, m.CancelReport(plans=0, already=False))
            else:
                self._channel.send(m.refusal(cancel.id, self._now_ns(), PlanUnknown(cancel.name)))

    def _refuse_overtaken(self, number: int, wanted: Sequence[set[tuple[str, str]]]) -> None:
        """Raises CancelledBefore when a cancel that was asked after this command names what it wants."""
        for cancel_number, cancel in self._overtaken:
            target = (cancel.kind, cancel.name)
            if number < cancel_number and (cancel.kind == "all" or any(target in names for names in wanted)):
                for doubted, met in self._doubtful:
                    met[0] = met[0] or doubted is cancel
                raise CancelledBefore(
                    f"cancelled by {cancel.by} before it was begun", hint="ask again if it is still wanted"
                )

    # -- the rest -----------------------------------------------------------------------------------------------

    def _start(self, message: m.StartCamera) -> None:
        unit = self._unit(message.camera)

        def then(error: AgentError | None) -> None:
            if error is None:
                self._answer(message, None)
            else:
                self._channel.send(m.refusal(message.id, self._now_ns(), error))

        unit.start(then)

    def _expose(self, message: m.Expose) -> None:
        unit = self._unit(message.camera)

        def then(outcome: Any) -> None:
            if outcome.error is None:
                self._answer(message, outcome.result.report)
            else:
                self._channel.send(m.refusal(message.id, self._now_ns(), outcome.error))

        unit.expose(message.exposure_ns, message.gain, then)

    def _end(self, message: m.Quit, cameras: tuple[m.CameraReport, ...]) -> None:
        self._answer(message, m.CancelReport(plans=0, already=False, cameras=cameras))
        self._quit()

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


def _names(order: PlanOrder) -> set[tuple[str, str]]:
    plan = order.plan
    return {("plan", plan.name), ("camera", plan.camera), ("client", plan.client)}
