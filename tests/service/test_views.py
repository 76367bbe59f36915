"""Who looks at a camera, and the processes that make pictures for them."""

import asyncio
import errno
from dataclasses import replace

import pytest
from control.pretend import picture
from service.played_viewer import in_gallery

from agent.control.errors import Overloaded
from agent.control.picture import Look, Picture
from agent.errors import AgentError
from agent.service import view as bounds
from agent.service.viewer_child import SILENT_NS, START_NS
from agent.units import NS_PER_S
from agent.viewing.errors import SizeUnsupported, ViewerFailed
from agent.viewing.packets import Drop, Made, Refused, Seen, Show, Take

SMALL, LARGE = Look(width_px=32), Look()
ERROR = {"code": "size_unsupported", "message": "too large", "hint": "smaller", "details": {"most_width_px": 3}}


def taking(gallery, look=SMALL, after_ns=5, timeout_ns=NS_PER_S * 10):
    return asyncio.ensure_future(gallery.views.take("top", look, after_ns, timeout_ns))


def test_one_viewer_serves_all_who_look_each_look_once_at_the_highest_rate():
    async def scene(gallery):
        slow, fast, other = (gallery.views.follow("top", *one) for one in ((SMALL, 5), (SMALL, 30), (LARGE, 2)))
        assert [one.camera for one in gallery.viewers] == ["top"]
        orders = gallery.viewer.orders()
        assert {(look, rate) for look, rate in orders[-1].wanted.values()} == {(SMALL, 30), (LARGE, 2)}
        keys = gallery.viewer.shown(orders)
        gallery.viewer.show(keys[SMALL], 1)
        assert (await anext(slow)) is (await anext(fast))
        gallery.viewer.show(keys[LARGE], 2)
        assert (await anext(other)).facts.sequence == 2
        assert gallery.viewer.orders() == [Seen(keys[SMALL]), Seen(keys[LARGE])]
        await fast.aclose()
        assert gallery.viewer.orders()[-1].wanted[keys[SMALL]] == (SMALL, 5)

    in_gallery(scene)


def test_each_has_no_more_than_its_own_rate_and_the_newest():
    async def scene(gallery):
        slow, fast = gallery.views.follow("top", SMALL, 1), gallery.views.follow("top", SMALL, 240)
        key = gallery.viewer.shown(gallery.viewer.orders())[SMALL]
        for number in range(4):
            made = picture(number)
            facts = replace(made.facts, timestamp_ns=number * NS_PER_S // 5)
            gallery.viewer.say(Made(Picture(made.data, facts), key, ()))
        await gallery.until(lambda: fast.skipped == 3)
        assert (await anext(slow)).facts.sequence == 0
        assert slow.skipped == 0
        assert (await anext(fast)).facts.sequence == 3

    in_gallery(scene)


def test_a_picture_is_taken_and_who_waits_in_vain_or_goes_is_forgotten():
    async def scene(gallery):
        first, second = taking(gallery), taking(gallery, LARGE)
        await gallery.until(lambda: gallery.viewers)
        await asyncio.sleep(0)
        one, two = gallery.viewer.takes(gallery.viewer.orders())
        assert (one, two) == (Take(one.id, SMALL, 5), Take(two.id, LARGE, 5))
        gallery.viewer.say(Made(picture(3), None, (one.id,)))
        assert (await first).facts.sequence == 3
        second.cancel()
        await asyncio.wait((second,))
        assert gallery.viewer.orders() == [Drop(two.id)]
        assert await gallery.views.take("top", SMALL, 5, 1) is None

    in_gallery(scene)


def test_what_the_viewer_refuses_is_told_in_our_own_words():
    async def scene(gallery):
        waiting = taking(gallery)
        feed, other = gallery.views.follow("top", SMALL, 1), gallery.views.follow("top", LARGE, 1)
        await asyncio.sleep(0)
        orders = gallery.viewer.orders()
        (take,) = gallery.viewer.takes(orders)
        gallery.viewer.say(Refused(ERROR, gallery.viewer.shown(orders)[SMALL], (take.id,)))
        with pytest.raises(SizeUnsupported) as refused:
            await waiting
        assert refused.value.details == {"most_width_px": 3}
        with pytest.raises(SizeUnsupported):
            await feed.begun(10)
        assert [one async for one in feed] == []
        assert set(gallery.viewer.shown(gallery.viewer.orders())) == {LARGE}
        gallery.viewer.say(Refused({**ERROR, "code": "unheard_of"}, gallery.viewer.shown(orders).get(LARGE), ()))
        with pytest.raises(AgentError) as refused:
            await other.begun(10)
        assert refused.value.code == "unheard_of"

    in_gallery(scene)


def test_a_viewer_that_dies_is_replaced_and_its_onlookers_go_on():
    async def scene(gallery):
        feed = gallery.views.follow("top", SMALL, 1)
        waiting = taking(gallery)
        await asyncio.sleep(0)
        first = gallery.viewer
        first.orders()
        first.die("was ended by SIGSEGV")
        await gallery.until(lambda: gallery.told)
        assert gallery.told[0][0] == "viewer.died"
        assert "SIGSEGV" in gallery.told[0][1]["message"]
        assert gallery.viewers == [first]  # not at once
        gallery.pass_(NS_PER_S)
        assert len(gallery.viewers) == 2
        orders = gallery.viewer.orders()
        (take,) = gallery.viewer.takes(orders)
        gallery.viewer.say(Made(picture(8), gallery.viewer.shown(orders)[SMALL], (take.id,)))
        assert (await anext(feed)).facts.sequence == 8
        assert (await waiting).facts.sequence == 8

    in_gallery(scene)


def test_after_three_deaths_in_a_row_all_are_told():
    async def scene(gallery):
        feed = gallery.views.follow("top", SMALL, 1)
        waiting = taking(gallery)
        await asyncio.sleep(0)
        for count in range(1, 4):
            gallery.viewer.die("ended with status 1")
            await gallery.until(lambda count=count: len(gallery.told) == count)
            gallery.pass_(10 * NS_PER_S)
        with pytest.raises(ViewerFailed):
            await waiting
        assert [one async for one in feed] == []
        assert len(gallery.viewers) == 3

    in_gallery(scene)


def test_deaths_with_a_picture_between_them_are_not_in_a_row():
    async def scene(gallery):
        feed = gallery.views.follow("top", SMALL, 1)
        for count in range(1, 5):
            orders = gallery.viewer.orders()
            if count == 3:
                gallery.viewer.show(gallery.viewer.shown(orders)[SMALL], 1)
                await anext(feed)
            gallery.viewer.die("ended with status 1")
            await gallery.until(lambda count=count: len(gallery.told) == count)
            gallery.pass_(10 * NS_PER_S)
        assert len(gallery.viewers) == 5
        assert gallery.views.onlookers == 1

    in_gallery(scene)


@pytest.mark.parametrize(("spoke", "limit_ns"), [(False, START_NS), (True, SILENT_NS)])
def test_a_viewer_that_is_silent_is_killed_and_replaced(spoke, limit_ns):
    async def scene(gallery):
        feed = gallery.views.follow("top", SMALL, 1)
        first = gallery.viewer
        if spoke:
            first.alive()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        gallery.pass_(limit_ns)
        assert not first.killed
        gallery.pass_(1)
        assert first.killed
        await gallery.until(lambda: gallery.told)
        gallery.pass_(NS_PER_S)
        assert len(gallery.viewers) == 2
        await feed.aclose()

    in_gallery(scene)


def test_a_viewer_that_talks_nonsense_is_killed():
    async def scene(gallery):
        feed = gallery.views.follow("top", SMALL, 1)
        first = gallery.viewer
        first._theirs.send(b"{")
        await gallery.until(lambda: gallery.told)
        assert first.killed
        assert "nobody understands" in gallery.told[0][1]["message"]
        await feed.aclose()

    in_gallery(scene)


def test_a_viewer_that_does_not_read_its_orders_is_killed_and_nobody_waits_for_it():
    async def scene(gallery):
        feed = gallery.views.follow("top", SMALL, 1)
        first = gallery.viewer
        while not first.killed:
            other = gallery.views.follow("top", LARGE, 1)
            await other.aclose()
        await gallery.until(lambda: gallery.told)
        await feed.aclose()

    in_gallery(scene)


def test_a_viewer_stays_a_moment_after_the_last_went_and_then_ends():
    async def scene(gallery):
        feed = gallery.views.follow("top", SMALL, 1)
        gallery.viewer.alive()
        await feed.aclose()
        gallery.pass_(bounds.LINGER_NS - 1)
        feed = gallery.views.follow("top", SMALL, 1)  # back in time: the same viewer
        gallery.viewer.alive()
        await asyncio.sleep(0)
        await feed.aclose()
        gallery.pass_(bounds.LINGER_NS - 1)
        assert len(gallery.viewers) == 1
        assert isinstance(gallery.viewer.orders()[-1], Show)
        gallery.pass_(1)
        gallery.viewer.orders()  # the end of its channel
        await gallery.until(lambda: gallery.viewer.ended)
        assert not gallery.viewer.killed
        await gallery.until(lambda: gallery.viewer.pidfd < 0)
        gallery.pass_(1)
        assert not gallery.views._views
        assert not gallery.told

    in_gallery(scene)


def test_a_viewer_that_does_not_end_is_killed():
    async def scene(gallery):
        await gallery.views.follow("top", SMALL, 1).aclose()
        gallery.pass_(bounds.LINGER_NS)
        assert not gallery.viewer.killed
        gallery.pass_(SILENT_NS + 1)
        assert gallery.viewer.killed
        await gallery.until(lambda: gallery.viewer.pidfd < 0)

    in_gallery(scene)


def test_all_is_bounded():
    async def scene(gallery):
        for _ in range(bounds.ONLOOKERS):
            gallery.views.follow("top", SMALL, 1)
        with pytest.raises(Overloaded):
            gallery.views.follow("top", SMALL, 1)
        for number in range(bounds.LOOKS):
            gallery.views.follow("side", Look(quality=number + 1), 1)
        with pytest.raises(Overloaded):
            gallery.views.follow("side", LARGE, 1)
        gallery.views.follow("side", Look(quality=1), 1)
        waiting = [taking(gallery) for _ in range(bounds.WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await gallery.views.take("top", SMALL, 1, 1)
        for number in range(64 - gallery.views.onlookers):
            gallery.views.follow(f"c{number // bounds.ONLOOKERS}", SMALL, 1)
        with pytest.raises(Overloaded):
            gallery.views.follow("another", SMALL, 1)
        assert gallery.views.onlookers == 64
        gallery.views.end()
        await asyncio.wait(waiting)

    in_gallery(scene)


def test_a_viewer_that_cannot_be_started_is_an_error_at_once():
    async def scene(gallery):
        gallery.fails = OSError(errno.EAGAIN, "no more")
        with pytest.raises(ViewerFailed):
            gallery.views.follow("top", SMALL, 1)
        with pytest.raises(ViewerFailed):
            await gallery.views.take("top", SMALL, 1, NS_PER_S)
        assert gallery.views.onlookers == 0

    in_gallery(scene)


def test_the_end_of_the_agent_ends_all():
    async def scene(gallery):
        feed, waiting = gallery.views.follow("top", SMALL, 1), taking(gallery)
        await asyncio.sleep(0)
        gallery.views.end()
        assert [one async for one in feed] == []
        with pytest.raises(asyncio.CancelledError):
            await waiting

    in_gallery(scene)
