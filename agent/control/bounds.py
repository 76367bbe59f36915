"""What a client may use of the agent, and a bucket for the rate of each user's requests."""

from __future__ import annotations

from dataclasses import dataclass

from agent.units import NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Every bound of the control socket; times in nanoseconds.

    `connections`: when one more comes, one that is idle is closed for it; where none is, it may only cancel, and
    `reserve` of those are let in beside. `head_bytes`, `body_bytes`: of one request. `bodies_bytes`: of all that
    are being received, where one is more than a few KiB. `head_ns`, `body_ns`: from its
    first byte to its last. `idle_ns`: between requests. `drain_ns`: how long an answer may wait for a client that does
    not read. `requests`: under way at once. `per_turn`: begun in one turn of the event loop. `rate_per_s`, `burst`:
    requests of one user. Cancels are bound by neither of the last three, nor by `requests`.
    """

    connections: int = 256
    reserve: int = 16
    head_bytes: int = 16 * 1024
    body_bytes: int = 1024 * 1024
    bodies_bytes: int = 16 * 1024 * 1024
    head_ns: int = 5 * NS_PER_S
    body_ns: int = 10 * NS_PER_S
    idle_ns: int = 60 * NS_PER_S
    drain_ns: int = 10 * NS_PER_S
    requests: int = 128
    per_turn: int = 2
    rate_per_s: int = 1000
    burst: int = 1000


class Rate:
    """A token bucket in integers: in t ns at most `burst + per_s * t / 10^9` are granted. For one thread."""

    __slots__ = ("_burst", "_fill", "_last_ns", "_per_s")

    def __init__(self, per_s: int, burst: int, now_ns: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._fill = burst * NS_PER_S
        self._last_ns = now_ns

    def take(self, now_ns: int) -> bool:
        """One token, or False."""
        self._refill(now_ns)
        if self._fill < NS_PER_S:
            return False
        self._fill -= NS_PER_S
        return True

    def full(self, now_ns: int) -> bool:
        """Nothing was taken for long enough that it may be forgotten."""
        self._refill(now_ns)
        return self._fill == self._burst * NS_PER_S

    def _refill(self, now_ns: int) -> None:
        gained = max(now_ns - self._last_ns, 0) * self._per_s
        self._fill = min(self._burst * NS_PER_S, self._fill + gained)
        self._last_ns = max(now_ns, self._last_ns)
