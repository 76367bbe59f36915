"""The table of figures, docs/benchmarks/README.md, made of the JSON beside it. Nothing in it is typed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.result import Comparison, Condition
from benchmarks.stats import Interval

_HEAD = """\
# Figures

Made by `python -m benchmarks report` from the samples in [data](data); do not edit.

Machines are shared and noisy: an absolute time is a hint, a ratio measured in one run is a result. Ours and the peer's
take turns (A B B A ...), block by block; each ratio is the median over neighbouring blocks, with a 95 % interval
by order statistics. Each comparison runs once idle and once with another CPU kept busy. Peers are stock releases.
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
        ratios = [condition.ratio for condition in comparison.conditions]
        for condition in comparison.conditions:
            first = condition is comparison.conditions[0]
            bounds = [
                f"≤ {_bound(bound)}: {judge(ratios, bound)}" if first else ""
                for bound in (comparison.gate, comparison.moonshot)
            ]
            name = f"[{comparison.name}](#{_anchor(comparison)})" if first else ""
            cells = [name, _against(comparison) if first else "", condition.name, *_medians(condition), *bounds]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _against(comparison: Comparison) -> str:
    return f"{comparison.peer.split()[0]} ({comparison.where})"


def _medians(condition: Condition) -> list[str]:
    ours, peer = median(condition.ours_us), median(condition.peer_us)
    return [_microseconds(ours), _microseconds(peer), f"**{_interval(condition.ratio)}**"]


def _details(comparison: Comparison) -> list[str]:
    lines = [f"## {comparison.name}", "", f"{comparison.what}.", "", f"![{comparison.name}]({comparison.name}.svg)", ""]
    lines += [f"- ours: {comparison.ours}", f"- peer: {comparison.peer}", f"- where: {_where(comparison)}"]
    for condition in comparison.conditions:
        averages = f"load average {condition.load_average_before} before, {condition.load_average_after} after"
        blocks = len(condition.blocks) // 2
        lines.append(f"- {condition.name}: {blocks} blocks a side; beside it: {condition.load}; {averages}")
    lines += [f"- {note}" for note in comparison.notes]
    return [*lines, f"- again: `{comparison.repeat}`", ""]


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


def _bound(bound: float) -> str:
    fraction = Fraction(bound).limit_denominator(100)
    return f"1/{fraction.denominator}" if fraction.numerator == 1 and fraction.denominator > 1 else f"{bound:g}"


def _interval(interval: Interval) -> str:
    return f"{interval.median:.3g} [{interval.low:.3g}, {interval.high:.3g}]"


def _microseconds(value: float) -> str:
    return f"{value:,.0f} µs" if value >= 100 else f"{value:.1f} µs"


def write_report(folder: Path, comparisons: Sequence[Comparison]) -> Path:
    """Write README.md into `folder`."""
    path = folder / "README.md"
    path.write_text(make_report(comparisons))
    return path
