"""Frame sets: never a shifted one, whatever each camera does; and the skew as far as it is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import InputError
from agent.trigger.budget import Budget
from agent.trigger.frame_sets import FrameSets, Missing
from agent.trigger.ledger import Ledger
from agent.trigger.verdicts import Cause, End, Entry

PERIOD = 1_000
BUDGET = Budget(delay_ns=50, jitter_ns=5, window_ns=20, wait_ns=900, soonest_ns=100)
FATES = st.sampled_from(["good", "good", "good", "not exposed", "lost", "late", "stale"])
# stamps that jump from some pulse on; back by whole periods they are late, and else locked again
SHIFTS = st.sampled_from([0, 0, 0, 300, PERIOD, -300])


def matched(pulse, frame, start_ns, uncertainty_ns=0):
    return Entry(End.MATCHED, pulse, frame, 0, None, None, start_ns, uncertainty_ns)


@given(
    fates=st.lists(st.tuples(FATES, FATES, FATES), max_size=12),
    shifts=st.tuples(SHIFTS, SHIFTS, SHIFTS),
    since=st.integers(0, 12),
)
def test_a_set_has_frames_of_its_own_pulse_only(fates, shifts, since):
    """Frame numbers tell the pulse they were exposed on: 10 * pulse."""
    sets = FrameSets(["left", "middle", "right"])
    ledgers = [Ledger(BUDGET) for _ in sets.members]
    given = []
    for number, fate_of_each in enumerate(fates):
        fired = number * PERIOD
        assert sets.pulse(number) == ()
        for ledger, fate, shift, member in zip(ledgers, fate_of_each, shifts, sets.members, strict=True):
            given += sets.add(member, ledger.pulse(number, fired).entries)
            moved = shift if number >= since else 0
            if fate == "stale":
                given += sets.add(member, ledger.frame(10 * number + 1, fired - 400, 0, fired + 110).entries)
            if fate in ("good", "late", "stale"):
                arrived = fired + (901 if fate == "late" else 200)
                given += sets.add(member, ledger.frame(10 * number, fired + 50 + moved, 0, arrived).entries)
    for ledger, member in zip(ledgers, sets.members, strict=True):
        given += sets.add(member, ledger.stop(len(fates) * PERIOD).entries)
    assert sorted(one.pulse for one in given) == list(range(len(fates)))
    assert (sets.complete, sets.unasked) == (sum(one.complete for one in given), 0)
    assert sets.complete + sets.incomplete == len(fates)
    for one in given:
        assert {*one.frames, *one.missing} == {*sets.members}
        assert not {*one.frames} & {*one.missing}
        assert all(frame.sequence == 10 * one.pulse for frame in one.frames.values())
        assert all(missing.end is not None for missing in one.missing.values())
        for member, missing in one.missing.items():
            if missing.cause is Cause.OVERDUE:
                assert fates[one.pulse][sets.members.index(member)] == "late"


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 30), st.integers(-30, 30)), min_size=2, max_size=5))
def test_the_true_skew_is_within_the_one_told(frames):
    sets = FrameSets([str(number) for number in range(len(frames))])
    sets.pulse(7)
    given, true = [], []
    for number, (start, u, error) in enumerate(frames):
        true.append(start)
        given += sets.add(str(number), [matched(7, number, start + max(-u, min(u, error)), u)])
    (one,) = given
    assert abs(max(true) - min(true) - one.skew_ns) <= one.uncertainty_ns
    assert one.uncertainty_ns <= 2 * max(u for _, u, _ in frames)


def test_a_member_that_says_nothing_does_not_hold_sets_for_ever():
    sets = FrameSets(["left", "right"], open_sets=2)
    assert sets.pulse(1) == sets.pulse(2) == ()
    sets.add("left", [matched(1, 11, 100)])
    (one,) = sets.pulse(3)
    assert (one.pulse, one.missing, one.skew_ns) == (1, {"right": Missing(None, None)}, None)
    assert sets.add("right", [matched(1, 21, 100)]) == ()
    assert (sets.incomplete, sets.unasked) == (1, 1)


def test_frames_without_a_pulse_are_in_no_set():
    sets = FrameSets(["left"])
    sets.pulse(1)
    assert sets.add("left", [Entry(End.SPURIOUS, None, 5, None, Cause.NO_PULSE, None, 10, 0)]) == ()
    assert sets.add("left", [Entry(End.LATE, None, 6, 0, Cause.GIVEN_UP, 1, 10, 0)]) == ()
    (one,) = sets.add("left", [Entry(End.LATE, 1, 7, 0, Cause.OVERDUE, None, 10, 0)])
    assert one.missing == {"left": Missing(End.LATE, Cause.OVERDUE)}


@pytest.mark.parametrize("members", [[], ["a", "a"]])
def test_members_are_named_once(members):
    with pytest.raises(InputError):
        FrameSets(members)


def test_bad_input_is_refused():
    with pytest.raises(InputError):
        FrameSets(["a"], open_sets=0)
    sets = FrameSets(["a"])
    sets.pulse(1)
    with pytest.raises(InputError):
        sets.pulse(1)
    with pytest.raises(InputError):
        sets.add("b", [])
