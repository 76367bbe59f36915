"""Pulses, ends, residuals, sets and edges of a group, as its page has them at one moment (mission row E3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.capture.board import Board, Head, Of
from agent.capture.order import GroupOrder
from agent.schedule.histogram import Histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraPulses:
    """One triggered camera's ledger. Every pulse is in one of `matched`, `missed`, `late`, `ambiguous`, or open.

    `residual_*_ns`: start of exposure less the expected instant, None before the first match. `delays`: from trigger to
    start of exposure; by its strobe line where it has one (`strobes` edges so far), else by the stamps of its frames.
    """

    camera: str
    pulses: int
    matched: int
    missed: int
    late: int
    ambiguous: int
    spurious: int
    ambiguous_frames: int
    relocks: int
    out_of_budget: int
    residual_min_ns: int | None
    residual_max_ns: int | None
    strobes: int | None
    delays: Histogram

    @property
    def open(self) -> int:
        """Pulses that have not ended."""
        return self.pulses - self.matched - self.missed - self.late - self.ambiguous


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPulses:
    """A group with lines. `kind`: of its trigger, None where its cameras run free.

    `sets`: None where fewer than two cameras are triggered. `edges`: of its input, None without one. `stopped_ns`:
    since when its emergency stop is latched, None while it is not.
    """

    group: str
    kind: str | None
    pulses: int
    sets: int | None
    sets_incomplete: int | None
    skew_ns: int | None
    skew_max_ns: int | None
    edges: int | None
    edges_lost: int | None
    stopped_ns: int | None
    cameras: Sequence[CameraPulses]


def pulses_of(order: GroupOrder, board: Board) -> GroupPulses | None:
    """What the page says; None for a group without lines."""
    if order.trigger is None and order.emergency_stop is None:
        return None
    kind = order.trigger.kind if order.trigger is not None else None
    cameras = [_camera(order, board, place) for place in _triggered(order)] if kind is not None else []
    words, several = board.words, len(cameras) > 1
    seen = order.trigger is not None and order.trigger.input is not None
    return GroupPulses(
        group=order.name,
        kind=None if kind is None else kind.value,
        pulses=words[Head.PULSES],
        sets=words[Head.SETS] if several else None,
        sets_incomplete=words[Head.SETS_INCOMPLETE] if several else None,
        skew_ns=words[Head.SKEW_NS] if several and words[Head.SETS] else None,
        skew_max_ns=words[Head.SKEW_MAX_NS] if several and words[Head.SETS] else None,
        edges=words[Head.EDGES] if seen else None,
        edges_lost=words[Head.EDGES_LOST] if seen else None,
        stopped_ns=words[Head.STOPPED_NS] or None,
        cameras=cameras,
    )


def _triggered(order: GroupOrder) -> list[int]:
    return [place for place, camera in enumerate(order.cameras) if camera.trigger is not None]


def _camera(order: GroupOrder, board: Board, place: int) -> CameraPulses:
    words, camera = board.camera(place), order.cameras[place]
    any_matched = words[Of.MATCHED] > 0
    has_strobe = camera.trigger is not None and camera.trigger.strobe is not None
    # a copy: the page goes with its process
    delays = Histogram(memoryview(bytearray(board.delays(place).words.tobytes())).cast("q"))
    return CameraPulses(
        camera=camera.name,
        pulses=words[Of.PULSES],
        matched=words[Of.MATCHED],
        missed=words[Of.MISSED],
        late=words[Of.LATE],
        ambiguous=words[Of.AMBIGUOUS],
        spurious=words[Of.SPURIOUS],
        ambiguous_frames=words[Of.AMBIGUOUS_FRAMES],
        relocks=words[Of.RELOCKS],
        out_of_budget=words[Of.OUT_OF_BUDGET],
        residual_min_ns=words[Of.RESIDUAL_MIN_NS] if any_matched else None,
        residual_max_ns=words[Of.RESIDUAL_MAX_NS] if any_matched else None,
        strobes=words[Of.STROBES] if has_strobe else None,
        delays=delays,
    )
