"""A record of every tick: what is written is what is read."""

from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from agent.capture.tick_log import End, put, unpack
from agent.schedule.requests import trace_id
from agent.schedule.ring import Ring, RingReader

times = st.integers(0, 2**62)


def make_ring():
    return memoryview(bytearray(8 * Ring.words_for(4))).cast("q")


@given(
    slot=st.integers(0, 2**24 - 2),
    end=st.sampled_from(End),
    number=st.integers(0, 2**40 - 1),
    due_ns=times,
    fired_ns=times,
    ended_ns=times,
    frames=st.integers(0, 2**30 - 1),
    sequence=st.integers(-1, 2**32 - 1),
    operator_ns=times,
)
def test_round_trip(**facts):
    words = make_ring()
    put(Ring(words), **facts)
    ((record,), lost) = RingReader(words).read()
    run_id = 0xABCDEF
    found = asdict(unpack(record, run_id))
    assert found.pop("trace_id") == trace_id(run_id, facts["slot"], facts["number"])
    assert (found, lost) == (facts, 0)


def test_every_end_has_its_words_and_every_code_of_a_sink_its_end():
    assert len({end.told for end in End}) == len(End)
    assert End.of_store_error("storage") is End.STORAGE
    assert End.of_store_error("encode_limit") is End.ENCODE_LIMIT
    assert End.of_store_error("sink_gone") is End.SINK_GONE
    assert End.of_store_error("picture_damaged") is End.NOT_STORED
