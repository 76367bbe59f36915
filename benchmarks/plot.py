"""One drawing for each comparison: every block as a dot, both sides, idle and under load. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.result import Comparison, Condition

_OURS, _PEER = "#0b7285", "#e8590c"


def draw(comparison: Comparison, folder: Path) -> Path:
    """`NAME.svg`: CPU time of each block on the left, ratios of neighbouring blocks on the right."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = comparison.name  # so that the same figures give the same file
    from matplotlib import pyplot, ticker

    figure, (times, ratios) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for row, condition in enumerate(comparison.conditions):
        _draw_times(times, row, condition)
        _draw_ratios(ratios, row, condition)
    names = [condition.name for condition in comparison.conditions]
    for axes in (times, ratios):
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(axis="x", alpha=0.3)
    times.set_xlabel("CPU µs per frame, each block")
    times.set_xlim(left=0)
    times.scatter([], [], color=_OURS, label="ours")
    times.scatter([], [], color=_PEER, label=comparison.peer.split()[0])
    times.legend(fontsize="small")
    ratios.set_xlabel("ours / peer: pairs, median, 95 % interval")
    for bound, style in ((comparison.gate, "-"), (comparison.moonshot, ":")):
        ratios.axvline(bound, color="black", linestyle=style, linewidth=1)
    ratios.set_xscale("log")
    ratios.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    ratios.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    ratios.xaxis.set_minor_formatter(ticker.NullFormatter())
    figure.suptitle(f"{comparison.name}: gate (line) and moonshot (dots)", fontsize="medium")
    path = folder / f"{comparison.name}.svg"
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path


def _draw_times(axes: Any, row: int, condition: Condition) -> None:
    axes.scatter(condition.ours_us, [row - 0.12] * len(condition.ours_us), color=_OURS, s=14, alpha=0.6)
    axes.scatter(condition.peer_us, [row + 0.12] * len(condition.peer_us), color=_PEER, s=14, alpha=0.6)


def _draw_ratios(axes: Any, row: int, condition: Condition) -> None:
    axes.scatter(condition.ratios, [row] * len(condition.ratios), color="grey", s=14, alpha=0.6)
    found = condition.ratio
    axes.errorbar(
        [found.median], [row], xerr=[[found.median - found.low], [found.high - found.median]], fmt="D", color=_OURS
    )
