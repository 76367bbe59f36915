"""A camera's buffers as readers see them: passed by descriptor, or copied once for all of them where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.frames import wire
from agent.frames.ledger import FLOOR, check_size
from agent.frames.slots import Slots
from agent.frames.wire import PoolFormat

Planes = Sequence[NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Memory:
    """One plane's memory: its descriptor, None where it has none, and bytes."""

    fd: int | None
    length: int


class Packet(NamedTuple):
    """A message and the descriptors that go with it. `pool`: the number of the pool it is about, 0: of none."""

    pool: int
    message: bytes
    fds: tuple[int, ...] = ()


@dataclass(slots=True)
class _Copy:
    slot: int
    holders: int = 0


class LentPool:
    """What lenders pass of a camera's buffers. The descriptors stay their owner's, and must be open until `release`.

    Where a plane has none, all readers get one copy of a frame, in memory of ours; `copied_frames` and `copied_bytes`
    count those. A context manager for one thread; `release()` is idempotent.
    """

    def __init__(
        self, camera: str, form: PoolFormat, buffers: Sequence[Sequence[Memory]], *, floor: int = FLOOR
    ) -> None:
        """`floor`: buffers that are never lent. Raises PoolTooSmall, OSError when there is no memory for copies."""
        check_size(len(buffers), floor)
        self.camera, self.form = camera, form
        self.copied_frames = 0
        self.copied_bytes = 0
        self._memory = buffers
        self._copies: Slots | None = None
        self._held: dict[int, _Copy] = {}
        if any(plane.fd is None for planes in buffers for plane in planes):
            self._copies = Slots(len(buffers) - floor, [plane.length for plane in buffers[0]])
            self._memory = [
                [Memory(fd, length) for fd, length in zip(fds, self._copies.lengths, strict=True)]
                for fds in self._copies.fds
            ]
        self.buffers = len(buffers)
        """How many the camera has, and `places` how many readers see."""
        self.places = len(self._memory)

    @property
    def is_copied(self) -> bool:
        """Whether readers get copies."""
        return self._copies is not None

    def hold(self, index: int, planes: Planes) -> int:
        """One reader more has buffer `index`; the place it finds the frame at. The first has it copied, if need be."""
        if self._copies is None:
            return index
        copy = self._held.get(index)
        if copy is None:
            copy = self._held[index] = _Copy(self._copies.take(planes))
            self.copied_frames += 1
            self.copied_bytes += sum(plane.size for plane in planes)
        copy.holders += 1
        return copy.slot

    def let_go(self, index: int) -> None:
        """One reader less has it. The next frame in this buffer is copied anew when the last one let go."""
        if self._copies is None:
            return
        copy = self._held[index]
        copy.holders -= 1
        if not copy.holders:
            del self._held[index]
            self._copies.give_back(copy.slot)

    def packets(self, number: int, marks_fd: int) -> Iterator[Packet]:
        """What a reader is told of the pool before its first frame; `number`: that reader's for it."""
        yield Packet(number, wire.pack_pool(number, self.places, self.form, self.camera), (marks_fd,))
        planes = len(self.form.planes)
        at_once = wire.FDS_AT_ONCE // planes
        for first in range(0, self.places, at_once):
            part = [plane for buffer in self._memory[first : first + at_once] for plane in buffer]
            message = wire.pack_buffers(number, first, planes, [plane.length for plane in part])
            yield Packet(number, message, tuple(plane.fd for plane in part if plane.fd is not None))

    def release(self) -> None:
        """Let go of the copies; readers keep what they mapped."""
        if self._copies is not None:
            self._copies.release()
