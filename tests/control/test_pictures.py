"""Pictures over HTTP: one of them, and a stream that slow clients see less of."""

import asyncio

import pytest
from control.pretend import PretendAgent, picture
from hypothesis import given
from hypothesis import strategies as st

from agent.control.picture import Look, Picture
from agent.control.routes import BOUNDARY, Call
from agent.control.streaming import give, part_of, show


async def chunk(reader):
    """One piece of a chunked answer; None at its end."""
    size = int((await reader.readuntil(b"\r\n")).strip(), 16)
    data = (await reader.readexactly(size + 2))[:-2]
    return data if size else None


async def head_of(client):
    head = (await client.reader.readuntil(b"\r\n\r\n")).decode().lower()
    first, *lines = head.split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines if line)


async def part(reader):
    """One part of the stream, in however many pieces."""
    found = b""
    while not found.endswith(f"\r\n--{BOUNDARY}\r\n".encode()):
        found += await chunk(reader)
    return found


def parsed(part):
    """Headers and content of a part as the boundary before and behind it leave it."""
    head, _, rest = part.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    length = int(headers["content-length"])
    assert rest[length:] == f"\r\n--{BOUNDARY}\r\n".encode()
    return headers, rest[:length]


def test_a_snapshot_is_a_picture_with_its_facts(with_desk):
    async def scenario(desk):
        reply = await desk.ask("GET", "/v1/cameras/top/snapshot")
        assert desk.agent.asked == [("snapshot", "top", Look(), None, 5 * 10**9)]
        return reply

    reply = with_desk(scenario)
    assert reply.status == 200
    assert reply.body == picture().data
    told = {key: reply.headers[key] for key in reply.headers if key.startswith("x-") and key != "x-trace-id"}
    assert told == {
        "x-camera": "top",
        "x-sequence": "7",
        "x-timestamp-ns": "1007",
        "x-began-ns": "907",
        "x-exposure-ns": "100",
        "x-realtime-ns": str(10**18 + 7),
        "x-width-px": "640",
        "x-height-px": "480",
        "x-frame-trace-ids": "ab, cd",
    }
    assert reply.headers["content-type"] == "image/jpeg"
    assert reply.headers["x-trace-id"]


def test_a_snapshot_is_asked_for_as_the_query_says(with_desk):
    query = "after=123456&width=320&height=200&quality=55&format=png&timeout=250ms"

    async def scenario(desk):
        reply = await desk.ask("GET", f"/v1/cameras/top/snapshot?{query}")
        look = Look(kind="png", width_px=320, height_px=200, quality=55)
        assert desk.agent.asked == [("snapshot", "top", look, 123456, 250_000_000)]
        return reply

    assert with_desk(scenario).headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("path", "key", "hint"),
    [
        ("snapshot?width=0", "width", "from 1 to 32768"),
        ("snapshot?height=-4", "height", ""),
        ("snapshot?width=wide", "width", ""),
        ("snapshot?quality=101", "quality", "from 1 to 100"),
        ("snapshot?format=bmp", "format", "write one of jpeg, png, tiff"),
        ("snapshot?after=yesterday", "after", "such as now"),
        ("snapshot?timeout=5", "timeout", "such as 8ms"),
        ("snapshot?size=1", "size", "there are"),
        ("stream?rate=0", "rate", "from 1 to 240"),
        ("stream?rate=241", "rate", "from 1 to 240"),
        ("stream?quality=0", "quality", "from 1 to 100"),
        ("stream?after=now", "after", ""),
    ],
)
def test_bad_input_is_told_with_what_is_allowed(with_desk, path, key, hint):
    async def scenario(desk):
        reply = await desk.ask("GET", f"/v1/cameras/top/{path}")
        assert not desk.agent.asked
        return reply

    reply = with_desk(scenario)
    assert reply.status == 422
    assert reply.json["message"].startswith(f"{key}: ")
    assert hint in reply.json["hint"]


def test_a_camera_that_nobody_knows(with_desk):
    async def scenario(desk):
        return [await desk.ask("GET", f"/v1/cameras/none/{what}") for what in ("snapshot", "stream")]

    for reply in with_desk(scenario):
        assert reply.status == 404
        assert reply.json["details"]["known"] == ["side", "top"]


class LargePicture(PretendAgent):
    """An agent whose pictures are those of large cameras."""

    async def snapshot(self, name, look, *, after_ns, timeout_ns):
        return picture(data=b"\xff\xd8" + bytes(8_000_000) + b"\xff\xd9")


def test_a_large_picture_is_sent_in_pieces(with_desk):
    """No turn of the event loop copies all of it: a cancel would wait for that."""

    class Takes(FullConnection):
        def open_stream(self, headers):
            self.headers = dict(headers)

    async def scenario():
        connection = Takes()
        call = Call(names={"name": "top"}, query={}, body={}, by="", client="", link="")
        await give(connection, LargePicture(), call, "trace", only_head=False)
        return connection

    connection = asyncio.run(scenario())
    assert max(map(len, connection.sent)) <= 64 * 1024
    assert sum(map(len, connection.sent)) == int(connection.headers["content-length"]) == 8_000_004
    assert connection.headers["cache-control"] == "no-store"


def test_a_snapshot_that_is_cut_off_is_no_whole_answer(with_desk):
    async def scenario(desk):
        desk.agent.snapshot = LargePicture().snapshot
        client = await desk.connect()
        client.send("GET", "/v1/cameras/top/snapshot")
        status, headers = await head_of(client)
        assert (status, headers["content-length"]) == (200, "8000004")
        await desk.server.close()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await client.reader.readexactly(8_000_004)
        await client.close()

    with_desk(scenario)


def test_the_connection_is_good_for_more_after_a_large_picture(with_desk):
    async def scenario(desk):
        desk.agent.snapshot = LargePicture().snapshot
        client = await desk.connect()
        assert len((await client.ask("GET", "/v1/cameras/top/snapshot")).body) == 8_000_004
        client.send("HEAD", "/v1/cameras/top/snapshot")
        assert (await head_of(client))[1]["content-length"] == "8000004"
        assert (await client.ask("GET", "/v1/health")).status == 200
        await client.close()

    with_desk(scenario)


def test_who_asks_for_a_snapshot_and_goes_waits_no_more(with_desk):
    async def scenario(desk):
        desk.agent.frame.clear()
        client = await desk.connect()
        client.send("GET", "/v1/cameras/top/snapshot")
        await desk.until(lambda: desk.agent.asked)
        await client.close()
        await desk.until(lambda: desk.agent.cancelled)

    with_desk(scenario)


def test_a_stream_is_parts_with_their_facts_and_an_end(with_desk):
    async def scenario(desk):
        client = await desk.connect()
        client.send("GET", "/v1/cameras/top/stream?rate=3&width=320")
        status, headers = await head_of(client)
        assert status == 200
        assert headers["content-type"] == f"multipart/x-mixed-replace; boundary={BOUNDARY}"
        assert await chunk(client.reader) == f"--{BOUNDARY}\r\n".encode()
        parts = [parsed(await part(client.reader)) for _ in range(2)]
        assert [part[0]["x-timestamp-ns"] for part in parts] == ["1001", "1002"]
        assert {part[1] for part in parts} == {picture().data}
        assert {part[0]["content-type"] for part in parts} == {"image/jpeg"}
        assert (await chunk(client.reader)).endswith(f"\r\n--{BOUNDARY}--\r\n".encode())
        assert await chunk(client.reader) is None
        assert desk.agent.asked == [("view", "top", Look(width_px=320), 3)]
        assert desk.agent.views[0].closed
        # the connection is good for more
        assert (await client.ask("GET", "/v1/health")).status == 200
        await client.close()

    with_desk(scenario)


def test_closing_the_connection_ends_the_stream(with_desk):
    async def scenario(desk):
        desk.agent.shows = (picture(),)
        client = await desk.connect()
        client.send("GET", "/v1/cameras/top/stream")
        await head_of(client)
        await client.close()
        await desk.until(lambda: desk.agent.views[0].closed)
        await desk.until(lambda: not desk.server.under_way)

    with_desk(scenario)


def test_head_of_a_stream_looks_at_nothing(with_desk):
    async def scenario(desk):
        client = await desk.connect()
        client.send("HEAD", "/v1/cameras/top/stream")
        assert (await head_of(client))[0] == 200
        await desk.until(lambda: desk.agent.views[0].closed)
        await client.close()

    with_desk(scenario)


def test_a_client_that_does_not_read_is_given_no_picture_to_wait_for(with_desk):
    """One picture fills what lies between; the next is taken only when that was read, and then is the newest."""
    large = picture(data=b"\xff\xd8" + bytes(8_000_000) + b"\xff\xd9")

    async def scenario(desk):
        desk.agent.shows = (large, large, picture(9), None)
        client = await desk.connect()
        client.send("GET", "/v1/cameras/top/stream")
        await head_of(client)
        await desk.until(lambda: desk.agent.views and desk.agent.views[0].waiting.qsize() == 3)
        for _ in range(20):
            await asyncio.sleep(0)
        assert desk.agent.views[0].waiting.qsize() == 3  # the client reads nothing: nothing more is taken
        assert (await desk.ask("GET", "/v1/health")).status == 200
        await chunk(client.reader)
        assert parsed(await part(client.reader))[1] == large.data
        await part(client.reader)
        assert parsed(await part(client.reader))[0]["x-sequence"] == "9"
        await client.close()

    with_desk(scenario)


class FullConnection:
    """A client that has not read yet what it was sent."""

    def __init__(self):
        self.has_room, self.sent = asyncio.Event(), []

    def open_stream(self, headers):
        pass

    async def room(self):
        await self.has_room.wait()

    async def send(self, piece):
        self.sent.append(piece)


def test_a_picture_is_chosen_only_when_there_is_room_for_it():
    async def scenario():
        agent, connection = PretendAgent(), FullConnection()
        agent.shows = (picture(1),)
        call = Call(names={"name": "top"}, query={}, body={}, by="", client="", link="")
        showing = asyncio.ensure_future(show(connection, agent, call, "", only_head=False))
        for _ in range(20):
            await asyncio.sleep(0)
        assert agent.views[0].waiting.qsize() == 1
        connection.has_room.set()
        while len(connection.sent) < 3:
            await asyncio.sleep(0)
        showing.cancel()
        await asyncio.wait((showing,))
        assert agent.views[0].closed

    asyncio.run(scenario())


@given(data=st.binary(max_size=300) | st.integers(0, 200_000).map(bytes), number=st.integers(0, 2**32))
def test_a_part_is_read_back_as_it_was(data, number):
    headers, content = parsed(b"".join(part_of(Picture(data, picture(number).facts))))
    assert content == data
    assert headers["x-sequence"] == str(number)


def test_a_name_that_http_cannot_carry_is_left_out():
    """What is told of a camera with a name that HTTP cannot carry leaves the name out."""
    found = picture()
    facts = type(found.facts)(**{name: getattr(found.facts, name) for name in found.facts.__slots__} | {"camera": "ö"})
    assert "x-camera" not in dict(Picture(b"", facts).headers())
