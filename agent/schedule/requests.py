"""One request, one tick: the id it is followed by, and whether it is worth a line in the log (mission row H3)."""

from __future__ import annotations

from dataclasses import dataclass

from agent.errors import InputError

_NUMBER_BITS = 40
_SLOT_BITS = 24
_RUN_BITS = 64


def trace_id(run_id: int, slot: int, number: int) -> str:
    """32 hexadecimal digits: 64 bits of the run, 24 of the plan's place (from 1), 40 of `Tick.trace_number`.

    Never all zero, which W3C Trace Context calls invalid. The numbers repeat after 2^40 ticks in one place: at a
    thousand a second, after 34 years. Raises ValueError for a run or a place that does not fit.
    """
    if not 0 <= run_id < 1 << _RUN_BITS or not 0 <= slot < (1 << _SLOT_BITS) - 1:
        raise ValueError(f"run {run_id:#x} or place {slot} does not fit into a trace id")
    number &= (1 << _NUMBER_BITS) - 1
    return f"{run_id << _RUN_BITS | (slot + 1) << _NUMBER_BITS | number:032x}"


@dataclass(frozen=True, slots=True)
class Sample:
    """Which requests are told of one by one. All of them are counted anyway.

    `every`: each request whose number is a multiple of it, None for none. `slower_than_ns`: those that took longer,
    None for none. `failures`: those that failed.
    """

    every: int | None = None
    slower_than_ns: int | None = None
    failures: bool = True

    def __post_init__(self) -> None:
        """Raises InputError."""
        if self.every is not None and self.every < 1:
            raise InputError(
                f"a sample of every {self.every} requests is none", hint="write 1 or more, or leave it out"
            )
        if self.slower_than_ns is not None and self.slower_than_ns < 0:
            raise InputError("a request cannot take less than no time", hint="write 0 or more, or leave it out")

    def of_end(self, number: int, took_ns: int) -> bool:
        """Whether a request that ended well is worth telling."""
        if self.every is not None and number % self.every == 0:
            return True
        return self.slower_than_ns is not None and took_ns > self.slower_than_ns

    def of_failure(self, number: int, took_ns: int) -> bool:
        """Whether a request that failed is worth telling."""
        return self.failures or self.of_end(number, took_ns)
