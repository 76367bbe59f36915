"""The loss ledger against an independent account: what became of each number the camera counted."""

from hypothesis import given
from hypothesis import strategies as st

from agent.v4l2.ledger import Loss, LossLedger

SETTLED = st.sampled_from(["delivered", "error flag", "skipped"])
# how many numbers are missing before a buffer, whether the driver was starved then, and what became of the buffer
STEPS = st.lists(st.tuples(st.integers(0, 5), st.booleans(), SETTLED), max_size=30)


def settle(ledger: LossLedger, fate: str) -> int | None:
    if fate == "error flag":
        ledger.lose(Loss.ERROR_FLAG)
        return None
    told = ledger.deliver()
    if fate == "skipped":
        ledger.skip(told)
    return told


@given(st.lists(STEPS, max_size=4), st.booleans())
def test_every_number_has_one_cause_and_the_sums_match(streams, counts_on):
    ledger = LossLedger()
    expected = dict.fromkeys(["delivered", *(cause.value for cause in Loss)], 0)
    following, lost_since, seen_any = 0, 0, False
    for steps in streams:
        ledger.start()
        sequence = following if counts_on else 0
        for position, (missing, starved, fate) in enumerate(steps):
            if position == 0 and not counts_on and seen_any and missing >= following:
                # may as well be a count that went on: the smaller loss is claimed
                sequence, gap = missing, missing - following
            else:
                sequence, gap = sequence + missing, missing
            assert ledger.observe(sequence, starved=starved) == gap
            assert ledger.balance == 1
            sequence += 1
            following = sequence
            first_cause = "restart" if seen_any else "driver gap"
            cause = first_cause if position == 0 else "consumer overrun" if starved else "driver gap"
            expected[cause] += gap
            expected[fate] += 1
            seen_any = True
            lost_since += gap
            told = settle(ledger, fate)
            assert ledger.balance == 0
            if told is None:
                lost_since += 1
            else:
                assert told == lost_since
                lost_since = 0 if fate == "delivered" else lost_since
    assert ledger.as_dict() == expected


@given(st.integers(0, 20), st.integers(0, 20))
def test_numbers_wrap_at_32_bits(before_the_end, missing):
    ledger = LossLedger()
    sequence = (1 << 32) - 1 - before_the_end  # a count that starts there has no gap anybody could know
    assert ledger.observe(sequence, starved=False) == 0
    ledger.deliver()
    assert ledger.observe((sequence + 1 + missing) % (1 << 32), starved=False) == missing


def test_a_count_that_goes_back_is_a_restart_and_not_four_thousand_million_gaps():
    ledger = LossLedger()
    for sequence in (0, 1, 2, 1, 2):
        ledger.observe(sequence, starved=False)
        ledger.deliver()
    assert ledger.restarts == 1
    assert ledger.losses[Loss.RESTART] == 1  # number 0 of the new count
    assert ledger.lost == 1
