import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.schedule.ring import Ring, RingReader
from agent.shared import Page


def words_of(records):
    return memoryview(bytearray(Ring.words_for(records) * 8)).cast("q")


def values_of(number):
    return tuple(number * 10 + place for place in range(7))


def put(ring, numbers):
    for number in numbers:
        ring.put(*values_of(number))


def record(number):
    return (number, *values_of(number))


def test_records_come_back_in_order_with_their_numbers():
    words = words_of(4)
    ring, reader = Ring(words), RingReader(words)
    assert reader.read() == ([], 0)
    put(ring, range(1, 4))
    assert reader.read() == ([record(1), record(2), record(3)], 0)
    assert reader.read() == ([], 0)


def test_what_was_overwritten_is_counted_as_lost():
    words = words_of(4)
    ring, reader = Ring(words), RingReader(words)
    put(ring, range(1, 11))
    assert reader.read() == ([record(n) for n in (7, 8, 9, 10)], 6)
    assert reader.lost == 6


def test_a_late_reader_begins_with_the_oldest_that_is_there():
    words = words_of(4)
    put(Ring(words), range(1, 11))
    late = RingReader(words.toreadonly())
    assert late.read() == ([record(n) for n in (7, 8, 9, 10)], 0)


def test_too_few_words_for_one_record_are_refused():
    with pytest.raises(ValueError, match="too few"):
        Ring(words_of(1)[:-1])


def test_a_value_that_does_not_fit_publishes_nothing():
    words = words_of(2)
    ring, reader = Ring(words), RingReader(words)
    put(ring, [1, 2])
    with pytest.raises(struct.error):
        ring.put(2**63, 0, 0, 0, 0, 0, 0)
    assert reader.read() == ([record(2)], 1)  # the place of 1 was claimed
    put(ring, [3])
    assert reader.read() == ([record(3)], 0)


class Die(Exception):
    pass


@given(
    st.integers(1, 5),
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(1, 12)),
            st.tuples(st.just("read"), st.integers(0, 12)),
            st.tuples(st.just("die"), st.integers(1, 2)),
        ),
        max_size=30,
    ),
)
def test_records_and_losses_add_up_whatever_happens_while_reading(capacity, steps):
    words = words_of(capacity)
    published = 0
    writing = iter(())  # what the writer does while the reader is between its loads

    def fence():
        nonlocal published
        for _ in range(next(writing, 0)):
            published += 1
            put(ring, [published])

    ring, reader, seen, lost = Ring(words), RingReader(words, fence), 0, 0
    for step, amount in steps:
        if step == "put":
            put(ring, range(published + 1, published + amount + 1))
            published += amount
        elif step == "die":
            ring = dying_writer(words, amount, published + 1)
        else:
            start = published
            writing = iter((amount // 2, amount - amount // 2))
            records, missed = reader.read()
            assert records == [record(n) for n in range(start + 1 - len(records), start + 1)]
            seen, lost = seen + len(records), lost + missed
            assert seen + lost == start
            assert len(records) <= capacity
    assert reader.lost == lost


def dying_writer(words, at_fence, number):
    """A writer that dies before or after it wrote the values, and the next one."""
    fences = 0

    def fence():
        nonlocal fences
        fences += 1
        if fences == at_fence:
            raise Die

    with pytest.raises(Die):
        Ring(words, fence).put(*values_of(number))
    return Ring(words)


WRITE = """
import sys
from agent.schedule.ring import Ring
from agent.shared import FENCE, Page
with Page.attach_writer(int(sys.argv[1])) as page:
    ring = Ring(page.words, FENCE)
    for number in range(1, 100_001):
        ring.put(number, -number, number * 3, number, -number, number * 5, number)
"""


def test_another_process_reads_whole_records_while_they_are_written():
    from agent.shared import FENCE

    with Page.create("ring", Ring.words_for(32)) as page, Page.attach_reader(page.fd) as seen:
        reader = RingReader(seen.words, FENCE)
        read = 0
        with subprocess.Popen([sys.executable, "-c", WRITE, str(page.fd)], pass_fds=[page.fd]) as process:
            while read + reader.lost < 100_000 and process.poll() in (None, 0):
                records, _ = reader.read()
                read += len(records)
                for n, *values in records:
                    assert values == [n, -n, n * 3, n, -n, n * 5, n]
        assert read + reader.lost == 100_000
        assert read >= 32
