"""Whatever bytes come, in whatever pieces: an answer of ours, or the wait for more, and never an exception."""

import asyncio
import json
from contextlib import suppress

import h11
from control.desk import Clock
from control.pretend import PretendAgent
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.control.access import Access
from agent.control.bounds import Bounds
from agent.control.connection import Connection
from agent.control.errors import BadFields, BadRequest
from agent.control.peer import Peer
from agent.control.request import parse_json, parse_request
from agent.control.routes import ROUTES
from agent.control.schema import check
from agent.control.server import Server

TOKENS = st.sampled_from(
    [
        b"GET ",
        b"DELETE ",
        b"POST /v1/cancel ",
        b"/v1/cameras/top/stream",
        b"/v1/plans",
        b"/v1/events",
        b"%2F..%00",
        b" HTTP/1.1\r\n",
        b"host: x\r\n",
        b"content-length: 14\r\n",
        b"content-type: application/json\r\n",
        b"transfer-encoding: chunked\r\n",
        b"expect: 100-continue\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b'{"kind":"all"}',
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n",
    ]
)
PIECES = st.lists(TOKENS | st.binary(max_size=40), max_size=30)


class Transport(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.written = b""
        self.open = True

    def write(self, data):
        assert self.open
        self.written += data

    def close(self):
        self.open = False

    def abort(self):
        self.open = False

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


def answers(data):
    """What a client reads in them; raises when they are not HTTP."""
    client = h11.Connection(h11.CLIENT)
    found = []
    if data:
        client.receive_data(data)
    while True:
        if client.our_state is h11.IDLE:
            client.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
            client.send(h11.EndOfMessage())
        event = client.next_event()
        if event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
            return found
        found.append(event)
        if client.our_state is client.their_state is h11.DONE:
            client.start_next_cycle()
        elif event is h11.PAUSED or client.their_state is h11.MUST_CLOSE:
            return found


@settings(max_examples=200)
@given(pieces=PIECES, ends=st.booleans())
def test_any_bytes_are_answered_or_waited_for(pieces, ends):
    async def scenario():
        agent = PretendAgent()
        server = Server(agent, [], bounds=Bounds(head_bytes=400, body_bytes=200), access=Access(), now=Clock())
        transport = Transport()
        connection = Connection(1, Peer(1, 0, frozenset(), "x"), server, server._bounds, Clock())
        connection.connection_made(transport)
        for piece in pieces:
            if piece and transport.open:
                connection.data_received(piece)
                await asyncio.sleep(0)
        if ends and transport.open:
            connection.eof_received()
        for _ in range(20):
            await asyncio.sleep(0)
        connection.connection_lost(None)
        agent.broadcast.end()
        server._lane.close()
        await server._exchange.close(1)
        return transport.written

    for event in answers(asyncio.run(scenario())):
        if isinstance(event, h11.Response):
            assert event.status_code != 500


@given(
    method=st.binary(max_size=8),
    target=st.binary(max_size=60) | st.sampled_from([b"/a%2Fb?c=d", b"/%zz", b"http://x", b"/?a=b&a=c", b"*"]),
    headers=st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=8)), max_size=4),
)
def test_any_target_is_understood_or_refused(method, target, headers):
    with suppress(BadRequest):
        request = parse_request(method, target, headers)
        assert all(segment.isprintable() for segment in request.segments)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_json_or_refused(body):
    with suppress(BadRequest):
        json.dumps(parse_json(body), ensure_ascii=False).encode()


@given(st.sampled_from([route.body for route in ROUTES if route.body]), JSON)
def test_any_document_fits_or_is_told_why_not(schema, document):
    with suppress(BadFields):
        check(schema, document, "body")
        assert isinstance(document, dict)
