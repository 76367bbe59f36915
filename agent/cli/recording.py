"""Carries out a recording for a person: progress while it runs, and what it came to."""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from agent.cli.interruption import Interrupted, Interruption
from agent.cli.options import printable
from agent.cli.show import pairs, print_all, print_json
from agent.clock import monotonic_ns
from agent.errors import AgentError
from agent.frames.values import SOCKET_NAME
from agent.pipeline.video import load_av
from agent.recording.counts import Counts
from agent.recording.events import event_source
from agent.recording.order import RecordOrder
from agent.recording.parquet import load_pyarrow, write_parquet
from agent.recording.recorder import Recorder
from agent.recording.source import ClientFrames
from agent.units import NS_PER_MS, NS_PER_S, format_duration, format_size

_SHOW_NS = 200 * NS_PER_MS
_RATE_NS = 2 * NS_PER_S


def record_order(order: RecordOrder, socket_path: Path | None, *, as_json: bool) -> None:
    """Record until it is enough or a signal comes; in either case files are finished and it is told what there is."""
    if order.format.video is not None:
        load_av()
    if order.parquet:
        load_pyarrow()
    with (
        Interruption() as interruption,
        _Progress(order, quiet=as_json) as progress,
        event_source(order, socket_path) as events,
        Recorder(order, events=events, tell=progress.tell) as recorder,
        ClientFrames(order, None if socket_path is None else socket_path.parent / SOCKET_NAME) as frames,
    ):
        try:
            recorder.run(frames, waiting=interruption.waiting, look=progress.look)
        except Interrupted as stop:
            recorder.finish()
            stop.told = told(recorder.counts, order)
            progress.release()
            _end(recorder, as_json=as_json)
            raise
        except AgentError:
            progress.release()
            if recorder.counts.accepted:
                _end(recorder, as_json=as_json)
            raise
    _end(recorder, as_json=as_json)


def told(counts: Counts, order: RecordOrder) -> str:
    """One line of what there is."""
    files = "" if order.format.picture else f" in {counts.files:,} files"
    return f"{counts.stored:,} frames{files} are in {order.folder}"


def _end(recorder: Recorder, *, as_json: bool) -> None:
    order, counts = recorder.order, recorder.counts
    parquet = write_parquet(order.folder) if order.parquet and counts.stored else None
    if as_json:
        facts = {"folder": str(order.folder), "elapsed_ns": recorder.elapsed_ns, **counts.as_dict()}
        print_json({**facts, "parquet": None if parquet is None else str(parquet)})
        return
    rows = [
        ("frames", f"{counts.stored:,}" + _rate_told(recorder)),
        ("folder", f"{order.folder}: {counts.files:,} files, {format_size(counts.size_bytes)} written"),
        ("index", "frames.jsonl" + ("" if parquet is None else f", {parquet.name}")),
        ("skipped", f"{counts.skipped:,} that this was too slow for" if counts.skipped else ""),
        ("lost", f"{counts.lost:,} before they came here" if counts.lost else ""),
        ("left out", f"{counts.left_out:,} by the rate" if counts.left_out else ""),
        ("given up", f"{counts.given_up:,} that took longer than {_limit(order)}" if counts.given_up else ""),
        ("not stored", f"{counts.not_stored:,} for want of room" if counts.not_stored else ""),
        ("failed", ", ".join(f"{count:,} {code}" for code, count in counts.failed.items())),
        ("taken back", f"{counts.revoked:,} when their camera stopped" if counts.revoked else ""),
        ("removed", f"{counts.removed:,} old files" if counts.removed else ""),
        ("events", f"{counts.events:,}" if order.on else ""),
    ]
    print_all(pairs([row for row in rows if row[1]]))


def _limit(order: RecordOrder) -> str:
    return format_duration(order.encode_limit_ns)


def _rate_told(recorder: Recorder) -> str:
    elapsed_s = recorder.elapsed_ns / NS_PER_S
    if elapsed_s <= 0 or recorder.order.on is not None:
        return ""
    return f" in {elapsed_s:.1f} s, {(recorder.counts.stored - 1) / elapsed_s:.1f} a second"


class _Progress:
    """A table on a terminal that changes in place; words on stderr anyway, but for `quiet`. A context manager."""

    def __init__(self, order: RecordOrder, *, quiet: bool) -> None:
        self._order, self._quiet = order, quiet
        self._live: Live | None = None
        self._next_ns = 0
        self._began_ns = monotonic_ns()
        self._seen: deque[tuple[int, int]] = deque()

    def __enter__(self) -> _Progress:
        if not self._quiet and sys.stderr.isatty():
            self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Take the table away."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def tell(self, words: str) -> None:
        """Something that happened."""
        if self._live is not None:
            self._live.console.print(printable(words), markup=False, highlight=False)
        else:
            click.echo(printable(words), err=True)

    def look(self, recorder: Recorder) -> None:
        """The table as it is now, some times a second."""
        now_ns = monotonic_ns()
        if self._live is None or now_ns < self._next_ns:
            return
        self._next_ns = now_ns + _SHOW_NS
        self._live.update(pairs(self._rows(recorder, now_ns)), refresh=True)

    def _rows(self, recorder: Recorder, now_ns: int) -> list[tuple[str, str]]:
        counts = recorder.counts
        self._seen.append((now_ns, counts.stored))
        while len(self._seen) > 1 and now_ns - self._seen[0][0] > _RATE_NS:
            self._seen.popleft()
        (then_ns, then), passed = self._seen[0], ""
        if now_ns > then_ns:
            passed = f"  {(counts.stored - then) * NS_PER_S / (now_ns - then_ns):.1f}/s"
        troubles: dict[str, int] = {
            "skipped": counts.skipped, "given up": counts.given_up, "not stored": counts.not_stored,
            "failed": counts.all_failed, "lost": counts.lost,
        }  # fmt: skip
        rows = [
            ("frames", f"{counts.stored:,}{passed}"),
            ("skipped", f"{troubles.pop('skipped'):,}" + _others(troubles)),
            ("written", f"{format_size(counts.size_bytes)} in {self._order.folder}"),
            ("left", self._left(recorder)),
        ]
        if counts.held:
            rows.insert(1, ("in memory", f"{counts.held:,} were; waits for {self._order.on}, {counts.events:,} came"))
        if recorder.waits_for:
            rows.append(("waits", recorder.waits_for))
        return [row for row in rows if row[1]]

    def _left(self, recorder: Recorder) -> str:
        order, counts = self._order, recorder.counts
        parts = []
        if order.count is not None:
            parts.append(f"{max(order.count - counts.stored, 0):,} frames")
        if order.duration_ns is not None:
            parts.append(f"{max(order.duration_ns - recorder.elapsed_ns, 0) / NS_PER_S:.0f} s")
        return " or ".join(parts)


def _others(troubles: dict[str, Any]) -> str:
    return "".join(f", {count:,} {name}" for name, count in troubles.items() if count)
