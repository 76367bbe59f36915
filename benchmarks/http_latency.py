"""What the control API adds to a request: the running agent, its server alone, and a bare server on h11, in turn."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.common import finish, take_turns
from benchmarks.environment import describe
from benchmarks.result import Comparison, Measured
from benchmarks.sides.running import HERE, Running
from benchmarks.stats import percentile

REQUESTS = 300
"""In a block."""
PAUSE_S = 0.002
"""Between two of them: the agent lets a user ask a thousand times a second."""
_ROOT = Path(__file__).resolve().parent.parent
_REQUEST = b"GET /v1/health HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\nuser-agent: curl/8\r\n\r\n"
_CONFIGURATION = f"cameras:\n  top: {{{HERE}}}\nplans:\n  lapse: {{camera: top, every: 200ms, store: false}}\n"


@dataclass(frozen=True, slots=True)
class Latencies:
    """One block, in nanoseconds: from the client's send until the whole answer is there."""

    took_ns: list[int]

    def p50(self) -> Measured:
        """The usual one."""
        return Measured(percentile(self.took_ns, 50), len(self.took_ns), self.took_ns)

    def p99(self) -> Measured:
        """The slowest but one in a hundred."""
        return Measured(percentile(self.took_ns, 99), len(self.took_ns), self.took_ns)


def main(folder: Path) -> None:
    """Measure and write HTTP-p50.json, HTTP-p99.json, HTTP-server-p50.json and HTTP-server-p99.json."""
    with ExitStack() as stack:
        running = stack.enter_context(Running(_CONFIGURATION, ["top"]))
        sides = {
            "agent": stack.enter_context(connected(running.socket)),
            "server": stack.enter_context(_served("camera-agent")),
            "h11": stack.enter_context(_served("h11")),
        }
        taken = take_turns({name: _block(client) for name, client in sides.items()})
    for side, ours in (("agent", _AGENT), ("server", _SERVER)):
        for name, measure in (("p50", Latencies.p50), ("p99", Latencies.p99)):
            row = replace(_row(), name=f"HTTP{'' if side == 'agent' else '-server'}-{name}", ours=ours)
            row = replace(row, measure=f"send to the whole answer, {name.upper()}")
            finish(row, [each.figures((side, measure), ("h11", measure)) for each in taken], folder)


_AGENT = "the whole agent, one simulated camera and a plan every 200 ms, which looks how well it is at each request"
_SERVER = "its server alone: routes, rights, bounds, and behind them an agent that does nothing"


def _row() -> Comparison:
    return Comparison(
        name="",
        row="issue 5",
        what="GET /v1/health over the unix socket, on a connection that stays open",
        measure="",
        unit="ns",
        ours="",
        peer="h11 on an asyncio protocol: parses, answers twelve bytes, knows no routes and no rights",
        against="h11, bare",
        gate=None,
        moonshot=None,
        where="host",
        repeat="make bench",
        notes=(
            f"{REQUESTS} requests a block, {PAUSE_S * 1000:g} ms apart.",
            "Servers are processes of their own, on any processor.",
            "The client is a socket and nothing else: what it costs is the same for all.",
        ),
        environment=describe(),
    )


def _block(client: socket.socket) -> Callable[[], Latencies]:
    return lambda: Latencies([_ask(client) for _ in range(REQUESTS)])


def _ask(client: socket.socket) -> int:
    time.sleep(PAUSE_S)
    return round_trip_ns(client)


def round_trip_ns(client: socket.socket) -> int:
    """From the send of GET /v1/health until its whole answer is there. Raises ValueError when it is no 200."""
    began_ns = time.monotonic_ns()
    client.sendall(_REQUEST)
    head, _, body = client.recv(65536).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise ValueError(f"refused: {head!r}")
    wanted = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < wanted:
        body += client.recv(65536)
    return time.monotonic_ns() - began_ns


@contextmanager
def _served(name: str) -> Iterator[socket.socket]:
    """One of the candidates of `benchmarks.http_servers`, and a client of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "socket"
        command = [sys.executable, "-m", "benchmarks.http_servers", "--serve", name, str(path)]
        with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE) as process:
            try:
                if process.stdout is not None:
                    process.stdout.readline()
                with connected(path) as client:
                    yield client
            finally:
                process.kill()


@contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    """A client of the server at a socket, which may take its time to listen."""
    with socket.socket(socket.AF_UNIX) as client:
        deadline = time.monotonic() + 10
        while client.connect_ex(str(path)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody listens at {path}")
            time.sleep(0.01)
        yield client
