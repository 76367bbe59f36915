"""Simulated trigger lines that behave like the kernel's gpio-sim, with wires between them."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from agent.simulation.clock import Clock, MachineClock, ManualClock
from agent.simulation.line_handles import SimulatedInput, SimulatedOutput
from agent.simulation.line_level import LineChip, OnLevel, Wiring
from agent.simulation.pacer import Deadlines, Pacer, Stepper
from agent.trigger.errors import typed_error
from agent.trigger.lines import (
    ChipInfo,
    Edges,
    InputLine,
    InputOrder,
    LineInfo,
    LineRef,
    OutputLine,
    OutputOrder,
)
from agent.trigger.lookup import find_chip, find_line

_WRAP = 2**32


class SimulatedLines:
    """Chips with lines; `agent.trigger.lines.Lines`, and the hands of whoever stands beside the bench.

    A context manager. Shared between threads; an open line belongs to one. Listeners are called without the lock, by
    the thread that changed the level. With a `ManualClock`, debounced edges come from the `Stepper` in `deadlines`.
    """

    def __init__(
        self, chips: Sequence[LineChip], *, clock: Clock | None = None, deadlines: Deadlines | None = None
    ) -> None:
        self.clock = clock or MachineClock()
        self.deadlines = deadlines or (
            Stepper(self.clock) if isinstance(self.clock, ManualClock) else Pacer(self.clock)
        )
        self._lock = threading.RLock()
        self._lines: dict[ChipInfo, list[Wiring]] = {}
        self._unplugged: set[str] = set()
        self._forbidden: set[str] = set()
        self._heard: list[tuple[OnLevel, bool, int]] = []
        for number, chip in enumerate(chips):
            info = ChipInfo(f"/dev/gpiochip{number}", f"gpiochip{number}", chip.label, len(chip.names))
            self._lines[info] = [
                Wiring(chip=info.path, offset=offset, name=name) for offset, name in enumerate(chip.names)
            ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let go of all lines. Idempotent."""
        with self._lock:
            held = [wiring.holder for wirings in self._lines.values() for wiring in wirings]
        for holder in held:
            if isinstance(holder, SimulatedOutput | SimulatedInput):
                holder.release()

    # ---- agent.trigger.lines.Lines

    def chips(self) -> Sequence[ChipInfo]:
        """The chips that are plugged in and may be opened. Raises LinePermission when none may be."""
        with self._lock:
            present = [chip for chip in self._lines if chip.name not in self._unplugged]
            allowed = [chip for chip in present if chip.name not in self._forbidden]
            if present and not allowed:
                raise typed_error(errno.EACCES, "open", device=present[0].path, line="")
            return tuple(allowed)

    def lines(self, chip: str) -> Sequence[LineInfo]:
        """The lines of a chip. Raises ChipNotFound, LinePermission."""
        with self._lock:
            return self._infos(self._chip(chip, ""))

    def open_output(self, order: OutputOrder) -> OutputLine:
        """Take a line and drive it to its safe level. Raises as `agent.trigger.lines.Lines` says."""
        with self._changing():
            wiring = self._free(order.line)
            output = SimulatedOutput(self, wiring, order)
            wiring.holder = output
            wiring.driven = order.safe_active != order.active_low
            self._settle_levels(wiring)
            return output

    def open_input(self, order: InputOrder) -> InputLine:
        """Take a line and watch it. Raises as `agent.trigger.lines.Lines` says."""
        with self._changing():
            wiring = self._free(order.line)
            wiring.apply_bias(order.bias)
            self._settle_levels(wiring)
            watched = SimulatedInput(self, wiring, order)
            wiring.holder = watched
            return watched

    # ---- the hands beside the bench

    def pull(self, ref: LineRef, high: bool) -> None:
        """Pull a line up or down, as writing to gpio-sim's `pull` does: an output that drives does not care."""
        with self._changing():
            wiring = self._find(ref)
            wiring.pull = high
            self._settle_levels(wiring)

    def level(self, ref: LineRef) -> bool:
        """The physical level, as gpio-sim's `value` says it."""
        with self._lock:
            return self._find(ref).level

    def wire(self, output: LineRef, *inputs: LineRef) -> None:
        """Connect an output to inputs: while it drives, they have its level."""
        with self._changing():
            source = self._find(output)
            for ref in inputs:
                sink = self._find(ref)
                source.sinks.append(sink)
                sink.sources.append(source)
            self._settle_levels(source)

    def on_level(self, ref: LineRef, listener: OnLevel) -> Callable[[], None]:
        """Call `listener` at each change of level from now on; what ends it is returned."""
        with self._lock:
            listeners = self._find(ref).listeners
            listeners.append(listener)

        def end() -> None:
            with self._lock:
                if listener in listeners:
                    listeners.remove(listener)

        return end

    def unplug(self, chip: str) -> None:
        """The chip goes: every open line of it answers LineGone, pollers wake, and it drives no more."""
        with self._changing():
            found = self._chip(chip, "")
            self._unplugged.add(found.name)
            for wiring in self._lines[found]:
                if wiring.holder is not None:
                    wiring.holder.hang_up()
                wiring.holder, wiring.driven, wiring.bias = None, None, None
                self._settle_levels(wiring)

    def plug(self, chip: str) -> None:
        """The chip comes back, nobody holding its lines. Silent when it is there."""
        with self._lock:
            self._unplugged.discard(find_chip(chip, tuple(self._lines)).name)

    def forbid(self, chip: str) -> None:
        """From now on the user may not open the chip."""
        with self._lock:
            self._forbidden.add(find_chip(chip, tuple(self._lines)).name)

    # ---- agent.simulation.line_handles.Board

    def drive(self, wiring: Wiring, high: bool | None) -> int:
        """Let an output drive its line; the clock when its level stood."""
        with self._changing():
            wiring.driven = high
            self._settle_levels(wiring)
            return self.clock.now_ns()

    def level_of(self, wiring: Wiring) -> bool:
        """The physical level."""
        with self._lock:
            return wiring.level

    def let_go(self, wiring: Wiring) -> None:
        """The line has no holder any more: its wires and its pull decide."""
        with self._changing():
            wiring.holder, wiring.driven, wiring.bias = None, None, None
            self._settle_levels(wiring)

    def read_edges(self, watched: SimulatedInput) -> Edges:
        """The edges that wait."""
        with self._lock:
            edges = watched.fifo.take(watched.most)
            watched.signal.show(waiting=len(watched.fifo) > 0)
            lost = 0
            for edge in edges:
                lost += (edge.seqno - watched.last_seqno - 1) % _WRAP
                watched.last_seqno = edge.seqno
            return Edges(edges, lost)

    def settle(self, watched: SimulatedInput, turn: int) -> None:
        """The debounce period of `turn` is over."""
        with self._lock:
            watched.settled(turn)

    # ---- within the lock

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Locked; the listeners of what changed are called after it."""
        with self._lock:
            try:
                yield
            finally:
                heard, self._heard = self._heard, []
        for listener, high, now_ns in heard:
            listener(high, now_ns)

    def _settle_levels(self, changed: Wiring) -> None:
        now_ns = self.clock.now_ns()
        for wiring in (changed, *changed.sinks):
            high = wiring.settled()
            if high != wiring.level:
                wiring.level = high
                if wiring.holder is not None:
                    wiring.holder.heard(high, now_ns)
                self._heard += [(listener, high, now_ns) for listener in wiring.listeners]

    def _chip(self, wanted: str, line: str) -> ChipInfo:
        found = find_chip(wanted, [chip for chip in self._lines if chip.name not in self._unplugged], line=line)
        if found.name in self._forbidden:
            raise typed_error(errno.EACCES, "open", device=found.path, line=line)
        return found

    def _infos(self, chip: ChipInfo) -> tuple[LineInfo, ...]:
        return tuple(_info(wiring) for wiring in self._lines[chip])

    def _find(self, ref: LineRef) -> Wiring:
        chips = [self._chip(ref.chip, ref.line)] if ref.chip else self.chips()
        chip, line = find_line(ref, {chip: self._infos(chip) for chip in chips})
        return self._lines[chip][line.offset]

    def _free(self, ref: LineRef) -> Wiring:
        wiring = self._find(ref)
        if wiring.holder is not None:
            name = wiring.name or str(wiring.offset)
            raise typed_error(
                errno.EBUSY, "GPIO_V2_GET_LINE", device=wiring.chip, line=name, consumer=wiring.holder.consumer
            )
        return wiring


def _info(wiring: Wiring) -> LineInfo:
    holder = wiring.holder
    return LineInfo(
        offset=wiring.offset,
        name=wiring.name,
        consumer=holder.consumer if holder else "",
        used=holder is not None,
        output=wiring.driven is not None,
        active_low=holder is not None and holder.active_low,
        bias=wiring.bias,
    )
