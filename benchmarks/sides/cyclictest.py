"""cyclictest of Debian's rt-tests: one thread that wakes as often as the ticks are due, and does nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from agent.units import NS_PER_S
from benchmarks.common import MissingTool
from benchmarks.lateness import Lateness, Load

_BUCKETS = 999_999
"""Of a nanosecond each: the largest histogram it offers. What is later stands as `max`."""


def require_cyclictest() -> None:
    """Raises MissingTool."""
    if shutil.which("cyclictest") is None:
        raise MissingTool("cyclictest is not installed: apt-get install rt-tests")


def run_cyclictest(load: Load, cpu: int) -> Callable[[], Lateness]:
    """A turn: as many wake-ups a second as the load has ticks. Raises MissingTool."""
    require_cyclictest()
    interval_us = round(1_000_000 / load.ticks_per_s)
    cycles = round(load.measure_ns * load.ticks_per_s / NS_PER_S)
    policy = ["--policy=other"]
    if load.fifo_priority is not None:
        policy = ["--policy=fifo", f"--priority={load.fifo_priority}"]
    command = ["cyclictest", "--quiet", "--mlockall", "--threads=1", f"--affinity={cpu}", *policy, "--nsecs"]
    command += [f"--interval={interval_us}", f"--loops={cycles}", f"--histogram={_BUCKETS}"]

    def turn() -> Lateness:
        with tempfile.TemporaryDirectory() as folder:
            found = Path(folder) / "cyclictest.json"
            subprocess.run([*command, f"--json={found}"], check=True, stdout=subprocess.DEVNULL)
            return read_histogram(found.read_text())

    return turn


def read_histogram(text: str) -> Lateness:
    """What its --json says of its one thread. Its samples come sorted; it does not tell its CPU time."""
    thread = json.loads(text)["thread"]["0"]
    histogram = {int(late_ns): count for late_ns, count in thread["histogram"].items()}
    late_ns = [late for late in sorted(histogram) for _ in range(histogram[late])]
    beyond = thread["cycles"] - len(late_ns)
    return Lateness(late_ns + [thread["max"]] * beyond, thread["cycles"], 0)
