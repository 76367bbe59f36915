# SPDX-License-Identifier: GPL-3.0-or-later
"""The camera's trigger input: whether it listens, to which edges, how soon it exposes. Does no I/O.

In trigger mode every active edge is a pulse with a number, from the first on, whatever becomes of it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Protocol

from .edges import Edge
from .errors import OrderError
from .lines import Strobe
from .pacing import Pulse

RISING, FALLING = "rising", "falling"
_NATURALS = ("delay_ns", "jitter_ns", "readout_ns", "seed")


@dataclass(frozen=True)
class Response:
    """How the input behaves: an exposure starts `delay_ns` after the edge and up to `jitter_ns` later, evenly spread.

    For `readout_ns` after an exposure the sensor sees no edge. `seed` makes the spread repeatable.
    """

    edge: str = RISING
    delay_ns: int = 0
    jitter_ns: int = 0
    readout_ns: int = 2_000_000
    seed: int = 0


def parse_response(arguments: Mapping[str, object]) -> Response:
    """From an order's words; those left out are the defaults. Raises: OrderError."""
    unknown = set(arguments) - {"edge", *_NATURALS}
    if unknown:
        raise OrderError(f"a trigger input has no {', '.join(sorted(unknown))}", hint=f"edge, {', '.join(_NATURALS)}")
    if arguments.get("edge", RISING) not in (RISING, FALLING):
        raise OrderError(f"edge must be {RISING} or {FALLING}, not {arguments['edge']!r}")
    for name in _NATURALS:
        value = arguments.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise OrderError(f"{name} must be a whole number, not {value!r}")
    return Response(**arguments)  # type: ignore[arg-type]  # checked above, key by key


class TriggerInput:
    """The input of one camera, which outlives its plugging. For one thread."""

    def __init__(self, response: Response | None = None, first_number: int = 0) -> None:
        self.on = False
        self._next_number = first_number
        self.respond(response or Response())

    @property
    def readout_ns(self) -> int:
        """How long after an exposure no edge is seen."""
        return self._response.readout_ns

    def respond(self, response: Response) -> None:
        """Behave like that from the next edge on."""
        self._response = response
        self._random = random.Random(response.seed)

    def pulses(self, edges: Iterable[Edge]) -> list[Pulse]:
        """The pulses among `edges`: none unless in trigger mode."""
        if not self.on:
            return []
        wanted = self._response.edge == RISING
        return [self._pulse(edge.time_ns) for edge in edges if edge.high == wanted]

    def facts(self) -> dict[str, object]:
        """For the record."""
        return {"on": self.on, **asdict(self._response)}

    def _pulse(self, time_ns: int) -> Pulse:
        number, self._next_number = self._next_number, self._next_number + 1
        delay_ns = self._response.delay_ns + self._random.randint(0, self._response.jitter_ns)
        return Pulse(number, time_ns, delay_ns)


class Wire(Protocol):
    """What the trigger input is wired to."""

    def connect(self, line: str) -> None:
        """Follow that line from now on. Raises: LineError."""


class NoWire:
    """The input is wired to nothing."""

    def connect(self, line: str) -> None:
        """There is nothing to wire with."""
        raise OrderError(f"this camera cannot follow {line}", hint="it was made without a wire")


@dataclass(frozen=True)
class Terminals:
    """The terminals beside the cable: trigger in, with the wire at it, and strobe out."""

    trigger: TriggerInput = field(default_factory=TriggerInput)
    wire: Wire = field(default_factory=NoWire)
    strobe: Strobe | None = None
