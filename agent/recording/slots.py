"""Memory for frames between a recorder and its writing process: one copy, and the frame is back with its camera.

Why a copy, and not the lease itself: an encoder may take longer than a lease lasts, and a killed one must hold nothing.
"""

from __future__ import annotations

import os

import numpy as np

from agent.frames.borrowed import Plane
from agent.kernel import PROT_READ, PROT_WRITE, Mapping
from agent.recording.messages import told_of
from agent.recording.source import LentFrame

_PAGE = 4096


class Slots:
    """Equal places for frames, in a memfd. A context manager; `release()` is idempotent."""

    def __init__(self, count: int, slot_bytes: int) -> None:
        """Raises OSError."""
        self.count = count
        self.slot_bytes = -(-slot_bytes // _PAGE) * _PAGE
        self.fd = os.memfd_create("camera-agent-recording", os.MFD_CLOEXEC)
        try:
            os.ftruncate(self.fd, count * self.slot_bytes)
            self._mapping = Mapping(self.fd, count * self.slot_bytes, 0, PROT_READ | PROT_WRITE)
        except BaseException:
            os.close(self.fd)
            raise
        self._memory = np.frombuffer(self._mapping.view, np.uint8)

    def put(self, slot: int, frame: LentFrame, told: bytes) -> None:
        """Copy a frame with what is told of it. It has to fit. Raises Revoked: what lies there is of no use then."""
        place = slot * self.slot_bytes
        self._memory[place : place + len(told)] = np.frombuffer(told, np.uint8)
        place += len(told)
        for plane in frame.planes:
            self._memory[place : place + plane.nbytes] = plane
            place += plane.nbytes
        frame.check()

    def release(self) -> None:
        """Let the memory go."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            del self._memory
            self._mapping.release()
            os.close(fd)


class SlotReader:
    """The same memory in the writing process, read-only. `release()` is idempotent."""

    def __init__(self, fd: int, count: int, slot_bytes: int) -> None:
        """The descriptor becomes this object's own. Raises OSError."""
        try:
            self._mapping: Mapping | None = Mapping(fd, count * slot_bytes, 0, PROT_READ)
        finally:
            os.close(fd)
        self._slot_bytes = slot_bytes
        self._memory = np.frombuffer(self._mapping.view, np.uint8)
        self._memory.flags.writeable = False

    def told(self, slot: int, length: int) -> bytes:
        """What is told of the frame in a slot."""
        place = slot * self._slot_bytes
        return self._memory[place : place + length].tobytes()

    def planes(self, slot: int, start: int, sizes: list[int]) -> tuple[Plane, ...]:
        """Its planes, which begin `start` bytes into the slot."""
        place, found = slot * self._slot_bytes + start, []
        for size in sizes:
            found.append(self._memory[place : place + size])
            place += size
        return tuple(found)

    def release(self) -> None:
        """Let the memory go; views of it must not be used any more."""
        mapping, self._mapping = self._mapping, None
        if mapping is not None:
            del self._memory
            mapping.release()


def needed_bytes(frame: LentFrame, plan: str) -> tuple[bytes, int]:
    """What is told of a frame, and the room that it takes with it."""
    told = told_of(frame, plan)
    return told, len(told) + sum(plane.nbytes for plane in frame.planes)
