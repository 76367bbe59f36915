"""Configuration files as text: bounded, and UTF-8."""

from __future__ import annotations

import os
from pathlib import Path

from agent.config.document import FILE_BYTES
from agent.config.problems import Problems


def read_text(path: Path) -> str:
    """The text of a file, or of what comes through a pipe. Raises ConfigError: not readable, too large, not UTF-8."""
    problems = Problems(str(path))
    try:
        with open(path, "rb") as file:
            data = file.read(FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        problems.add(None, "", f"cannot be read: {reason}", "look at its name, and whether you may read it")
        raise problems.error() from error
    if len(data) > FILE_BYTES:
        problems.add(
            None, "", f"larger than {FILE_BYTES // 2**20} MiB", "plans that differ in their start only: copies"
        )
        raise problems.error()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.add(line, "", "this is not UTF-8", "save the file as UTF-8")
        raise problems.error() from error
