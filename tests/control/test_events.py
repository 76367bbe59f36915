"""Events: bounded for each subscriber, losses told, and the stream that carries them."""

import asyncio

import pytest
from control.desk import silent
from hypothesis import given
from hypothesis import strategies as st

from agent.control.broadcast import Broadcast
from agent.control.errors import Overloaded


async def taken(subscription, count):
    return [await anext(subscription) for _ in range(count)]


@given(
    capacity=st.integers(1, 5),
    remembered=st.integers(1, 8),
    before=st.integers(0, 12),
    after=st.none() | st.integers(0, 15),
    steps=st.lists(st.integers(0, 4), max_size=8),
)
def test_every_event_is_read_or_counted_as_lost(capacity, remembered, before, after, steps):
    """Each step publishes so many and then reads one, if there is one; ids seen and lost account for all."""

    async def scenario():
        broadcast = Broadcast(capacity=capacity, remembered=remembered)
        for _ in range(before):
            broadcast.publish("a", 1, {})
        subscription = broadcast.events(after)
        last = before
        seen = []
        for count in steps:
            for _ in range(count):
                last = broadcast.publish("a", 2, {}).id
            if subscription._waiting:
                seen.append(await anext(subscription))
        broadcast.end()
        seen += [event async for event in subscription]
        return last, seen

    last, seen = asyncio.run(scenario())
    ids = [event.id for event in seen if event.kind != "lost"]
    lost = sum(event.data["count"] for event in seen if event.kind == "lost")
    first = before if after is None else min(after, before)
    if after is not None and after > before:  # from another agent's life: all that is remembered is news
        first = before - min(remembered, before)
    assert ids == sorted(set(ids))
    if ids:
        assert ids[-1] == last
        assert len(ids) + lost == last - first


def test_a_subscriber_listens_from_its_call_on_and_leaves_nothing():
    async def scenario():
        broadcast = Broadcast()
        subscription = broadcast.events()
        broadcast.publish("a", 1, {})
        assert (await anext(subscription)).kind == "a"
        assert broadcast.subscribers == 1
        await subscription.aclose()
        await subscription.aclose()
        assert broadcast.subscribers == 0
        assert [event async for event in subscription] == []

    asyncio.run(scenario())


def test_one_who_is_always_too_slow_still_reads_events():
    async def scenario():
        broadcast = Broadcast(capacity=2)
        subscription = broadcast.events()
        kinds = []
        for _ in range(6):
            for _ in range(5):
                broadcast.publish("a", 1, {})
            kinds.append((await anext(subscription)).kind)
        return kinds

    assert asyncio.run(scenario()) == ["lost", "a"] * 3


def test_subscribers_are_bounded():
    async def scenario():
        broadcast = Broadcast(subscribers=1)
        first = broadcast.events()
        with pytest.raises(Overloaded):
            broadcast.events()
        await first.aclose()
        await broadcast.events().aclose()

    asyncio.run(scenario())


def test_a_stream_of_events(with_desk):
    async def scenario(desk):
        desk.agent.broadcast.publish("early", 1, {})
        client = await desk.connect()
        client.send("GET", "/v1/events")
        reply = await client.reply()
        assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream")
        await desk.until(lambda: desk.agent.broadcast.subscribers)
        desk.agent.broadcast.publish("camera.changed", 5, {"camera": "top"})
        assert await client.event() == {"id": 2, "kind": "camera.changed", "at_ns": 5, "data": {"camera": "top"}}
        await client.close()
        await desk.until(lambda: not desk.agent.broadcast.subscribers)

    with_desk(scenario)


@pytest.mark.parametrize("how", ["query", "header"])
def test_a_stream_goes_on_where_it_was_left(with_desk, how):
    async def scenario(desk):
        for number in range(3):
            desk.agent.broadcast.publish(f"k{number}", number, {})
        client = await desk.connect()
        if how == "query":
            client.send("GET", "/v1/events?after=1")
        else:
            client.send("GET", "/v1/events", last_event_id="1")
        assert (await client.reply()).status == 200
        assert [(await client.event())["kind"] for _ in range(2)] == ["k1", "k2"]
        await client.close()

    with_desk(scenario)


def test_a_last_event_id_that_is_none_is_refused(with_desk):
    async def scenario(desk):
        return (await desk.ask("GET", "/v1/events", last_event_id="abc")).status

    assert with_desk(scenario) == 422


def test_a_subscriber_that_never_reads_loses_events_and_holds_nothing_up(with_desk):
    async def scenario(desk):
        client = silent(desk.path)
        client.send(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n")
        await desk.until(lambda: desk.agent.broadcast.subscribers)
        for _ in range(200):
            desk.agent.broadcast.publish("big", 1, {"text": "x" * 10_000})
            await asyncio.sleep(0)
        assert (await desk.ask("GET", "/v1/health")).status == 200
        (subscription,) = desk.agent.broadcast._subscribers
        lost = subscription.lost
        client.close()
        await desk.until(lambda: not desk.server.connections)
        return lost

    assert with_desk(scenario) > 0


def test_the_stream_ends_when_the_agent_does(with_desk):
    async def scenario(desk):
        client = await desk.connect()
        client.send("GET", "/v1/events")
        await client.reply()
        await desk.until(lambda: desk.agent.broadcast.subscribers)
        desk.agent.broadcast.end()
        await client.reader.readuntil(b"\r\n0\r\n\r\n")
        assert (await client.ask("GET", "/v1/health")).status == 200
        await client.close()

    with_desk(scenario)
