"""What a client gets: the frame as it was lent, for as long as it is lent, and not one moment longer."""

import threading
import time

import numpy as np
import pytest
from frames.pools import FACTS, GREY, open_descriptors

from agent.client import GivenBack, InputError, NoFrame, Revoked
from agent.frames.values import PoolFormat, Target
from agent.frames.wire import TRACE_BYTES
from agent.pipeline.lent import frame_of

YUYV = PoolFormat("YUYV", 32, 32, ((64, 2048),))


def test_a_frame_arrives_as_it_is(door):
    feed, lender = door.serve()
    with feed:
        pool = lender.pool()
        pool.planes[2][0][:] = np.arange(2048) % 251
        facts = FACTS._replace(began_ns=4_990_000_000, pulse=17)
        lender.lend(pool, 2, facts=facts, skipped=3, traces=bytes(range(2 * TRACE_BYTES)))
        frame = feed.next()
        assert (frame.camera, frame.form, frame.facts) == ("top", GREY, facts)
        assert (frame.sequence, frame.timestamp_ns, frame.realtime_ns) == (*facts[:2], facts.realtime_ns)
        assert (frame.began_ns, frame.exposure_ns, frame.gain, frame.pulse) == (4_990_000_000, 8_000_000, None, 17)
        assert (frame.pixel_format, frame.width_px, frame.height_px) == ("GREY", 64, 32)
        assert frame.skipped == 3
        assert frame.trace_ids == (bytes(range(16)).hex(), bytes(range(16, 32)).hex())
        assert frame.image.tolist() == pool.planes[2][0].reshape(32, 64).tolist()
        assert "4711" in repr(frame)
        captured = frame_of(frame)  # as encoders take it
        assert (captured.index, str(captured.format), captured.sequence) == (2, "GREY 64x32", 4711)
        assert captured.planes[0].tolist() == pool.planes[2][0].tolist()


def test_what_is_asked_for_is_what_is_sent(door):
    with door.connect("pair", kind="group", every=True, after_ns=5, most=3, depth=7, lease_s=0.25):
        asked = door.accept().subscribe
    assert asked == (Target.GROUP, "pair", True, 5, 250_000_000, 3, 7)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "lens"},
        {"most": 0},
        {"most": 65},
        {"depth": 0},
        {"depth": 1025},
        {"lease_s": 0},
        {"lease_s": 10.5},
        {"lease_s": -1},
        {"after_ns": -1},
        {"after_ns": 1 << 63},
        {"target": ""},
        {"target": "a\0b"},
        {"target": "ä" * 128},
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(door, wrong):
    with pytest.raises(InputError) as caught:
        door.connect(wrong.pop("target", "top"), **wrong)
    assert caught.value.details["allowed"]
    assert caught.value.hint


def test_a_frame_goes_back_when_the_next_is_taken(door):
    feed, lender = door.serve()
    with feed:
        pool = lender.pool()
        leases = [lender.lend(pool, index) for index in (0, 1)]
        first = feed.next()
        assert lender.returned() == []
        second = next(feed)
        assert lender.returned() == [leases[0]]
        with pytest.raises(GivenBack) as caught:
            _ = first.image
        assert caught.value.code == "given_back"
        second.release()
        second.release()
        assert lender.returned() == [leases[1]], "once"


def test_leaving_with_gives_it_back(door):
    feed, lender = door.serve()
    with feed:
        pool = lender.pool()
        lease = lender.lend(pool)
        with feed.next() as frame:
            assert frame.planes[0].size == 2048
            assert lender.returned() == []
        assert lender.returned() == [lease]
        assert not frame.revoked


def test_leaving_the_feed_gives_everything_back(door):
    before = open_descriptors()
    feed, lender = door.serve(most=3)
    with feed:
        pool = lender.pool()
        for index in range(3):
            lender.lend(pool, index)
            feed.next().keep()
    assert lender.returned() == ["end"]
    feed.release()
    lender.release()
    assert open_descriptors() == before


def test_kept_frames_stay_until_they_are_released_by_any_thread(door):
    feed, lender = door.serve(most=3)
    with feed:
        pool = lender.pool()
        leases = [lender.lend(pool, index) for index in range(3)]
        kept = [feed.next().keep() for _ in range(3)]
        assert lender.returned() == []
        threads = [threading.Thread(target=frame.release) for frame in kept for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(lender.returned()) == leases


def test_a_lease_lost_while_reading_is_told_on_leaving(door):
    feed, lender = door.serve()
    with feed:
        pool = lender.pool()
        lease = lender.lend(pool)
        with pytest.raises(Revoked) as caught, feed.next() as frame:  # noqa: PT012
            total = frame.image.sum()
            pool.revoke()
        assert total == 0
        assert caught.value.details["sequence"] == FACTS.sequence
        assert lender.returned() == [lease], "it is answered for all the same"
        assert frame.revoked


def test_an_error_of_the_readers_own_is_not_hidden(door):
    feed, lender = door.serve()
    with feed:
        pool = lender.pool()
        lease = lender.lend(pool)
        with pytest.raises(ZeroDivisionError), feed.next():  # noqa: PT012
            pool.revoke()
            _ = 1 / 0
        assert lender.returned() == [lease]


@pytest.mark.parametrize("use", ["image", "planes", "bgr", "with", "check"])
def test_a_lost_frame_cannot_be_used(door, use):
    feed, lender = door.serve()
    with feed:
        pool = lender.pool()
        lender.lend(pool)
        frame = feed.next()
        pool.revoke()
        with pytest.raises(Revoked):
            _use(frame, use)


def _use(frame, use):
    if use == "with":
        with frame:
            pytest.fail("entered")
    found = getattr(frame, use)
    if callable(found):
        found()


def test_a_conversion_that_lost_its_lease_meanwhile_is_no_picture(door, monkeypatch):
    feed, lender = door.serve()
    with feed:
        pool = lender.pool(form=YUYV)
        lender.lend(pool)
        frame = feed.next()
        # a colour conversion takes its time; here it ends with the revocation
        from agent.client import conversions

        def revoked_meanwhile(frame, levels):
            pool.revoke()
            return np.zeros(1)

        monkeypatch.setitem(conversions.CONVERSIONS, "bgr", revoked_meanwhile)
        with pytest.raises(Revoked):
            frame.bgr()


def test_a_frame_revoked_on_its_way_is_thrown_away_and_counted(door):
    feed, lender = door.serve()
    with feed:
        pool = lender.pool()
        leases = [lender.lend(pool, 0, skipped=2), lender.lend(pool, 1), lender.lend(pool, 2, skipped=4)]
        pool.revoke(0)
        pool.revoke(1)
        frame = feed.next()
        assert frame.lease == leases[2]
        assert frame.skipped == 2 + 1 + 1 + 4, "what was revoked did not get here either"
        assert lender.returned() == leases[:2]
        lender.lend(pool, 0)
        assert feed.next().skipped == 0


def test_a_buffer_lent_anew_is_not_the_old_frame(door):
    feed, lender = door.serve(most=2)
    with feed:
        pool = lender.pool()
        lender.lend(pool)
        old = feed.next().keep()
        pool.revoke()
        lender.lend(pool)
        new = feed.next()
        assert old.revoked
        assert not new.revoked
        with pytest.raises(Revoked):
            old.check()
        new.check()


def test_the_latest_is_the_newest_that_is_here(door):
    feed, lender = door.serve(most=3)
    with feed:
        pool = lender.pool()
        leases = [lender.lend(pool, index, skipped=index) for index in range(3)]
        frame = feed.latest()
        assert frame.lease == leases[2]
        assert frame.skipped == 0 + 1 + 1 + 1 + 2
        assert lender.returned() == leases[:2]
        assert not frame.revoked
        last = lender.lend(pool)
        assert feed.latest().lease == last
        assert lender.returned() == [leases[2]]


def test_the_latest_is_not_too_old(door):
    feed, lender = door.serve(most=2)
    with feed:
        pool = lender.pool()
        now_ns = time.monotonic_ns()
        old = lender.lend(pool, 0, facts=FACTS._replace(timestamp_ns=now_ns - 500_000_000), skipped=1)
        with pytest.raises(NoFrame):
            feed.latest(timeout_s=0, max_age_s=0.4)
        assert lender.returned() == [old]
        new = lender.lend(pool, 1, facts=FACTS._replace(timestamp_ns=now_ns), skipped=1)
        frame = feed.latest(max_age_s=60)
        assert (frame.lease, frame.skipped) == (new, 3)
        frame.release()
        lender.returned()
        lender.lend(pool, 0, facts=FACTS._replace(timestamp_ns=now_ns - 500_000_000))
        assert feed.latest().lease == 3, "of any age, when none is asked for"


def test_unknown_conversions_and_levels_name_what_is_allowed(door):
    feed, lender = door.serve()
    with feed:
        lender.lend(lender.pool(form=YUYV))
        frame = feed.next()
        with pytest.raises(InputError, match="'cmyk' is no conversion") as caught:
            frame.to("cmyk")
        assert caught.value.details == {"asked": "cmyk", "allowed": "bgr, rgb, luma, samples"}
        assert caught.value.code == "bad_input"
        with pytest.raises(InputError) as caught:
            frame.bgr("loud")
        assert "limited, full" in caught.value.hint
