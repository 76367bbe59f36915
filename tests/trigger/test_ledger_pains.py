"""What users of triggered cameras suffer elsewhere (docs: the pains of the field), as tests of the ledger."""

import pytest
from trigger.told import Account

from agent.trigger.budget import Budget
from agent.trigger.frame_sets import FrameSets
from agent.trigger.ledger import Ledger
from agent.trigger.verdicts import Cause, End, Relocked

US = 1_000
MS = 1_000_000
PERIOD = 100 * MS
DELAY = 12_800
BUDGET = Budget(delay_ns=DELAY, jitter_ns=300, window_ns=MS, wait_ns=60 * MS, soonest_ns=5 * MS)
FOR_EVER = 10**18


@pytest.fixture
def account():
    return Account(Ledger(BUDGET))


def pulse(account, number):
    return account.hear(account.ledger.pulse(number, number * PERIOD))


def frame(account, number, of, *, shift_ns=0, latency_ns=20 * MS, lost_before=0):
    """Frame `number`, exposed on pulse `of`."""
    start_ns = of * PERIOD + DELAY + shift_ns
    told = account.ledger.frame(number, start_ns, 100, of * PERIOD + latency_ns, lost_before)
    return account.hear(told, frame=number).entries[0]


def test_pain_2_a_missed_trigger_ends_at_its_wait(account):
    pulse(account, 1)
    assert account.ledger.next_ns == PERIOD + 60 * MS
    assert not account.hear(account.ledger.expire(PERIOD + 60 * MS - 1)).entries
    (entry,) = account.hear(account.ledger.expire(PERIOD + 60 * MS)).entries
    assert (entry.end, entry.pulse, entry.cause) == (End.MISSED, 1, Cause.NO_FRAME)
    assert account.ledger.next_ns is None


def test_pain_2_waiting_for_a_frame_can_be_aborted(account):
    pulse(account, 1)
    (entry,) = account.hear(account.ledger.stop(PERIOD + 1)).entries
    assert (entry.end, entry.pulse, entry.cause) == (End.MISSED, 1, Cause.STOPPED)


def test_pain_3_an_idle_trigger_is_no_fault(account):
    assert account.ledger.next_ns is None
    assert account.hear(account.ledger.expire(FOR_EVER)) == ((), ())
    pulse(account, 1)
    frame(account, 1, of=1)
    assert account.ledger.next_ns is None
    assert account.hear(account.ledger.expire(FOR_EVER)) == ((), ())
    assert account.hear(account.ledger.stop(FOR_EVER)) == ((), ())


def test_pain_4_a_stale_frame_shifts_no_pairing(account):
    assert frame(account, 100, of=0).cause is Cause.NO_PULSE
    for number in range(1, 6):
        pulse(account, number)
        if number == 3:
            assert frame(account, 103, of=2).cause is Cause.DOUBLE
        assert frame(account, number, of=number).pulse == number
    assert account.ledger.counts.frame_ends[End.MATCHED] == 5
    assert not account.notices


def test_pain_4_a_lost_trigger_shifts_no_pairing(account):
    for number in range(1, 6):
        pulse(account, number)
        if number != 3:
            assert frame(account, number, of=number).pulse == number
        account.hear(account.ledger.expire(number * PERIOD + 70 * MS))
    assert account.causes() == {3: Cause.NO_EXPOSURE}


def test_pain_4_a_frame_the_driver_lost_shifts_no_pairing(account):
    for number in range(1, 6):
        pulse(account, number)
        if number != 3:
            assert frame(account, number, of=number, lost_before=number == 4).pulse == number
        account.hear(account.ledger.expire(number * PERIOD + 70 * MS))
    assert account.causes() == {3: Cause.DRIVER_LOST}
    assert account.ledger.counts.missed[Cause.DRIVER_LOST] == 1
    assert account.ledger.counts.missed[Cause.NO_FRAME] == 0


def test_pain_4_stamps_that_jump_are_locked_again_and_told(account):
    for number in range(1, 4):
        pulse(account, number)
        frame(account, number, of=number)
    ends = []
    for number in range(4, 9):
        pulse(account, number)
        entry = frame(account, number, of=number, shift_ns=30 * MS)
        ends.append((entry.end, entry.pulse))
    assert ends == [(End.SPURIOUS, None)] * 2 + [(End.MATCHED, number) for number in (6, 7, 8)]
    assert account.told(Relocked) == [Relocked(30 * MS, 0, 3)]
    assert account.causes() == {4: Cause.SHIFTED, 5: Cause.SHIFTED}
    assert account.ledger.counts.residuals.last_ns == 30 * MS, "an adopted offset is not hidden"
    assert account.ledger.budget_alarm


def test_pain_6_a_frame_from_before_the_pulse_is_not_the_one_with_its_exposure(account):
    """The exposure set for a pulse is in the frame begun after it: a frame that was under way is another."""
    pulse(account, 1)
    under_way = frame(account, 10, of=1, shift_ns=-20 * MS, latency_ns=6 * MS)
    assert (under_way.end, under_way.cause) == (End.SPURIOUS, Cause.NO_PULSE)
    assert frame(account, 11, of=1).pulse == 1


def test_pain_6_a_frame_there_before_a_frame_can_be_is_not_of_this_pulse(account):
    pulse(account, 1)
    early = frame(account, 10, of=1, latency_ns=5 * MS - 1)
    assert (early.end, early.cause, early.about) == (End.SPURIOUS, Cause.TOO_SOON, 1)
    assert frame(account, 11, of=1, latency_ns=5 * MS).pulse == 1


def test_pain_15_cameras_out_of_step_never_share_a_set():
    """The right camera does not act on pulse 2, and its later frames stay with their own pulses."""
    sets = FrameSets(["left", "right"])
    ledgers = {member: Account(Ledger(BUDGET)) for member in sets.members}
    given = []
    for number in range(1, 5):
        given += sets.pulse(number)
        for member, account in ledgers.items():
            given += sets.add(member, pulse(account, number).entries)
            if (member, number) != ("right", 2):
                given += sets.add(member, [frame(account, number, of=number, shift_ns=len(member))])
            given += sets.add(member, account.hear(account.ledger.expire(number * PERIOD + 70 * MS)).entries)
    assert [(one.pulse, one.complete, one.skew_ns, one.uncertainty_ns) for one in given] == [
        (1, True, 1, 200),
        (2, False, None, None),
        (3, True, 1, 200),
        (4, True, 1, 200),
    ]
    assert given[1].missing == {"right": (End.MISSED, Cause.NO_FRAME)}
    assert all(frame.sequence == one.pulse for one in given for frame in one.frames.values())


def test_pain_18_a_stop_ends_every_pulse_at_once(account):
    """However long a driver would wait for its trigger: nothing is left to wait for."""
    account.ledger = Ledger(Budget(delay_ns=0, jitter_ns=0, window_ns=MS, wait_ns=FOR_EVER))
    for number in range(5):
        pulse(account, number)
    entries = account.hear(account.ledger.stop(5 * PERIOD)).entries
    assert [(entry.pulse, entry.cause) for entry in entries] == [(number, Cause.STOPPED) for number in range(5)]
    assert account.ledger.next_ns is None
    assert account.hear(account.ledger.stop(5 * PERIOD)) == ((), ())
