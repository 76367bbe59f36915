"""What the halves of the agent share: the capture processes and what is known of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agent.capture.messages import CameraChanged
from agent.clock import ReadClock, monotonic_ns
from agent.control.errors import NotFound
from agent.errors import AgentError, StateError
from agent.schedule.quota import Limit
from agent.service.configuration import group_of
from agent.service.fleet import Fleet, Tell
from agent.service.kept_plans import KeptPlans
from agent.service.pages import Pages
from agent.service.plan_book import KnownPlan, PlanBook
from agent.service.processes import Processes

_TOLD_EACH = 16
"""So many ends at once are told one by one."""


@dataclass(slots=True, kw_only=True)
class Parts:
    """Shared by the halves of the agent, in one event loop.

    `changes`: what each camera's process told of it last. `limits`: named limits that were changed since the
    configuration was read. `watchers`: by plan, called once when it is over. `hanging`: groups whose process the kernel
    does not let go, and what it hangs in. `kept`: plans that outlive the agent.
    """

    fleet: Fleet
    processes: Processes
    book: PlanBook
    kept: KeptPlans
    pages: Pages
    tell: Tell
    now_ns: ReadClock = monotonic_ns
    changes: dict[str, CameraChanged] = field(default_factory=dict)
    limits: dict[str, Limit] = field(default_factory=dict)
    hanging: dict[str, str] = field(default_factory=dict)
    watchers: dict[str, Callable[[KnownPlan], None]] = field(default_factory=dict)

    def group_of(self, camera: str) -> str:
        """The group of a configured camera. Raises NotFound."""
        group = group_of(self.fleet.file, camera)
        if group is None:
            known = sorted(self.fleet.file.matches)
            hint = f"cameras of the configuration: {', '.join(known) or 'none'}"
            raise NotFound(f"there is no camera {camera}", hint=hint, kind="camera", name=camera, known=known)
        return group

    def running_group_of(self, camera: str) -> str:
        """The same, where it has a process. Raises NotFound, or what is wrong with the camera."""
        group = self.group_of(camera)
        if group in self.fleet.groups:
            return group
        raise self.missing(camera, group)

    def missing(self, camera: str, group: str) -> AgentError:
        """Why a camera has no process."""
        problem = self.fleet.located.problems.get(camera) or self.fleet.troubles.get(group)
        if problem is not None:
            return problem
        return StateError(
            f"the capture process of camera {camera} is being replaced",
            hint="ask again in a moment",
            state="ending",
            verb="ask",
        )

    def over(self, plans: Sequence[KnownPlan]) -> None:
        """Plans are over: whoever waits for that hears of it. Many are told as one, not to hold up what follows."""
        self.kept.drop(plan.wish.name for plan in plans if not plan.configured)
        for plan in plans:
            watcher = self.watchers.pop(plan.wish.name, None)
            if watcher is not None:
                watcher(plan)
        if len(plans) > _TOLD_EACH:
            causes = {plan.cause for plan in plans}
            told = {"count": len(plans), "first": plans[0].wish.name, "cause": "; ".join(sorted(causes)[:_TOLD_EACH])}
            self.tell("plans.ended", told)
            return
        for plan in plans:
            told = {"plan": plan.wish.name, "group": plan.wish.group, "state": plan.standing.value}
            self.tell("plan.ended", {**told, "cause": plan.cause})
