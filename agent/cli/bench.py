"""The cameras a verb works on: this machine's, or simulated ones. The only place that knows the simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from agent.kernel import Kernel, LinuxKernel

KernelChoice = Callable[[bool], AbstractContextManager[Kernel]]
"""Opens the kernel of this machine, or with True a simulated one. Tests hand in their own."""


@contextmanager
def open_kernel(simulate: bool) -> Iterator[Kernel]:
    """The kernel of this machine; with `simulate` one with two cameras that are not there, released at the end."""
    if not simulate:
        yield LinuxKernel()
        return
    from agent.simulation.bench import simulated_kernel

    with simulated_kernel() as kernel:
        yield kernel


def read_mark_of(picture: Path) -> tuple[int, int, int] | None:
    """Sequence number, exposure in nanoseconds and gain, as a simulated camera drew them into the picture.

    None where there is no mark, or a damaged one.
    """
    import numpy as np
    from PIL import Image

    from agent.simulation.mark import read_mark

    with Image.open(picture) as image:
        mark = read_mark(np.asarray(image.convert("L")))
    return None if mark is None else (mark.sequence, mark.exposure_ns, mark.gain)
