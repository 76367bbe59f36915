"""A client of frames, by the Python client: takes each one's image and gives it back. A process of its own."""

from __future__ import annotations

import json
import sys
from time import monotonic_ns
from typing import Any

from agent.client import connect
from benchmarks.common import own_cpu_ns
from benchmarks.sides.lending import CAMERA


def borrow(socket: str, first: int, count: int) -> dict[str, Any]:
    """CPU time for the frames from number `first` to `first + count`, and each one's way here from its `dequeued_ns`.

    The last one only ends the time of the one before it.
    """
    before_ns = after_ns = 0
    ways_ns: list[int] = []
    with connect(CAMERA, socket=socket, reconnect=False) as feed:
        for frame in feed:
            image = frame.image
            now_ns = monotonic_ns()
            del image
            if frame.sequence < first:
                continue
            after_ns = own_cpu_ns()
            before_ns = before_ns or after_ns
            if frame.sequence < first + count:
                ways_ns.append(now_ns - frame.facts.dequeued_ns)
    return {"cpu_ns": after_ns - before_ns, "ways_ns": ways_ns}


def hang(socket: str) -> dict[str, Any]:
    """Take one frame, and neither give it back nor listen any more, until the standard input ends."""
    with connect(CAMERA, socket=socket, reconnect=False) as feed:
        frame = feed.next().keep()
        sys.stdin.read()
        return {"revoked": frame.revoked}


if __name__ == "__main__":
    print(json.dumps(hang(sys.argv[1]) if len(sys.argv) == 2 else borrow(sys.argv[1], *map(int, sys.argv[2:]))))
