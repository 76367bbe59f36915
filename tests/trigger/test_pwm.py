"""A PWM output through sysfs."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trigger.fake_pwm import Channel, FakePwm

from agent.errors import InputError, StateError
from agent.trigger.errors import (
    ChipNotFound,
    LineBusy,
    LineError,
    LineGone,
    LineNotFound,
    LinePermission,
    PwmNotProven,
)
from agent.trigger.pwm import PwmOut, SysfsFiles
from agent.trigger.pwm_order import PwmOrder, PwmState

ORDER = {"chip": "pwmchip0", "channel": 1, "period_ns": 10_000_000, "width_ns": 14_260}


@pytest.fixture
def pwm(tmp_path):
    return FakePwm(tmp_path)


def opened(pwm: FakePwm, **order) -> PwmOut:
    return PwmOut(PwmOrder(**ORDER | order), root=pwm.root, files=pwm)


def test_it_is_set_proven_started_stopped_and_left(pwm):
    with opened(pwm) as out:
        assert out.state() == PwmState(10_000_000, 14_260, active_low=False, enabled=False)
        assert out.start().enabled
        assert pwm.channels[1].enable == 1
        assert out.stop() == PwmState(10_000_000, 0, active_low=False, enabled=False)
        assert out.start().width_ns == 14_260
    assert pwm.channels[1] == Channel(period=10_000_000)
    writes = len(pwm.writes)
    out.release()
    assert len(pwm.writes) == writes


@pytest.mark.parametrize(
    "order",
    [
        {"period_ns": 0, "width_ns": 0},
        {"period_ns": -1},
        {"width_ns": -1},
        {"width_ns": 10_000_001},
        {"channel": -1},
        {"chip": "../x"},
        {"chip": "gpiochip0"},
    ],
)
def test_an_order_that_cannot_be_is_refused(order):
    with pytest.raises(InputError):
        PwmOrder(**ORDER | order)


state = st.tuples(st.integers(1, 1000), st.integers(0, 1000)).filter(lambda pair: pair[1] <= pair[0])


@given(before=state | st.just((0, 0)), changes=st.lists(state, max_size=5), low=st.booleans(), left=st.booleans())
def test_any_state_is_reached_from_any_other(tmp_path_factory, before, changes, low, left):
    """Whatever the one before left: period, width, inversed, even on."""
    pwm = FakePwm(tmp_path_factory.mktemp("pwm"))
    enable = int(left and before[0] > 0)
    pwm.channels[1] = Channel(period=before[0], duty_cycle=before[1], polarity="inversed", enable=enable)
    with opened(pwm, period_ns=500, width_ns=250, active_low=low) as out:
        assert out.state() == PwmState(500, 250, low, enabled=False)
        out.start()
        for period_ns, width_ns in changes:
            assert out.change(period_ns=period_ns, width_ns=width_ns) == PwmState(period_ns, width_ns, low, True)
    assert pwm.channels[1].enable == 0
    assert not pwm.channels[1].exported


def test_a_change_while_off_is_there_at_the_start(pwm):
    with opened(pwm) as out:
        out.stop()
        out.change(period_ns=5_000, width_ns=2_000)
        assert out.start() == PwmState(5_000, 2_000, active_low=False, enabled=True)
        with pytest.raises(InputError):
            out.change(period_ns=5_000, width_ns=5_001)
        assert out.state().width_ns == 2_000


@pytest.mark.parametrize("held", ["exported", "held_by_driver"])
def test_a_busy_output_is_left_alone(pwm, held):
    setattr(pwm.channels[1], held, True)
    with pytest.raises(LineBusy) as caught:
        opened(pwm)
    assert "unexport" in caught.value.hint
    assert getattr(pwm.channels[1], held)
    assert pwm.writes == [("export", "1")]


def test_what_is_not_there_is_refused_with_what_is(pwm):
    with pytest.raises(ChipNotFound) as no_chip:
        opened(pwm, chip="pwmchip3")
    assert no_chip.value.suggestions == ("pwmchip0",)
    with pytest.raises(LineNotFound) as no_channel:
        opened(pwm, channel=2)
    assert no_channel.value.suggestions == ("0", "1")


@pytest.mark.parametrize("name", ["period", "duty_cycle"])
@pytest.mark.parametrize(("code", "kind"), [(errno.EACCES, LinePermission), (errno.EINVAL, LineError)])
def test_a_refused_setting_leaves_nothing_exported(pwm, name, code, kind):
    pwm.refuses[name] = code
    with pytest.raises(kind):
        opened(pwm)
    assert not pwm.channels[1].exported


@pytest.mark.parametrize("ignored", ["period", "duty_cycle", "polarity"])
def test_what_is_not_followed_is_not_proven(pwm, ignored):
    pwm.channels[1].period = 20_000_000
    pwm.ignores.add(ignored)
    with pytest.raises(PwmNotProven) as caught:
        opened(pwm, active_low=True)
    assert caught.value.details["asked"] != caught.value.details["found"]
    assert not pwm.channels[1].exported


def test_who_interferes_is_noticed(pwm):
    with opened(pwm) as out:
        pwm.ignores.add("enable")
        with pytest.raises(PwmNotProven):
            out.start()
        pwm.ignores.clear()


def test_a_driver_that_refuses_to_be_switched_off_is_told_of_after_all_was_tried(pwm):
    out = opened(pwm)
    out.start()
    pwm.refuses["duty_cycle"] = errno.EIO
    with pytest.raises(LineError):
        out.release()
    assert pwm.channels[1].enable == 0
    assert not pwm.channels[1].exported
    out.release()


def test_when_the_chip_goes_every_call_says_so(pwm):
    with opened(pwm) as out:
        pwm.plugged = False
        for use in (out.state, out.start, out.stop, lambda: out.change(period_ns=2, width_ns=1)):
            with pytest.raises(LineGone):
                use()


def test_use_after_release_is_refused(pwm):
    with opened(pwm) as out:
        pass
    for use in (out.state, out.start, out.stop, lambda: out.change(period_ns=2, width_ns=1)):
        with pytest.raises(StateError, match="released"):
            use()


def test_real_files_are_read_and_written(tmp_path):
    files = SysfsFiles()
    (tmp_path / "npwm").write_text("2\n")
    assert files.read(tmp_path / "npwm") == "2\n"
    files.write(tmp_path / "npwm", "3")
    assert (tmp_path / "npwm").read_text() == "3"
    with pytest.raises(ChipNotFound):
        PwmOut(PwmOrder(**ORDER), root=tmp_path)
