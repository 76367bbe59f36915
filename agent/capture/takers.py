"""What a plan's ticks go to: a camera that runs free, one that is triggered, or all cameras of a group as a set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agent.capture.requests import Joint
from agent.capture.serving import Serving
from agent.schedule.run import Tick


class Taker(Protocol):
    """Takes fired ticks while it is armed."""

    @property
    def armed(self) -> bool:
        """Whether a tick can be taken now."""
        ...

    def want(self, tick: Tick, stores: bool) -> None:
        """A fired tick waits for its frames. Only while `armed`."""
        ...


class PulseSource(Protocol):
    """The trigger of a group."""

    @property
    def ready(self) -> bool:
        """All cameras armed and settled, the line proven idle: pulses may leave, or are awaited."""
        ...

    def pulse_for(self, tick: Tick) -> int:
        """The number of the first pulse whose frame the tick takes: shared, or to come."""
        ...

    def waited_for(self) -> None:
        """All who wait for that pulse are there: it may be fired."""
        ...


class SetTaker:
    """All cameras of a group that run free: of each the first frame exposed from the tick's instant on."""

    def __init__(self, units: Sequence[Serving]) -> None:
        self._units = units

    @property
    def armed(self) -> bool:
        """All of them stream."""
        return all(unit.armed for unit in self._units)

    def want(self, tick: Tick, stores: bool) -> None:
        """A shot of each."""
        joined = Joint(len(self._units))
        for unit in self._units:
            unit.want(tick, stores, None, joined)


class TriggeredTaker:
    """One camera on a trigger, or all of its cameras as a set: the frames of one pulse."""

    def __init__(self, source: PulseSource, units: Sequence[Serving]) -> None:
        self._source, self._units = source, units

    @property
    def armed(self) -> bool:
        """Before the trigger is ready a tick is refused, so that no pulse is wasted (mission row E2)."""
        return self._source.ready and all(unit.armed for unit in self._units)

    def want(self, tick: Tick, stores: bool) -> None:
        """A shot of each, of the same pulse."""
        joined = Joint(len(self._units)) if len(self._units) > 1 else None
        pulse = self._source.pulse_for(tick)
        for unit in self._units:
            unit.want(tick, stores, pulse, joined)
        self._source.waited_for()
