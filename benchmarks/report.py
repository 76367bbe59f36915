"""The table of figures, docs/benchmarks/README.md, made of the JSON beside it. Nothing in it is typed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.result import Comparison, Condition
from benchmarks.stats import Interval, percentile

_HEAD = """\
# Figures

Made by `python -m benchmarks report` from the samples in [data](data); do not edit.

Machines are shared and noisy: an absolute time is a hint, a ratio measured in one run is a result. Ours and the peer's
take turns (A B B A ...), block by block; each ratio is the median over neighbouring blocks, with a 95 % interval
by order statistics. Each comparison runs once idle and once with another CPU kept busy. Peers are stock releases.
Where there is no peer, a bound holds for our own worst block; a plain figure has no bound. Of many samples of a block
every n-th is kept.
A bound is *met* when the whole interval lies within it in both conditions, *missed* when the whole interval of one
lies beyond it, else *open*. Where it says *rig*, the processor is emulated by software: only ratios mean anything
there, and CPU time includes what the host took away meanwhile.
"""


def make_report(comparisons: Sequence[Comparison]) -> str:
    """The whole document."""
    ordered = sorted(comparisons, key=lambda comparison: comparison.name)
    return "\n".join([_HEAD, *_table(ordered), "", *(line for each in ordered for line in _details(each))])


def judge(intervals: Sequence[Interval], bound: float) -> str:
    """`met`, `missed`, or `open` when the samples cannot tell."""
    if all(interval.high <= bound for interval in intervals):
        return "met"
    return "missed" if any(interval.low > bound for interval in intervals) else "open"


def _table(comparisons: Sequence[Comparison]) -> list[str]:
    lines = [
        "| id | against | condition | ours | peer | ours / peer | gate | moonshot |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for comparison in comparisons:
        bounded = [comparison.bounded(condition) for condition in comparison.conditions]
        for condition in comparison.conditions:
            first = condition is comparison.conditions[0]
            bounds = [
                f"≤ {_bound(comparison, bound)}: {judge(bounded, bound)}" if first and bound is not None else ""
                for bound in (comparison.gate, comparison.moonshot)
            ]
            name = f"[{comparison.name}](#{_anchor(comparison)})" if first else ""
            cells = [
                name,
                _against(comparison) if first else "",
                condition.name,
                *_medians(comparison, condition),
                *bounds,
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _against(comparison: Comparison) -> str:
    return f"{comparison.against or 'nobody'} ({comparison.where})"


def _medians(comparison: Comparison, condition: Condition) -> list[str]:
    ours = format_figure(median(condition.ours), comparison.unit)
    if not comparison.against:
        return [ours, "", f"worst **{format_figure(condition.worst.median, comparison.unit)}**"]
    return [ours, format_figure(median(condition.peers), comparison.unit), f"**{_interval(condition.ratio)}**"]


def _details(comparison: Comparison) -> list[str]:
    lines = [f"## {comparison.name}", "", f"{comparison.what}.", "", f"![{comparison.name}]({comparison.name}.svg)", ""]
    lines += [f"- ours: {comparison.ours}", *([f"- peer: {comparison.peer}"] if comparison.against else [])]
    lines.append(f"- where: {_where(comparison)}")
    side = " a side" if comparison.against else ""
    for condition in comparison.conditions:
        averages = f"load average {condition.load_average_before} before, {condition.load_average_after} after"
        blocks = len(condition.ours)
        lines.append(f"- {condition.name}: {blocks} blocks{side}; beside it: {condition.load}; {averages}")
        lines += _spread(comparison, condition)
    lines += [f"- {note}" for note in comparison.notes]
    return [*lines, f"- again: `{comparison.repeat}`", ""]


def _spread(comparison: Comparison, condition: Condition) -> list[str]:
    """How the samples of all blocks together are spread, where there is no peer and a block has some."""
    samples = [sample for block in condition.blocks for sample in block.samples]
    if comparison.against or not samples:
        return []
    ranks = {
        "least": min(samples),
        "P50": percentile(samples, 50),
        "P99": percentile(samples, 99),
        "most": max(samples),
    }
    told = ", ".join(f"{name} {format_figure(value, comparison.unit)}" for name, value in ranks.items())
    return [f"- {condition.name}, {len(samples):,} samples: {told}"]


def _where(comparison: Comparison) -> str:
    found: dict[str, Any] = comparison.environment
    kind = "software emulation" if found["emulated"] else found["cpu_model"]
    tools = "".join(f", {line}" for line in found["tools"].values())
    packages = ", ".join(f"{name} {number}" for name, number in found["packages"].items())
    clock = f"HZ {found['kernel_config'].get('HZ', 'unknown')}"
    return (
        f"{comparison.where}, {found['cpus']} CPUs ({kind}), Linux {found['kernel']}, {clock}, "
        f"Python {found['python']}, {packages}{tools}"
    )


def _anchor(comparison: Comparison) -> str:
    return comparison.name.lower()


def _bound(comparison: Comparison, bound: float) -> str:
    if not comparison.against:
        return format_figure(bound, comparison.unit)
    fraction = Fraction(bound).limit_denominator(100)
    return f"1/{fraction.denominator}" if fraction.numerator == 1 and fraction.denominator > 1 else f"{bound:g}"


def _interval(interval: Interval) -> str:
    return f"{interval.median:.3g} [{interval.low:.3g}, {interval.high:.3g}]"


def format_figure(value: float, unit: str) -> str:
    """With its unit: nanoseconds as µs, a share as per cent, whole numbers of anything else."""
    if unit == "ns":
        return f"{value / 1000:,.0f} µs" if abs(value) >= 100_000 else f"{value / 1000:.1f} µs"
    return f"{100 * value:.3g} %" if unit == "share" else f"{value:,.0f} {unit}"


def write_report(folder: Path, comparisons: Sequence[Comparison]) -> Path:
    """Write README.md into `folder`."""
    path = folder / "README.md"
    path.write_text(make_report(comparisons))
    return path
