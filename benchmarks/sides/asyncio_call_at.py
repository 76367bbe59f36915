"""asyncio's `call_at`: every plan arms its next instant itself, `due + period`, for ever on the grid."""

from __future__ import annotations

import asyncio
import gc
from array import array
from time import monotonic_ns

from agent.units import NS_PER_MS, NS_PER_S
from benchmarks.common import own_cpu_ns
from benchmarks.lateness import Lateness, Load, Window, serve_side

_SETTLE_NS = 100 * NS_PER_MS
"""Ticks of the window may fire as late as this after it."""


def measure(load: Load) -> Lateness:
    """One block."""
    return asyncio.run(_measure(load))


async def _measure(load: Load) -> Lateness:
    call_at = asyncio.get_running_loop().call_at
    dues_ns, fired_ns = array("q"), array("q")
    period_ns = load.period_ns

    def fire(due_ns: int) -> None:
        fired_ns.append(monotonic_ns())
        dues_ns.append(due_ns)
        due_ns += period_ns
        call_at(due_ns / NS_PER_S, fire, due_ns)

    start_ns = monotonic_ns() + NS_PER_S // 4 + load.plans * 5_000
    for phase_ns in load.phases_ns():
        due_ns = start_ns + phase_ns
        call_at(due_ns / NS_PER_S, fire, due_ns)
    gc.collect()
    gc.freeze()
    window = Window.of(load, start_ns)
    await _sleep_until(window.begin_ns)
    before_ns = own_cpu_ns()
    await _sleep_until(window.end_ns)
    cpu_ns = own_cpu_ns() - before_ns
    await _sleep_until(window.end_ns + _SETTLE_NS)
    return Lateness(window.lateness_ns(dues_ns, fired_ns), window.planned(load, start_ns), cpu_ns)


async def _sleep_until(at_ns: int) -> None:
    await asyncio.sleep((at_ns - monotonic_ns()) / NS_PER_S)


if __name__ == "__main__":
    serve_side(measure)
