"""The process that encodes and writes frames: what it is told, how it is started and ended (docs/decisions/0012)."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.units import NS_PER_MS, NS_PER_S

SINK_PROGRAM = (sys.executable, "-m", "agent.pipeline.sink")
_NICENESS = 5
"""Encoding may lag, the capture loop may not."""
_KILL_NS = NS_PER_S
"""A killed process is gone at once unless it waits in the kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkOrder:
    """What the sink does with frames. `kind`, `quality`, `durability` as in `agent.pipeline`.

    `cameras`: name to card, the text that goes into pictures. The files of one camera lie in `folder`, of several in
    folders below it that are named after them.
    """

    folder: Path
    cameras: Mapping[str, str]
    kind: str = "jpeg"
    quality: int = 90
    durability: str = "cached"

    def as_bytes(self) -> bytes:
        """One JSON object."""
        return json.dumps({**asdict(self), "folder": str(self.folder)}).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> SinkOrder:
        """Raises ValueError, TypeError for anything that `as_bytes` did not make."""
        fields = json.loads(content)
        return cls(**{**fields, "folder": Path(fields["folder"])})


def cpus_beside(loop_cpus: Collection[int]) -> frozenset[int]:
    """The processors this process may use now without those of the loop; all of them when none would be left."""
    mine = frozenset(os.sched_getaffinity(0))
    return mine - frozenset(loop_cpus) or mine


class SinkProcess:
    """One process with a channel to it, which the caller takes over as `channel`.

    It runs on `cpus` under the usual scheduler, whatever this process has asked for itself. `release()` is
    idempotent and leaves no process behind.
    """

    def __init__(self, program: Sequence[str], cpus: Collection[int]) -> None:
        """Start it; some milliseconds. Raises OSError when it cannot be started."""
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._process = _start([*program, "--channel", str(theirs.fileno())], theirs.fileno())
            except BaseException:
                self.channel.close()
                raise
        self.pid = self._process.pid
        self.pidfd = os.pidfd_open(self.pid)
        self._set_scheduling(cpus)

    def kill(self) -> None:
        """SIGKILL; `gone` tells when it took effect. Nothing happens to one that has ended."""
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def gone(self) -> bool:
        """Whether it has ended, all of it: from then on it reads no memory. Reaps it."""
        return self._process.poll() is not None

    @property
    def ending(self) -> str:
        """How it ended, for people."""
        code = self._process.returncode
        if code is None:
            return "still runs"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"

    def release(self, wait_ns: int = 0) -> None:
        """Give it `wait_ns` to end by itself, then kill it; one that even then waits for its disk is left behind."""
        if self.pidfd < 0:
            return
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        if not poll.poll(wait_ns // NS_PER_MS):
            self.kill()
            poll.poll(_KILL_NS // NS_PER_MS)
        self.gone()
        os.close(self.pidfd)
        self.pidfd = -1

    def _set_scheduling(self, cpus: Collection[int]) -> None:
        """From outside, before it has loaded anything: its imports must not run with the loop's priority."""
        try:
            os.sched_setscheduler(self.pid, os.SCHED_OTHER, os.sched_param(0))
            os.sched_setaffinity(self.pid, cpus)
            os.setpriority(os.PRIO_PROCESS, self.pid, max(os.getpriority(os.PRIO_PROCESS, 0), _NICENESS))
        except OSError as error:
            # ESRCH: it has ended. EINVAL: its processors were taken away (cpuset): it runs where it may
            if error.errno not in (errno.ESRCH, errno.EINVAL):
                self.release()
                self.channel.close()
                raise


def _start(command: Sequence[str], channel_fd: int) -> subprocess.Popen[bytes]:
    """With Ctrl-C and SIGTERM blocked, which a child inherits: it ends with its channel, also while it is loading."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        return subprocess.Popen(command, pass_fds=[channel_fd], stdin=subprocess.DEVNULL)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
