"""Lines of gpio-sim from a program's side, through the official bindings: pulses out, edges in."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple, Self

import gpiod
from gpiod.line import Direction, Edge, Value
from uvc_camera.lines import SimLine, find_line

from agent.clock import monotonic_ns

_CONSUMER = "hw-tests"


class Sent(NamedTuple):
    """A pulse's rising edge lies between `before_ns` and `after_ns` (CLOCK_MONOTONIC)."""

    before_ns: int
    after_ns: int


class PulseLine:
    """An output, low at first and in the end. A context manager."""

    def __init__(self, name: str) -> None:
        self._line = find_line(name)
        settings = gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.INACTIVE)
        self._request = _request(self._line, settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._request.set_value(self._line.offset, Value.INACTIVE)
        self._request.release()

    def pulse(self, width_ns: int = 100_000) -> Sent:
        """One pulse at least that wide; the processor is kept busy meanwhile."""
        before_ns = monotonic_ns()
        self._request.set_value(self._line.offset, Value.ACTIVE)
        after_ns = monotonic_ns()
        while monotonic_ns() < after_ns + width_ns:
            pass
        self._request.set_value(self._line.offset, Value.INACTIVE)
        return Sent(before_ns, after_ns)


class EdgeLine:
    """An input that counts edges. A context manager. `edge`: which ones, rising by default."""

    def __init__(self, name: str, edge: Edge = Edge.RISING) -> None:
        line = find_line(name)
        settings = gpiod.LineSettings(direction=Direction.INPUT, edge_detection=edge)
        self._request = _request(line, settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._request.release()

    def wait(self, count: int, limit_s: float = 10.0) -> list[gpiod.EdgeEvent]:
        """The next `count` edges, or as many as came before one was `limit_s` late."""
        events: list[gpiod.EdgeEvent] = []
        while len(events) < count and self._request.wait_edge_events(timedelta(seconds=limit_s)):
            events += self._request.read_edge_events()
        return events


def _request(line: SimLine, settings: gpiod.LineSettings) -> gpiod.LineRequest:
    chip = f"/dev/{line.folder.parent.name}"
    return gpiod.request_lines(chip, consumer=_CONSUMER, config={line.offset: settings}, event_buffer_size=1024)
