"""Whatever packets a client sends, first or later: it is served or closed, and nobody else notices."""

import pytest
from capture.clients import Client
from capture.loop_stage import LoopStage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.capture.board import Of
from agent.capture.settings import Settings
from agent.frames import wire
from agent.frames.wire import Answer, Kind, Subscribe, Target
from agent.simulation.queue import BufferState

pytestmark = pytest.mark.timeout(300)
GOOD = [
    wire.pack_answer(Answer(lease, bool(lease % 2), 7, "code", "file", "told")) for lease in (0, 1, 2, 3, 2**64 - 1)
] + [wire.pack_ready(), wire.pack_subscribe(Subscribe(Target.CAMERA, "top", every=True, most=3, after_ns=5))]


@st.composite
def spoiled(draw):
    """A message of the protocol with some bytes changed, cut off, or put behind."""
    packet = bytearray(draw(st.sampled_from(GOOD)))
    for place, byte in draw(st.lists(st.tuples(st.integers(0, len(packet) - 1), st.integers(0, 255)), max_size=4)):
        packet[place] = byte
    return bytes(packet[: draw(st.integers(1, len(packet)))] + draw(st.binary(max_size=20)))


packets = st.one_of(
    st.sampled_from(GOOD),
    spoiled(),
    st.binary(min_size=1, max_size=200),
    st.builds(lambda kind, rest: bytes([kind]) + rest, st.sampled_from(list(Kind)), st.binary(max_size=100)),
    st.integers(4000, 5000).map(bytes),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(first=st.none() | packets, said=st.lists(packets, max_size=12))
def test_any_packets(first, said):
    wanted = Settings(settle_frames=0, buffer_count=7, width_px=320, height_px=240)
    with LoopStage(settings=wanted) as loop, Client(loop) as other, Client(loop, packet=first, most=2) as client:
        for packet in said:
            loop.kernel.step(loop.cameras["top"])
            client.say(packet)
            client.hear()
            other.hear()
            assert other.refused is None
            assert other.frames
            while other.frames:
                assert not other.frames[0].revoked
                other.give_back()
        client.hear()
        if first is not None:
            assert client.states or client.refused in ("frame_protocol", "target_unknown", "pool_too_small")
        assert not client.ended or client.refused == "frame_protocol" or first is not None
        client.close()
        loop.settle()
        assert loop.words()[Of.CLIENTS] == 1
        other.close()
        loop.settle()
        buffers = loop.cameras["top"].queue.buffers
        assert all(buffer.state is not BufferState.DEQUEUED for buffer in buffers)
