"""`python -m benchmarks [run|collect FOLDER|report]`: measure here, take the rig's figures in, draw and tabulate."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import plot
from benchmarks.report import write_report
from benchmarks.result import Comparison, read_all

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "benchmarks"
DATA = RESULTS / "data"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.verb == "run":
        from benchmarks import f5_opencv

        f5_opencv.main(DATA)
    elif options.verb == "collect" and not collect(options.folder, DATA):
        print(f"{options.folder} holds no figures: `make rig BENCH=1` makes them", file=sys.stderr)
        return 1
    present(read_all(DATA))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    verbs = parser.add_subparsers(dest="verb")
    parser.set_defaults(verb="run")
    verbs.add_parser("run", help="the comparisons that need no rig (the default), then report")
    taking = verbs.add_parser("collect", help="copy the rig's figures to docs/benchmarks/data, then report")
    taking.add_argument("folder", type=Path, nargs="?", default=Path("build/rig/figures"), help="%(default)s")
    verbs.add_parser("report", aliases=["plot"], help="draw and write the table from docs/benchmarks/data")
    return parser


def collect(source: Path, target: Path) -> list[Path]:
    """Copy figures that can be read; the new files."""
    target.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copy(source / f"{found.name}.json", target)) for found in read_all(source)]


def present(comparisons: Sequence[Comparison]) -> None:
    """Drawings and table."""
    for comparison in comparisons:
        plot.draw(comparison, RESULTS)
    print(write_report(RESULTS, comparisons))


if __name__ == "__main__":
    sys.exit(main())
