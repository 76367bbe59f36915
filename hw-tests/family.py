"""A process and everything that it started, in whatever session: so that a failing test leaves no camera held."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from pathlib import Path

_LIMIT_MS = 30_000
"""A killed process whose driver works is gone long before."""


def end_family(pid: int) -> list[int]:
    """Kill a process and its descendants and wait for their ends; those that the kernel does not let go.

    `pid` must be a child of ours that was not waited for yet: then its number is nobody else's.
    """
    with contextlib.ExitStack() as descriptors:
        # stopped first, it starts no successor of what is killed
        os.kill(pid, signal.SIGSTOP)
        members = {}
        for member in (pid, *_descendants(pid)):
            with contextlib.suppress(ProcessLookupError):
                members[member] = os.pidfd_open(member)
                descriptors.callback(os.close, members[member])
                signal.pidfd_send_signal(members[member], signal.SIGKILL)
        return [member for member, pidfd in members.items() if not _is_gone(pidfd)]


def _descendants(pid: int) -> list[int]:
    """Children first, then theirs."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found + [further for child in found for further in _descendants(child)]


def _is_gone(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(_LIMIT_MS))
