"""Wires between lines of gpio-sim: an output line drives inputs, as on a real rig.

    with Wires("rig-lines:trigger", "rig-lines:edge", "rig-spare:spare0") as wires: ...
    python -m wires rig-lines:trigger rig-lines:edge        # until standard input ends, then its latencies in JSON

A thread follows the output's edges through the kernel's tracepoint and pulls the inputs: every edge arrives, in order,
but late (`latencies_ns`; milliseconds under software emulation), so a pulse keeps neither its width nor its time.
Pulses that come faster than the thread is scheduled reach the input in one go, and the kernel merges edges that its
interrupt thread has not seen to: wait for each at the input where every one counts.
"""

from __future__ import annotations

import json
import os
import selectors
import statistics
import sys
import threading
from typing import Self

from uvc_camera.edges import Edge, TracedEdges
from uvc_camera.errors import UvcCameraError
from uvc_camera.lines import Pull, find_line

from agent.clock import monotonic_ns


class Wires:
    """One output wired to `inputs`, all named "chip label:line name". A context manager; `release` is idempotent.

    `latencies_ns`: for every edge the time from the output to the last of the inputs.
    """

    def __init__(self, output: str, *inputs: str) -> None:
        self.latencies_ns: list[int] = []
        self._failure: Exception | None = None
        found = find_line(output)
        self._pulls: list[Pull] = []
        self._edges = TracedEdges(found.number, found.high)
        self._end = os.eventfd(0)
        self._thread = threading.Thread(target=self._follow, name=f"wires {output}")
        try:
            for each in inputs:
                self._pulls.append(Pull(find_line(each)))
            self._pull(found.high)
            self._thread.start()
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Cut the wires; the inputs are pulled down. Raises what went wrong with them meanwhile."""
        if self._end < 0:
            return
        os.eventfd_write(self._end, 1)
        self._thread.join()
        self._pull(False)
        self._close()
        if self._failure is not None:
            raise self._failure

    def _follow(self) -> None:
        try:
            with selectors.SelectSelector() as selector:
                selector.register(self._edges, selectors.EVENT_READ)
                selector.register(self._end, selectors.EVENT_READ)
                while all(key.fileobj != self._end for key, _ in selector.select()):
                    for edge in self._edges.read():
                        self._pass_on(edge)
        except (OSError, UvcCameraError) as failure:  # told by `release`
            self._failure = failure

    def _pass_on(self, edge: Edge) -> None:
        self._pull(edge.high)
        self.latencies_ns.append(monotonic_ns() - edge.time_ns)

    def _pull(self, high: bool) -> None:
        for pull in self._pulls:
            pull.set(high)

    def _close(self) -> None:
        self._edges.close()
        for pull in self._pulls:
            pull.close()
        os.close(self._end)
        self._end = -1


def main() -> None:
    """The wires of the command line, until standard input ends."""
    with Wires(*sys.argv[1:]) as wires:
        print("wired", flush=True)
        sys.stdin.read()
    late = wires.latencies_ns
    print(
        json.dumps({"edges": len(late), "median_ns": int(statistics.median(late or [0])), "max_ns": max(late or [0])})
    )


if __name__ == "__main__":
    main()
