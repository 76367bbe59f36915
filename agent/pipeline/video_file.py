"""Packets to a video file that can be read at any moment, also when its writer is killed or the disk is full.

Each frame is a cluster (Matroska) or a fragment (MP4) of its own, which libav writes when the next one comes: that last
frame is all that a killed writer loses. What a full disk broke off is cut away. Matroska as libavformat writes it has
times in milliseconds, MP4 here in microseconds; to the nanosecond they are in `frames.jsonl`.
"""

from __future__ import annotations

import enum
import os
from pathlib import Path
from typing import Any

from agent.errors import StateError, StorageError
from agent.pipeline.calls import LINUX, Files
from agent.pipeline.files import Durability, storage_error, write_all
from agent.pipeline.video import Coded, VideoEncoding, load_av
from agent.units import NS_PER_US

_FLUSH_PACKETS = 0x200
"""AVFMT_FLAG_FLUSH_PACKETS: nothing whole is held back."""


class VideoKind(enum.StrEnum):
    """The container."""

    MP4 = "mp4"
    MKV = "mkv"


_FORMATS: dict[VideoKind, tuple[str, dict[str, str]]] = {
    VideoKind.MP4: (
        "mp4",
        {"movflags": "frag_every_frame+empty_moov+default_base_moof", "video_track_timescale": "1000000"},
    ),
    VideoKind.MKV: ("matroska", {"cluster_time_limit": "0"}),
}


class VideoFile:
    """One file with the packets of one encoding, from its first key frame on. Not to be shared between threads.

    The name is there from the beginning. `release()` finishes the file; it is idempotent. A file without a frame is
    taken away again. `safe`: so many of its frames are in the file whatever happens to this process.
    """

    def __init__(
        self,
        path: Path,
        encoding: VideoEncoding,
        kind: VideoKind,
        *,
        durability: Durability = Durability.CACHED,
        files: Files = LINUX,
    ) -> None:
        """Raises StorageError when the name is taken or nothing can be written; nothing is left then."""
        self.path = path
        self.frames = 0
        self.safe = 0
        self.began_ns: int | None = None
        self.last_ns: int | None = None
        self._durability = durability
        self._out = _Out(path, files)
        name, options = _FORMATS[kind]
        try:
            self._container: Any = load_av().open(self._out, "w", format=name, container_options=options)
            self._container.flags |= _FLUSH_PACKETS
            self._stream = self._container.add_stream_from_template(encoding.stream)
            self._container.start_encoding()
            self._out.whole()
        except OSError as error:
            self._container = None
            self._out.discard()
            raise storage_error(error, path) from error

    @property
    def size_bytes(self) -> int:
        """What is in the file so far."""
        return self._out.size

    def write(self, coded: Coded) -> int:
        """Add a packet; its frame's number in this file, from 0. The first one has to be a key frame.

        Raises: StorageError: the file is finished then, with what was whole; StateError after that.
        """
        if self._container is None:
            raise StateError(
                f"{self.path.name} is finished", hint="open another", state="released", verb="write", allowed=[]
            )
        self.began_ns = coded.at_ns if self.began_ns is None else self.began_ns
        packet = coded.packet
        packet.stream = self._stream
        packet.pts = packet.dts = (coded.at_ns - self.began_ns) // NS_PER_US
        before = self._out.size
        try:
            self._container.mux(packet)
            self._out.whole()
            if self._out.size > before:
                self.safe = self.frames
            if self._durability is Durability.SYNCED:
                self._out.sync()
        except OSError as error:
            self._cut()
            raise storage_error(error, self.path) from error
        self.last_ns = coded.at_ns
        self.frames += 1
        return self.frames - 1

    def release(self) -> None:
        """Finish the file. Raises StorageError when what belongs at its end finds no room: it is readable without."""
        container, self._container = self._container, None
        if container is None:
            return
        if not self.frames:
            self._out.mute()
            container.close()
            self._out.discard()
            return
        try:
            container.close()
            self._out.whole()
            self._out.close(self._durability)
            self.safe = self.frames
        except OSError as error:
            self._cut_back()
            raise storage_error(error, self.path) from error

    def _cut(self) -> None:
        container, self._container = self._container, None
        self._out.mute()
        container.close()
        self._cut_back()

    def _cut_back(self) -> None:
        self._out.cut()
        self.frames = self.safe
        if not self.frames:
            self._out.discard()


class _Out:
    """The file as libav writes it: through the seam, with the place up to which all is whole.

    Libav never hears of an error: what it does then is its own. It is kept, nothing is written from there on, and
    `whole` raises it.
    """

    def __init__(self, path: Path, files: Files) -> None:
        self.size = 0
        self._error: OSError | None = None
        self._path, self._files = path, files
        self._place = self._whole = 0
        self._muted = False
        try:
            self._fd: int | None = files.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except OSError as error:
            raise storage_error(error, path) from error

    def write(self, data: bytes) -> int:
        """Called by libav."""
        if not self._muted and self._fd is not None:
            try:
                write_all(self._fd, (bytes(data),), self._files)
            except OSError as error:
                self._fail(error)
        self._place += len(data)
        self.size = max(self.size, self._place)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Called by libav."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self.size}[whence]
        self._place = base + offset
        if not self._muted and self._fd is not None:
            try:
                self._files.seek(self._fd, self._place)
            except OSError as error:
                self._fail(error)
        return self._place

    def tell(self) -> int:
        """Called by libav."""
        return self._place

    def whole(self) -> None:
        """Everything up to here is. Raises OSError when something could not be written since the last time."""
        if self._error is not None:
            raise self._error
        self._whole = self.size

    def mute(self) -> None:
        """From now on nothing is written."""
        self._muted = True

    def _fail(self, error: OSError) -> None:
        self._error, self._muted = self._error or error, True

    def sync(self) -> None:
        """Wait for the disk. Raises OSError."""
        if self._fd is not None:
            self._files.fdatasync(self._fd)

    def cut(self) -> None:
        """Cut off what is not whole, and close."""
        self.mute()
        fd, self._fd = self._fd, None
        if fd is not None:
            try:
                self._files.ftruncate(fd, self._whole)
                self.size = self._whole
            finally:
                self._files.close(fd)

    def close(self, durability: Durability = Durability.CACHED) -> None:
        """Close; `_fd` is closed also where it fails."""
        if durability is Durability.SYNCED:
            self.sync()
        fd, self._fd = self._fd, None
        if fd is not None:
            self._files.close(fd)

    def discard(self) -> None:
        """No such file."""
        self.mute()
        try:
            self.close()
        finally:
            self._files.unlink(str(self._path))


def is_full(error: StorageError) -> bool:
    """Whether it is room that is missing, which may come back."""
    return error.details.get("errno_name") in ("ENOSPC", "EDQUOT")
