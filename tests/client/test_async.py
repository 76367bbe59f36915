"""The same for coroutines: all but the waiting is shared, so this is about waiting."""

import asyncio

import pytest

from agent.client import AgentUnreachable, Ended, NoFrame, Refused, Revoked, connect_async
from agent.client.async_feed import AsyncFeed
from agent.client.feed import Feed
from agent.client.subscription import Subscription


def opened(door, **options):
    feed = connect_async("top", socket=door.path, **{"timeout_s": 10, **options})
    return feed, door.accept()


def test_both_kinds_share_everything_but_the_waiting():
    assert issubclass(Feed, Subscription)
    assert issubclass(AsyncFeed, Subscription)
    own = {name for name in vars(AsyncFeed) if not name.startswith("__")}
    assert own == {"next", "latest", "_wait_for"} == {name for name in vars(Feed) if not name.startswith("__")}


def test_frames_come_while_other_tasks_run(door):
    async def program():
        feed, lender = opened(door, reconnect=False)
        pool = lender.pool()
        seen = []

        async def camera():
            for number in range(20):
                lender.lend(pool, number % 4)
                await asyncio.sleep(0)
            lender.die()

        async with feed:
            task = asyncio.create_task(camera())
            async for frame in feed:
                with frame:
                    seen.append((frame.lease, frame.image.shape))
            await task
        return seen

    assert asyncio.run(program()) == [(lease, (32, 64)) for lease in range(1, 21)]


def test_a_frame_goes_back_when_the_next_is_taken_and_the_rest_at_the_end(door):
    async def program():
        feed, lender = opened(door, most=2)
        async with feed:
            pool = lender.pool()
            leases = [lender.lend(pool, index) for index in (0, 1)]
            await feed.next()
            second = await feed.next()
            assert lender.returned() == leases[:1]
            pool.revoke(1)
            with pytest.raises(Revoked):
                second.check()
        assert lender.returned() == ["end"]

    asyncio.run(program())


def test_it_waits_for_a_frame_that_comes_later(door):
    async def program():
        feed, lender = opened(door)
        async with feed:
            pool = lender.pool()
            waiting = asyncio.create_task(feed.next())
            await asyncio.sleep(0)  # it is waiting now
            lease = lender.lend(pool)
            assert (await waiting).lease == lease
            latest = asyncio.create_task(feed.latest())
            await asyncio.sleep(0)
            leases = [lender.lend(pool, index) for index in (1, 2)]
            assert (await latest).lease == leases[1]

    asyncio.run(program())


def test_no_frame_in_time(door):
    async def program():
        feed, _ = opened(door)
        async with feed:
            with pytest.raises(NoFrame):
                await feed.next(timeout_s=0.01)
            with pytest.raises(NoFrame):
                await feed.latest(timeout_s=0)

    asyncio.run(program())


def test_a_cancelled_wait_leaves_no_reader_and_loses_no_frame(door):
    async def program():
        feed, lender = opened(door)
        async with feed:
            pool = lender.pool()
            with pytest.raises(NoFrame):
                await feed.next(timeout_s=0)
            fd = feed._link.fileno()
            waiting = asyncio.create_task(feed.next())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert asyncio.get_running_loop().remove_reader(fd) is False
            lease = lender.lend(pool)
            assert (await feed.next()).lease == lease

    asyncio.run(program())


def test_it_is_connected_again(door):
    async def program():
        feed, lender = opened(door)
        async with feed:
            waiting = asyncio.create_task(feed.next())
            await asyncio.sleep(0)
            lender.die()
            while (successor := accepted(door)) is None:
                await asyncio.sleep(0.001)
            lease = successor.lend(successor.pool())
            assert (await waiting).lease == lease
            assert feed.reconnects == 1

    asyncio.run(program())


def accepted(door):
    try:
        return door.accept()
    except BlockingIOError:
        return None


def test_ends_and_refusals(door, tmp_path):
    async def program():
        feed, lender = opened(door, reconnect=False)
        async with feed:
            lender.die()
            assert [frame async for frame in feed] == []
        feed, lender = opened(door, reconnect=False)
        async with feed:
            lender.die()
            with pytest.raises(Ended):
                await feed.next()
        feed, lender = opened(door)
        async with feed:
            lender.refuse("plan_unknown")
            with pytest.raises(Refused):
                await feed.next()
        with pytest.raises(AgentUnreachable):
            connect_async("top", socket=tmp_path / "none")

    asyncio.run(program())


def test_arguments_are_those_of_the_other():
    import inspect

    from agent.client import connect

    assert inspect.signature(connect).parameters == inspect.signature(connect_async).parameters
