# SPDX-License-Identifier: GPL-3.0-or-later
"""C1 to C3 and a reload as an HTTP client of the whole agent sees them, on vivid. In the rig."""

import random
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

# started as a file, Python puts this folder first; the package is in the one above
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from agent.units import NS_PER_S  # noqa: E402
from benchmarks import service_reload, vivid  # noqa: E402
from benchmarks.common import as_measured, finish, take_turns  # noqa: E402
from benchmarks.environment import describe  # noqa: E402
from benchmarks.http_latency import connected, round_trip_ns  # noqa: E402
from benchmarks.result import Comparison, Measured  # noqa: E402
from benchmarks.sides.cancelling import stop_bare  # noqa: E402
from benchmarks.sides.running import Running  # noqa: E402
from benchmarks.stats import percentile  # noqa: E402

RATE = 30
INTERVAL_NS = NS_PER_S // RATE
STOPS = 30
BUSY_STOPS = 10
PINGS = 4
"""Requests that stop nothing, for each stop."""
ROUNDS = 10
BUSY_PLANS = 10_000
BUSY_PERIOD_S = 100
_FRAMES_BEFORE = 3
_PATIENT = "limits: {session: 30s, frame: 30s, encode: 10s, stop: 30s}\n"


@dataclass
class Stops:
    """One block, in nanoseconds: from the client's send to STREAMOFF entered, to the answer; a request beside."""

    entered_ns: list[int] = field(default_factory=list)
    answered_ns: list[int] = field(default_factory=list)
    ping_ns: list[int] = field(default_factory=list)
    streamoff_ns: list[int] = field(default_factory=list)

    def entry(self) -> Measured:
        """Send to STREAMOFF entry, P99."""
        return _at(99, self.entered_ns)

    def answer(self) -> Measured:
        """Send to the answer, P50."""
        return _at(50, self.answered_ns)

    def ping(self) -> Measured:
        """A request that stops nothing, P99."""
        return _at(99, self.ping_ns)

    def floor(self) -> Measured:
        """A request that stops nothing, and STREAMOFF in C, P50 each."""
        found = percentile(self.ping_ns, 50) + percentile(self.streamoff_ns, 50)
        return Measured(found, len(self.streamoff_ns), self.streamoff_ns)


def main(folder: Path) -> None:
    """Measure and write C1-http.json, C2-http.json, C3-http.json and RELOAD-rig.json."""
    bare = vivid.find_vivid()
    paths = [*vivid.find_others(bare), bare]
    vivid.set_up(bare, 640, 480, RATE)
    for path in paths[:-1]:  # v4l2-ctl sets no rate on multi-planar nodes; a session does
        vivid.set_stamps(path)
    with Running(configuration(paths[:1]), ["camera-0"], simulate=False) as running:
        quiet = take_turns(
            {"idle": lambda: stop_often(running, STOPS), "bare": lambda: _bare(running, bare)},
            ROUNDS,
        )
    row = _row()
    entry = replace(row, measure="send to STREAMOFF entry, P99", against="request", gate=2, moonshot=1, peer=_PING)
    finish(entry, [each.figures(("idle", Stops.entry), ("idle", Stops.ping)) for each in quiet], folder)
    answer = replace(row, name="C2-http", row="C2", measure="send to answer, P50", gate=1.5, moonshot=1.1)
    answer = replace(answer, against="request + C", peer=f"{_PING}, and STREAMOFF in a C program, P50 each")
    finish(answer, [each.figures(("idle", Stops.answer), ("bare", Stops.floor)) for each in quiet], folder)
    there = [f"camera-{place}" for place in range(len(paths))]
    with Running(configuration(paths), there, simulate=False) as running:
        for name in there[1:]:
            running.client.stop(name)
        loaded = take_turns(
            {"busy": lambda: _busy(running, len(paths)), "idle": lambda: stop_often(running, BUSY_STOPS)}, ROUNDS
        )
    found = replace(row, name="C3-http", row="C3", measure="send to answer, P50", gate=2, moonshot=1.2)
    found = replace(
        found,
        ours=f"the same with {len(paths)} cameras streaming, {BUSY_PLANS:,} plans and every frame a JPEG",
        peer="one camera streaming, no plan, no pictures",
        against="ours, idle",
        notes=(*row.notes[2:], f"{BUSY_PLANS:,} plans every {BUSY_PERIOD_S} s: the processor is emulated."),
    )
    finish(found, [each.figures(("busy", Stops.answer), ("idle", Stops.answer)) for each in loaded], folder)
    reloads(bare, folder)


def reloads(path: str, folder: Path) -> None:
    """A reload of an agent on vivid."""
    match = f"device: {path}"
    with Running(service_reload.configuration(1, "1s", match), ["camera-0"], simulate=False) as running:
        conditions = take_turns({"one": service_reload.block(running, 1, match)}, ROUNDS)
    row = replace(service_reload.row_of_reloads(), name="RELOAD-rig", where="rig", repeat="make rig BENCH=1")
    row = replace(row, ours="one camera (vivid) with a plan; POST /v1/config/reload until its answer")
    finish(row, [each.figures(("one", as_measured)) for each in conditions], folder)


def configuration(paths: list[str]) -> str:
    """Cameras by their nodes, and nothing to do."""
    cameras = [
        f"  camera-{place}: {{device: {path}, format: YUYV, size: 640x480, rate: {RATE}}}"
        for place, path in enumerate(paths)
    ]
    return "\n".join([_PATIENT + "cameras:", *cameras, ""])


def busy_plans(cameras: int) -> dict[str, Any]:
    """Each frame of each camera but the first one is a picture, and there are many plans on the last one."""
    every = f"{INTERVAL_NS}ns"
    plans: dict[str, Any] = {
        f"all-{place}": {"camera": f"camera-{place}", "every": every} for place in range(1, cameras)
    }
    last = {"camera": f"camera-{cameras - 1}", "every": f"{BUSY_PERIOD_S}s", "copies": BUSY_PLANS, "store": False}
    return {**plans, "other": last}


def _busy(running: Running, cameras: int) -> Stops:
    client = running.client
    client.ask("POST", "/v1/plans", {"plans": busy_plans(cameras), "client": "busy"})
    try:
        return stop_often(running, BUSY_STOPS)
    finally:
        client.cancel("client", "busy")


def stop_often(running: Running, count: int) -> Stops:
    """A block: start the first camera's stream, stop it at a random moment; `count` times."""
    found, client = Stops(), running.client
    with connected(running.socket) as beside:
        for _ in range(count):
            client.start("camera-0")
            time.sleep((_FRAMES_BEFORE * INTERVAL_NS + random.randrange(INTERVAL_NS)) / NS_PER_S)
            found.ping_ns += [round_trip_ns(beside) for _ in range(PINGS)]
            sent_ns = time.monotonic_ns()
            report = client.stop("camera-0")
            answered_ns = time.monotonic_ns()
            if not report["was_on"]:
                raise ValueError(f"a stop that stopped no stream: {report}")
            found.entered_ns.append(report["entered_ns"] - sent_ns)
            found.answered_ns.append(answered_ns - sent_ns)
    return found


def _bare(running: Running, path: str) -> Stops:
    """Requests that stop nothing and STREAMOFF from C, while the agent has let the camera go."""
    with connected(running.socket) as beside:
        ping_ns = [round_trip_ns(beside) for _ in range(PINGS * STOPS)]
    streamoff_ns = stop_bare(path, INTERVAL_NS, STOPS, ping_ns).streamoff_ns
    return Stops(ping_ns=ping_ns, streamoff_ns=streamoff_ns)


def _at(per_cent: int, samples_ns: list[int]) -> Measured:
    return Measured(percentile(samples_ns, per_cent), len(samples_ns), samples_ns)


_PING = "GET /v1/health on the same socket, on another connection, while it streams"


def _row() -> Comparison:
    return Comparison(
        name="C1-http",
        row="C1",
        what=f"DELETE /v1/cameras/NAME/stream of a camera that streams 640x480 at {RATE} frames/s (vivid)",
        measure="",
        unit="ns",
        ours="an HTTP client on the control socket, http.client; CLOCK_MONOTONIC stamps there and around STREAMOFF",
        gate=0,
        moonshot=0,
        where="rig",
        repeat="make rig BENCH=1",
        notes=(
            "GET /v1/health is a request in earnest: it looks how every camera stands.",
            "The agent has the multi-planar vivid, the C program the other one: what is stopped stays prepared.",
            f"{STOPS} stops a block, each after {_FRAMES_BEFORE} frames and a random part of one.",
        ),
        environment=describe(),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
