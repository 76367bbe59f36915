"""The first frame with a new exposure: found by brightness, or assumed and said so."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.v4l2.effect import BrightFrame, EffectFinder, ExposureChange, State, Verdict, bound_frames

INTERVAL_NS = 33_333_333
SET_AT_NS = 1_000_000_000


def series(levels, first_sequence=100):
    """Frames of 30 per second; the change is set after the tenth."""
    start_ns = SET_AT_NS - 10 * INTERVAL_NS + INTERVAL_NS // 2
    return [BrightFrame(first_sequence + i, start_ns + i * INTERVAL_NS, level) for i, level in enumerate(levels)]


def watch(levels, before=1000, after=2000, bound=6):
    finder = EffectFinder(ExposureChange(SET_AT_NS, SET_AT_NS + 1_600_000, before, after), bound_frames=bound)
    verdicts = [finder.feed(frame) for frame in series(levels)]
    return verdicts[-1], verdicts


@given(
    level=st.floats(30, 110),
    ratio=st.sampled_from([0.3, 0.5, 0.7, 1.5, 2.0, 4.0]),
    gamma=st.floats(1 / 2.2, 1.0),
    delay=st.integers(1, 6),
    noise=st.floats(0, 0.8),
    seed=st.integers(0, 2**32),
)
def test_pain_6_a_visible_change_is_found_on_exactly_its_frame(level, ratio, gamma, delay, noise, seed):
    rng = random.Random(seed)
    new = min(255.0, level * ratio**gamma)
    truth = [level] * (10 + delay - 1) + [new] * 10
    verdict, _ = watch([x + rng.uniform(-noise, noise) for x in truth], 1000, round(1000 * ratio))
    assert verdict == Verdict(State.FOUND, 100 + 10 + delay - 1, delay, "brightness")


@given(
    level=st.floats(0, 255),
    noise=st.floats(0, 1.0),
    ratio=st.sampled_from([0.5, 2.0]),
    seed=st.integers(0, 2**32),
)
def test_no_change_in_the_picture_is_never_called_found(level, noise, ratio, seed):
    rng = random.Random(seed)
    levels = [min(255.0, max(0.0, level + rng.uniform(-noise, noise))) for _ in range(30)]
    verdict, _ = watch(levels, 1000, round(1000 * ratio))
    assert verdict.state is State.ASSUMED
    assert (verdict.sequence, verdict.delay_frames, verdict.evidence) == (115, 6, "bound")


# statistics, so always the same examples: of 60,000 such series one was taken for a change
@settings(derandomize=True)
@given(noise=st.floats(1, 4), ratio=st.sampled_from([0.93, 1.07]), seed=st.integers(0, 2**32))
def test_a_restless_picture_is_not_taken_for_a_small_change(noise, ratio, seed):
    rng = random.Random(seed)
    verdict, _ = watch([60 + rng.uniform(-noise, noise) for _ in range(30)], 1000, round(1000 * ratio))
    assert verdict.state is State.ASSUMED


def test_a_frame_on_the_way_is_not_the_one():
    # the gain acts one frame before the exposure does: the picture is half-way for one frame
    verdict, _ = watch([60] * 12 + [85] + [120] * 6)
    assert verdict.sequence == 113


def test_waiting_until_three_frames_agree():
    verdict, verdicts = watch([60] * 12 + [120] * 3)
    assert [v.state for v in verdicts[12:]] == [State.WAITING, State.WAITING, State.FOUND]
    assert verdict.sequence == 112


def test_a_verdict_is_final():
    verdict, _ = watch([60] * 12 + [120] * 5 + [60] * 10)
    assert verdict.sequence == 112


def test_one_odd_frame_is_not_an_effect():
    verdict, _ = watch([60] * 11 + [120] + [60] * 12)
    assert verdict.state is State.ASSUMED


def test_a_change_against_the_direction_is_somebody_elses():
    verdict, _ = watch([60] * 11 + [30] * 12, before=1000, after=2000)
    assert verdict.state is State.ASSUMED


def test_saturated_and_dark_pictures_say_why_they_only_assume():
    assert watch([255.0] * 30)[0].why == "the picture is saturated"
    assert watch([1.0] * 30, 1000, 500)[0].why == "the picture is too dark to show it"
    assert watch([60.0] * 30, 1000, 1010)[0].why == "the picture changed too little to tell the change from noise"
    assert watch([60.0] * 30, 1000, 1000)[0].why == "exposure x gain did not change, so no picture can show it"


def test_compressed_frames_are_assumed_by_the_bound_at_once():
    verdict, verdicts = watch([None] * 16, bound=3)
    assert [v.state for v in verdicts[10:13]] == [State.WAITING, State.WAITING, State.ASSUMED]
    assert (verdict.sequence, verdict.evidence) == (112, "bound")


def test_the_last_frame_of_the_bound_can_still_be_found():
    verdict, _ = watch([60] * 15 + [120] * 3)
    assert (verdict.state, verdict.delay_frames) == (State.FOUND, 6)


def test_lost_and_unmeasured_frames_do_not_move_the_answer():
    frames = series([60] * 12 + [120] * 8)
    frames[13] = BrightFrame(frames[13].sequence, frames[13].timestamp_ns, None)
    del frames[11]
    finder = EffectFinder(ExposureChange(SET_AT_NS, SET_AT_NS, 1, 2))
    assert [finder.feed(frame) for frame in frames][-1] == Verdict(State.FOUND, 112, 3, "brightness")


def test_frames_from_before_can_be_given_at_the_start():
    frames = series([60] * 12 + [120] * 8)
    finder = EffectFinder(ExposureChange(SET_AT_NS, SET_AT_NS, 1, 2), before=frames[:10])
    assert [finder.feed(frame) for frame in frames[10:]][-1].sequence == 112


def test_without_any_frame_before_the_bound_counts_from_the_first():
    finder = EffectFinder(ExposureChange(0, 0, 1, 2), bound_frames=2)
    verdicts = [finder.feed(frame) for frame in series([60.0] * 4)]
    assert (verdicts[-1].state, verdicts[-1].sequence) == (State.ASSUMED, 101)


def test_bounds_of_known_sensors():
    assert bound_frames("imx296") == 3
    assert bound_frames(None) == bound_frames("nobody") == 6
