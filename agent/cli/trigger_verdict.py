"""What a self-test of a trigger found, and what that means: passed or not, why, what to do next (mission row E7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.capture.trigger_order import TriggerKind
from agent.cli.spread import Spread, short
from agent.errors import AgentError
from agent.trigger.budget import Budget
from agent.trigger.verdicts import Cause


class SelfTestFailed(AgentError):
    """A pulse did not bring exactly one frame of each camera in its time. Details: group, failures (code by whom)."""

    code = "self_test_failed"
    exit_code = 9


class Verdict(NamedTuple):
    """`code` is stable, `passed` for a pass; `reason` and `hint` are for people, the hint empty for a pass."""

    passed: bool
    code: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraFacts:
    """One camera's part of the test. `frames`: all that the driver delivered.

    `missed`: pulses without a frame by their cause; `cut_off`: those that the end of the test left open, which says
    nothing of the camera. `delays`: from pulse to start of exposure of matched pairs; `strobes` the same by the strobe
    line where there is one. `residuals`: delays less the budget's. `uncertainty_ns`: the largest of a pair.
    `fault`: why the camera is in fault at the end; empty where it is not.
    """

    camera: str
    device: str
    budget: Budget
    pulses: int
    frames: int
    matched: int
    missed: Mapping[Cause, int] = field(default_factory=dict)
    cut_off: int = 0
    late: int = 0
    ambiguous: int = 0
    spurious: int = 0
    relocks: int = 0
    out_of_budget: int = 0
    delays: Spread | None = None
    residuals: Spread | None = None
    strobes: Spread | None = None
    uncertainty_ns: int = 0
    fault: str = ""

    @property
    def unjudged(self) -> bool:
        """A stamp is too uncertain to say whether its frame kept the budget, and no strobe line shows it."""
        if self.residuals is None or self.strobes is not None:
            return False
        ends_ns = (self.residuals.min_ns, self.residuals.max_ns)
        return any(self.budget.within(end_ns, self.uncertainty_ns) is None for end_ns in ends_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFacts:
    """The group's part. `asked`: pulses that were wanted. `line`: where pulses leave or are seen, in words.

    `sets`, `incomplete`, `skew_max_ns`: frame sets of several cameras. `edges_lost`: dropped by the kernel.
    """

    group: str
    kind: TriggerKind
    line: str
    asked: int
    pulses: int
    sets: int = 0
    incomplete: int = 0
    skew_max_ns: int = 0
    edges_lost: int = 0


_MISSED = {
    Cause.NO_FRAME: ("no frame came", "look at the cable and the trigger mode, or write a longer wait"),
    Cause.NO_EXPOSURE: (
        "the camera did not act on the pulse",
        "send a longer pulse, or pulses farther apart than exposure and readout together",
    ),
    Cause.DRIVER_LOST: (
        "the driver lost the frame",
        "free bandwidth: another USB port, a smaller format; look into journalctl -k",
    ),
    Cause.UNCLEAR: ("frames were lost or came from elsewhere", "look for noise on the line, and for lost frames"),
    Cause.CAME_LATE: ("its frame came after the wait", "write a longer wait, or expose shorter"),
    Cause.OVERFLOW: ("too many pulses were open at once", "fire less often, or write a shorter wait"),
    Cause.SHIFTED: ("its frame came beside the budget's delay", "correct the delay of the budget"),
}
_USUAL_MISSED = _MISSED[Cause.NO_FRAME]


def judge_camera(facts: CameraFacts) -> Verdict:
    """The first thing that is wrong, the gravest first; else a pass."""
    finders = (_no_pulse, _no_frame, _relocked, _ghosts, _late, _missed, _ambiguous, _out_of_budget)
    for find in finders:
        verdict = find(facts)
        if verdict is not None:
            return verdict
    return Verdict(True, "passed", f"{facts.matched} pulses, each with its one frame{_budget_told(facts)}")


def judge_group(facts: GroupFacts) -> Verdict:
    """What concerns all cameras of the group together."""
    if facts.pulses == 0:
        return _never(facts)
    if facts.pulses < facts.asked:
        hint = (
            "pulses were refused while a camera was not armed or still busy: ask for a longer --every, and see the "
            "camera's own verdict"
            if facts.kind in (TriggerKind.PULSE, TriggerKind.SOFTWARE)
            else "wait longer with --for, or ask for fewer with --count"
        )
        return Verdict(False, "too_few_pulses", f"{facts.pulses} of {facts.asked} pulses were seen", hint)
    if facts.edges_lost:
        told = f"the kernel dropped {facts.edges_lost} edges of {facts.line}"
        return Verdict(False, "edges_lost", told, "look for noise on the line; a debounce time keeps it out")
    if facts.incomplete:
        told = f"{facts.incomplete} of {facts.sets + facts.incomplete} frame sets are incomplete"
        hint = "the camera with missed pulses above is the one that lacks; every set needs a frame of each camera"
        return Verdict(False, "incomplete_sets", told, hint)
    sets = f", {facts.sets} whole sets, skew up to {short(facts.skew_max_ns)}" if facts.sets else ""
    return Verdict(True, "passed", f"{facts.pulses} pulses on {facts.line}{sets}")


def _never(facts: GroupFacts) -> Verdict:
    if facts.kind in (TriggerKind.PULSE, TriggerKind.SOFTWARE):
        hint = "see what was told of the line and the cameras: no pulse leaves before all of them are armed"
        return Verdict(False, "no_pulse", f"no pulse was fired on {facts.line}", hint)
    hint = "look at the wire and at its source; `camera-agent trigger watch` shows each edge of a line"
    return Verdict(False, "no_pulse", f"no pulse came on {facts.line} in time", hint)


def _no_pulse(facts: CameraFacts) -> Verdict | None:
    if facts.pulses:
        return None
    if facts.fault:
        return Verdict(False, "fault", f"it is in fault: {facts.fault}", "correct that first, then test again")
    return Verdict(False, "no_pulse", "there was no pulse while it was armed", "see the verdict of the group")


def _no_frame(facts: CameraFacts) -> Verdict | None:
    if facts.matched or facts.late or facts.spurious or facts.ambiguous:
        return None
    if not sum(facts.missed.values()):
        return Verdict(False, "cut_off", "the test ended before a frame could come", "ask for more pulses")
    return Verdict(
        False,
        "no_frame",
        f"no frame came for any of {facts.pulses} pulses",
        "check the wire from the trigger line to this camera, its polarity (active: low?), the pulse's width and "
        "voltage, and that its trigger mode is the one that is wired",
    )


def _relocked(facts: CameraFacts) -> Verdict | None:
    if not facts.relocks:
        return None
    delay = f": frames began {short(facts.delays.median_ns)} after their pulses" if facts.delays else ""
    hint = f"the budget says a delay of {short(facts.budget.delay_ns)}: correct it, or find what delays the camera"
    return Verdict(False, "shifted", f"the pairing had to be shifted{delay}", hint)


def _ghosts(facts: CameraFacts) -> Verdict | None:
    if not facts.spurious:
        return None
    if facts.spurious > facts.pulses:
        told = f"{facts.spurious} frames, but {facts.pulses} pulses: the camera runs free"
        return Verdict(False, "ghosts", told, "put it into its trigger mode; the driver may not do it for this camera")
    hint = "look for noise on the line (a pull-up, a shield, a debounce in the camera), or a delay beyond the window"
    return Verdict(False, "ghosts", f"{facts.spurious} frames came that no pulse explains", hint)


def _late(facts: CameraFacts) -> Verdict | None:
    if not facts.late:
        return None
    told = f"{facts.late} frames came later than {short(facts.budget.wait_ns)} after their pulses"
    return Verdict(False, "late", told, "write a longer wait in the budget, or expose shorter")


def _missed(facts: CameraFacts) -> Verdict | None:
    count = sum(facts.missed.values())
    if not count:
        return None
    cause = max(facts.missed, key=lambda each: facts.missed[each])
    told, hint = _MISSED.get(cause, _USUAL_MISSED)
    return Verdict(False, "missed", f"{count} of {facts.pulses} pulses have no frame: {told}", hint)


def _ambiguous(facts: CameraFacts) -> Verdict | None:
    if not facts.ambiguous:
        return None
    told = f"{facts.ambiguous} frames or pulses could not be told apart"
    return Verdict(False, "ambiguous", told, "fire less often, or write a smaller window")


def _out_of_budget(facts: CameraFacts) -> Verdict | None:
    if not facts.out_of_budget:
        return None
    measured = facts.strobes or facts.delays
    told = f"{facts.out_of_budget} frames began outside the budget{'' if measured is None else f': {measured}'}"
    budget = f"{short(facts.budget.delay_ns)} ± {short(facts.budget.jitter_ns)}"
    return Verdict(
        False, "out_of_budget", told, f"the budget is {budget}: correct it by the data sheet, or find the cause"
    )


def _budget_told(facts: CameraFacts) -> str:
    if facts.unjudged:
        jitter = short(facts.budget.jitter_ns)
        return f"; its stamps (±{short(facts.uncertainty_ns)}) are too coarse to prove a jitter of ±{jitter}"
    return ", in its budget"
