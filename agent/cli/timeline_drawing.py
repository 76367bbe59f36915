"""A timeline as a picture: a lane for each camera, what happened to each frame from left to right, in milliseconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from agent.cli.canvas import Canvas
from agent.cli.timeline_reading import Lane, Shot
from agent.units import NS_PER_MS

WIDTH = 1240
_LEFT, _RIGHT, _TOP, _BOTTOM = 150, 30, 92, 84
_LANE, _GAP = 132, 20
PAPER, _LANE_PAPER, _INK, _QUIET, _GRID, _ALARM = "#f6f6f4", "#ffffff", "#24292f", "#57606a", "#dfe1e4", "#c62828"
_TICK, _PULSE, _EXPOSURE, _TRANSFER, _STAMP, _ENCODE = "#7b52ab", "#b8860b", "#f0a63a", "#bcd6ef", "#0b6bcb", "#2e8b57"
_LEAST = 1.2
"""Pixels: nothing that happened is drawn thinner."""
_STEPS = (1, 2, 5)
_AXIS_MARKS = 12
_NAMED_SHOTS = 40
"""Frames in a lane up to which their numbers fit."""


@dataclass(frozen=True, slots=True)
class Span:
    """What is drawn: from and to on CLOCK_MONOTONIC; instants are told from `zero_ns`, the start of the recording."""

    zero_ns: int
    from_ns: int
    to_ns: int

    def x(self, at_ns: float) -> float:
        """Pixels from the left."""
        return _LEFT + (at_ns - self.from_ns) / (self.to_ns - self.from_ns) * (WIDTH - _LEFT - _RIGHT)

    def has(self, first_ns: int, last_ns: int) -> bool:
        """Whether any of it is seen."""
        return last_ns >= self.from_ns and first_ns <= self.to_ns


def height(lanes: Sequence[Lane]) -> int:
    """Of the picture, in pixels of the canvas."""
    return _TOP + len(lanes) * (_LANE + _GAP) + _BOTTOM


def draw(canvas: Canvas, lanes: Sequence[Lane], span: Span, title: str, told: str) -> None:
    """The whole picture."""
    canvas.text((_LEFT, 34), title, _INK, 19)
    canvas.text((_LEFT, 56), told, _QUIET, 12.5)
    bottom = _TOP + len(lanes) * (_LANE + _GAP) - _GAP
    for number in range(len(lanes)):
        canvas.box(_LEFT, _TOP + number * (_LANE + _GAP), WIDTH - _LEFT - _RIGHT, _LANE, _LANE_PAPER)
    _axis(canvas, span, bottom)
    for number, lane in enumerate(lanes):
        _lane(canvas, lane, span, _TOP + number * (_LANE + _GAP))
    _legend(canvas, lanes, bottom + 62)


def _axis(canvas: Canvas, span: Span, bottom: float) -> None:
    step_ns = _step_ns((span.to_ns - span.from_ns) / _AXIS_MARKS)
    at_ns = span.zero_ns + math.ceil((span.from_ns - span.zero_ns) / step_ns) * step_ns
    while at_ns <= span.to_ns:
        x = span.x(at_ns)
        canvas.path([(x, _TOP), (x, bottom)], _GRID, 1)
        canvas.text((x, bottom + 19), _ms((at_ns - span.zero_ns) / NS_PER_MS), _QUIET, 12, "middle")
        at_ns += step_ns
    canvas.text((WIDTH - _RIGHT, bottom + 37), "ms since the first frame", _QUIET, 12, "end")


def _lane(canvas: Canvas, lane: Lane, span: Span, top: float) -> None:
    shots = [shot for shot in lane.shots if span.has(shot.first_ns, shot.last_ns)]
    canvas.text((_LEFT - 14, top + 18), _cut(lane.camera, 15), _INK, 14, "end")
    rows = (("trigger", 30), ("exposure", 56), ("frame", 80), ("encode", 108))
    for words, offset in rows:
        canvas.text((_LEFT - 14, top + offset + 10), words, _QUIET, 11, "end")
    _triggers(canvas, lane, span, top)
    for before, shot in zip((None, *shots), shots, strict=False):
        _shot(canvas, shot, span, top)
        if shot.lost or shot.skipped:
            _lost(canvas, shot, before, span, top)
    _numbers(canvas, shots, span, top)


def _triggers(canvas: Canvas, lane: Lane, span: Span, top: float) -> None:
    """Ticks and pulses."""
    for tick in lane.ticks:
        if span.has(tick.due_ns, tick.due_ns):
            _mark(canvas, span.x(tick.due_ns), top + 24, _TICK if tick.well else _ALARM)
    for at_ns, answered in _pulses(lane):
        if span.has(at_ns, at_ns):
            colour = _PULSE if answered else _ALARM
            canvas.path([(span.x(at_ns), top + 28), (span.x(at_ns), top + 46)], colour, 2)


def _numbers(canvas: Canvas, shots: Sequence[Shot], span: Span, top: float) -> None:
    """The frames' own numbers, where they fit."""
    if len(shots) <= _NAMED_SHOTS:
        for shot in shots:
            x = span.x(shot.stamp_ns)
            if _LEFT <= x <= WIDTH - _RIGHT - 24:
                canvas.text((x + 4, top + 76), f"{shot.sequence}", _QUIET, 9.5)


def _shot(canvas: Canvas, shot: Shot, span: Span, top: float) -> None:
    exposed_ns = shot.stamp_ns
    if shot.began_ns is not None and shot.exposure_ns is not None:
        exposed_ns = shot.began_ns + shot.exposure_ns
        _bar(canvas, span, shot.began_ns, exposed_ns, top + 54, 14, _EXPOSURE)
    elif shot.began_ns is not None:
        _bar(canvas, span, shot.began_ns, shot.began_ns, top + 54, 14, _EXPOSURE)
    _bar(canvas, span, min(exposed_ns, shot.dequeued_ns), shot.dequeued_ns, top + 82, 8, _TRANSFER)
    if span.has(shot.stamp_ns, shot.stamp_ns):
        canvas.path([(span.x(shot.stamp_ns), top + 80), (span.x(shot.stamp_ns), top + 92)], _STAMP, 1.6)
    if span.has(shot.dequeued_ns, shot.dequeued_ns):
        canvas.dot((span.x(shot.dequeued_ns), top + 86), 3.2, _STAMP)
    if shot.encode_began_ns is not None and shot.encode_ended_ns is not None:
        _bar(canvas, span, shot.encode_began_ns, shot.encode_ended_ns, top + 106, 14, _ENCODE)


def _lost(canvas: Canvas, shot: Shot, before: Shot | None, span: Span, top: float) -> None:
    """Crosses where frames are missing, between the frame before and this one, and what they are."""
    count = shot.lost + shot.skipped
    since_ns = span.from_ns if before is None else before.stamp_ns
    drawn = min(count, 12)
    for number in range(drawn):
        at_ns = since_ns + (shot.stamp_ns - since_ns) * (number + 1) / (drawn + 1)
        if span.from_ns <= at_ns <= span.to_ns:
            x, y = span.x(at_ns), top + 86
            canvas.path([(x - 4, y - 4), (x + 4, y + 4)], _ALARM, 1.8)
            canvas.path([(x - 4, y + 4), (x + 4, y - 4)], _ALARM, 1.8)
    parts = [f"{shot.lost} lost"] * bool(shot.lost) + [f"{shot.skipped} skipped"] * bool(shot.skipped)
    middle = span.x(max((since_ns + shot.stamp_ns) / 2, span.from_ns))
    canvas.text((max(middle, _LEFT + 24), top + 16), ", ".join(parts), _ALARM, 11, "middle")


def _legend(canvas: Canvas, lanes: Sequence[Lane], y: float) -> None:
    has_ticks = any(lane.ticks for lane in lanes)
    has_pulses = any(lane.pulses or any(shot.pulse is not None for shot in lane.shots) for lane in lanes)
    entries = [
        *([("tick due", _TICK)] if has_ticks else []),
        *([("trigger pulse", _PULSE)] if has_pulses else []),
        ("exposure", _EXPOSURE),
        ("read out and dequeued", _TRANSFER),
        ("stamp (line), arrival (dot)", _STAMP),
        ("encode", _ENCODE),
        ("lost or skipped", _ALARM),
    ]
    x = float(_LEFT)
    for words, colour in entries:
        canvas.box(x, y - 10, 12, 12, colour)
        canvas.text((x + 18, y), words, _QUIET, 12)
        x += 42 + 6.6 * len(words)


def _bar(canvas: Canvas, span: Span, first_ns: int, last_ns: int, top: float, tall: float, colour: str) -> None:
    if not span.has(first_ns, last_ns):
        return
    left, right = span.x(max(first_ns, span.from_ns)), span.x(min(last_ns, span.to_ns))
    canvas.box(left, top, max(right - left, _LEAST), tall, colour)


def _mark(canvas: Canvas, x: float, y: float, colour: str) -> None:
    """A tick: a short line with a head."""
    canvas.path([(x, y), (x, y + 14)], colour, 1.6)
    canvas.dot((x, y), 2.8, colour)


def _pulses(lane: Lane) -> Sequence[tuple[int, bool]]:
    """Of the ledger; without one the start of the exposure of a frame that answers a pulse stands for it."""
    if lane.pulses:
        return lane.pulses
    return [(shot.began_ns, True) for shot in lane.shots if shot.pulse is not None and shot.began_ns is not None]


def _step_ns(least_ns: float) -> int:
    """The next round step."""
    power = 10 ** math.floor(math.log10(max(least_ns, 1)))
    return int(next((step * power for step in _STEPS if step * power >= least_ns), 10 * power))


def _ms(value: float) -> str:
    return f"{value:,.3f}".rstrip("0").rstrip(".")


def _cut(words: str, longest: int) -> str:
    return words if len(words) <= longest else f"{words[: longest - 1]}…"
