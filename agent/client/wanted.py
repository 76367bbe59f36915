"""What a client asks for, checked where it is asked: what is out of bounds is never sent."""

from __future__ import annotations

from agent.errors import InputError
from agent.frames.values import DEPTH, LONGEST_LEASE_NS, MOST, NAME_BYTES, Subscribe, Target
from agent.units import NS_PER_S

_KINDS = {kind.word: kind for kind in Target}
_LONGEST_S = LONGEST_LEASE_NS / NS_PER_S


def wanted(
    target: str,
    *,
    kind: str,
    every: bool,
    after_ns: int | None,
    most: int,
    depth: int,
    lease_s: float | None,
) -> Subscribe:
    """The subscription. Raises InputError, whose details name what was asked and what is allowed."""
    if kind not in _KINDS:
        raise _not_allowed("kind", kind, ", ".join(_KINDS))
    if not 0 < len(target.encode()) <= NAME_BYTES or "\0" in target:
        raise _not_allowed("target", target, f"a name of 1 to {NAME_BYTES} bytes")
    if after_ns is not None and not 0 <= after_ns < 1 << 63:
        raise _not_allowed("after_ns", after_ns, "nanoseconds of CLOCK_MONOTONIC, from 0, or None")
    for name, value, limit in (("most", most, MOST), ("depth", depth, DEPTH)):
        if not 1 <= value <= limit:
            raise _not_allowed(name, value, f"1 to {limit}")
    lease_ns = 0 if lease_s is None else round(lease_s * NS_PER_S)
    if lease_s is not None and not 0 < lease_ns <= LONGEST_LEASE_NS:
        raise _not_allowed("lease_s", lease_s, f"more than 0, at most {_LONGEST_S:g}, or None")
    return Subscribe(_KINDS[kind], target, every, after_ns, lease_ns, most, depth)


def _not_allowed(name: str, asked: object, allowed: str) -> InputError:
    return InputError(
        f"{name}={asked!r} cannot be subscribed to", hint=f"{name}: {allowed}", name=name, asked=asked, allowed=allowed
    )
