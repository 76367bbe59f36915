"""A client that cancels a streaming camera again and again, with everything it measures on the way."""

from __future__ import annotations

import random
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns

from agent.capture.board import Of
from agent.capture.messages import AddPlans, CameraReport, Cancel, Ping
from agent.units import NS_PER_MS
from benchmarks.common import MissingTool
from benchmarks.result import Measured
from benchmarks.sides.noop_server import noop_server, round_trip_ns
from benchmarks.sides.stage import Stage
from benchmarks.sides.supervised import Answer, Supervised
from benchmarks.stats import percentile

PROGRAM = Path(__file__).resolve().parents[1] / "c" / "streamoff"
FRAMES_BEFORE = 2
PINGS = 4
"""Requests that do nothing, for each cancel."""
PACKET_OF_A_CANCEL = 200
"""Bytes, about."""
_LOOK_NS = NS_PER_MS


@dataclass
class Cancels:
    """One block: from the client's send to STREAMOFF entered, to the answer, a ping's round trip, frames afterwards."""

    entered_ns: list[int] = field(default_factory=list)
    answered_ns: list[int] = field(default_factory=list)
    ping_ns: list[int] = field(default_factory=list)
    frames_after: int = 0

    def entry(self) -> Measured:
        """Client send to STREAMOFF entry, P99."""
        return _at(99, self.entered_ns)

    def answer(self) -> Measured:
        """Client send to the answer, P50."""
        return _at(50, self.answered_ns)

    def ping(self) -> Measured:
        """A request that does nothing, P99."""
        return _at(99, self.ping_ns)

    def late_frames(self) -> Measured:
        """Frames that were delivered after an answer."""
        return Measured(self.frames_after, len(self.answered_ns))

    def add(self, answer: Answer, report: CameraReport) -> None:
        """One more cancel. Raises ValueError when it stopped no stream."""
        if not report.was_on or report.error:
            raise ValueError(f"a cancel stopped no stream: {report}")
        self.entered_ns.append(report.entered_ns - answer.sent_ns)
        self.answered_ns.append(answer.took_ns)


@dataclass(frozen=True, slots=True)
class Bare:
    """One block of the floor: a round trip to a server that does nothing, and STREAMOFF from C.

    `ping_ns`: requests to a process of ours that do nothing, of the block of cancels before it.
    """

    noop_ns: list[int]
    streamoff_ns: list[int]
    ping_ns: list[int]

    def noop(self) -> Measured:
        """The round trip, P99."""
        return _at(99, self.noop_ns)

    def both(self) -> Measured:
        """A request to a process of ours that does nothing, and a STREAMOFF, P50 each."""
        return self._with(self.ping_ns)

    def both_bare(self) -> Measured:
        """A round trip and a STREAMOFF, P50 each."""
        return self._with(self.noop_ns)

    def _with(self, request_ns: list[int]) -> Measured:
        found = percentile(request_ns, 50) + percentile(self.streamoff_ns, 50)
        return Measured(found, len(self.streamoff_ns), self.streamoff_ns)


def cancel_often(stage: Stage, count: int) -> Cancels:
    """A block: start the first camera, let it stream, cancel it at a random moment; `count` times."""
    found = Cancels()
    with tempfile.TemporaryDirectory() as folder, Supervised(stage.order(Path(folder))) as process:
        if background := stage.background():
            process.ask(AddPlans(id=process.number(), orders=background))
        for number in range(count):
            _cancel_once(process, stage, f"{number}", found)
    return found


def _cancel_once(process: Supervised, stage: Stage, name: str, found: Cancels) -> None:
    words = process.board.camera(0)
    before = words[Of.FRAMES]
    process.ask(AddPlans(id=process.number(), orders=(stage.every_frame(stage.paths[0], name),)))
    while words[Of.FRAMES] < before + FRAMES_BEFORE:
        process.wait_until(monotonic_ns() + _LOOK_NS)
    found.ping_ns += [process.ask(Ping(id=process.number())).took_ns for _ in range(PINGS)]
    process.wait_until(monotonic_ns() + random.randrange(stage.interval_ns))
    answer = process.ask(Cancel(id=process.number(), kind="camera", name=Path(stage.paths[0]).name, by="benchmark"))
    delivered = words[Of.FRAMES], words[Of.STORED]
    (report,) = answer.facts.cameras
    found.add(answer, report)
    process.wait_until(monotonic_ns() + 2 * stage.interval_ns)
    found.frames_after += max(words[Of.FRAMES] - delivered[0], words[Of.STORED] - delivered[1])


def stop_bare(path: str, interval_ns: int, count: int, ping_ns: list[int]) -> Bare:
    """A block of the floor. `ping_ns` goes into it. Raises MissingTool."""
    if not PROGRAM.exists():
        raise MissingTool(f"{PROGRAM.name} is not built: apt-get install gcc libc6-dev where the rig is started")
    command = [str(PROGRAM), path, str(count), str(interval_ns // 1000), str(random.randrange(1 << 30))]
    with noop_server() as client:
        noop_ns = [round_trip_ns(client, bytes(PACKET_OF_A_CANCEL)) for _ in range(PINGS * count)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Bare(noop_ns, [int(line) for line in done.stdout.split()], ping_ns)


def _at(per_cent: int, samples_ns: list[int]) -> Measured:
    return Measured(percentile(samples_ns, per_cent), len(samples_ns), samples_ns)
