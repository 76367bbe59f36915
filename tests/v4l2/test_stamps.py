import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.units import NS_PER_MS
from agent.v4l2.stamps import StampJudge
from agent.v4l2.uapi import BufferFlag

MONOTONIC_EOF = BufferFlag.TIMESTAMP_MONOTONIC.value
MONOTONIC_SOE = MONOTONIC_EOF | BufferFlag.TSTAMP_SRC_SOE.value
INTERVAL_NS = 33 * NS_PER_MS


def judge(driver="uvcvideo", started_ns=1_000):
    made = StampJudge(driver, INTERVAL_NS)
    made.start(started_ns)
    return made


def test_a_believed_stamp_keeps_clock_and_source():
    stamp = judge().judge(MONOTONIC_SOE, 5_000, 6_000)
    assert stamp == (5_000, "monotonic", "soe", 2 * NS_PER_MS)
    assert judge("unicam").judge(MONOTONIC_EOF, 5_000, 6_000).source == "eof"


@pytest.mark.parametrize(
    ("flags", "stamp_ns", "why"),
    [
        (0, 0, "does not stamp"),
        (BufferFlag.TIMESTAMP_UNKNOWN.value, 5_000, "declares the clock unknown"),
        (BufferFlag.TIMESTAMP_COPY.value, 5_000, "declares the clock copy"),
        (MONOTONIC_EOF, 0, "does not stamp"),
        (MONOTONIC_EOF, 7_000, "in the future"),
        (MONOTONIC_EOF, 500, "before the stream began"),
    ],
)
def test_a_stamp_not_to_be_trusted_is_replaced_and_noticed(flags, stamp_ns, why):
    judged = judge()
    stamp = judged.judge(flags, stamp_ns, 6_000)
    assert (stamp.timestamp_ns, stamp.source) == (6_000, "dequeue")
    assert stamp.uncertainty_ns >= INTERVAL_NS
    assert judged.distrusted == 1
    assert why in (judged.first_reason or "")


def test_pain_9_a_stamp_of_another_clock_is_named():
    judged = judge()
    judged.judge(MONOTONIC_EOF, time.time_ns(), time.monotonic_ns())
    assert judged.first_reason == "the stamps look like CLOCK_REALTIME"


def test_a_stamp_that_goes_back_is_not_believed_and_the_first_reason_stays():
    judged = judge()
    judged.judge(MONOTONIC_EOF, 5_000, 6_000)
    assert judged.judge(MONOTONIC_EOF, 4_000, 7_000).source == "dequeue"
    judged.judge(MONOTONIC_EOF, 0, 8_000)
    assert "before the frame before it" in (judged.first_reason or "")
    assert judged.distrusted == 2


@given(
    st.lists(
        st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.sampled_from([0, MONOTONIC_EOF, MONOTONIC_SOE]))
    )
)
def test_believed_stamps_never_go_back_nor_lie_after_the_dequeue(buffers):
    judged = judge(started_ns=0)
    last = 0
    for stamp_ns, dequeued_ns, flags in buffers:
        stamp = judged.judge(flags, stamp_ns, dequeued_ns)
        assert stamp.timestamp_ns <= dequeued_ns
        if stamp.source != "dequeue":
            assert stamp.timestamp_ns == stamp_ns >= last
            last = stamp_ns
