"""One drawing for each comparison: every block as a dot, both sides, idle and under load. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.result import Comparison, Condition

_OURS, _PEER = "#0b7285", "#e8590c"
_SCALES = {"ns": (1e-3, "µs"), "share": (100, "%")}
_WIDE = 20
"""Beyond this ratio of the largest figure to the smallest, the axis is logarithmic."""


def draw(comparison: Comparison, folder: Path) -> Path:
    """`NAME.svg`: the figure of each block on the left, ratios of neighbouring blocks on the right."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = comparison.name  # so that the same figures give the same file
    from matplotlib import pyplot

    columns = 2 if comparison.against else 1
    figure, panels = pyplot.subplots(1, columns, figsize=(9, 3.2), layout="constrained", squeeze=False)
    _draw_figures(panels[0][0], comparison)
    if comparison.against:
        _draw_all_ratios(panels[0][1], comparison)
    for axes in panels[0]:
        _name_rows(axes, [condition.name for condition in comparison.conditions])
    bounds = "" if comparison.gate is None else ": gate (line) and moonshot (dots)"
    figure.suptitle(f"{comparison.name}{bounds}", fontsize="medium")
    path = folder / f"{comparison.name}.svg"
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path


def _draw_figures(axes: Any, comparison: Comparison) -> None:
    scale, unit = _SCALES.get(comparison.unit, (1, comparison.unit))
    everything = [scale * block.figure for condition in comparison.conditions for block in condition.blocks]
    for row, condition in enumerate(comparison.conditions):
        _draw_side(axes, row - 0.12, [scale * figure for figure in condition.ours], _OURS)
        _draw_side(axes, row + 0.12, [scale * figure for figure in condition.peers], _PEER)
    axes.set_xlabel(f"{comparison.measure}, {unit}, each block")
    if 0 < min(everything) < max(everything) / _WIDE:
        _make_logarithmic(axes)
    else:
        axes.set_xlim(left=0)
    axes.scatter([], [], color=_OURS, label="ours")
    if comparison.against:
        axes.scatter([], [], color=_PEER, label=comparison.against)
    else:
        _draw_bounds(axes, [bound and scale * bound for bound in (comparison.gate, comparison.moonshot)])
    axes.legend(fontsize="small")


def _draw_side(axes: Any, row: float, figures: Sequence[float], colour: str) -> None:
    axes.scatter(figures, [row] * len(figures), color=colour, s=14, alpha=0.6)


def _draw_all_ratios(axes: Any, comparison: Comparison) -> None:
    for row, condition in enumerate(comparison.conditions):
        _draw_ratios(axes, row, condition)
    axes.set_xlabel("ours / peer: pairs, median, 95 % interval")
    _draw_bounds(axes, [comparison.gate, comparison.moonshot])
    _make_logarithmic(axes)


def _draw_ratios(axes: Any, row: int, condition: Condition) -> None:
    _draw_side(axes, row, condition.ratios, "grey")
    found = condition.ratio
    axes.errorbar(
        [found.median], [row], xerr=[[found.median - found.low], [found.high - found.median]], fmt="D", color=_OURS
    )


def _draw_bounds(axes: Any, bounds: Sequence[float | None]) -> None:
    for bound, style in zip(bounds, "-:", strict=True):
        if bound is None:
            continue
        axes.axvline(bound, color="black", linestyle=style, linewidth=1)


def _make_logarithmic(axes: Any) -> None:
    from matplotlib import ticker

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())


def _name_rows(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
