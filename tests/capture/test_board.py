"""The layout of the shared page."""

import itertools

import pytest

from agent.capture.board import Board, Head, Of, PageForeign
from agent.schedule.account import PLAN_WORDS
from agent.schedule.histogram import Histogram


def words_for(cameras, capacity):
    return memoryview(bytearray(8 * Board.words_for(cameras, capacity))).cast("q")


@pytest.mark.parametrize(("cameras", "capacity"), [(1, 1), (3, 16), (8, 1000)])
def test_nothing_overlaps_and_nothing_is_beyond_the_end(cameras, capacity):
    words = words_for(cameras, capacity)
    board = Board.create(words, cameras, capacity)
    parts = [words[: len(Head)], *board.all_cameras(), board.lateness.words, board.plans, board.ring]
    assert [len(part) for part in parts[-3:-1]] == [Histogram.WORDS, capacity * PLAN_WORDS]
    before = words.tolist()
    for number, part in enumerate(parts[1:], start=1):
        for place in range(len(part)):
            part[place] = number
    for number, part in enumerate(parts[1:], start=1):
        assert set(part.tolist()) == {number}
    assert words[: len(Head)].tolist() == before[: len(Head)]


def test_another_process_finds_the_same_layout():
    words = words_for(2, 4)
    written = Board.create(words, 2, 4)
    written.camera(1)[Of.FRAMES] = 7
    read = Board(words.toreadonly())
    assert (read.cameras, read.capacity, read.camera(1)[Of.FRAMES]) == (2, 4, 7)


def test_a_foreign_or_short_page_is_refused():
    words = words_for(1, 4)
    with pytest.raises(PageForeign, match="not laid out by this version"):
        Board(words)
    Board.create(words, 1, 4)
    with pytest.raises(PageForeign, match="cut short"):
        Board(words[:-1])
    with pytest.raises(PageForeign):
        Board(words[:3])


def test_words_do_not_share_a_place():
    for kind, room in ((Head, 32), (Of, 40)):
        assert all(one != other for one, other in itertools.combinations(map(int, kind.__members__.values()), 2))
        assert max(kind) < room


def test_release_lets_the_page_go():
    raw = bytearray(8 * Board.words_for(1, 4))
    words = memoryview(raw).cast("q")
    board = Board.create(words, 1, 4)
    board.release()
    words.release()
    raw.clear()
