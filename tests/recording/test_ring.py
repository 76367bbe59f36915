"""What was before an event: the ring against a plain list of everything that was ever put in."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from agent.recording.ring import EventGate


@dataclass(frozen=True)
class Item:
    camera: str
    at_ns: int
    is_key: bool = True
    size_bytes: int = 10


def fed(gate, times, **facts):
    return [Item("top", at, **facts) for at in times if gate.put(Item("top", at, **facts))]


def times(items):
    return [item.at_ns for item in items]


def test_what_was_before_and_comes_after():
    gate = EventGate(before_ns=30, after_ns=20, limit_bytes=10_000)
    assert fed(gate, range(0, 100, 10)) == []
    assert times(gate.event(95)) == [70, 80, 90]
    assert times(fed(gate, range(100, 150, 10))) == [100, 110]
    assert times(gate.event(150)) == [120, 130, 140]
    assert gate.dropped == 0


def test_events_that_overlap_are_one():
    gate = EventGate(before_ns=20, after_ns=30, limit_bytes=10_000)
    fed(gate, range(0, 50, 10))
    assert times(gate.event(45)) == [30, 40]
    assert times(fed(gate, [50, 60])) == [50, 60]
    assert gate.event(65) == []
    assert times(fed(gate, range(70, 120, 10))) == [70, 80, 90]


def test_what_is_old_is_not_written():
    gate = EventGate(before_ns=20, after_ns=0, limit_bytes=10_000)
    fed(gate, [0])
    assert gate.event(1000) == []
    assert len(gate) == 0


def test_a_video_begins_with_the_key_frame_before():
    gate = EventGate(before_ns=15, after_ns=0, limit_bytes=10_000)
    for at in range(0, 100, 10):
        gate.put(Item("top", at, is_key=at % 40 == 0))
    assert times(gate.event(95)) == [80, 90]
    gate = EventGate(before_ns=15, after_ns=0, limit_bytes=10_000)
    for at in range(0, 80, 10):
        gate.put(Item("top", at, is_key=at % 40 == 0))
    assert times(gate.event(75)) == [40, 50, 60, 70]


def test_two_events_that_are_told_late_have_all_frames_between_them():
    """Frames that came until it was told follow those that are written: the next event needs them."""
    gate = EventGate(before_ns=50, after_ns=0, limit_bytes=10_000, late_ns=30)
    written = []
    for at in range(0, 200, 10):
        item = Item("top", at, is_key=at % 80 == 0 or gate.wants_key("top", at))
        assert not gate.put(item)
        if at in (120, 190):
            written += times(gate.event(at - 25))
    assert written == [*range(0, 130, 10), *range(130, 200, 10)]
    assert gate.dropped == 0


def test_a_key_frame_is_wanted_when_nothing_is_kept():
    gate = EventGate(before_ns=15, after_ns=5, limit_bytes=10_000)
    assert gate.wants_key("top", 0)
    gate.put(Item("top", 0))
    assert not gate.wants_key("top", 1)
    gate.event(2)
    assert not gate.wants_key("top", 5)
    assert gate.wants_key("top", 100)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 20), st.booleans(), st.integers(1, 50)), max_size=80),
    st.integers(0, 100),
    st.integers(0, 50),
    st.integers(20, 400),
    st.sets(st.integers(0, 80), max_size=4),
)
def test_nothing_is_written_twice_out_of_order_or_without_its_key_frame(told, before_ns, after_ns, limit, events):
    gate = EventGate(before_ns, after_ns, limit)
    now, written, put = 0, [], []
    for number, (camera, step, key, size) in enumerate(told):
        now += step
        item = Item(camera, now, key or gate.wants_key(camera, now), size)
        put.append(item)
        if gate.put(item):
            written.append(item)
        assert gate.bytes <= limit
        assert gate.bytes == sum(each.size_bytes for held in gate._held.values() for each in held)
        if number in events:
            found = gate.event(now)
            assert times(found) == sorted(times(found))
            if gate.dropped == 0:
                due = [each for each in put if now - before_ns <= each.at_ns <= now and each not in written]
                assert set(due) <= set(found)
            written += found
    assert len(set(written)) == len(written)
    for camera in "ab":
        mine = [item for item in put if item.camera == camera]
        for item in (each for each in written if each.camera == camera and not each.is_key):
            assert mine[mine.index(item) - 1] in written, "what it needs is there as well"
