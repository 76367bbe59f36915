"""timerfd: readable at an instant, set again, in the past, and let go of."""

import os
import select
import time

import pytest

from agent.capture.timer import Timer
from agent.units import NS_PER_S

FAR_NS = 1_000 * NS_PER_S


@pytest.fixture
def timer():
    with Timer() as made:
        yield made


def is_readable(timer, wait_ms=0):
    poll = select.poll()
    poll.register(timer, select.POLLIN)
    return bool(poll.poll(wait_ms))


def test_it_is_readable_from_its_instant_on_and_not_before(timer):
    instant_ns = time.monotonic_ns() + 2_000_000
    timer.set(instant_ns)
    assert is_readable(timer, 10_000)
    assert time.monotonic_ns() >= instant_ns
    assert is_readable(timer), "it stays so"


def test_a_later_instant_ends_that_it_is_readable(timer):
    timer.set(1)
    assert is_readable(timer)
    timer.set(time.monotonic_ns() + FAR_NS)
    assert not is_readable(timer)


@pytest.mark.parametrize("instant_ns", [-FAR_NS, -1, 0, 1, NS_PER_S - 1, NS_PER_S])
def test_the_past_is_at_once_and_never_off(timer, instant_ns):
    timer.set(time.monotonic_ns() + FAR_NS)
    timer.set(instant_ns)
    assert is_readable(timer)
    assert timer.armed_ns == instant_ns


def test_the_same_instant_again_stays_readable(timer):
    timer.set(5)
    timer.set(5)
    assert is_readable(timer)


def test_it_is_closed_once_and_not_inherited(timer):
    assert not os.get_inheritable(timer.fd)
    timer.release()
    timer.release()
    with pytest.raises(OSError, match="timerfd_settime"):
        timer.set(7)
