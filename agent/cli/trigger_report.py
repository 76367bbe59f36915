"""How the outcome of a trigger's self-test looks: for people, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.cli.show import heading, line, pairs, print_all
from agent.cli.spread import Spread, short
from agent.cli.trigger_verdict import CameraFacts, SelfTestFailed, Verdict, judge_camera, judge_group

if TYPE_CHECKING:
    from rich.console import RenderableType

    from agent.cli.trigger_test_run import SelfTest


def verdicts(test: SelfTest) -> dict[str, Verdict]:
    """By camera, the group's under its own name with `group ` before it."""
    found = {f"camera {facts.camera}": judge_camera(facts) for facts in test.cameras}
    return {**found, f"group {test.group.group}": judge_group(test.group)}


def raise_verdict(test: SelfTest) -> None:
    """Raises what kept the test from firing at all, else SelfTestFailed; returns after a pass."""
    if test.error is not None and (test.pressed or not test.pulses):
        raise test.error
    failures = {name: verdict for name, verdict in verdicts(test).items() if not verdict.passed}
    if not failures:
        return
    (name, first), *others = failures.items()
    more = "".join(f"\n{other}: {verdict.reason}" for other, verdict in others)
    raise SelfTestFailed(
        f"the self-test of group {test.group.group} failed: {name}: {first.reason}{more}",
        hint=first.hint,
        group=test.group.group,
        failures={name: verdict.code for name, verdict in failures.items()},
    )


def print_report(test: SelfTest) -> None:
    """A block for each camera, and one for the group."""
    parts: list[RenderableType] = []
    for facts in test.cameras:
        parts += [heading(f"{facts.camera} ({facts.device}): {_word(judge_camera(facts))}"), _camera(facts), line("")]
    verdict = judge_group(test.group)
    parts.append(heading(f"group {test.group.group}, {test.group.kind.value}: {_word(verdict)}"))
    rows = [(("verdict"), verdict.reason), ("next", verdict.hint)]
    if test.lost:
        rows.append(("lacking", f"{test.lost} records of the ledger were overwritten before they were read"))
    print_all(*parts, pairs([row for row in rows if row[1]], indent=2))


def as_dict(test: SelfTest) -> dict[str, object]:
    """For `--json`."""
    group, verdict = test.group, judge_group(test.group)
    return {
        "group": group.group,
        "kind": group.kind.value,
        "line": group.line,
        "passed": all(each.passed for each in verdicts(test).values()),
        "asked": group.asked,
        "pulses": group.pulses,
        "sets": group.sets,
        "sets_incomplete": group.incomplete,
        "skew_max_ns": group.skew_max_ns,
        "edges_lost": group.edges_lost,
        "records_lost": test.lost,
        "verdict": _verdict_as_dict(verdict),
        "cameras": [_camera_as_dict(facts) for facts in test.cameras],
        "told": test.told,
    }


def _word(verdict: Verdict) -> str:
    return "PASS" if verdict.passed else "FAIL"


def _camera(facts: CameraFacts) -> RenderableType:
    verdict, budget = judge_camera(facts), facts.budget
    missed = ", ".join(f"{count} {cause.value}" for cause, count in facts.missed.items())
    ends = [f"{facts.matched} matched", f"{facts.late} late", f"{facts.ambiguous} ambiguous"]
    ends.append(f"{sum(facts.missed.values())} missed" + (f" ({missed})" if missed else ""))
    ends += [f"{facts.cut_off} cut off by the end"] if facts.cut_off else []
    rows = [
        ("pulses", f"{facts.pulses}: {', '.join(ends)}"),
        ("frames", f"{facts.frames}, {facts.spurious} of them without a pulse"),
        ("delay", _spread(facts.delays)),
        ("by strobe", _spread(facts.strobes)),
        ("budget", f"{short(budget.delay_ns)} ± {short(budget.jitter_ns)}; wait {short(budget.wait_ns)}"),
        ("jitter", "" if facts.delays is None else f"{short(facts.delays.width_ns)} from earliest to latest"),
        ("residual", _spread(facts.residuals)),
        ("uncertainty", f"±{short(facts.uncertainty_ns)}" if facts.delays else ""),
        ("verdict", verdict.reason),
        ("next", verdict.hint),
    ]
    return pairs([row for row in rows if row[1]], indent=2)


def _spread(spread: Spread | None) -> str:
    return "" if spread is None else str(spread)


def _camera_as_dict(facts: CameraFacts) -> dict[str, object]:
    spreads = {"delay": facts.delays, "residual": facts.residuals, "strobe": facts.strobes}
    return {
        "camera": facts.camera,
        "device": facts.device,
        "verdict": _verdict_as_dict(judge_camera(facts)),
        "pulses": facts.pulses,
        "frames": facts.frames,
        "matched": facts.matched,
        "missed": {cause.value: count for cause, count in facts.missed.items()},
        "cut_off": facts.cut_off,
        "late": facts.late,
        "ambiguous": facts.ambiguous,
        "spurious": facts.spurious,
        "relocks": facts.relocks,
        "out_of_budget": facts.out_of_budget,
        **{name: None if spread is None else spread.as_dict() for name, spread in spreads.items()},
        "jitter_ns": None if facts.delays is None else facts.delays.width_ns,
        "uncertainty_ns": facts.uncertainty_ns,
        "budget": {
            "delay_ns": facts.budget.delay_ns,
            "jitter_ns": facts.budget.jitter_ns,
            "window_ns": facts.budget.window_ns,
            "wait_ns": facts.budget.wait_ns,
        },
        "unjudged": facts.unjudged,
        "fault": facts.fault,
    }


def _verdict_as_dict(verdict: Verdict) -> dict[str, object]:
    return {"passed": verdict.passed, "code": verdict.code, "reason": verdict.reason, "hint": verdict.hint}
