"""The messages of the frame protocol: there and back, and never more than a typed error for anything else."""

import contextlib

import pytest
from frames.pools import FACTS
from hypothesis import given
from hypothesis import strategies as st

from agent.frames import wire
from agent.frames.wire import Answer, Facts, PoolFormat, ProtocolError, Refused, State, Streaming, Subscribe, Target

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
    began_ns=st.none() | s64,
    pulse=st.none() | st.integers(0, 2**63 - 1),
)
subscriptions = st.builds(
    Subscribe,
    target=st.sampled_from(Target),
    name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60),
    every=st.booleans(),
    after_ns=st.none() | st.integers(0, 2**63 - 1),
    lease_ns=st.integers(0, wire.LONGEST_LEASE_NS),
    most=st.integers(1, wire.MOST),
    depth=st.integers(1, wire.DEPTH),
)
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
extents = st.lists(st.tuples(u32, u32), min_size=1, max_size=wire.MAX_PLANES)
EVERY_MESSAGE = [
    wire.pack_opening(b"{}"),
    wire.pack_pool(1, 4, PoolFormat("Y16-BE", 640, 480, ((1280, 614400),), True), "top"),
    wire.pack_buffers(1, 0, 2, [4096, 8192]),
    wire.pack_forget(1),
    wire.pack_frame(1, 2, 3, 3, 800, FACTS, (0, 0), (10, 20), 1) + bytes(16),
    wire.pack_ready(),
    wire.pack_answer(Answer(7, True, 5, "", "a.jpg", "")),
    wire.pack_refused(Refused("busy", "too many", "wait")),
    wire.pack_state(State(Streaming.FAULT, "top", "unplugged", "plug it in")),
    wire.pack_subscribe(Subscribe(Target.PLAN, "night", every=True, after_ns=7, most=2, depth=3)),
]


@given(
    facts=facts,
    numbers=st.tuples(u32, u32, u64, u64),
    limit=s64,
    extents=extents,
    traces=st.integers(0, 2000),
    skipped=u32,
)
def test_a_frame_there_and_back(facts, numbers, limit, extents, traces, skipped):
    offsets, lengths = zip(*extents, strict=True)
    inline = bytes(range(16)) * traces if traces <= wire.TRACES_INLINE else b""
    packet = wire.pack_frame(*numbers, limit, facts, offsets, lengths, traces, skipped)
    assert len(packet) % 8 == 0, "what follows is aligned as the fields are"
    message = wire.unpack_for_reader(packet + inline)
    assert message[:4] == numbers
    assert message.limit_ns == limit
    assert message.facts == facts
    assert message.extents == tuple(extents)
    assert (message.traces, message.trace_bytes) == (traces, inline)
    assert message.skipped == skipped


@given(subscribe=subscriptions)
def test_a_subscription_there_and_back(subscribe):
    packet = wire.pack_subscribe(subscribe)
    assert len(packet) <= wire.ANSWER_BYTES
    assert wire.unpack_subscribe(packet) == subscribe


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a\0b"},
        {"name": "x" * (wire.NAME_BYTES + 1)},
        {"after_ns": -1},
        {"lease_ns": -1},
        {"lease_ns": wire.LONGEST_LEASE_NS + 1},
        {"most": 0},
        {"most": wire.MOST + 1},
        {"depth": 0},
        {"depth": wire.DEPTH + 1},
        {"depth": 2**20},
    ],
)
def test_a_subscription_out_of_bounds_is_refused_where_it_is_made(wrong):
    with pytest.raises(ProtocolError):
        wire.pack_subscribe(Subscribe(Target.CAMERA, "top")._replace(**wrong))


def test_a_client_of_another_version_is_told_so():
    packet = bytearray(wire.pack_subscribe(Subscribe(Target.CAMERA, "top")))
    packet[2] += 1
    with pytest.raises(ProtocolError, match=f"version {wire.VERSION + 1}.*version {wire.VERSION}"):
        wire.unpack_subscribe(bytes(packet))


@given(packet=st.binary(max_size=80), start=st.sampled_from([0, 1, 4, 8]))
def test_noise_is_a_subscription_or_a_typed_error(packet, start):
    good = wire.pack_subscribe(Subscribe(Target.CAMERA, "top"))
    for noise in (packet, good[:start] + packet):
        with contextlib.suppress(ProtocolError):
            subscribe = wire.unpack_subscribe(noise)
            assert wire.unpack_subscribe(wire.pack_subscribe(subscribe)) == subscribe


@given(state=st.sampled_from(Streaming), texts=st.tuples(words, words, words))
def test_states_and_refusals_there_and_back(state, texts):
    assert wire.unpack_for_reader(wire.pack_state(State(state, *texts))) == State(state, *texts)
    assert wire.unpack_for_reader(wire.pack_refused(Refused(*texts))) == Refused(*texts)


def test_a_refusal_too_long_for_a_packet_is_shortened():
    refused = wire.unpack_for_reader(wire.pack_refused(Refused("busy", "ä" * 100_000, "a\0b")))
    assert refused.message.endswith("ä...")
    assert refused.hint == "a b"


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
        ends_in_text = wire.Opening | wire.PoolMessage | Refused | State | Subscribe
        assert isinstance(cut, ends_in_text), "only these end in a text of any length"


@given(kind=st.sampled_from(list(wire.Kind)), rest=st.binary(max_size=300))
def test_noise_is_a_message_or_a_typed_error(kind, rest):
    for noise in (rest, bytes([kind]) + rest):
        for read in (wire.unpack_for_reader, wire.unpack_for_lender, wire.unpack_subscribe):
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
    if packet and packet[0] == wire.Kind.SUBSCRIBE:
        return wire.unpack_subscribe(packet)
    lender = packet[0] in (wire.Kind.READY, wire.Kind.RETURNED) if packet else False
    return (wire.unpack_for_lender if lender else wire.unpack_for_reader)(packet)
