"""Which frames are shown at a rate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.units import NS_PER_S
from agent.viewing.pace import Pace


def shown(rate, stamps):
    pace, found = Pace(rate), []
    for at_ns in stamps:
        if pace.is_due(at_ns):
            pace.show(at_ns)
            found.append(at_ns)
    return found


@given(rate=st.integers(1, 240), gaps=st.lists(st.integers(0, 3 * NS_PER_S), max_size=200))
def test_there_are_never_more_than_the_rate(rate, gaps):
    """From any picture to the n-th after it there are n - 1 periods, less a fourth: the first may have been late."""
    stamps = [sum(gaps[:end]) for end in range(1, len(gaps) + 1)]
    found = shown(rate, stamps)
    period_ns = NS_PER_S // rate
    for first in range(len(found)):
        for last in range(first + 1, len(found)):
            assert found[last] - found[first] >= (last - first - 1) * period_ns - period_ns // 4


@pytest.mark.parametrize(("camera", "rate", "expected"), [(30, 30, 300), (30, 10, 100), (30, 20, 200), (30, 60, 300)])
def test_a_steady_camera_is_thinned_to_the_rate(camera, rate, expected):
    stamps = [k * NS_PER_S // camera for k in range(10 * camera)]
    assert abs(len(shown(rate, stamps)) - expected) <= 1


def test_frames_that_jitter_at_the_rate_are_all_shown():
    stamps = [k * 33_333_333 + ((k + 2) * 7 % 5 - 2) * 1_000_000 for k in range(300)]
    assert len(shown(30, stamps)) >= 298


def test_what_was_missed_is_not_made_up_for():
    stamps = [0, *(NS_PER_S * 60 + k * 10_000_000 for k in range(70))]
    assert len(shown(1, stamps)) == 2
