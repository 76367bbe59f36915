"""What a reload would do, in words: the same for the command line, the API and the journal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.capture.order import GroupOrder
from agent.config.changes import Changes, Exposure, LimitChange, PlanChange
from agent.config.planned import Planned
from agent.config.quotas import limit_text
from agent.units import format_duration
from agent.v4l2.gain import GainRequest

_SETTINGS = {
    "pictures": "output: pictures go elsewhere, or are of another type",
    "access": "access: who may do what",
    "socket": "socket: needs a restart of the service, which listens where it did until then",
    "metrics": "metrics: given out elsewhere",
    "recordings": "recordings: from the next start of each on (systemctl restart camera-agent-record@NAME)",
}


@dataclass(frozen=True, slots=True)
class Told:
    """Lines for people. `starts`, `stops`: processes and plans. `changes`: while they go on. `same`: groups."""

    starts: tuple[str, ...]
    stops: tuple[str, ...]
    changes: tuple[str, ...]
    same: tuple[str, ...]

    def as_dict(self) -> dict[str, list[str]]:
        """For JSON."""
        return {
            "starts": list(self.starts),
            "stops": list(self.stops),
            "changes": list(self.changes),
            "same": list(self.same),
        }


def tell(changes: Changes) -> Told:
    """Everything that differs. A group or plan that begins again stands in `stops` and in `starts`, with the reason."""
    return Told(
        starts=tuple(_starts(changes)),
        stops=tuple(_stops(changes)),
        changes=tuple(_changes(changes)),
        same=tuple(f"group {name}" for name in changes.same),
    )


def _starts(changes: Changes) -> Iterator[str]:
    for order in changes.starts:
        yield f"group {order.name} with {_cameras(order)}"
    for group in changes.anew:
        yield f"group {group.order.name} with {_cameras(group.order)}"
    for planned in (*changes.plans_added, *(each.planned for each in changes.plans_replaced)):
        yield f"plan {planned.name} {_target(planned)}"


def _stops(changes: Changes) -> Iterator[str]:
    for name in changes.stops:
        yield f"group {name}"
    for group in changes.anew:
        yield f"group {group.order.name}, to start it anew: {', '.join(group.why)}"
    for name in changes.plans_removed:
        yield f"plan {name}"
    for each in changes.plans_replaced:
        yield f"plan {each.planned.name}, to begin it again: {', '.join(each.why)}"


def _changes(changes: Changes) -> Iterator[str]:
    for exposure in changes.exposures:
        yield _exposure(exposure)
    for plan in changes.plans_changed:
        yield _plan(plan)
    for limit in changes.limits:
        yield _limit(limit)
    for name in changes.settings.changed:
        yield _SETTINGS[name]


def _cameras(order: GroupOrder) -> str:
    names = [camera.name for camera in order.cameras]
    return f"camera {names[0]}" if len(names) == 1 else f"cameras {', '.join(names)}"


def _target(planned: Planned) -> str:
    plan = planned.order.plan
    return (
        f"of {plan.camera}" if plan.period_ns is None else f"of {plan.camera}, every {format_duration(plan.period_ns)}"
    )


def _exposure(change: Exposure) -> str:
    gain = "" if change.gain is None else f", gain {_gain(change.gain)}"
    return f"camera {change.camera}: exposure {format_duration(change.exposure_ns)}{gain}"


def _gain(gain: GainRequest) -> str:
    return str(gain.value) if gain.mdb is None else f"{gain.mdb / 1000:g}dB"


def _plan(change: PlanChange) -> str:
    told = []
    if change.period_ns is not None:
        told.append(f"every {format_duration(change.period_ns)}")
    if change.priority is not None:
        told.append(f"priority {change.priority}")
    if change.quota is not None:
        told.append(f"quota {limit_text(change.quota)}")
    return f"plan {change.name}: {', '.join(told)}"


def _limit(change: LimitChange) -> str:
    if change.new is None:
        return f"quota {change.bucket}: none any more"
    was = "none" if change.old is None else limit_text(change.old)
    return f"quota {change.bucket}: {limit_text(change.new)}, was {was}"
