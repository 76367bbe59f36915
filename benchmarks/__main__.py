"""`python -m benchmarks [run|list|collect|report]`: measure here, take the rig's figures in, draw and tabulate."""

from __future__ import annotations

import argparse
import ast
import shutil
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from benchmarks import plot
from benchmarks.common import MissingTool
from benchmarks.report import write_report
from benchmarks.result import Comparison, read_all

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "benchmarks"
DATA = RESULTS / "data"
HERE = (
    "p1_lateness",
    "p4_scale",
    "p5_drift",
    "c5_cancel_plans",
    "f3_handoff",
    "f5_opencv",
    "f5_encoders",
    "h_snapshot",
    "l_stuck_client",
    "ledger",
    "triggered",
    "http_latency",
    "service_idle",
    "service_reload",
)
"""Those that need no rig: modules with a `main(folder)`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.verb == "list":
        print("\n".join(f"{name:16} {summary}" for name, summary in summaries().items()))
        return 0
    if options.verb == "run" and not run(options.names, DATA):
        return 1
    if options.verb == "collect" and not collect(options.folder, DATA):
        print(f"{options.folder} holds no figures: `make rig BENCH=1` makes them", file=sys.stderr)
        return 1
    present(read_all(DATA))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    verbs = parser.add_subparsers(dest="verb")
    parser.set_defaults(verb="run", names=[])
    running = verbs.add_parser("run", help="the comparisons that need no rig (the default), then report")
    running.add_argument("names", metavar="NAME", nargs="*", help=f"some of {', '.join(HERE)}; all of them without")
    verbs.add_parser("list", help="what there is: here by name, in the rig as files")
    taking = verbs.add_parser("collect", help="copy the rig's figures to docs/benchmarks/data, then report")
    taking.add_argument("folder", type=Path, nargs="?", default=Path("build/rig/figures"), help="%(default)s")
    verbs.add_parser("report", aliases=["plot"], help="draw and write the table from docs/benchmarks/data")
    return parser


def summaries() -> dict[str, str]:
    """The first line of each script's docstring, by its name: those that run here, then those of the rig."""
    folder = Path(__file__).parent
    paths = [folder / f"{name}.py" for name in HERE] + sorted(folder.glob("rig_*.py"))
    documented = {path.stem: ast.get_docstring(ast.parse(path.read_text())) for path in paths}
    return {name: (text or "").partition("\n")[0] for name, text in documented.items()}


def run(names: Sequence[str], folder: Path) -> bool:
    """Measure; False when a peer was missing or a name unknown, which is said, and the others are still measured."""
    unknown = sorted(set(names) - set(HERE))
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)} (there are {', '.join(HERE)})", file=sys.stderr)
        return False
    complete = True
    for name in names or HERE:
        print(f"{name} ...", flush=True)
        try:
            import_module(f"benchmarks.{name}").main(folder)
        except MissingTool as error:
            print(f"{name} left out: {error}", file=sys.stderr, flush=True)
            complete = False
    return complete


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
