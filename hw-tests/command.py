"""The installed command `camera-agent` as a process of its own, the way people and scripts start it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PROGRAM = str(Path(sys.executable).with_name("camera-agent"))
_LIMIT_S = 80
"""Under software emulation the imports alone take seconds."""


@dataclass(frozen=True)
class Result:
    """What a process came to."""

    code: int
    out: str
    err: str


def start(*arguments: object, under: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Start it, `under` another program such as setpriv; to be ended by `finish`."""
    command = [*under, _PROGRAM, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> Result:
    """Wait for its end, bounded; one that does not end is killed and the test fails."""
    try:
        out, err = process.communicate(timeout=_LIMIT_S)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    assert "Traceback" not in err, err
    return Result(process.returncode, out, err)


def run(*arguments: object, under: Sequence[str] = ()) -> Result:
    """One command from beginning to end."""
    return finish(start(*arguments, under=under))


@contextmanager
def capturing(device: object, folder: Path, *options: object, pictures: int = 3) -> Iterator[subprocess.Popen[str]]:
    """A long capture, entered when its first `pictures` are written; killed if it still runs in the end."""
    process = start("capture", "--device", device, "--count", 1000, "--output", folder, *options)
    try:
        _await_pictures(process, folder, pictures)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def pictures_in(folder: Path) -> tuple[list[str], list[dict[str, object]]]:
    """Names of the files beside frames.jsonl, and the lines of that."""
    log = folder / "frames.jsonl"
    text = log.read_text() if log.exists() else ""
    assert text == "" or text.endswith("\n")
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    return [name for name in names if name != log.name], [json.loads(line) for line in text.splitlines()]


def _await_pictures(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    log = folder / "frames.jsonl"
    deadline = time.monotonic() + _LIMIT_S
    while not log.exists() or log.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"no {count} pictures within {_LIMIT_S} s"
        time.sleep(0.02)
