"""libgpiod's chips as far as `agent.trigger.gpio` uses them, with errnos to answer with: for machines without GPIO.

How the kernel behaves is not tested with this but with gpio-sim (hw-tests/test_lines_contract.py).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from struct import Struct

import gpiod
from gpiod import LineInfo
from gpiod.line import Value

_EVENT = Struct("=QIIII24x")


def refusal(code: int) -> Exception:
    """As ext/common.c of the bindings does: EINVAL is a ValueError, EOPNOTSUPP a NotImplementedError."""
    kinds = {22: ValueError, 95: NotImplementedError}
    return kinds[code](code, os.strerror(code)) if code in kinds else OSError(code, os.strerror(code))


@dataclass
class FakeRequest:
    chip: FakeChip
    offset: int
    consumer: str
    settings: gpiod.LineSettings
    buffer_events: int | None
    events: list[tuple[int, bool, int, int]] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fd, self._peer = os.pipe()

    def set_value(self, offset: int, value: Value) -> None:
        self.chip.answer("set_value")
        assert offset == self.offset
        self.values.append(value)

    def get_value(self, offset: int) -> Value:
        self.chip.answer("get_value")
        return self.values[-1]

    def read(self, most: int) -> bytes:
        """What the kernel would give to a read of its descriptor: struct gpio_v2_line_event."""
        self.chip.answer("read")
        if not self.events:
            os.read(self.fd, 1)  # EAGAIN when the descriptor was made non-blocking, else it blocks
        count = most // _EVENT.size
        taken, self.events = self.events[:count], self.events[count:]
        return b"".join(_EVENT.pack(ns, 1 if up else 2, 0, seq, of_line) for ns, up, seq, of_line in taken)

    def release(self) -> None:
        os.close(self.fd)
        os.close(self._peer)
        self.chip.requests.remove(self)


class FakeChip:
    """A chip with the line `trigger`; `answers`: call -> errno."""

    def __init__(self, path: str, label: str = "fake") -> None:
        self.path, self.label = path, label
        self.answers: dict[str, int] = {}
        self.requests: list[FakeRequest] = []
        self.holder = ""
        self.opened = 0

    def open(self, path: str) -> FakeChip:
        self.answer("open")
        self.opened += 1
        return self

    def answer(self, call: str) -> None:
        if call in self.answers:
            raise refusal(self.answers[call])

    def close(self) -> None:
        self.opened -= 1

    def get_info(self) -> gpiod.ChipInfo:
        self.answer("get_info")
        return gpiod.ChipInfo(self.path.rpartition("/")[2], self.label, 1)

    def get_line_info(self, offset: int) -> LineInfo:
        self.answer("get_line_info")
        return LineInfo(offset, "trigger", bool(self.holder), self.holder, 1, False, 2, 1, 1, 1, False, 0)

    def request_lines(self, config, consumer, buffer_events) -> FakeRequest:
        self.answer("request_lines")
        ((offset, settings),) = config.items()
        self.requests.append(FakeRequest(self, offset, consumer, settings, buffer_events))
        return self.requests[-1]
