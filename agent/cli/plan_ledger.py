"""The trigger ledger as a file of JSON lines: one for each pulse and each frame that ended, or for a pair of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from agent.capture.pulse_log import PulseRecord
from agent.cli.json_lines import JsonLines

Ended = tuple[str, PulseRecord]
"""Camera, record."""


class LedgerFile:
    """A context manager. Instants are nanoseconds of CLOCK_MONOTONIC."""

    def __init__(self, path: Path) -> None:
        """Raises StorageError: the file exists already, or cannot be made."""
        self._lines = JsonLines(path)
        self.path = path

    def __enter__(self) -> LedgerFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.release()

    @property
    def written(self) -> int:
        """Lines so far."""
        return self._lines.written

    def write(self, ended: Sequence[Ended]) -> None:
        """All of them. Raises StorageError."""
        self._lines.write([json.dumps(facts_of(*each), separators=(",", ":")) + "\n" for each in ended])


def facts_of(camera: str, record: PulseRecord) -> dict[str, object]:
    """One end. `explained`: the pulse ended before as missed, and only its cause is new."""
    return {
        "camera": camera,
        "end": record.end.value,
        "cause": None if record.cause is None else record.cause.value,
        "pulse": record.pulse,
        "frame": record.frame,
        "pulse_ns": record.pulse_ns,
        "start_ns": record.start_ns,
        "residual_ns": record.residual_ns,
        "uncertainty_ns": record.uncertainty_ns,
        "explained": record.explained,
    }
