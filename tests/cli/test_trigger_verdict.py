"""What a self-test's figures mean: each thing that can be wrong is named, and nothing wrong passes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.trigger_order import TriggerKind
from agent.cli.spread import Spread, short
from agent.cli.trigger_verdict import CameraFacts, GroupFacts, judge_camera, judge_group
from agent.trigger.budget import Budget
from agent.trigger.verdicts import Cause
from agent.units import NS_PER_MS

BUDGET = Budget(delay_ns=12_800, jitter_ns=300, window_ns=5 * NS_PER_MS, wait_ns=60 * NS_PER_MS)
GOOD = CameraFacts(
    camera="top",
    device="/dev/video0",
    budget=BUDGET,
    pulses=10,
    frames=10,
    matched=10,
    delays=Spread(10, 12_700, 12_800, 12_900),
    residuals=Spread(10, -100, 0, 100),
)
GROUP = GroupFacts(group="line-1", kind=TriggerKind.PULSE, line="rig-lines:trigger", asked=10, pulses=10)


def test_a_frame_for_each_pulse_passes():
    verdict = judge_camera(GOOD)
    assert verdict == (True, "passed", "10 pulses, each with its one frame, in its budget", "")
    assert judge_group(GROUP).passed


@pytest.mark.parametrize(
    ("facts", "code", "reason", "hint"),
    [
        ({"pulses": 0, "matched": 0}, "no_pulse", "no pulse while it was armed", "the group"),
        ({"pulses": 0, "matched": 0, "fault": "it burns"}, "fault", "it burns", "correct that"),
        ({"matched": 0, "missed": {Cause.NO_FRAME: 10}}, "no_frame", "any of 10 pulses", "trigger mode"),
        ({"matched": 0, "cut_off": 10}, "cut_off", "before a frame could come", "more pulses"),
        ({"spurious": 1}, "ghosts", "1 frames came that no pulse explains", "noise"),
        ({"spurious": 300, "matched": 0}, "ghosts", "the camera runs free", "trigger mode"),
        ({"relocks": 1}, "shifted", "frames began 12.800us after their pulses", "delay of 12.800us"),
        ({"late": 2}, "late", "later than 60.000ms", "longer wait"),
        ({"missed": {Cause.NO_EXPOSURE: 2, Cause.NO_FRAME: 1}}, "missed", "3 of 10 pulses", "longer pulse"),
        ({"missed": {Cause.DRIVER_LOST: 2}}, "missed", "the driver lost the frame", "bandwidth"),
        ({"ambiguous": 2}, "ambiguous", "told apart", "less often"),
        ({"out_of_budget": 2}, "out_of_budget", "max 12.900us", "12.800us ± 300ns"),
    ],
)
def test_each_thing_that_can_be_wrong_is_named_with_what_to_do(facts, code, reason, hint):
    verdict = judge_camera(replace(GOOD, **facts))
    assert (verdict.passed, verdict.code) == (False, code)
    assert reason in verdict.reason
    assert hint in verdict.hint


def test_stamps_that_are_too_coarse_to_prove_the_budget_are_said_to_be():
    coarse = replace(GOOD, uncertainty_ns=2 * NS_PER_MS)
    assert judge_camera(coarse).passed
    assert "(±2.000ms) are too coarse to prove a jitter of ±300ns" in judge_camera(coarse).reason
    assert not replace(coarse, strobes=Spread(10, 1, 1, 1)).unjudged


@pytest.mark.parametrize(
    ("facts", "code", "words"),
    [
        ({"pulses": 0}, "no_pulse", "no pulse was fired on rig-lines:trigger"),
        ({"pulses": 0, "kind": TriggerKind.EDGE}, "no_pulse", "no pulse came on rig-lines:trigger in time"),
        ({"pulses": 7}, "too_few_pulses", "7 of 10"),
        ({"edges_lost": 3}, "edges_lost", "dropped 3 edges"),
        ({"sets": 8, "incomplete": 2}, "incomplete_sets", "2 of 10 frame sets"),
    ],
)
def test_what_is_wrong_with_the_group(facts, code, words):
    verdict = judge_group(replace(GROUP, **facts))
    assert (verdict.passed, verdict.code) == (False, code)
    assert words in verdict.reason
    assert verdict.hint


COUNTS = st.integers(0, 5)


@given(
    matched=COUNTS,
    cut_off=COUNTS,
    late=COUNTS,
    ambiguous=COUNTS,
    spurious=COUNTS,
    relocks=COUNTS,
    out_of_budget=COUNTS,
    missed=st.dictionaries(st.sampled_from([cause for cause in Cause if cause is not Cause.STOPPED]), COUNTS),
)
def test_only_a_frame_for_each_pulse_and_nothing_else_passes(matched, cut_off, late, missed, **counts):
    pulses = matched + cut_off + late + sum(missed.values())
    facts = replace(GOOD, pulses=pulses, matched=matched, cut_off=cut_off, late=late, missed=missed, **counts)
    verdict = judge_camera(facts)
    clean = not late and not sum(missed.values()) and not any(counts.values())
    assert verdict.passed == (clean and matched > 0)
    assert bool(verdict.hint) != verdict.passed
    assert verdict.reason


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [(0, "0ns"), (-310, "-310ns"), (12_834, "12.834us"), (1_004_000, "1.004ms"), (-2_500_000_000, "-2.500s")],
)
def test_measured_durations_for_people(duration_ns, text):
    assert short(duration_ns) == text


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1))
def test_a_spread_is_of_values_there_are(values):
    spread = Spread.of(values)
    assert spread.min_ns <= spread.median_ns <= spread.max_ns
    assert {spread.min_ns, spread.median_ns, spread.max_ns} <= set(values)
    assert spread.width_ns == max(values) - min(values)
    assert Spread.of([]) is None
