"""Connections: their bounds, what ends with them, and that nothing queues in front of a cancel."""

import asyncio
import errno
import json
import socket

import pytest
from control.desk import Clock, Desk, as_user, silent
from control.pretend import PretendAgent, held_up

from agent.control.bounds import Bounds, Rate
from agent.control.desk import Phase
from agent.control.lanes import Lane
from agent.control.listening import listen
from agent.control.server import Server

S = 10**9
CHUNKED = b"POST /v1/cancel HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
GET = b"GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n"


# -- what a closed connection ends -------------------------------------------------------------------------------------


def test_a_closed_connection_cancels_its_capture(with_desk):
    async def scenario(desk):
        with held_up(desk.agent.frame):
            client = await desk.connect()
            client.send("POST", "/v1/cameras/top/captures", {})
            await desk.until(lambda: desk.agent.asked)
            await client.close()
            await desk.until(lambda: desk.agent.cancelled)
        await desk.until(lambda: not desk.server.under_way)
        assert desk.server.connections == 0

    with_desk(scenario)


def test_a_half_closed_connection_still_gets_its_answer(with_desk):
    async def scenario(desk):
        with held_up(desk.agent.frame):
            client = await desk.connect()
            client.send("POST", "/v1/cameras/top/captures", {})
            client.writer.write_eof()
            await desk.until(lambda: desk.agent.asked)
            for _ in range(10):
                await asyncio.sleep(0)
            desk.server.sweep()
            assert not desk.agent.cancelled
        assert (await client.reply()).status == 201
        assert await client.rest() == b""
        await client.close()

    with_desk(scenario)


def test_a_half_closed_connection_that_closes_later_cancels(with_desk):
    async def scenario(desk):
        with held_up(desk.agent.frame):
            client = await desk.connect()
            client.send("POST", "/v1/cameras/top/captures", {})
            client.writer.write_eof()
            await desk.until(lambda: desk.agent.asked)
            await client.close()
            desk.server.sweep()
            await desk.until(lambda: desk.agent.cancelled)

    with_desk(scenario)


def test_half_a_request_and_the_end_is_answered(with_desk):
    async def scenario(desk):
        client = await desk.connect()
        client.writer.write(b"GET /v1/health HTTP/1.1\r\nho")
        client.writer.write_eof()
        assert (await client.reply()).status == 400
        assert await client.rest() == b""
        await client.close()

    with_desk(scenario)


def test_a_held_stream_ends_with_its_connection(with_desk):
    async def scenario(desk):
        client = await desk.connect()
        assert (await client.ask("PUT", "/v1/cameras/top/stream", {"hold": True})).json["was_on"] is False
        assert desk.agent.on == {"top"}
        await client.close()
        await desk.until(lambda: desk.agent.asked[-1][:3] == ("cancel", "camera", "top"))
        assert "closed connection of user" in desk.agent.asked[-1][3]

    with_desk(scenario)


def test_a_stream_that_was_on_before_is_not_ended_by_who_joined(with_desk):
    async def scenario(desk):
        await desk.ask("PUT", "/v1/cameras/top/stream")
        await desk.ask("PUT", "/v1/cameras/top/stream", {"hold": True})
        await desk.until(lambda: not desk.server.connections)
        return [one[0] for one in desk.agent.asked]

    assert "cancel" not in with_desk(scenario)


def test_a_stream_that_was_being_started_when_its_holder_went_is_ended(with_desk):
    async def scenario(desk):
        with held_up(desk.agent.frame):
            client = await desk.connect()
            client.send("PUT", "/v1/cameras/top/stream", {"hold": True})
            await desk.until(lambda: desk.agent.asked)
            await client.close()
            await desk.until(lambda: not desk.server.connections)
        await desk.until(lambda: desk.agent.asked[-1][:3] == ("cancel", "camera", "top"))

    with_desk(scenario)


def test_held_plans_end_with_their_connection(with_desk):
    async def scenario(desk):
        client = await desk.connect()
        (plan,) = (await client.ask("POST", "/v1/plans", {"plans": {"a": {}}, "hold": True})).json["plans"]
        await client.close()
        await desk.until(lambda: desk.agent.asked[-1][:3] == ("cancel", "client", plan["client"]))

    with_desk(scenario)


@pytest.mark.parametrize("path", ["/v1/cameras/top/stream", "/v1/plans/a"])
def test_what_ends_something_is_carried_out_though_the_asker_goes(with_desk, path):
    async def scenario(desk):
        await desk.ask("POST", "/v1/plans", {"plans": {"a": {}}})
        with held_up(desk.agent.off):
            client = await desk.connect()
            client.send("DELETE", path)
            await desk.until(lambda: len(desk.agent.asked) == 2)
            await client.close()
            await desk.until(lambda: not desk.server.connections)
        await desk.until(lambda: desk.agent.finished)

    with_desk(scenario)


# -- cancels first ---------------------------------------------------------------------------------------------


def test_a_cancel_overtakes_everything_that_waits(with_desk):
    async def scenario(desk):
        crowd = [await desk.connect() for _ in range(60)]
        late = await desk.connect()
        await desk.until(lambda: desk.server.connections == 61)
        for client in crowd:
            client.writer.write(GET * 3)
        late.writer.write(b"DELETE /v1/cameras/top/stream HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await late.reply()).status == 200
        before = [one[0] for one in desk.agent.asked].index("stop")
        for client in crowd:
            for _ in range(3):
                assert (await client.reply()).status == 200
            await client.close()
        await late.close()
        return before

    # what one turn of the loop had already begun when its bytes came, and not the 180 that wait
    assert with_desk(scenario, bounds=Bounds(per_turn=4)) <= 8


def test_who_came_first_has_the_first_turn():
    class Waiting:
        queued = True

        def advance(self):
            served.append((turns, self))

    async def scenario():
        nonlocal turns
        lane = Lane(2)
        for one in crowd:
            lane.put(one)
        while len(served) < len(crowd):
            turns += 1
            await asyncio.sleep(0)

    turns, served, crowd = 0, [], [Waiting() for _ in range(5)]
    asyncio.run(scenario())
    assert [one for _, one in served] == crowd
    assert [turn for turn, _ in served] == [1, 1, 2, 2, 3]
    assert not any(one.queued for one in crowd)


def test_neither_rate_nor_full_house_hold_up_a_cancel(with_desk):
    clock = Clock()

    async def scenario(desk):
        client = await desk.connect()
        first, second = await client.ask("GET", "/v1/health"), await client.ask("GET", "/v1/health")
        assert (first.status, second.status, second.json["code"]) == (200, 429, "overloaded")
        assert second.headers["retry-after"] == "1"
        assert (await client.ask("GET", "/v1/nothing")).status == 429
        assert (await client.ask("POST", "/v1/cancel", {"kind": "all"})).status == 200
        clock.now_ns += S
        assert (await client.ask("GET", "/v1/health")).status == 200
        await client.close()

    with_desk(scenario, bounds=Bounds(rate_per_s=1, burst=1), now=clock)


def test_requests_at_once_are_bounded_and_cancels_are_not(with_desk):
    async def scenario(desk):
        with held_up(desk.agent.frame):
            client = await desk.connect()
            client.send("POST", "/v1/cameras/top/captures", {})
            await desk.until(lambda: desk.agent.asked)
            assert (await desk.ask("GET", "/v1/health")).status == 429
            assert (await desk.ask("DELETE", "/v1/cameras/top/stream")).status == 200
        assert (await client.reply()).status == 201
        await client.close()

    with_desk(scenario, bounds=Bounds(requests=1))


def test_a_connection_too_many_may_still_cancel(with_desk):
    async def scenario(desk):
        with held_up(desk.agent.frame):
            crowd = [await desk.connect() for _ in range(2)]
            for number, client in enumerate(crowd, 1):
                client.send("POST", "/v1/cameras/top/captures", {})
                await desk.until(lambda number=number: len(desk.agent.asked) == number)
            assert (await desk.ask("GET", "/v1/health")).status == 429
            last = await desk.connect()
            assert (await last.ask("POST", "/v1/cancel", {"kind": "all"})).status == 200
            assert await last.rest() == b""  # its place is for the next one
            await last.close()
            for _ in range(2):
                crowd.append(await desk.connect())
                crowd[-1].writer.write(b"GET /v1")
                await desk.until(
                    lambda: (
                        len(desk.server._connections) == len(crowd)
                        and all(one.phase is not Phase.IDLE for one in desk.server._connections.values())
                    )
                )
            beyond = await desk.connect()
            assert await beyond.rest() == b""
        for client in (*crowd, beyond):
            await client.close()

    with_desk(scenario, bounds=Bounds(connections=2, reserve=2))


def test_a_thousand_silent_connections_keep_nobody_out(with_desk):
    async def scenario(desk):
        crowd = []
        for number in range(1000):
            crowd.append(silent(desk.path))
            if number % 50 == 49:
                assert (await desk.ask("GET", "/v1/health")).status == 200
                assert desk.server.connections <= 64
        for client in crowd:
            client.close()
        await desk.until(lambda: not desk.server.connections)

    with_desk(scenario, bounds=Bounds(connections=64))


def test_whoever_has_most_connections_gives_one_up(with_desk):
    users = {}

    def peer_of(connection):
        uid = 1000 if len(users) else 2000  # the first to come is alone, all others are one user
        users[connection.fileno()] = uid
        return as_user(uid)(connection)

    async def scenario(desk):
        alone = await desk.connect()
        assert (await alone.ask("GET", "/v1/health")).status == 200
        crowd = [silent(desk.path) for _ in range(20)]
        await desk.until(lambda: len(users) == 21)
        assert (await alone.ask("GET", "/v1/health")).status == 200
        for client in crowd:
            client.close()
        await alone.close()

    with_desk(scenario, bounds=Bounds(connections=4), peer_of=peer_of)


# -- slow and rude clients ---------------------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(with_desk):
    async def scenario(desk):
        client = await desk.connect()
        paths = ["/v1/health", "/v1/cameras/top", "/v1/nothing", "/v1/cameras", "/v1/cameras/side"]
        for path in paths:
            client.send("GET", path)
        replies = [await client.reply() for _ in paths]
        assert [reply.status for reply in replies] == [200, 200, 404, 200, 200]
        assert replies[1].json["name"] == "top"
        assert replies[4].json["name"] == "side"
        await client.close()

    with_desk(scenario)


def test_a_client_that_never_reads_is_closed_and_holds_nothing_up(with_desk):
    clock = Clock()

    async def scenario(desk):
        rude = silent(desk.path)
        rude.setblocking(False)
        sent = 0
        while True:
            try:
                sent += rude.send(GET * 100)
            except BlockingIOError:
                if not any(one.phase is not Phase.IDLE for one in desk.server._connections.values()):
                    break
                asked = len(desk.agent.asked)
                for _ in range(50):
                    await asyncio.sleep(0)
                if len(desk.agent.asked) == asked:
                    break
        assert (await desk.ask("GET", "/v1/health")).status == 200
        await desk.until(lambda: desk.server.connections == 1)
        clock.now_ns += 11 * S
        desk.server.sweep()
        await desk.until(lambda: not desk.server.connections)
        rude.close()
        return len(desk.agent.asked), sent // len(GET)

    answered, sent = with_desk(scenario, now=clock, bounds=Bounds(rate_per_s=10**6, burst=10**6))
    assert answered < sent


@pytest.mark.parametrize(
    ("begun", "passes_s", "status"),
    [(b"GET /v1/he", 6, 408), (b"POST /v1/cancel HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{", 11, 408)],
)
def test_a_request_that_trickles_in_is_ended(with_desk, begun, passes_s, status):
    clock = Clock()

    async def scenario(desk):
        client = await desk.connect()
        client.writer.write(begun)
        await desk.until(
            lambda: any(one.phase in (Phase.HEAD, Phase.BODY) for one in desk.server._connections.values())
        )
        for _ in range(5):
            await asyncio.sleep(0)
        clock.now_ns += passes_s * S
        desk.server.sweep()
        reply = await client.reply()
        assert (reply.status, reply.json["code"]) == (status, "too_slow")
        assert await client.rest() == b""
        await client.close()

    with_desk(scenario, now=clock)


def test_an_idle_connection_is_closed_in_the_end(with_desk):
    clock = Clock()

    async def scenario(desk):
        client = await desk.connect()
        assert (await client.ask("GET", "/v1/health")).status == 200
        clock.now_ns += 61 * S
        desk.server.sweep()
        assert await client.rest() == b""
        await client.close()

    with_desk(scenario, now=clock)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request"),
        (b"hello\r\n\r\n", 400, "bad_request"),
        (b"GET /v1/health\r\n\r\n", 400, "bad_request"),
        (b"GET /v1/health HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"GET /v1/health HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n", 400, "bad_request"),
        (b"GET /v1/health HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400, "bad_request"),
        (b"POST /v1/cancel HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400, "bad_request"),
        (b"POST /v1/cancel HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400, "bad_request"),
        (b"POST /v1/cancel HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n", 400, "bad_request"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431, "head_too_large"),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 5_000 + b"\r\n", 431, "head_too_large"),
        (b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 20_000, 431, "head_too_large"),
        (b"POST /v1/cancel HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n", 413, "too_large"),
    ],
)
def test_malformed_http_is_answered_and_closed(with_desk, sent, status, code):
    async def scenario(desk):
        client = await desk.connect()
        client.writer.write(sent)
        reply = await client.reply()
        assert reply.json["code"] == code
        assert reply.status == status
        assert reply.headers["connection"] == "close"
        assert await client.rest() == b""
        await client.close()
        assert (await desk.ask("GET", "/v1/health")).status == 200

    with_desk(scenario)


def test_a_chunked_body_is_read_and_a_huge_one_is_cut_off(with_desk):
    async def scenario(desk):
        client = await desk.connect()
        client.writer.write(CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in b'{"kind":"all"}') + b"0\r\n\r\n")
        assert (await client.reply()).status == 200
        client.writer.write(CHUNKED + b"3e8\r\n" + b" " * 1000 + b"\r\n")
        client.writer.write((b"3e8\r\n" + b" " * 1000 + b"\r\n") * 10)
        reply = await client.reply()
        assert (reply.status, reply.json["code"]) == (413, "too_large")
        await client.rest()
        await client.close()

    with_desk(scenario, bounds=Bounds(body_bytes=4000))


def test_bodies_of_all_clients_are_bounded_together(with_desk):
    async def scenario(desk):
        crowd = [await desk.connect() for _ in range(3)]
        head = b"POST /v1/cancel HTTP/1.1\r\nhost: x\r\ncontent-length: 30000\r\n\r\n"
        for client in crowd[:2]:
            client.writer.write(head + b" " * 20_000)
        await desk.until(lambda: sum(one.body_bytes for one in desk.server._connections.values()) == 40_000)
        crowd[2].writer.write(head + b" " * 20_000)
        reply = await crowd[2].reply()
        assert (reply.status, reply.json["details"]["bound"]) == (429, "bodies_bytes")
        assert (await desk.ask("POST", "/v1/cancel", {"kind": "all"})).status == 200
        for client in crowd:
            await client.close()

    with_desk(scenario, bounds=Bounds(bodies_bytes=50_000))


def test_without_a_descriptor_left_the_idle_give_theirs_back(tmp_path):
    class Full:
        """A listening socket that finds no descriptor left, once."""

        def __init__(self, real):
            self.real = real
            self.full = False

        def fileno(self):
            return self.real.fileno()

        def accept(self):
            if self.full:
                self.full = False
                raise OSError(errno.EMFILE, "too many open files")
            return self.real.accept()

    async def scenario():
        with listen(tmp_path / "s") as listening:
            listener = Full(listening.socket)
            server = Server(PretendAgent(), [listener])
            server.start()
            idle = silent(tmp_path / "s")
            desk = Desk(tmp_path / "s", server, None)
            await desk.until(lambda: server.connections)
            listener.full = True
            assert (await desk.ask("GET", "/v1/health")).status == 200
            assert idle.recv(1) == b""
            idle.close()
            await server.close()

    asyncio.run(scenario())


def test_a_body_of_many_small_pieces_lets_others_in_between(with_desk):
    async def scenario(desk):
        client = await desk.connect()
        body = json.dumps({"kind": "all", "name": "a" * 200}).encode()
        client.writer.write(CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
        assert (await client.reply()).status == 200
        await client.close()

    with_desk(scenario)


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(with_desk):
    async def scenario(desk):
        client = await desk.connect()
        client.send("POST", "/v1/cancel", b"", expect="100-continue", content_length=14)
        assert (await client.reply()).status == 100
        client.writer.write(b'{"kind":"all"}')
        assert (await client.reply()).status == 200
        await client.close()

    with_desk(scenario)


def test_http_1_0_is_answered_and_closed(with_desk):
    async def scenario(desk):
        client = await desk.connect()
        client.writer.write(b"GET /v1/health HTTP/1.0\r\n\r\n")
        assert (await client.reply()).status == 200
        assert await client.rest() == b""
        await client.close()

    with_desk(scenario)


def test_closing_answers_captures_and_lets_stops_finish(with_desk):
    async def scenario(desk):
        desk.agent.frame.clear()
        desk.agent.off.clear()
        waiting, ending = await desk.connect(), await desk.connect()
        waiting.send("POST", "/v1/cameras/top/captures", {})
        ending.send("DELETE", "/v1/cameras/top/stream")
        await desk.until(lambda: len(desk.agent.asked) == 2)
        closing = asyncio.ensure_future(desk.server.close())
        assert (await waiting.reply()).json["code"] == "agent_stopping"
        desk.agent.off.set()
        assert (await ending.reply()).status == 200
        await closing
        assert desk.server.connections == 0
        with socket.socket(socket.AF_UNIX) as late:
            late.connect(str(desk.path))  # it waits in the backlog of a socket that others go on to hold
        for client in (waiting, ending):
            await client.close()

    with_desk(scenario)


def test_a_rate_grants_never_more_than_it_says():
    rate = Rate(10, 3, 0)
    granted = [now_ns for now_ns in range(0, S, S // 1000) if rate.take(now_ns)]
    assert len(granted) == 3 + 9
    assert not rate.take(0)  # a clock that goes back gives nothing
    assert rate.full(2 * S)
