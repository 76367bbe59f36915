"""The viewer's work, turn by turn: each look once, at its rate, and for who waits the frame that is late enough."""

import pytest
from viewing.frames import MS, Bench, LentFrame

from agent.control.picture import Look
from agent.errors import InputError
from agent.viewing.packets import Alive, Drop, Made, Refused, Seen, Show, Take

SMALL = Look(width_px=32)


@pytest.fixture
def bench():
    with Bench() as made:
        yield made


def sequences(told, key=None):
    return [one.picture.facts.sequence for one in told if isinstance(one, Made) and key in (None, one.key)]


def test_nothing_is_subscribed_to_while_nobody_looks(bench):
    assert bench.viewer.turn()
    assert not bench.frames.opened
    bench.say(Show({1: (SMALL, 30)}))
    bench.turns(LentFrame(1))
    assert bench.frames.opened == 1
    bench.say(Show({}))
    bench.viewer.turn()
    bench.viewer.turn()
    assert bench.frames.released == 1


def test_each_look_is_made_once_for_all(bench):
    bench.say(Show({1: (SMALL, 30)}), Take(5, SMALL, 0), Take(6, SMALL, 0), Take(7, Look(), 0))
    bench.turns(LentFrame(1))
    told = bench.heard()
    assert {(one.key, one.ids) for one in told} == {(1, (5, 6)), (None, (7,))}
    bench.turns(LentFrame(2, at_ns=10**10))
    assert not bench.heard()  # number 1 is not read yet, all others have theirs
    bench.say(Seen(1))
    bench.turns(LentFrame(3, at_ns=10**10 + 1))
    assert sequences(bench.heard()) == [3]


def test_a_look_is_shown_at_its_rate(bench):
    bench.say(Show({1: (SMALL, 10)}))
    for number in range(30):
        bench.turns(LentFrame(number))
        bench.say(Seen(1))
    assert 9 <= len(sequences(bench.heard())) <= 11


def test_who_waits_gets_a_frame_whose_exposure_began_late_enough(bench):
    bench.say(Take(1, SMALL, 1000 * MS))
    bench.turns(LentFrame(1, at_ns=1007 * MS))  # it began at 999 ms
    assert not bench.heard()
    bench.turns(LentFrame(2, at_ns=1008 * MS))
    (made,) = bench.heard()
    assert made.picture.facts.sequence == 2
    facts = made.picture.facts
    assert (facts.camera, facts.began_ns, facts.exposure_ns, facts.trace_ids) == ("top", 1000 * MS, 8 * MS, ("ab",))
    assert (facts.width_px, facts.height_px) == (32, 24)


def test_where_nobody_knows_when_a_frame_began_it_was_not_before_the_stamp_of_the_last(bench):
    bench.say(Take(1, SMALL, 1000 * MS))
    bench.turns(LentFrame(1, at_ns=1001 * MS, began=False), LentFrame(2, at_ns=1034 * MS, began=False))
    (made,) = bench.heard()
    assert made.picture.facts.sequence == 2
    assert made.picture.facts.began_ns is None


def test_who_asked_while_the_frame_came_may_have_it(bench):
    frame = LentFrame(1, at_ns=10**9)

    def next_(wait_ns):
        bench.say(Take(2, Look(), 0))
        return frame

    bench.say(Take(1, SMALL, 2 * 10**9))
    bench.frames.next = next_
    bench.viewer.turn()
    assert [one.ids for one in bench.heard()] == [(2,)]


def test_a_frame_that_was_taken_back_is_nobodys(bench):
    bench.say(Take(1, SMALL, 0), Show({1: (SMALL, 30)}))
    bench.turns(LentFrame(1, revoked=True), LentFrame(2))
    assert sequences(bench.heard()) == [2]


def test_a_picture_that_the_camera_does_not_have_is_refused_once(bench):
    bench.say(Take(1, Look(width_px=9999), 0), Show({3: (Look(height_px=9999), 30), 4: (SMALL, 30)}))
    bench.turns(LentFrame(1), LentFrame(2))
    told = bench.heard()
    refused = [one for one in told if isinstance(one, Refused)]
    assert {(one.key, one.ids) for one in refused} == {(None, (1,)), (3, ())}
    assert {one.error["code"] for one in refused} == {"size_unsupported"}
    assert refused[0].error["details"]["most_width_px"] == 320
    assert sequences(told, 4) == [1]


def test_without_frames_everybody_hears_why(bench):
    bench.say(Take(1, SMALL, 0), Show({3: (SMALL, 30)}))
    bench.turns(InputError("no such camera", hint="look"))
    assert {(one.key, one.ids, one.error["message"]) for one in bench.heard()} == {
        (3, (), "no such camera"),
        (None, (1,), "no such camera"),
    }


def test_what_is_dropped_is_not_made(bench):
    bench.say(Take(1, SMALL, 0), Drop(1), Take(2, Look(), 0))
    bench.turns(LentFrame(1))
    assert [one.ids for one in bench.heard()] == [(2,)]


def test_the_cameras_jpeg_does_not_lie_in_its_memory(bench):
    bench.say(Take(1, Look(), 0))
    lent = LentFrame(1, code="MJPG")
    content = lent.frame.planes[0].tobytes()
    bench.turns(lent)
    assert bench.heard()[0].picture.data == content
    assert lent.entered == 1
    bench.turns(LentFrame(2))


def test_it_says_that_it_lives(bench):
    bench.say(Show({1: (SMALL, 1)}))
    bench.turns(LentFrame(1))
    bench.heard()
    bench.clock.now_ns = 600 * MS
    bench.turns(LentFrame(2))
    assert bench.heard() == [Alive(2)]


def test_when_the_agent_has_gone_it_ends(bench):
    bench.say(Show({1: (SMALL, 1)}))
    bench.turns(LentFrame(1))
    bench.channel.close()
    bench.viewer.run()
    assert bench.frames.released == 1
