"""Which buffers are lent to a reader, and which answers it still owes: pure bookkeeping, without I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agent.errors import InputError, StateError
from agent.frames.wire import ProtocolError

FLOOR = 2
"""Buffers of each pool that are never lent unless told otherwise: the driver always has one to fill and one to come."""


class PoolTooSmall(InputError):
    """A pool has no buffer that could ever be lent."""

    code = "pool_too_small"


def check_size(buffers: int, floor: int) -> None:
    """Raises PoolTooSmall when nothing of a pool could ever be lent."""
    if buffers <= floor:
        raise PoolTooSmall(
            f"a pool of {buffers} buffers of which {floor} are never lent leaves none to lend",
            hint=f"capture with at least {floor + 1} buffers",
            buffers=buffers,
            minimum=floor + 1,
        )


@dataclass(slots=True)
class Lease:
    """One lent buffer. `item` is the lender's own, for the way back; `place` where the reader finds the frame.

    `live`: the buffer is the reader's. A revoked lease is not, though its answer is still owed.
    """

    number: int
    pool: int
    index: int
    limit_ns: int
    item: Any
    place: int = -1
    live: bool = True


@dataclass(slots=True)
class _Pool:
    buffers: int
    lent: dict[int, Lease] = field(default_factory=dict)


class Ledger:
    """The leases of one reader.

    Of each pool, `floor` buffers are never lent, whatever the reader does. At most `most` answers are owed at a time,
    revoked leases included.
    """

    def __init__(self, *, floor: int = FLOOR, most: int = 64) -> None:
        self.floor = floor
        self.most = most
        self._pools: dict[int, _Pool] = {}
        self._owed: dict[int, Lease] = {}
        self._next = 1

    @property
    def owed(self) -> int:
        """Answers the reader owes."""
        return len(self._owed)

    @property
    def oldest(self) -> Lease | None:
        """The lease that was lent first among those without an answer; revoked ones count."""
        return next(iter(self._owed.values()), None)

    def live(self, pool: int | None = None) -> Iterator[Lease]:
        """Leases whose buffer is the reader's, of one pool or of all, oldest first."""
        return (lease for lease in self._owed.values() if lease.live and pool in (None, lease.pool))

    def lent(self, pool: int) -> int:
        """How many buffers of a pool are the reader's."""
        return len(self._pools[pool].lent)

    def add_pool(self, pool: int, buffers: int) -> None:
        """Raises PoolTooSmall when nothing of it could ever be lent."""
        check_size(buffers, self.floor)
        self._pools[pool] = _Pool(buffers)

    def remove_pool(self, pool: int) -> None:
        """Lend nothing of it any more; its leases go on until they are answered or revoked."""
        del self._pools[pool]

    def lend(self, pool: int, index: int, limit_ns: int, item: Any) -> Lease | None:
        """Lend a buffer; None when the floor or the bound on answers is reached. Raises StateError when it is lent."""
        of_pool = self._pools[pool]
        if index in of_pool.lent or not 0 <= index < of_pool.buffers:
            raise StateError(
                f"buffer {index} cannot be lent: it is lent already, or is none of {of_pool.buffers}",
                hint="lend each buffer once, until it is back",
                state="lent",
                verb="lend",
            )
        if len(of_pool.lent) >= of_pool.buffers - self.floor or len(self._owed) >= self.most:
            return None
        lease = Lease(self._next, pool, index, limit_ns, item)
        self._next += 1
        of_pool.lent[index] = self._owed[lease.number] = lease
        return lease

    def answered(self, number: int) -> Lease:
        """The reader is done with a lease; if it was live, its buffer is ours again. Raises ProtocolError."""
        lease = self._owed.pop(number, None)
        if lease is None:
            raise ProtocolError(f"lease {number} was answered twice, or never was")
        self._take_back(lease)
        return lease

    def revoke(self, lease: Lease) -> None:
        """The buffer is ours again; the answer stays owed."""
        self._take_back(lease)
        lease.live = False

    def reader_gone(self) -> list[Lease]:
        """Nobody reads any more: the leases that were live, oldest first. Nothing is owed after this."""
        left = list(self.live())
        for lease in left:
            self._take_back(lease)
        self._owed.clear()
        return left

    def _take_back(self, lease: Lease) -> None:
        of_pool = self._pools.get(lease.pool)
        if lease.live and of_pool is not None:
            del of_pool.lent[lease.index]
