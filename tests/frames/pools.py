"""Pools of memfds as a camera would export them, and a lender with its reader in one process."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from agent.frames.borrower import Borrower
from agent.frames.lender import Lender
from agent.frames.marks import CommitToken
from agent.frames.pool import LentPool, Memory
from agent.frames.wire import Facts, PoolFormat
from agent.kernel import PROT_READ, PROT_WRITE, Mapping

FACTS = Facts(
    sequence=4711,
    timestamp_ns=5_000_000_123,
    timestamp_clock="monotonic",
    timestamp_source="soe",
    uncertainty_ns=1_000,
    dequeued_ns=5_010_000_000,
    lost_before=2,
    realtime_ns=1_700_000_005_000_000_123,
    exposure_ns=8_000_000,
    gain=None,
)
LIMIT_NS = 800_000_000
GREY = PoolFormat("GREY", 64, 32, ((64, 2048),))


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


class Pool:
    """`buffers` memfds for each plane's `length`, mapped here for writing. `memory` is what a lender wants to know."""

    def __init__(self, buffers=4, lengths=(4096,), *, shared=True):
        self._held = ExitStack()
        self.lent = None
        self.memory, self.planes = [], []
        for _ in range(buffers):
            fds = [os.memfd_create("pool") for _ in lengths]
            for fd, length in zip(fds, lengths, strict=True):
                self._held.callback(os.close, fd)
                os.ftruncate(fd, length)
            mappings = [Mapping(fd, length, 0, PROT_READ | PROT_WRITE) for fd, length in zip(fds, lengths, strict=True)]
            self.planes.append([np.frombuffer(mapping.view, np.uint8) for mapping in mappings])
            self.memory.append(
                [Memory(fd if shared else None, length) for fd, length in zip(fds, lengths, strict=True)]
            )

    def release(self):
        if self.lent is not None:
            self.lent.release()
        self._held.close()


class Channel:
    """A lender and its reader at the two ends of one pair. `ours`, `theirs`: the sockets."""

    def __init__(self, *, order=b"order", ioctl=None, **options):
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.theirs.settimeout(5)
        self.lender = Lender(self.ours, order, token=CommitToken.create(), **options)
        self.borrower = Borrower(self.theirs, **({"ioctl": ioctl} if ioctl else {}))
        self._pools = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lender.release()
        self.borrower.release()
        for pool in self._pools:
            pool.release()

    def pool(self, buffers=4, lengths=(4096,), *, form=GREY, camera="top", shared=True):
        pool = Pool(buffers, lengths, shared=shared)
        self._pools.append(pool)
        pool.lent = LentPool(camera, form, pool.memory, floor=self.lender.ledger.floor)
        pool.number = self.lender.add_pool(pool.lent)
        return pool

    def lend(self, pool, index, *, facts=FACTS, trace_ids=(), used=None, offsets=None, item=None):
        planes = [
            plane[offset : offset + many]
            for plane, offset, many in zip(
                pool.planes[index],
                offsets or [0] * len(pool.planes[index]),
                used or [plane.size for plane in pool.planes[index]],
                strict=True,
            )
        ]
        offsets = tuple(offsets or [0] * len(planes))
        return self.lender.lend(pool.number, index, facts, planes, offsets, trace_ids, LIMIT_NS, item)
