"""What a plan is: when it wants frames, of which camera, and what becomes of a tick that comes at a bad time."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class WhenBusy(enum.Enum):
    """What becomes of a tick that comes while the plan's last capture is still under way (mission row F3)."""

    SKIP = "skip"
    """It is counted as skipped."""
    COALESCE = "coalesce"
    """All that come are fired as one when the capture is done; the others are counted as coalesced."""
    CATCH_UP = "catch_up"
    """Up to `catch_up` of them wait and are fired one after the other; beyond that they are skipped."""


@dataclass(frozen=True, slots=True)
class Window:
    """Ticks count from `open_ns` (included) to `close_ns` (not included) after the plan's start.

    `every_ns`: the window opens again and again with this distance; None: once.
    """

    open_ns: int
    close_ns: int
    every_ns: int | None = None


@dataclass(frozen=True, slots=True)
class OnEdge:
    """Ticks come from outside, one for every `divider`-th edge of an input line (mission row E1: external starts).

    An edge less than `distance_ns` after the last one that counted does not count.
    """

    divider: int = 1
    distance_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One plan. Instants are `start_ns + k * period_ns`, integer nanoseconds of CLOCK_MONOTONIC, for ever exact.

    `camera`: the name of a camera, or of a group: then a tick is a set, a shot of each of its cameras. `period_ns`:
    None for a one-shot. `on_edge`: its instants are edges instead, and it has no period. `count`: ticks in all, None
    for no end. `burst`: consecutive frames a tick. `windows`: none means always. `priority`: higher goes first among
    ticks that are due. `client`: who asked, for
    quotas.
    """

    name: str
    camera: str
    start_ns: int
    period_ns: int | None = None
    count: int | None = None
    burst: int = 1
    windows: tuple[Window, ...] = ()
    when_busy: WhenBusy = WhenBusy.SKIP
    catch_up: int = 0
    priority: int = 0
    client: str = ""
    on_edge: OnEdge | None = None
