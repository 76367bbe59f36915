"""memcpy of a camera's frames: from buffers in turn into one array that is there already. A process of its own."""

from __future__ import annotations

import json
import sys
from time import monotonic_ns
from typing import Any

import numpy as np

from benchmarks.common import own_cpu_ns
from benchmarks.sides.lending import buffers

_BUFFERS = 6
_WARM_UP = 2 * _BUFFERS


def copy(width_px: int, height_px: int, frames: int) -> dict[str, Any]:
    """CPU time for all frames, and the time that each took."""
    took_ns: list[int] = []
    before_ns = 0
    with buffers(width_px, height_px, _BUFFERS) as pool:
        views = [buffer.planes[0].view for buffer in pool]
        target = np.zeros_like(views[0])
        for number in range(-_WARM_UP, frames):
            if number == 0:
                before_ns = own_cpu_ns()
                took_ns.clear()
            began_ns = monotonic_ns()
            np.copyto(target, views[number % _BUFFERS])
            took_ns.append(monotonic_ns() - began_ns)
    return {"cpu_ns": own_cpu_ns() - before_ns, "took_ns": took_ns}


if __name__ == "__main__":
    print(json.dumps(copy(*map(int, sys.argv[1:]))))
