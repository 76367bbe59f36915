"""A test that leaves a thread, a process, a descriptor or a task behind fails. Used by tests/ and hw-tests/."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

# stdio, and what the interpreter or numpy open once and keep (urandom)
_KEPT = ("/dev/null", "/dev/urandom", "/dev/pts/", "/dev/tty")


def _descriptors() -> dict[int, str]:
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            target = entry.readlink()
            if not str(target).startswith(_KEPT) and not str(target).startswith("/proc/"):
                found[int(entry.name)] = str(target)
    return found


def _children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Compare threads, descriptors, children and tasks before and after."""
    before = set(threading.enumerate()), _descriptors(), _children()
    yield
    if _left(*before):
        gc.collect()  # only what is garbage already may go; collecting after every test would double their time
        left = _left(*before)
        if left:
            pytest.fail(f"left behind: {', '.join(left)}", pytrace=False)


def _left(threads: set[threading.Thread], descriptors: dict[int, str], children: set[int]) -> list[str]:
    left = [f"thread {t.name}" for t in threading.enumerate() if t not in threads]
    left += [f"process {p.name}" for p in multiprocessing.active_children()]
    left += [f"child process {pid}" for pid in _children() - children]
    left += [f"descriptor {n} ({path})" for n, path in _descriptors().items() if descriptors.get(n) != path]
    with contextlib.suppress(RuntimeError):
        left += [f"task {task}" for task in asyncio.all_tasks()]
    return left
