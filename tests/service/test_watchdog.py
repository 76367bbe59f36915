"""The watchdog is fed by progress: a process that hangs is the supervisor's business, one that nobody kills is not."""

import pytest
from capture.acting import Theatre
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.board import Head
from agent.errors import InputError
from agent.service.watchdog import Progress, Watchdog
from agent.units import NS_PER_MS, NS_PER_S

WEDGED_NS = 2 * NS_PER_S


@pytest.fixture
def stage():
    with Theatre() as theatre:
        yield theatre


def progress_of(stage):
    return Progress(stage.supervisor.groups, lambda: stage.now_ns, wedged_ns=WEDGED_NS)


def beat(stage):
    words = stage.group.board.words
    words[Head.PID], words[Head.BEAT_NS] = stage.group.pid, stage.now_ns
    words[Head.BEATS] += 1


def test_a_loop_that_stands_still_and_is_killed_keeps_nobody_from_being_fed(stage):
    progress = progress_of(stage)
    beat(stage)
    for _ in range(100):
        stage.go(100 * NS_PER_MS)
        assert progress.stands_still(stage.now_ns) == ""
    assert stage.actors[0].killed


def test_a_supervisor_that_is_not_called_is_noticed(stage):
    beat(stage)
    stage.go(NS_PER_MS)
    turned_ns = stage.now_ns
    progress = Progress(stage.supervisor.groups, lambda: turned_ns, wedged_ns=WEDGED_NS)
    assert progress.stands_still(turned_ns + NS_PER_S) == ""
    assert "group g was to be looked after" in progress.stands_still(turned_ns + 5 * NS_PER_S)


def test_a_loop_that_nobody_kills_is_noticed_in_its_time(stage):
    beat(stage)
    progress, beat_ns = progress_of(stage), stage.now_ns
    longest_ns = progress.longest_silence_ns(stage.group)
    stage.now_ns += longest_ns  # the supervisor believes that it is looked after
    assert "to be looked after" in Progress(stage.supervisor.groups, lambda: beat_ns, wedged_ns=WEDGED_NS).stands_still(
        stage.now_ns
    )
    assert progress.stands_still(beat_ns + longest_ns) == ""
    assert "nobody kills it" in progress.stands_still(beat_ns + longest_ns + 1)


def test_a_process_that_starts_or_is_not_there_is_no_lack_of_progress(stage):
    progress = progress_of(stage)
    for _ in range(20):
        stage.go(NS_PER_S)
        assert progress.stands_still(stage.now_ns) == ""
    stage.actor.die(1)
    stage.go(NS_PER_S // 2)
    assert progress.stands_still(stage.now_ns) == ""


@given(st.integers(1, 100 * NS_PER_S), st.integers(0, 5 * NS_PER_S))
def test_the_budget_is_below_what_systemd_waits_for_or_it_is_refused(watchdog_ns, longest_turn_ns):
    try:
        watchdog = Watchdog(watchdog_ns, longest_turn_ns)
    except InputError:
        assert watchdog_ns // 4 + longest_turn_ns >= watchdog_ns
        return
    # fed at an instant, and again after an interval and the longest turn at the latest
    assert watchdog.interval_ns + longest_turn_ns == watchdog.budget_ns < watchdog_ns


def test_what_the_hint_says_is_long_enough():
    with pytest.raises(InputError) as caught:
        Watchdog(NS_PER_S, NS_PER_S)
    assert "WatchdogSec=2.333" in caught.value.hint
    Watchdog(2_333_333_334, NS_PER_S)
