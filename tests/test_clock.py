import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import Clock, Correlation, measure_offset
from agent.units import NS_PER_MS, NS_PER_S


class FakeClocks:
    """MONOTONIC that moves by `read_ns` at each reading, and another clock at a chosen offset."""

    def __init__(self, read_ns=100, offset_ns=5 * NS_PER_S):
        self.monotonic = 1_000 * NS_PER_S
        self.read_ns = read_ns
        self.offset_ns = offset_ns

    def read_monotonic(self):
        self.monotonic += self.read_ns
        return self.monotonic

    def read_other(self):
        self.monotonic += self.read_ns
        return self.monotonic + self.offset_ns

    def correlation(self, clock=Clock.REALTIME):
        return Correlation(clock, read_ns=self.read_other, read_monotonic_ns=self.read_monotonic)


@given(st.integers(0, 10**7), st.integers(-(10**18), 10**18))
def test_the_offset_lies_within_its_uncertainty(read_ns, offset_ns):
    clocks = FakeClocks(read_ns, offset_ns)
    measured = measure_offset(Clock.TAI, read_ns=clocks.read_other, read_monotonic_ns=clocks.read_monotonic)
    assert abs(measured.offset_ns - offset_ns) <= measured.uncertainty_ns
    assert measured.uncertainty_ns <= read_ns + 1


def test_the_tightest_bracket_wins():
    widths = iter([9000, 9000, 50, 50, 9000, 9000, 9000, 9000, 9000, 9000])
    clocks = FakeClocks()

    def read_monotonic():
        clocks.read_ns = next(widths)
        return clocks.__class__.read_monotonic(clocks)

    measured = measure_offset(Clock.REALTIME, read_ns=clocks.read_other, read_monotonic_ns=read_monotonic)
    assert measured.uncertainty_ns == 50


def test_slewing_is_no_step_and_a_step_is():
    clocks = FakeClocks()
    correlation = clocks.correlation()
    clocks.monotonic += 10 * NS_PER_S
    clocks.offset_ns += 5 * NS_PER_MS  # 500 ppm over ten seconds
    assert correlation.update() is None
    clocks.monotonic += NS_PER_S
    clocks.offset_ns -= 3 * NS_PER_S
    jump = correlation.update()
    assert jump is not None
    assert (jump.kind, jump.clock) == ("step", Clock.REALTIME)
    assert jump.delta_ns == pytest.approx(-3 * NS_PER_S, abs=1000)
    assert list(correlation.jumps) == [jump]
    assert correlation.update() is None


def test_a_suspend_shows_in_boottime():
    clocks = FakeClocks()
    correlation = clocks.correlation(Clock.BOOTTIME)
    clocks.offset_ns += 3600 * NS_PER_S
    jump = correlation.update()
    assert jump is not None
    assert jump.kind == "suspend"
    assert correlation.convert_ns(clocks.monotonic) == pytest.approx(clocks.monotonic + clocks.offset_ns, abs=1000)


@pytest.mark.parametrize("clock", Clock)
def test_the_real_clocks_can_be_read(clock):
    correlation = Correlation(clock)
    assert 0 <= correlation.offset.uncertainty_ns < NS_PER_S
    assert abs(correlation.convert_ns(correlation.offset.monotonic_ns) - clock.read_ns()) < 10 * NS_PER_S
