import subprocess
import sys

import pytest

from agent.schedule.snapshot import Snapshot, SnapshotReader
from agent.shared import FENCE, Page


@pytest.fixture
def words():
    return memoryview(bytearray(8 * 5)).cast("q")


def change(snapshot, words, value):
    snapshot.begin()
    for place in range(1, len(words)):
        words[place] = value
    snapshot.end()


def test_a_copy_between_changes_is_whole_and_stays_as_it_was(words):
    snapshot = Snapshot(words[:1])
    change(snapshot, words, 4)
    copy = SnapshotReader(words[:1].toreadonly()).copy(words[1:].toreadonly())
    change(snapshot, words, 5)
    assert copy.whole
    assert copy.words.tolist() == [4] * 4


def test_a_change_while_copying_is_noticed_and_the_copy_made_again(words):
    snapshot = Snapshot(words[:1])
    values = iter((7, 8))
    fences = 0

    def fence():
        # two fences a try: before and after the copy; the first two tries are disturbed before it, the third is not
        nonlocal fences
        fences += 1
        if fences in (1, 4):
            change(snapshot, words, next(values))

    copy = SnapshotReader(words[:1], fence).copy(words[1:])
    assert fences == 6
    assert copy.whole
    assert copy.words.tolist() == [8] * 4


def test_a_change_that_began_while_copying_is_noticed(words):
    snapshot = Snapshot(words[:1])
    fences = 0

    def fence():
        nonlocal fences
        fences += 1
        if fences == 1:
            snapshot.begin()
            words[1] = 1
        elif fences == 3:
            words[2:] = memoryview(bytearray(b"\1\0\0\0\0\0\0\0" * 3)).cast("q")
            snapshot.end()

    copy = SnapshotReader(words[:1], fence).copy(words[1:])
    assert copy.whole
    assert copy.words.tolist() == [1] * 4


def test_tries_are_bounded_and_a_copy_that_is_not_whole_says_so(words):
    Snapshot(words[:1]).begin()  # and dies
    pauses = []
    copy = SnapshotReader(words[:1]).copy(words[1:], tries=3, pause=lambda: pauses.append(1))
    assert not copy.whole
    assert copy.words.tolist() == [0] * 4
    assert len(pauses) == 2
    with pytest.raises(ValueError, match="tries"):
        SnapshotReader(words[:1]).copy(words[1:], tries=0)


@pytest.mark.parametrize("died", ["in a change", "between changes"])
def test_the_writer_that_follows_a_dead_one_goes_on(words, died):
    first = Snapshot(words[:1])
    change(first, words, 1)
    if died == "in a change":
        first.begin()
    before = words[0]
    second, reader = Snapshot(words[:1]), SnapshotReader(words[:1])
    second.begin()
    assert not reader.copy(words[1:], tries=2).whole
    second.end()
    assert words[0] > before
    assert reader.copy(words[1:], tries=1).whole


def test_the_writers_fences_stand_between_its_number_and_its_words(words):
    seen = []
    snapshot = Snapshot(words[:1], lambda: seen.append(words.tolist()))
    change(snapshot, words, 9)
    assert seen == [[1, 0, 0, 0, 0], [1, 9, 9, 9, 9]]
    assert words[0] == 2


WRITE = """
import sys
from agent.schedule.snapshot import Snapshot
from agent.shared import FENCE, Page
with Page.attach_writer(int(sys.argv[1])) as page:
    words, snapshot = page.words, Snapshot(page.words[:1], FENCE)
    value = 0
    while words[40] == 0:
        value += 1
        snapshot.begin()
        for place in range(1, 32):
            words[place] = value
        snapshot.end()
"""


def test_whole_copies_of_another_process_agree_with_themselves():
    with Page.create("snapshot", 41) as page, Page.attach_reader(page.fd) as seen:
        reader = SnapshotReader(seen.words[:1], FENCE)
        whole, latest = 0, 0
        with subprocess.Popen([sys.executable, "-c", WRITE, str(page.fd)], pass_fds=[page.fd]) as process:
            while whole < 2_000 or latest == 0:
                copy = reader.copy(seen.words[1:32], tries=10)
                if copy.whole:
                    whole += 1
                    assert len(set(copy.words)) == 1
                    assert copy.words[0] >= latest
                    latest = copy.words[0]
                assert process.poll() is None
            page.words[40] = 1
        assert process.returncode == 0
