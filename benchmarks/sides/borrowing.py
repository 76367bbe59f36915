"""A client of frames, by the Python client: takes each one's image and gives it back. A process of its own."""

from __future__ import annotations

import json
import sys
from time import monotonic_ns
from typing import Any

from agent.client import connect
from benchmarks.common import own_cpu_ns

BEGUN = "begun"
"""What is told when the frames begin that count."""


def borrow(socket: str, camera: str, warm_up: int, count: int) -> dict[str, Any]:
    """CPU time for `count` frames after the first `warm_up`, and how long after its stamp each one's image was here.

    One more is taken: it ends the time of the last.
    """
    before_ns = 0
    ways_ns: list[int] = []
    with connect(camera, socket=socket, reconnect=False) as feed:
        for number, frame in enumerate(feed, -warm_up):
            image = frame.image
            now_ns = monotonic_ns()
            del image
            if number == 0:
                print(BEGUN, flush=True)
                before_ns = own_cpu_ns()
            if number == count:
                break
            if number >= 0:
                ways_ns.append(now_ns - frame.timestamp_ns)
        after_ns = own_cpu_ns()
    return {"cpu_ns": after_ns - before_ns, "ways_ns": ways_ns}


def hang(socket: str, camera: str) -> dict[str, Any]:
    """Take one frame, and neither give it back nor listen any more, until the standard input ends."""
    with connect(camera, socket=socket, reconnect=False) as feed:
        frame = feed.next().keep()
        sys.stdin.read()
        return {"revoked": frame.revoked}


if __name__ == "__main__":
    where, name, *window = sys.argv[1:]
    print(json.dumps(borrow(where, name, int(window[0]), int(window[1])) if window else hang(where, name)))
