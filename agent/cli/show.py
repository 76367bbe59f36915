"""How things look: tables, pairs, progress on a terminal, JSON. Colours and boxes only where they can be shown."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import click
from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from agent.cli.options import printable

_UNBOUNDED_COLUMNS = 1000
"""Lines that go to a file or a pipe are not folded."""

Tick = Callable[[], None]


def print_json(document: Mapping[str, object]) -> None:
    """One JSON document on stdout; ASCII, so that it passes every locale."""
    click.echo(json.dumps(document, indent=2, default=str))


def print_all(*parts: RenderableType) -> None:
    """Tables and lines on stdout, as wide as the terminal. Raises BrokenPipeError when nobody reads any more."""
    free = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    console = Console(width=_UNBOUNDED_COLUMNS if free else None, highlight=False)
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    text = "\n".join(line.rstrip() for line in captured.get().splitlines())
    encoding = sys.stdout.encoding or "utf-8"
    click.echo(text.encode(encoding, "replace").decode(encoding))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, whole: Sequence[str] = ()) -> RenderableType:
    """Rows under headings; the columns in `whole` are folded last when the terminal is narrow."""
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", show_edge=False)
    for column in columns:
        grid.add_column(column, no_wrap=column in whole, overflow="fold")
    for row in rows:
        grid.add_row(*(_text(cell) for cell in row))
    return grid


def pairs(rows: Sequence[tuple[str, str]], *, indent: int = 0) -> RenderableType:
    """What and its value, a line each; the values fold beside, never under their names."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(Text(name, style="dim"), _text(value))
    return Padding(grid, (0, 0, 0, indent))


def heading(text: str) -> RenderableType:
    """A line above what belongs to it."""
    return Text(printable(text), style="bold")


def line(text: str) -> RenderableType:
    """A line as it is."""
    return _text(text)


@contextmanager
def progress(names: Sequence[str], count: int, *, quiet: bool) -> Iterator[Sequence[Tick]]:
    """A bar for each name on a terminal's stderr, else nothing; the ticks may come from any thread."""
    if quiet or not sys.stderr.isatty():
        yield [_no_tick] * len(names)
        return
    bars = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*bars, console=Console(stderr=True), transient=True) as shown:
        tasks = [shown.add_task(printable(name).replace("[", r"\["), total=count) for name in names]
        yield [lambda task=task: shown.advance(task) for task in tasks]  # type: ignore[misc]


def _no_tick() -> None:
    return None


def _text(cell: str) -> Text:
    return Text("\n".join(printable(part) for part in cell.split("\n")))
