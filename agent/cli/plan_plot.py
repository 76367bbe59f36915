"""The picture of a run: lateness over time, its histogram, and what became of the ticks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from agent.cli.canvas import Canvas, PngCanvas, SvgCanvas
from agent.cli.figures import short_duration
from agent.errors import InputError, StorageError
from agent.schedule.account import Account
from agent.schedule.histogram import Histogram
from agent.units import NS_PER_S, format_duration

WIDTH, HEIGHT = 900, 700
_PAPER, _INK, _QUIET, _GRID = "#f6f6f4", "#24292f", "#57606a", "#d8dadd"
_MEAN, _LARGEST = "#0b6bcb", "#c2571a"
_OUTCOMES = (
    ("delivered", "#2e8b57"),
    ("failed", "#c62828"),
    ("shots_cancelled", "#8d6e63"),
    ("coalesced", "#5c7cfa"),
    ("skipped_busy", "#e0a030"),
    ("skipped_late", "#d47a1f"),
    ("skipped_not_ready", "#b8860b"),
    ("skipped_down", "#9c5f00"),
    ("refused_agent", "#7b52ab"),
    ("refused_camera", "#9467bd"),
    ("refused_plan", "#b084cc"),
    ("refused_client", "#c8a2d8"),
    ("cancelled", "#6e7781"),
    ("waiting", "#9aa0a6"),
    ("under_way", "#b0b6bc"),
)
_CAMERAS = ("#0b6bcb", "#c2571a", "#2e8b57", "#7b52ab", "#b8860b")
_NAMED = 5
"""Triggered cameras whose names fit."""
_MORE = 260
"""Pixels for their residuals."""
_ROWS = 8
"""Outcomes that fit; rarer ones are told together."""


@dataclass(frozen=True, slots=True)
class PlotData:
    """What is drawn. `columns`: instants after the start, mean and largest lateness, in nanoseconds.

    `residuals`: of triggered cameras, by name: instants after the start, and by how much the exposure began too late.
    """

    title: str
    columns: Sequence[tuple[int, int, int]]
    lateness: Histogram
    total: Account
    lost: int
    residuals: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where one of the plots lies, in pixels."""

    left: float
    top: float
    width: float
    height: float

    @property
    def bottom(self) -> float:
        return self.top + self.height


def check_plot_path(path: Path) -> None:
    """Raises InputError for a file that is neither SVG nor PNG."""
    if path.suffix.lower() not in (".svg", ".png"):
        raise InputError(
            f"--plot: {path} is neither an SVG nor a PNG file", hint="name it lateness.svg or lateness.png"
        )


def write_plot(path: Path, data: PlotData) -> None:
    """Draw and write it, over a plot that is there. Raises StorageError."""
    make = SvgCanvas if path.suffix.lower() == ".svg" else PngCanvas
    canvas: Canvas = make(WIDTH, HEIGHT + (_MORE if data.residuals else 0), _PAPER)
    draw(canvas, data)
    try:
        path.write_bytes(canvas.content())
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}", hint="name another file", path=str(path)) from error


def draw(canvas: Canvas, data: PlotData) -> None:
    """All three plots, and a fourth below them where cameras are triggered."""
    canvas.text((30, 34), data.title, _INK, 16)
    told = _subtitle(data)
    canvas.text((30, 56), told, _QUIET, 12)
    _draw_over_time(canvas, _Frame(90, 100, 780, 220), data.columns)
    _draw_histogram(canvas, _Frame(90, 395, 370, 230), data.lateness)
    _draw_outcomes(canvas, _Frame(630, 395, 240, 230), data.total)
    if data.residuals:
        _draw_residuals(canvas, _Frame(90, HEIGHT + 20, 780, 180), data.residuals)


def _subtitle(data: PlotData) -> str:
    lateness = data.lateness
    if not lateness.count:
        return "no tick was fired"
    p50, p99 = (short_duration(lateness.percentile(percent) or 0) for percent in (50, 99))
    told = f"{data.total.ticks:,} ticks, {lateness.count:,} fired; lateness P50 {p50}, P99 {p99}"
    told += f", largest {short_duration(lateness.max_ns)}"
    return told + (f"; {data.lost:,} requests are missing in the upper plot" if data.lost else "")


def _draw_over_time(canvas: Canvas, frame: _Frame, columns: Sequence[tuple[int, int, int]]) -> None:
    canvas.text((frame.left, frame.top - 12), "lateness over time: mean and largest of each moment", _INK, 12)
    canvas.box(frame.left + 560, frame.top - 20, 10, 10, _MEAN)
    canvas.text((frame.left + 574, frame.top - 11), "mean", _QUIET, 11)
    canvas.box(frame.left + 620, frame.top - 20, 10, 10, _LARGEST)
    canvas.text((frame.left + 634, frame.top - 11), "largest", _QUIET, 11)
    low, high = _decades([value for _, mean, largest in columns for value in (mean, largest)])
    _draw_log_axis(canvas, frame, low, high)
    end_ns = max((at_ns for at_ns, _, _ in columns), default=NS_PER_S)
    _draw_time_axis(canvas, frame, end_ns)

    def at(at_ns: int, value_ns: int) -> tuple[float, float]:
        share = (math.log10(max(value_ns, 1)) - low) / (high - low)
        return frame.left + frame.width * at_ns / end_ns, frame.bottom - frame.height * min(max(share, 0), 1)

    for at_ns, _, largest in columns:
        canvas.dot(at(at_ns, largest), 1.6, _LARGEST)
    means = [at(at_ns, mean) for at_ns, mean, _ in columns]
    if len(means) > 1:
        canvas.path(means, _MEAN, 1.4)
    elif means:
        canvas.dot(means[0], 2.2, _MEAN)


def _draw_residuals(canvas: Canvas, frame: _Frame, residuals: Mapping[str, Sequence[tuple[int, int]]]) -> None:
    canvas.text((frame.left, frame.top - 12), "start of exposure less its expected instant", _INK, 12)
    points = [point for each in residuals.values() for point in each]
    most_ns = max((abs(residual_ns) for _, residual_ns in points), default=0) or 1
    end_ns = max((at_ns for at_ns, _ in points), default=NS_PER_S) or NS_PER_S
    for share in (-1, 0, 1):
        y = frame.top + frame.height * (1 - share) / 2
        canvas.path([(frame.left, y), (frame.left + frame.width, y)], _GRID, 1)
        sign = {-1: "-", 0: "", 1: "+"}[share]
        canvas.text((frame.left - 8, y + 4), f"{sign}{short_duration(most_ns * abs(share))}", _QUIET, 11, "end")
    _draw_time_axis(canvas, frame, end_ns)
    for place, (camera, found) in enumerate(residuals.items()):
        colour = _CAMERAS[place % len(_CAMERAS)]
        x = frame.left + 320 + 90 * place
        if place < _NAMED:
            canvas.box(x, frame.top - 20, 10, 10, colour)
            canvas.text((x + 14, frame.top - 11), camera[:10], _QUIET, 11)
        for at_ns, residual_ns in found:
            y = frame.top + frame.height * (1 - residual_ns / most_ns) / 2
            canvas.dot((frame.left + frame.width * max(at_ns, 0) / end_ns, y), 1.8, colour)


def _decades(values_ns: Sequence[int]) -> tuple[int, int]:
    """The powers of ten around them, at least two."""
    positive = [value for value in values_ns if value > 0] or [1_000, 1_000_000]
    low = math.floor(math.log10(min(positive)))
    high = math.ceil(math.log10(max(positive) + 1))
    return (low, high) if high - low >= 2 else (high - 2, high)


def _draw_log_axis(canvas: Canvas, frame: _Frame, low: int, high: int) -> None:
    for power in range(low, high + 1):
        y = frame.bottom - frame.height * (power - low) / (high - low)
        canvas.path([(frame.left, y), (frame.left + frame.width, y)], _GRID, 1)
        canvas.text((frame.left - 8, y + 4), _power_text(power), _QUIET, 11, "end")


def _power_text(power: int) -> str:
    return format_duration(10**power) if power >= 0 else ""


def _draw_time_axis(canvas: Canvas, frame: _Frame, end_ns: int) -> None:
    step_s = _nice(end_ns / NS_PER_S / 6)
    digits = max(-math.floor(math.log10(step_s)), 0)
    count = int(end_ns / NS_PER_S / step_s + 1e-9)
    for place in range(count + 1):
        x = frame.left + frame.width * place * step_s * NS_PER_S / end_ns
        canvas.path([(x, frame.bottom), (x, frame.bottom + 4)], _QUIET, 1)
        canvas.text((x, frame.bottom + 18), f"{place * step_s:.{digits}f}", _QUIET, 11, "middle")
    canvas.path([(frame.left, frame.bottom), (frame.left + frame.width, frame.bottom)], _QUIET, 1)
    canvas.text((frame.left + frame.width / 2, frame.bottom + 36), "seconds after the start", _QUIET, 11, "middle")


def _nice(value: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below it."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-9))


def _draw_histogram(canvas: Canvas, frame: _Frame, lateness: Histogram) -> None:
    canvas.text((frame.left, frame.top - 12), "lateness, how often", _INK, 12)
    buckets = _even(lateness.buckets())
    low, high = _decades([edge for from_ns, to_ns, _ in buckets for edge in (from_ns, to_ns)])
    most = max((count for _, _, count in buckets), default=1)

    def x_of(value_ns: int) -> float:
        return frame.left + frame.width * (math.log10(value_ns) - low) / (high - low)

    for share in (0.0, 0.5, 1.0):
        y = frame.bottom - frame.height * share
        canvas.path([(frame.left, y), (frame.left + frame.width, y)], _GRID, 1)
        if most * share == int(most * share):
            canvas.text((frame.left - 8, y + 4), f"{int(most * share):,}", _QUIET, 11, "end")
    for from_ns, to_ns, count in buckets:
        height = frame.height * count / most
        canvas.box(x_of(from_ns), frame.bottom - height, max(x_of(to_ns) - x_of(from_ns) - 0.5, 0.5), height, _MEAN)
    for power in range(low, high + 1):
        x = frame.left + frame.width * (power - low) / (high - low)
        canvas.path([(x, frame.bottom), (x, frame.bottom + 4)], _QUIET, 1)
        canvas.text((x, frame.bottom + 18), _power_text(power), _QUIET, 11, "middle")
    outside = [(lateness.under, "below 512 ns"), (lateness.over, "beyond 68 s")]
    told = "".join(f"; {count:,} {where}" for count, where in outside if count)
    canvas.text((frame.left + frame.width / 2, frame.bottom + 36), f"from due to fired{told}", _QUIET, 11, "middle")


def _even(buckets: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Buckets of equal width to the eye: on a logarithmic axis the sixteen of a power of two are not."""
    found: dict[int, tuple[int, int, int]] = {}
    for from_ns, to_ns, count in buckets:
        shift = from_ns.bit_length() - 5
        edges = [edge << shift for edge in (16, 19, 23, 27, 32)]
        first_ns, end_ns = next((a, b) for a, b in pairwise(edges) if a <= from_ns < b and to_ns <= b)
        found[first_ns] = (first_ns, end_ns, found.get(first_ns, (0, 0, 0))[2] + count)
    return [found[first_ns] for first_ns in sorted(found)]


def _draw_outcomes(canvas: Canvas, frame: _Frame, total: Account) -> None:
    canvas.text((frame.left - 110, frame.top - 12), "what became of the ticks", _INK, 12)
    rows = [(name.replace("_", " "), getattr(total, name), colour) for name, colour in _OUTCOMES]
    rows = sorted((row for row in rows if row[1]), key=lambda row: -row[1])
    if len(rows) > _ROWS:
        rest = sum(count for _, count, _ in rows[_ROWS - 1 :])
        rows = [*rows[: _ROWS - 1], ("others", rest, _QUIET)]
    most = max((count for _, count, _ in rows), default=1)
    step = frame.height / _ROWS
    for place, (name, count, colour) in enumerate(rows):
        y = frame.top + place * step
        canvas.text((frame.left - 8, y + step / 2 + 4), name, _INK, 11, "end")
        width = max((frame.width - 120) * count / most, 1)
        canvas.box(frame.left, y + step * 0.2, width, step * 0.6, colour)
        share = f"{count:,} ({count / total.ticks:.1%})" if total.ticks else f"{count:,}"
        canvas.text((frame.left + width + 6, y + step / 2 + 4), share, _QUIET, 11)
    if not rows:
        canvas.text((frame.left, frame.top + 20), "there were none", _QUIET, 11)
