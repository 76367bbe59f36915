"""Which HTTP library the control socket is served with: import time, memory, latency of a request that does nothing.

`python -m benchmarks.http_servers` starts each candidate that is installed in a process of its own, with one keep-alive
client over a unix socket, and prints a table; `--json` prints a document. docs/decisions/0020 has the figures.
`camera-agent` is our own server, on h11, with routes, rights and bounds, and an agent that does nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_BODY = b'{"ok":true}'
_ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " + b"%d" % len(_BODY) + b"\r\n\r\n" + _BODY
)
_REQUEST = b"GET /v1/health HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\nuser-agent: curl/8\r\n\r\n"
_ROOT = Path(__file__).parent.parent
_WARM_UP = 200
_MODULES = {
    "bare": ["asyncio"],
    "h11": ["asyncio", "h11"],
    "httptools": ["asyncio", "httptools"],
    "uvicorn+h11": ["asyncio", "uvicorn", "starlette.applications", "starlette.routing", "starlette.responses"],
    "uvicorn+httptools": ["asyncio", "uvicorn", "starlette.applications", "starlette.routing", "httptools"],
    "aiohttp": ["asyncio", "aiohttp.web"],
    "camera-agent": ["asyncio", "agent.control.server"],
}
"""What each candidate imports; `bare` is asyncio answering without reading: what no library can go below."""


def rss_kib() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


class Bare(asyncio.Protocol):
    """Answers every chunk."""

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - what it is is not looked at
        """Answer without looking."""
        self.transport.write(_ANSWER)


class WithH11(Bare):
    """Parsed and written by h11."""

    def connection_made(self, transport: Any) -> None:
        """Begin the state machine."""
        import h11

        super().connection_made(transport)
        self.h11, self.connection = h11, h11.Connection(h11.SERVER)

    def data_received(self, data: bytes) -> None:
        """Answer at the end of each message."""
        h11, connection = self.h11, self.connection
        connection.receive_data(data)
        while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            if isinstance(event, h11.EndOfMessage):
                headers = [("content-type", "application/json"), ("content-length", str(len(_BODY)))]
                parts = (
                    connection.send(h11.Response(status_code=200, headers=headers)),
                    connection.send(h11.Data(data=_BODY)),
                    connection.send(h11.EndOfMessage()),
                )
                self.transport.write(b"".join(filter(None, parts)))
                connection.start_next_cycle()


class WithHttptools(Bare):
    """Parsed by httptools (llhttp)."""

    def connection_made(self, transport: Any) -> None:
        """Begin the parser."""
        import httptools

        super().connection_made(transport)
        self.parser = httptools.HttpRequestParser(self)

    def on_url(self, url: bytes) -> None:
        """Keep it."""
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Leave it."""

    def on_message_complete(self) -> None:
        """Answer."""
        self.transport.write(_ANSWER)

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        self.parser.feed_data(data)


def _protocol(kind: type[Bare]) -> Callable[[str, Callable[[], None]], None]:
    async def serve(path: str, ready: Callable[[], None]) -> None:
        server = await asyncio.get_running_loop().create_unix_server(kind, path)
        ready()
        await server.serve_forever()

    return lambda path, ready: asyncio.run(serve(path, ready))


def _uvicorn(http: str) -> Callable[[str, Callable[[], None]], None]:
    def run(path: str, ready: Callable[[], None]) -> None:
        import uvicorn
        from starlette.applications import Starlette
        from starlette.responses import Response
        from starlette.routing import Route

        async def health(_request: object) -> Response:
            return Response(_BODY, media_type="application/json")

        app = Starlette(routes=[Route("/v1/health", health)])
        config = uvicorn.Config(app, uds=path, http=http, loop="asyncio", log_level="warning", lifespan="off")  # type: ignore[arg-type]
        ready()
        uvicorn.Server(config).run()

    return run


def _aiohttp(path: str, ready: Callable[[], None]) -> None:
    from aiohttp import web

    async def health(_request: web.Request) -> web.Response:
        return web.Response(body=_BODY, content_type="application/json")

    app = web.Application()
    app.router.add_get("/v1/health", health)
    ready()
    web.run_app(app, path=path, print=None, access_log=None)


class _Idle:
    """Of an agent, what the request asks for."""

    async def health(self) -> dict[str, bool]:
        """As short as the others' answer."""
        return {"ok": True}


def _ours(path: str, ready: Callable[[], None]) -> None:
    from agent.control.bounds import Bounds
    from agent.control.listening import listen
    from agent.control.server import Server

    async def serve() -> None:
        unbound = Bounds(rate_per_s=10**9, burst=10**9)
        with listen(Path(path)) as listening:
            Server(_Idle(), [listening.socket], bounds=unbound).start()  # type: ignore[arg-type]
            ready()
            await asyncio.Event().wait()

    asyncio.run(serve())


_SERVERS: dict[str, Callable[[str, Callable[[], None]], None]] = {
    "bare": _protocol(Bare),
    "h11": _protocol(WithH11),
    "httptools": _protocol(WithHttptools),
    "uvicorn+h11": _uvicorn("h11"),
    "uvicorn+httptools": _uvicorn("httptools"),
    "aiohttp": _aiohttp,
    "camera-agent": _ours,
}


def serve(name: str, path: str) -> None:
    """Be the server `name` at `path`; the first line of output is what importing it took."""
    began_ns = time.perf_counter_ns()
    for module in _MODULES[name]:
        importlib.import_module(module)
    import_us = (time.perf_counter_ns() - began_ns) // 1000
    _SERVERS[name](path, lambda: print(json.dumps({"import_us": import_us, "rss_kib": rss_kib()}), flush=True))


def measure(name: str, requests: int) -> dict[str, Any]:
    """Figures of one candidate, or why there are none."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/socket"
        command = [sys.executable, "-m", "benchmarks.http_servers", "--serve", name, path]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, cwd=_ROOT, stdout=pipe, stderr=pipe, text=True) as process:
            try:
                first = process.stdout.readline() if process.stdout else ""
                if not first:
                    return {"server": name, "missing": (process.stderr.read() if process.stderr else "")[-120:]}
                before_ns = _cpu_ns(process.pid)
                samples = sorted(_latencies_ns(path, requests))
                cpu_us = (_cpu_ns(process.pid) - before_ns) / (requests + _WARM_UP) / 1000
                memory = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
            finally:
                process.kill()
    figures = {f"p{share}_us": samples[len(samples) * share // 100] / 1000 for share in (50, 99)}
    served_kib = int(memory) * os.sysconf("SC_PAGE_SIZE") // 1024
    return {"server": name, **json.loads(first), "served_kib": served_kib, "cpu_us": cpu_us, **figures}


def _cpu_ns(pid: int) -> int:
    """Time on a processor: what other programs do to the machine is not in it (proc(5), schedstat)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def _latencies_ns(path: str, requests: int) -> list[int]:
    with _connect(path) as client:
        found = []
        for number in range(requests + _WARM_UP):
            began_ns = time.perf_counter_ns()
            client.sendall(_REQUEST)
            answer = b""
            while not answer.rstrip().endswith(_BODY):
                answer += client.recv(65536)
            if number >= _WARM_UP:
                found.append(time.perf_counter_ns() - began_ns)
    return found


def _connect(path: str) -> socket.socket:
    deadline = time.monotonic() + 10
    while True:
        client = socket.socket(socket.AF_UNIX)
        try:
            client.connect(path)
        except OSError:
            client.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return client


def main() -> None:
    """Measure all of them, three rounds in turn, and print the median of each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", nargs=2, metavar=("NAME", "SOCKET"), help=argparse.SUPPRESS)
    wishes = parser.parse_args()
    if wishes.serve:
        serve(*wishes.serve)
        return
    rounds = [[measure(name, wishes.requests) for name in _SERVERS] for _ in range(wishes.rounds)]
    found = [_median([one[index] for one in rounds]) for index in range(len(_SERVERS))]
    if wishes.json:
        print(json.dumps(found))
        return
    print("| server | import ms | memory MiB, idle | after | CPU us | P50 us | P99 us |\n|---|---|---|---|---|---|---|")
    for one in found:
        print(_row(one))


def _median(figures: list[dict[str, Any]]) -> dict[str, Any]:
    if any("missing" in one for one in figures):
        return figures[0]
    middle = len(figures) // 2
    keys = [key for key in figures[0] if key != "server"]
    return {"server": figures[0]["server"], **{key: sorted(one[key] for one in figures)[middle] for key in keys}}


def _row(one: dict[str, Any]) -> str:
    if "missing" in one:
        return f"| {one['server']} | not installed | | | | |"
    memory = f"{one['rss_kib'] / 1024:.1f} | {one['served_kib'] / 1024:.1f}"
    latency = f"{one['cpu_us']:.0f} | {one['p50_us']:.0f} | {one['p99_us']:.0f}"
    return f"| {one['server']} | {one['import_us'] / 1000:.0f} | {memory} | {latency} |"


if __name__ == "__main__":
    main()
