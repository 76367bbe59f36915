"""Taking turns with a peer, and counting what each turn costs."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.environment import load_average
from benchmarks.result import Block, Comparison, Condition
from benchmarks.stats import block_order

PAIRS = 12
"""Blocks of each side: with 10 or more, the 95 % interval leaves out the extremes."""

Turn = Callable[[], tuple[int, int]]
"""One block of one side: CPU time in nanoseconds, and the frames it was spent on."""

_CPUCLOCK_SCHED = 2
_SPIN = "while True: pass"


def compare(comparison: Comparison, ours: Turn, peer: Turn, folder: Path, *, pairs: int = PAIRS) -> Comparison:
    """Take turns, idle and then under load, print the ratios, write the file."""
    with _own_cpu() as load_cpu:
        ours()  # once without counting: imports, caches, page faults
        peer()
        conditions = [_take_turns("idle", "none", ours, peer, pairs)]
        with running_load(load_cpu) as load:
            conditions.append(_take_turns("under load", load, ours, peer, pairs))
    finished = replace(comparison, conditions=tuple(conditions))
    for condition in conditions:
        ratio = condition.ratio
        print(f"{comparison.name} {condition.name}: {ratio.median:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]", flush=True)
    finished.write(folder)
    return finished


def _take_turns(name: str, load: str, ours: Turn, peer: Turn, pairs: int) -> Condition:
    before = load_average()
    blocks = []
    for is_ours in block_order(pairs):
        cpu_ns, frames = (ours if is_ours else peer)()
        blocks.append(Block(is_ours, cpu_ns, frames))
    return Condition(name, load, before, load_average(), tuple(blocks))


@contextlib.contextmanager
def _own_cpu() -> Iterator[int]:
    """Keep both sides on one processor; yields another one for the load (the same, if there is only one)."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    try:
        yield max(cpus)
    finally:
        os.sched_setaffinity(0, cpus)


@contextlib.contextmanager
def running_load(cpu: int) -> Iterator[str]:
    """Keep processor `cpu` busy; yields by what, in words. stress-ng where it is installed."""
    if shutil.which("stress-ng"):
        command, words = (
            ["stress-ng", "--quiet", "--cpu", "1", "--taskset", str(cpu)],
            f"stress-ng --cpu 1 on CPU {cpu}",
        )
    else:
        print("!!! stress-ng IS NOT INSTALLED: a spinning Python process stands in for it", file=sys.stderr, flush=True)
        command, words = [sys.executable, "-c", _SPIN], f"a spinning Python process on CPU {cpu} (no stress-ng here)"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            os.sched_setaffinity(process.pid, {cpu})
            time.sleep(0.5)  # until it is busy
            yield words
        finally:
            process.terminate()


def own_cpu_ns() -> int:
    """User and system time of this process, all threads."""
    return time.process_time_ns()


def cpu_ns_of(pid: int) -> int:
    """User and system time of a running process, all threads: its CPU clock, clock_getcpuclockid(3)."""
    return time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED)


def run_counted(command: list[str]) -> int:
    """Run to the end; user and system time from start to end, by wait4. Raises CalledProcessError."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    stream = process.stderr
    complaint = stream.read() if stream else ""
    if stream:
        stream.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=complaint)
    return round((usage.ru_utime + usage.ru_stime) * 1e9)
