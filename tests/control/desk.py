"""A server on a real socket in a folder, in the running loop, and raw clients of it."""

import asyncio
import contextlib
import json
import os
import socket

from control.pretend import PretendAgent

from agent.control.listening import listen
from agent.control.peer import read_peer
from agent.control.server import Server


class Clock:
    """Nanoseconds that pass when told to."""

    def __init__(self):
        self.now_ns = 10**9

    def __call__(self):
        return self.now_ns


class Desk:
    def __init__(self, path, server, agent):
        self.path = path
        self.server = server
        self.agent = agent

    async def connect(self):
        return RawClient(*await asyncio.open_unix_connection(str(self.path)))

    async def ask(self, method, path, body=None, **headers):
        """One request on a connection of its own."""
        client = await self.connect()
        try:
            return await client.ask(method, path, body, **headers)
        finally:
            await client.close()

    async def until(self, condition):
        """Let the loop turn until `condition()`; pytest's limit bounds it."""
        while not condition():
            await asyncio.sleep(0)


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class RawClient:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def ask(self, method, path, body=None, **headers):
        self.send(method, path, body, **headers)
        return await self.reply()

    def send(self, method, path, body=None, **headers):
        lines = [f"{method} {path} HTTP/1.1", "host: localhost"]
        data = b""
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers = {"content_type": "application/json", "content_length": len(data), **headers}
        lines += [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)

    async def reply(self, *, is_head=False):
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        length = 0 if is_head else int(headers.get("content-length", 0))
        return Reply(int(first.split()[1]), headers, await self.reader.readexactly(length))

    async def rest(self):
        """Everything until the server closes."""
        with contextlib.suppress(ConnectionResetError):
            return await self.reader.read()
        return b""

    async def event(self):
        """The next server-sent event's data, comments left out."""
        while True:
            block = await self.reader.readuntil(b"\n\n")
            for line in block.decode().splitlines():
                if line.startswith("data: "):
                    return json.loads(line[6:])

    async def close(self):
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(folder, **wishes):
    agent = PretendAgent()
    path = folder / "control.sock"
    with listen(path) as listening:
        server = Server(agent, [listening.socket], **wishes)
        server.start()
        try:
            yield Desk(path, server, agent)
        finally:
            agent.frame.set()
            agent.off.set()
            await server.close()


def silent(path):
    """A connected socket that nobody reads or writes."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(os.fspath(path))
    return client


def as_user(uid, *gids, user="somebody"):
    """A reader of credentials that finds this user."""

    def read(connection):
        found = read_peer(connection)
        return type(found)(found.pid, uid, frozenset(gids), user)

    return read
