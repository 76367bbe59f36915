"""`frames.jsonl`: a line for every picture of a folder, written after the picture, so it never names a missing one."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.errors import StateError, StorageError
from agent.pipeline.calls import LINUX, Files
from agent.pipeline.files import Durability, storage_error, write_all
from agent.pipeline.record import FrameRecord

LOG_NAME = "frames.jsonl"
_BLOCK = 1 << 16
_START = b'{"file":"'


class FrameLog:
    """Appends whole lines, each with a single write; what a crash or a full disk broke off is cut away again.

    Opening an old log cuts a broken last line and goes on behind the last whole one. One writer at a time: a second
    one is refused, also from another process. Not to be shared between threads. Raises StorageError.
    """

    def __init__(self, folder: Path, *, durability: Durability = Durability.CACHED, files: Files = LINUX) -> None:
        self.path = folder / LOG_NAME
        self._durability = durability
        self._files = files
        self._fd: int | None = None
        try:
            self._fd = files.open(str(self.path), os.O_RDWR | os.O_CREAT | os.O_APPEND)
            self._lock(self._fd)
            self._check_named(self._fd)
            self._size = _end_of_lines(self._fd)
            files.ftruncate(self._fd, self._size)
        except OSError as error:
            self.release()
            raise storage_error(error, self.path) from error
        except StorageError:
            self.release()
            raise

    @property
    def released(self) -> bool:
        """Nothing can be added any more."""
        return self._fd is None

    def append(self, record: FrameRecord) -> None:
        """Add a line.

        Raises: StorageError, with the log as it was before; StateError after `release`.
        """
        if self._fd is None:
            raise StateError(
                "this frame log was released", hint="open a new one", state="released", verb="append", allowed=[]
            )
        line = record.as_line()
        try:
            written = self._files.writev(self._fd, [line])
            if written < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self._durability is Durability.SYNCED:
                self._files.fdatasync(self._fd)
        except OSError as error:
            raise self._cut_back(error) from error
        self._size += len(line)

    def drop(self, names: Collection[str]) -> int:
        """Take out the lines of these files; how many. Whoever reads sees the old log or the new one, whole.

        Raises: StorageError, with the log as it was before; StateError after `release`.
        """
        if self._fd is None:
            raise StateError(
                "this frame log was released", hint="open a new one", state="released", verb="drop", allowed=[]
            )
        part = str(self.path.with_name(f".{self.path.name}.part"))
        try:
            fd, size, dropped = self._copied(part, frozenset(names))
        except OSError as error:
            with contextlib.suppress(OSError):
                self._files.unlink(part)
            raise storage_error(error, self.path) from error
        old, self._fd, self._size = self._fd, fd, size
        with contextlib.suppress(OSError):  # nothing of the old one is wanted any more
            self._files.close(old)
        return dropped

    def _copied(self, part: str, names: frozenset[str]) -> tuple[int, int, int]:
        """A log without these names in the place of this one: its descriptor, its size, how many lines were dropped."""
        fd = self._files.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        try:
            self._files.lock(fd)
            size = dropped = 0
            with self.path.open("rb") as lines:
                while block := lines.readlines(_BLOCK):
                    kept = [line for line in block if file_of(line) not in names]
                    dropped += len(block) - len(kept)
                    content = b"".join(kept)
                    write_all(fd, (content,), self._files)
                    size += len(content)
            if self._durability is Durability.SYNCED:
                self._files.fdatasync(fd)
            self._files.rename(part, str(self.path))
        except BaseException:
            self._files.close(fd)
            raise
        return fd, size, dropped

    def release(self) -> None:
        """Close the file. Idempotent."""
        fd, self._fd = self._fd, None
        if fd is not None:
            self._files.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _lock(self, fd: int) -> None:
        try:
            self._files.lock(fd)
        except BlockingIOError as error:
            raise self._taken(error.errno) from error

    def _check_named(self, fd: int) -> None:
        """Between opening and locking another writer may have put a new log in its place, or taken it away."""
        mine = os.fstat(fd)
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            raise self._taken(errno.EWOULDBLOCK) from None
        if (mine.st_dev, mine.st_ino) != (there.st_dev, there.st_ino):
            raise self._taken(errno.EWOULDBLOCK)

    def _taken(self, code: int | None) -> StorageError:
        return StorageError(
            f"another capture is writing to {self.path.parent}",
            hint="choose another folder with --output, or wait for it to end",
            path=str(self.path),
            errno=code,
            errno_name="EWOULDBLOCK",
            free_bytes=None,
        )

    def _cut_back(self, error: OSError) -> StorageError:
        """Cut what a failed append left. If even that fails the log is released: the next opening mends it."""
        if self._fd is not None:
            try:
                self._files.ftruncate(self._fd, self._size)
            except OSError:
                self.release()
        return storage_error(error, self.path)


def file_of(line: bytes) -> str | None:
    """The file that a line of a log is about; None for what is no such line."""
    end = line.find(b'"', len(_START))
    if line.startswith(_START) and end > 0 and b"\\" not in line[:end]:
        return line[len(_START) : end].decode(errors="replace")  # quick: a log may have millions of lines
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found.get("file") if isinstance(found, dict) else None


def _end_of_lines(fd: int) -> int:
    """Bytes up to and including the last newline."""
    end = os.fstat(fd).st_size
    while end > 0:
        start = max(0, end - _BLOCK)
        found = os.pread(fd, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
