"""Files that fail on purpose: the kernel's own calls, until one of them is told to fail."""

from __future__ import annotations

import errno
import os

from agent.pipeline.calls import LinuxFiles


class FailingFiles(LinuxFiles):
    """Real files with a disk of `room` bytes, and with calls that fail as told.

    `fails`: call name to errno. `piecewise`: at most so many bytes are taken by one write. Counts open descriptors.
    """

    def __init__(self, *, room=None, fails=None, piecewise=None, tmpfile=True):
        self.room, self.piecewise, self.tmpfile = room, piecewise, tmpfile
        self.fails = dict(fails or {})
        self.open_fds = set()
        self.calls = []

    def open(self, path, flags, mode=0o666):
        unnamed = flags & os.O_TMPFILE == os.O_TMPFILE
        if unnamed and not self.tmpfile:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        self._enter("open")
        fd = super().open(path, flags, mode)
        self.open_fds.add(fd)
        return fd

    def close(self, fd):
        self.open_fds.discard(fd)
        super().close(fd)  # Linux closes the descriptor even when it reports an error
        self._enter("close")

    def writev(self, fd, buffers):
        self._enter("writev")
        content = b"".join(buffers)
        limits = [limit for limit in (self.room, self.piecewise) if limit is not None]
        if self.room == 0 and content:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = os.write(fd, content[: min([len(content), *limits])])
        if self.room is not None:
            self.room -= written
        return written

    def ftruncate(self, fd, length):
        self._enter("ftruncate")
        super().ftruncate(fd, length)

    def fdatasync(self, fd):
        self._enter("fdatasync")

    def fsync(self, fd):
        self._enter("fsync")

    def link_open(self, fd, path):
        self._enter("link_open")
        super().link_open(fd, path)

    def rename_new(self, source, target):
        self._enter("rename_new")
        super().rename_new(source, target)

    def rename(self, source, target):
        self._enter("rename")
        super().rename(source, target)

    def _enter(self, call):
        self.calls.append(call)
        if call in self.fails:
            raise OSError(self.fails[call], os.strerror(self.fails[call]))
