"""Scripted misbehaviour of one camera. Changed at run time by plain assignment, from any thread."""

from __future__ import annotations

import enum
import errno
import threading
from collections.abc import Container
from dataclasses import dataclass

NEVER: Container[int] = frozenset()


class StampFault(enum.Enum):
    """What is wrong with the timestamps. The flags always say MONOTONIC, except with UNKNOWN."""

    NONE = enum.auto()
    REALTIME = enum.auto()
    """Stamps of CLOCK_REALTIME."""
    BACKWARDS = enum.auto()
    """Every second stamp lies before its predecessor."""
    ZERO = enum.auto()
    UNKNOWN = enum.auto()
    """V4L2_BUF_FLAG_TIMESTAMP_UNKNOWN, stamp 0."""


class FocusFault(enum.Enum):
    """What is wrong with the autofocus. That it does not begin at all: its button among the `dead_controls`."""

    NONE = enum.auto()
    NEVER_ENDS = enum.auto()
    FAILS = enum.auto()


class Gate:
    """Holds those who pass until it is opened, or for `for_ns` each. Shared freely between threads."""

    def __init__(self, for_ns: int | None) -> None:
        self.entered = threading.Event()
        """Set once somebody was held."""
        self._opened = threading.Event()
        self._limit_s = None if for_ns is None else for_ns / 1_000_000_000

    def release(self) -> None:
        """Let everybody pass from now on."""
        self._opened.set()

    def wait(self) -> None:
        """Pass the gate: returns when it is opened or the time is over."""
        self.entered.set()
        self._opened.wait(self._limit_s)


@dataclass
class _Refusal:
    code: int
    calls_left: int
    every: bool


class Faults:
    """What one camera does wrong. Frames are given by their sequence number: a set or a `range`."""

    def __init__(self) -> None:
        self.lost_frames: Container[int] = NEVER
        """Never delivered: a gap in the sequence."""
        self.broken_frames: Container[int] = NEVER
        """Delivered with V4L2_BUF_FLAG_ERROR."""
        self.short_frames: Container[int] = NEVER
        """Delivered with half of the bytes."""
        self.stamp = StampFault.NONE
        self.focus = FocusFault.NONE
        self.frozen = False
        """No frame is finished and none is counted: the camera hangs."""
        self.unplug_at_frame: int | None = None
        self.unplug_at_call: str | None = None
        """A request by its kernel name: the camera is gone when it is issued."""
        self.ignored_controls: Container[int] = NEVER
        """Accepted by S_EXT_CTRLS, never stored: a read-back shows the old value."""
        self.dead_controls: Container[int] = NEVER
        """Stored and read back, but the sensor does not follow."""
        self.broken_write_at: int | None = None
        """S_EXT_CTRLS fails with EIO at this index; the controls before it are written."""
        self.wrong_index: int | None = None
        """The next DQBUF says this index."""
        self.drop_triggers = 0
        """So many of the next pulses begin no exposure."""
        self.double_triggers = 0
        """So many of the next exposures are followed by a second one for the same pulse."""
        self.late_trigger_ns = 0
        """The next pulse begins its exposure this much later than it should."""
        self.repeat_buffer = False
        """The next DQBUF hands out the same buffer as the one before."""
        self._lock = threading.Lock()
        self._refusals: dict[str, _Refusal] = {}
        self._gates: dict[str, Gate] = {}

    def refuse(self, request: str, code: int = errno.EIO, *, on_call: int = 1, every: bool = False) -> None:
        """Answer `code` to the n-th call of `request` (its kernel name) from now; `every`: to all from then on."""
        with self._lock:
            self._refusals[request] = _Refusal(code, on_call, every)

    def allow(self, request: str) -> None:
        """End what `refuse` began."""
        with self._lock:
            self._refusals.pop(request, None)

    def hold(self, request: str, *, for_ns: int | None = None) -> Gate:
        """Let calls of `request` hang: each for `for_ns`, or until the gate is released or the camera unplugged."""
        gate = Gate(for_ns)
        with self._lock:
            self._gates[request] = gate
        return gate

    def gate(self, request: str) -> Gate | None:
        """The gate before `request`, if there is one."""
        return self._gates.get(request)

    def release_gates(self) -> None:
        """Let everybody pass who is held, and end the holding."""
        with self._lock:
            gates, self._gates = list(self._gates.values()), {}
        for gate in gates:
            gate.release()

    def refusal_of(self, request: str) -> int:
        """Count a call of `request`; the errno to answer it with, or 0."""
        if not self._refusals:
            return 0
        with self._lock:
            waiting = self._refusals.get(request)
            if waiting is None:
                return 0
            waiting.calls_left -= 1
            if waiting.calls_left > 0:
                return 0
            if not waiting.every:
                del self._refusals[request]
            return waiting.code

    def take_wrong_index(self) -> int | None:
        """The index to lie with, once."""
        index, self.wrong_index = self.wrong_index, None
        return index

    def take_repeat(self) -> bool:
        """True once after `repeat_buffer` was set."""
        repeat, self.repeat_buffer = self.repeat_buffer, False
        return repeat

    def take_drop(self) -> bool:
        """True for each of the next `drop_triggers` pulses."""
        dropped = self.drop_triggers > 0
        self.drop_triggers -= dropped
        return dropped

    def take_double(self) -> bool:
        """True for each of the next `double_triggers` exposures."""
        doubled = self.double_triggers > 0
        self.double_triggers -= doubled
        return doubled

    def take_late_ns(self) -> int:
        """What the next pulse is late, once."""
        late_ns, self.late_trigger_ns = self.late_trigger_ns, 0
        return late_ns
