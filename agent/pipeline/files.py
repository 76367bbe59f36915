"""Files that are there whole or not at all.

A file is written without a name (O_TMPFILE) and then linked into its folder; where the file system cannot do that
(FAT, NFS, some overlays) under a hidden name in the same folder, which is then renamed. Either way the name appears
at once, with all bytes behind it, and never replaces another file.

`Durability` says what survives which accident. A process that dies, even by SIGKILL, never leaves half a file under
a real name. After a power cut only `SYNCED` promises that: the kernel may write the name before the bytes, and with
`CACHED` a file of the last seconds may turn up empty. SYNCED waits for the disk at every picture: milliseconds on an
SSD, up to seconds on an SD card.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
from collections.abc import Callable
from pathlib import Path

from agent.errors import StorageError
from agent.pipeline.calls import LINUX, Files
from agent.pipeline.mjpeg import Pieces
from agent.units import format_size

_NO_TMPFILE = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})
"""What open(2) says of O_TMPFILE where the file system does not know it."""
_HINTS = {
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "your disk quota is used up: free some space or choose another folder",
    errno.EFBIG: "the file system or a limit of this process (ulimit -f) allows no file of this size",
    errno.EACCES: "choose a folder that this user may write to",
    errno.EPERM: "choose a folder that this user may write to",
    errno.EROFS: "this file system is mounted read-only: choose another folder",
    errno.ENOTDIR: "a part of this path is a file: choose another folder",
    errno.ENOENT: "the folder is gone: was a disk unmounted?",
    errno.EEXIST: "nothing is overwritten: choose another folder or move the old file away",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "the disk reports an error: see `dmesg`",
}


class Durability(enum.StrEnum):
    """What a finished file survives: see this module."""

    CACHED = "cached"
    SYNCED = "synced"


def prepare_folder(path: Path, files: Files = LINUX) -> Path:
    """Make a folder with its parents and prove that files can be written there; the absolute path.

    Raises: StorageError, having written nothing.
    """
    folder = path.expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(_Unnamed(folder / "proof", files)):
            pass
    except FileExistsError as error:
        raise storage_error(NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)), folder) from error
    except OSError as error:
        raise storage_error(error, folder) from error
    return folder


def write_file(
    path: Path,
    pieces: Pieces,
    durability: Durability = Durability.CACHED,
    files: Files = LINUX,
    before_naming: Callable[[], object] | None = None,
) -> None:
    """Write a new file from buffers, whole or not at all.

    `before_naming` is called when all bytes are written and only the name is missing: where it raises, no file comes
    into being. Raises: StorageError when it cannot be written or the name is taken; nothing is left behind then.
    """
    try:
        with contextlib.closing(_Unnamed(path, files)) as unnamed:
            write_all(unnamed.fd, pieces, files)
            if durability is Durability.SYNCED:
                files.fdatasync(unnamed.fd)
            if before_naming is not None:
                before_naming()
            unnamed.publish()
        if durability is Durability.SYNCED:
            _sync_name(path, files)
    except OSError as error:
        raise storage_error(error, path) from error


def write_all(fd: int, pieces: Pieces, files: Files) -> None:
    """Write every byte, however many calls the kernel takes for it. Raises OSError."""
    left = [view for view in (memoryview(piece).cast("B") for piece in pieces) if len(view)]
    while left:
        written = files.writev(fd, left)
        if written == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if written:
            left[0] = left[0][written:]


def storage_error(error: OSError, path: Path) -> StorageError:
    """What to tell a person about a failed call on `path`. Details: path, errno, free_bytes (None: not known)."""
    code = error.errno or errno.EIO
    free = _free_bytes(path)
    room = f" ({format_size(free)} free)" if code in (errno.ENOSPC, errno.EDQUOT) and free is not None else ""
    return StorageError(
        f"cannot write {path}: {os.strerror(code)}{room}",
        hint=_HINTS.get(code, "choose another folder"),
        path=str(path),
        errno=code,
        errno_name=errno.errorcode.get(code, str(code)),
        free_bytes=free,
    )


class _Unnamed:
    """A new file without a name, or with a hidden one; gone unless `publish` came before `close`."""

    def __init__(self, path: Path, files: Files) -> None:
        self._path = path
        self._files = files
        self._hidden: str | None = None
        self._open = True
        try:
            self.fd = files.open(str(path.parent), os.O_TMPFILE | os.O_WRONLY)
        except OSError as error:
            if error.errno not in _NO_TMPFILE:
                raise
            self._hidden = str(path.parent / f".{path.name}.{os.getpid()}.part")
            self.fd = files.open(self._hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def publish(self) -> None:
        """Give the file its name. Raises OSError: EEXIST when the name is taken."""
        if self._hidden is None:
            self._files.link_open(self.fd, str(self._path))
            return
        self._close_fd()  # before it has a name: NFS reports a full disk only now
        self._files.rename_new(self._hidden, str(self._path))
        self._hidden = None

    def close(self) -> None:
        """Let go; what was not published disappears. Idempotent."""
        try:
            self._close_fd()
        finally:
            if self._hidden is not None:
                self._files.unlink(self._hidden)
                self._hidden = None

    def _close_fd(self) -> None:
        if self._open:
            self._open = False
            self._files.close(self.fd)


def _sync_name(path: Path, files: Files) -> None:
    """Wait until the file's name is on the disk; without that promise it is taken back."""
    try:
        fd = files.open(str(path.parent), os.O_RDONLY | os.O_DIRECTORY)
        try:
            files.fsync(fd)
        finally:
            files.close(fd)
    except OSError:
        files.unlink(str(path))
        raise


def _free_bytes(path: Path) -> int | None:
    """Space for this user on the file system of the nearest folder that exists."""
    for place in (path, *path.parents):
        with contextlib.suppress(OSError):
            answer = os.statvfs(place)
            return answer.f_bavail * answer.f_frsize
    return None
