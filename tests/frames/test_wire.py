"""The messages of the frame protocol: there and back, and never more than a typed error for anything else."""

import contextlib

import pytest
from frames.pools import FACTS
from hypothesis import given
from hypothesis import strategies as st

from agent.frames import wire
from agent.frames.wire import Answer, Facts, PoolFormat, ProtocolError

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
s64 = st.integers(-(2**63) + 1, 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
facts = st.builds(
    Facts,
    sequence=u32,
    timestamp_ns=s64,
    timestamp_clock=st.sampled_from(wire.CLOCKS),
    timestamp_source=st.sampled_from(wire.SOURCES),
    uncertainty_ns=s64,
    dequeued_ns=s64,
    lost_before=u32,
    realtime_ns=s64,
    exposure_ns=st.none() | s64,
    gain=st.none() | s64,
)
extents = st.lists(st.tuples(u32, u32), min_size=1, max_size=wire.MAX_PLANES)
EVERY_MESSAGE = [
    wire.pack_opening(b"{}"),
    wire.pack_pool(1, 4, PoolFormat("Y16-BE", 640, 480, ((1280, 614400),), True), "top"),
    wire.pack_buffers(1, 0, 2, [4096, 8192]),
    wire.pack_forget(1),
    wire.pack_frame(1, 2, 3, 3, 800, FACTS, (0, 0), (10, 20), 1) + bytes(16),
    wire.pack_ready(),
    wire.pack_answer(Answer(7, True, 5, "", "a.jpg", "")),
]


@given(facts=facts, numbers=st.tuples(u32, u32, u64, u64), limit=s64, extents=extents, traces=st.integers(0, 2000))
def test_a_frame_there_and_back(facts, numbers, limit, extents, traces):
    offsets, lengths = zip(*extents, strict=True)
    inline = bytes(range(16)) * traces if traces <= wire.TRACES_INLINE else b""
    message = wire.unpack_for_reader(wire.pack_frame(*numbers, limit, facts, offsets, lengths, traces) + inline)
    assert message[:4] == numbers
    assert message.limit_ns == limit
    assert message.facts == facts
    assert message.extents == tuple(extents)
    assert (message.traces, message.trace_bytes) == (traces, inline)


@given(
    lease=u64,
    stored=st.booleans(),
    took=s64,
    code=texts,
    file=texts,
    told=st.text(st.characters(exclude_categories=["Cs"]), max_size=3000),
)
def test_an_answer_there_and_back(lease, stored, took, code, file, told):
    packet = wire.pack_answer(Answer(lease, stored, took, code, file, told))
    assert len(packet) <= wire.ANSWER_BYTES
    answer = wire.unpack_for_lender(packet)
    assert answer[:5] == (lease, stored, took, code, file)
    assert answer.told == told or (answer.told.endswith("...") and told.startswith(answer.told[:-3]))


def test_a_pool_there_and_back():
    form = PoolFormat("NM12", 1920, 1080, ((1920, 2073600), (1920, 1036800)))
    message = wire.unpack_for_reader(wire.pack_pool(3, 8, form, "Kamera über dem Tisch"))
    assert message == wire.PoolMessage(3, 8, form, "Kamera über dem Tisch")
    interlaced = PoolFormat("Y16-BE", 640, 480, ((1280, 614400),), interlaced=True)
    assert wire.unpack_for_reader(wire.pack_pool(3, 8, interlaced, "a")).format == interlaced


@pytest.mark.parametrize("packet", EVERY_MESSAGE, ids=lambda packet: wire.Kind(packet[0]).name)
def test_a_message_cut_anywhere_is_an_error_or_a_shorter_text(packet):
    whole = _read(packet)
    for length in range(len(packet)):
        try:
            cut = _read(packet[:length])
        except ProtocolError:
            continue
        assert type(cut) is type(whole)
        assert isinstance(cut, wire.Opening | wire.PoolMessage), "only these end in a text of any length"


@given(kind=st.sampled_from(list(wire.Kind)), rest=st.binary(max_size=300))
def test_noise_is_a_message_or_a_typed_error(kind, rest):
    for noise in (rest, bytes([kind]) + rest):
        for read in (wire.unpack_for_reader, wire.unpack_for_lender):
            with contextlib.suppress(ProtocolError):
                read(noise)


def test_what_fits_no_message_is_refused_when_it_is_made():
    with pytest.raises(ProtocolError):
        wire.pack_opening(bytes(wire.PACKET_BYTES))
    with pytest.raises(ProtocolError):
        wire.pack_answer(Answer(1, True, 0, "", "x" * 5000))
    with pytest.raises(ProtocolError, match="sundial"):
        wire.pack_frame(1, 2, 3, 4, 5, FACTS._replace(timestamp_clock="sundial"), (0,), (1,), 0)


def _read(packet):
    lender = packet[0] in (wire.Kind.READY, wire.Kind.RETURNED) if packet else False
    return (wire.unpack_for_lender if lender else wire.unpack_for_reader)(packet)
