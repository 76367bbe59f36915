"""The simulated PWM output: exactly a period apart, inactive when it is off, and no thread left behind."""

import threading

import pytest

from agent.simulation.clock import MachineClock, ManualClock
from agent.simulation.pacer import Pacer, Stepper
from agent.simulation.pwm import SimulatedPwm
from agent.units import NS_PER_MS


@pytest.fixture
def clock():
    return ManualClock()


def test_its_levels_are_exactly_a_period_apart(clock):
    heard, stepper, start_ns = [], Stepper(clock), clock.now_ns()
    pwm = SimulatedPwm(50, 10, clock, stepper, [lambda active, at_ns: heard.append((at_ns - start_ns, active))])
    assert pwm.next_ns is None
    pwm.start()
    pwm.start()
    stepper.advance_to(start_ns + 105)
    assert heard == [(0, True), (10, False), (50, True), (60, False), (100, True)]
    assert pwm.next_ns == start_ns + 110
    pwm.stop()
    assert heard[-1] == (105, False)
    stepper.advance_to(start_ns + 500)
    pwm.release()
    assert len(heard) == 6
    pwm.start()
    stepper.advance_to(start_ns + 511)
    assert heard[6:] == [(500, True), (510, False)]


def test_switched_off_it_leaves_no_thread():
    clock = MachineClock()
    pulsed = threading.Event()
    pwm = SimulatedPwm(NS_PER_MS, NS_PER_MS // 2, clock, Pacer(clock), [lambda _active, _at_ns: pulsed.set()])
    pwm.start()
    assert pulsed.wait(10)
    pwm.release()
    assert "simulated-cameras" not in [thread.name for thread in threading.enumerate()]
