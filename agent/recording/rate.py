"""Which frames are taken when fewer are wanted than come. Pure bookkeeping."""

from __future__ import annotations

from fractions import Fraction

from agent.units import NS_PER_S

_EARLY = 8
"""A frame up to an eighth of the period before its time is the one that is meant: stamps jitter."""


class RateGate:
    """At most `rate` frames a second of each camera, on a grid that does not drift; None: all of them."""

    def __init__(self, rate: Fraction | None) -> None:
        self._period_ns = None if rate is None else max(round(NS_PER_S / rate), 1)
        self._due_ns: dict[str, int] = {}

    def passes(self, camera: str, at_ns: int) -> bool:
        """Whether a frame of that stamp is taken; asked once for each, in order."""
        period_ns = self._period_ns
        if period_ns is None:
            return True
        due_ns = self._due_ns.setdefault(camera, at_ns)
        if at_ns < due_ns - period_ns // _EARLY:
            return False
        steps = max((at_ns - due_ns + period_ns // _EARLY) // period_ns, 0) + 1
        self._due_ns[camera] = due_ns + steps * period_ns
        return True
