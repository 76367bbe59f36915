"""The system calls that files are made with: a seam, so that a test can let any of them fail."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


class Files(Protocol):
    """The system calls that files are made with. Each raises OSError as the kernel would."""

    def open(self, path: str, flags: int, mode: int = 0o666) -> int:
        """The system call open."""
        ...

    def close(self, fd: int) -> None:
        """The system call close."""
        ...

    def writev(self, fd: int, buffers: Sequence[Any]) -> int:
        """The system call writev. How many bytes were written, which may be fewer than asked."""
        ...

    def seek(self, fd: int, offset: int) -> None:
        """The system call lseek, from the start of the file."""
        ...

    def lock(self, fd: int) -> None:
        """The system call flock, exclusive; EWOULDBLOCK when another one holds it."""
        ...

    def ftruncate(self, fd: int, length: int) -> None:
        """The system call ftruncate."""
        ...

    def fdatasync(self, fd: int) -> None:
        """The system call fdatasync."""
        ...

    def fsync(self, fd: int) -> None:
        """The system call fsync, for folders."""
        ...

    def link_open(self, fd: int, path: str) -> None:
        """Give an unnamed file its name; EEXIST when there is one."""
        ...

    def rename_new(self, source: str, target: str) -> None:
        """Rename; EEXIST when the target is there."""
        ...

    def rename(self, source: str, target: str) -> None:
        """The system call rename: the target is replaced."""
        ...

    def unlink(self, path: str) -> None:
        """The system call unlink."""
        ...


class LinuxFiles:
    """The kernel's own calls. Shared freely between threads."""

    def open(self, path: str, flags: int, mode: int = 0o666) -> int:
        """Open a file; not inherited by children."""
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    def writev(self, fd: int, buffers: Sequence[Any]) -> int:
        """Write buffers, one after another, at the descriptor's position."""
        return os.writev(fd, buffers)

    def seek(self, fd: int, offset: int) -> None:
        """Write there next."""
        os.lseek(fd, offset, os.SEEK_SET)

    def lock(self, fd: int) -> None:
        """Take the file for this descriptor alone, until it is closed."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def ftruncate(self, fd: int, length: int) -> None:
        """Cut a file."""
        os.ftruncate(fd, length)

    def fdatasync(self, fd: int) -> None:
        """Wait until a file's bytes are on the disk."""
        os.fdatasync(fd)

    def fsync(self, fd: int) -> None:
        """Wait until a folder's names are on the disk."""
        os.fsync(fd)

    def link_open(self, fd: int, path: str) -> None:
        """linkat(2) with AT_SYMLINK_FOLLOW, as open(2) describes for O_TMPFILE."""
        folder = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:  # os.link follows the link of /proc only when it is given a folder's descriptor (linkat, not link)
            os.link(f"/proc/self/fd/{fd}", Path(path).name, dst_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(folder)

    def rename_new(self, source: str, target: str) -> None:
        """renameat2(2) with RENAME_NOREPLACE; a hard link where the file system does not know that (NFS)."""
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) == 0:
            return
        code = ctypes.get_errno()
        if code != errno.EINVAL:
            raise OSError(code, os.strerror(code), target)
        os.link(source, target)
        Path(source).unlink()

    def rename(self, source: str, target: str) -> None:
        """Give a file the name of another one, which is gone."""
        Path(source).replace(target)

    def unlink(self, path: str) -> None:
        """Remove a name."""
        Path(path).unlink()


LINUX = LinuxFiles()
