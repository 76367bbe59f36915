"""What a capture process has to be told, kept up to date from what it answers, for the day it needs a successor."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agent.capture.messages import (
    AddPlans,
    CameraChanged,
    Cancel,
    CancelReport,
    Command,
    Done,
    EmergencyStopped,
    Expose,
    PlansEnded,
    Quit,
    Relocate,
    SetLimits,
    SetPeriod,
    SetPriority,
    SetQuota,
    StartCamera,
)
from agent.capture.order import GroupOrder, PlanOrder
from agent.capture.process_messages import Adopted, Assignment
from agent.schedule.plan import Plan
from agent.schedule.quota import Limit

_ENDED_NAMES = 4096
"""Names of plans that ended, kept so that a cancel of one is no error."""


@dataclass(slots=True)
class _Held:
    order: PlanOrder
    slot: int
    cancelled_by: str = ""


class Handover:
    """One group's plans, limits, exposures and cameras left off. Follows `answered` and `told`; pure.

    A plan counts from the answer to its AddPlans, whose facts name the slot of each: `{"name": 3}`. Answers to
    SetPeriod may carry the `Plan` as it is in force now, with the start that the phase rule gave it.
    """

    def __init__(self, order: GroupOrder, quota_base: int = 0, quota_places: Mapping[str, int] | None = None) -> None:
        self.order = order
        self._quota_base, self._quota_places = quota_base, quota_places
        self._plans: dict[str, _Held] = {}
        self._ended: deque[str] = deque(maxlen=_ENDED_NAMES)
        self._left_off: set[str] = set()

    def assignment(self) -> Assignment:
        """What the next process is told first."""
        adopted = tuple(
            Adopted(order=held.order, slot=held.slot, cancelled_by=held.cancelled_by) for held in self._plans.values()
        )
        left_off = tuple(sorted(self._left_off))
        return Assignment(
            order=self.order,
            quota_base=self._quota_base,
            adopted=adopted,
            left_off=left_off,
            quota_places=self._quota_places,
        )

    def taken_over(self) -> None:
        """The next process has adopted all plans, and ended those that were cancelled while nobody was there."""
        for name in [name for name, held in self._plans.items() if held.cancelled_by]:
            self._end(name)

    def answered(self, command: Command, done: Done) -> None:
        """The process carried out `command`."""
        match command:
            case AddPlans():
                self._add(command.orders, done.facts)
            case Cancel():
                self._cancelled(command, done.facts)
            case StartCamera():
                self._left_off.discard(command.camera)
            case SetPeriod():
                self._change(command.plan, done.facts, {"period_ns": command.period_ns})
            case SetPriority():
                self._change(command.plan, done.facts, {"priority": command.priority})
            case Expose():
                self._expose(command)
            case SetQuota():
                self._set_quota(command.bucket, command.limit)
            case _:
                pass

    def given(self, command: Relocate | SetLimits) -> None:
        """What the next process is told too: where a camera is, which limits there are."""
        if isinstance(command, SetLimits):
            self._quota_places = command.places
            return
        cameras = (
            replace(camera, path=command.path) if camera.name == command.camera else camera
            for camera in self.order.cameras
        )
        self.order = replace(self.order, cameras=tuple(cameras))

    def told(self, event: Any) -> None:
        """Something happened in the process."""
        match event:
            case PlansEnded():
                for name, _, _ in event.ends:
                    self._end(name)
            case CameraChanged(state="armed"):
                self._left_off.discard(event.camera)
            case EmergencyStopped():
                self._cancelled(Cancel(id=0, kind="all", name="", by="the emergency stop"), event.facts)
            case Done(re=0):
                # SIGTERM ended the process: everything was cancelled
                self._cancelled(Quit(id=0, by="SIGTERM"), event.facts)
            case _:
                pass

    def knows(self, cancel: Cancel) -> bool:
        """Whether there is, or lately was, what is to be cancelled."""
        match cancel.kind:
            case "plan":
                return cancel.name in self._plans or cancel.name in self._ended
            case "camera":
                return cancel.name in self.cameras
            case _:
                return True

    def cancel(self, cancel: Cancel) -> tuple[int, tuple[str, ...]]:
        """Cancel while no process is there: how many plans it ended, and the cameras concerned."""
        names = [name for name in self._concerned(cancel) if not self._plans[name].cancelled_by]
        concerned = {self._plans[name].order.plan.camera for name in names}
        for name in names:
            self._plans[name].cancelled_by = cancel.by or "a cancel"
        if cancel.kind == "all":
            concerned = set(self.cameras)
        elif cancel.kind == "camera":
            concerned = {cancel.name} & set(self.cameras)
        going_on = {held.order.plan.camera for held in self._plans.values() if not held.cancelled_by}
        off = concerned if cancel.kind in ("all", "camera") else concerned - going_on
        self._left_off |= off
        return len(names), tuple(camera for camera in self.cameras if camera in off)

    @property
    def cameras(self) -> tuple[str, ...]:
        """The group's cameras in order."""
        return tuple(camera.name for camera in self.order.cameras)

    def _concerned(self, cancel: Cancel | Quit) -> list[str]:
        if isinstance(cancel, Quit) or cancel.kind == "all":
            return list(self._plans)
        if cancel.kind == "plan":
            return [cancel.name] if cancel.name in self._plans else []
        plans = {name: held.order.plan for name, held in self._plans.items()}
        if cancel.kind == "camera":
            return [name for name, plan in plans.items() if plan.camera == cancel.name]
        return [name for name, plan in plans.items() if cancel.kind == "client" and plan.client == cancel.name]

    def _cancelled(self, cancel: Cancel | Quit, facts: Any) -> None:
        if isinstance(cancel, Quit) or cancel.kind == "all":
            self._ended.extend(self._plans)
            self._plans.clear()
        else:
            for name in self._concerned(cancel):
                self._end(name)
        if isinstance(facts, CancelReport):
            self._left_off |= {report.camera for report in facts.cameras}
        if isinstance(cancel, Cancel) and cancel.kind in ("all", "camera"):
            self._left_off |= set(self.cameras) if cancel.kind == "all" else {cancel.name}

    def _add(self, orders: tuple[PlanOrder, ...], facts: Any) -> None:
        slots: Mapping[str, int] = facts if isinstance(facts, Mapping) else {}
        for order in orders:
            name = order.plan.name
            if name in slots:
                self._plans[name] = _Held(order, slots[name])

    def _change(self, name: str, facts: Any, changes: dict[str, Any]) -> None:
        held = self._plans.get(name)
        if held is not None:
            plan = facts if isinstance(facts, Plan) else replace(held.order.plan, **changes)
            held.order = replace(held.order, plan=plan)

    def _expose(self, command: Expose) -> None:
        """The next process prepares the camera with it."""
        self.order = replace(
            self.order,
            cameras=tuple(
                replace(camera, settings=camera.settings.exposed(command.exposure_ns, command.gain))
                if camera.name == command.camera
                else camera
                for camera in self.order.cameras
            ),
        )

    def _set_quota(self, bucket: str, limit: Limit) -> None:
        kind, _, name = bucket.partition("/")
        if kind != "plan":
            self.order = replace(self.order, quotas={**self.order.quotas, bucket: limit})
        elif name in self._plans:
            held = self._plans[name]
            held.order = replace(held.order, quota=limit)

    def _end(self, name: str) -> None:
        if self._plans.pop(name, None) is not None:
            self._ended.append(name)
