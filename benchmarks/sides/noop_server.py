"""A server that does nothing: every packet of a SOCK_SEQPACKET socket is answered at once, in a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic_ns

_ROOT = Path(__file__).resolve().parents[2]
PACKET_BYTES = 4096


@contextmanager
def noop_server() -> Iterator[socket.socket]:
    """Yields the client's end; the server ends when that is closed."""
    client, server = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "benchmarks.sides.noop_server", str(server.fileno())]
    with client, subprocess.Popen(command, cwd=_ROOT, pass_fds=[server.fileno()]):
        server.close()
        round_trip_ns(client, b"?")  # until it answers
        try:
            yield client
        finally:
            client.close()


def round_trip_ns(client: socket.socket, packet: bytes) -> int:
    """From the client's send to its answer."""
    before_ns = monotonic_ns()
    client.send(packet)
    client.recv(PACKET_BYTES)
    return monotonic_ns() - before_ns


def serve(connection: socket.socket) -> None:
    """Send every packet back until the other end closes."""
    while packet := connection.recv(PACKET_BYTES):
        connection.send(packet)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as end:
        serve(end)
