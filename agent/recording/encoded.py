"""Frames encoded, before they are in a file: what a ring keeps."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Protocol

from agent.clock import ReadClock
from agent.errors import AgentError, StorageError
from agent.pipeline.encode import Encoder, PictureKind
from agent.pipeline.exif import exif_of
from agent.pipeline.files import write_file
from agent.pipeline.mjpeg import Pieces
from agent.pipeline.record import FrameRecord
from agent.pipeline.video import Coded, VideoEncoding
from agent.recording.folder import RecordFolder
from agent.recording.order import RecordFormat, RecordOrder
from agent.v4l2.frame import Frame


@dataclass(slots=True)
class Encoded:
    """One frame. `pieces`: a picture; else `coded` by `encoding`. The record lacks its file."""

    record: FrameRecord
    pieces: Pieces = ()
    coded: Coded | None = None
    encoding: VideoEncoding | None = None

    @property
    def camera(self) -> str:
        """Whose."""
        return self.record.camera

    @property
    def at_ns(self) -> int:
        """Its stamp."""
        return self.record.timestamp_ns

    @property
    def is_key(self) -> bool:
        """It can be read without those before it."""
        return self.coded is None or self.coded.is_key

    @property
    def size_bytes(self) -> int:
        """Without its line."""
        return (
            self.coded.size_bytes if self.coded is not None else sum(len(memoryview(p).cast("B")) for p in self.pieces)
        )


class FrameStore(Protocol):
    """Encodes frames and writes what was encoded."""

    def encode(self, frame: Frame, record: FrameRecord, *, key: bool) -> Encoded:
        """Raises FormatUnsupported, PictureDamaged."""
        ...

    def store(self, encoded: Encoded) -> FrameRecord:
        """Write it and its line; the record, with its file. Raises StorageError."""
        ...

    def leave_out(self, camera: str, error: StorageError) -> None:
        """A frame of a camera is not stored, and nothing is that needs it. Raises StorageError."""
        ...

    def finish(self, camera: str) -> None:
        """What was begun for a camera ends; the next frame begins something new. Raises StorageError."""
        ...

    def release(self) -> None:
        """Finish everything. Raises StorageError."""
        ...


class PictureStore:
    """A file for each frame, there whole or not at all, and then its line."""

    def __init__(self, order: RecordOrder, folder: RecordFolder, *, read_monotonic_ns: ReadClock) -> None:
        self._order, self._folder = order, folder
        self._kind = order.format.picture
        if self._kind is None:
            raise ValueError(f"{order.format} is no picture")
        self._encoder = Encoder(self._kind, quality=order.quality)
        self._now_ns = read_monotonic_ns

    def encode(self, frame: Frame, record: FrameRecord, *, key: bool) -> Encoded:  # noqa: ARG002
        """The pieces may lie in the frame's memory, unless a ring is to keep them."""
        began_ns = self._now_ns()
        exif = b"" if self._order.format is RecordFormat.RAW else exif_of(record)
        pieces = self._encoder.encode(frame, exif)
        if self._order.on is not None:
            pieces = (b"".join(pieces),)
        return Encoded(replace(record, encode_began_ns=began_ns, encode_ended_ns=self._now_ns()), pieces)

    def store(self, encoded: Encoded) -> FrameRecord:
        """Nothing is left when it fails: a file without a line would never be taken away."""
        if self._kind is None:
            raise ValueError("no kind of picture")
        record = replace(encoded.record, file=self._write(encoded, self._kind))
        try:
            self._folder.append(record)
        except AgentError:
            with contextlib.suppress(OSError):
                self._folder.files.unlink(str(self._folder.root / record.file))
            raise
        self._folder.keeper.add(record.file, encoded.size_bytes, record.timestamp_ns)
        return record

    def _write(self, encoded: Encoded, kind: PictureKind) -> str:
        """The file's name."""
        files, durability = self._folder.files, self._order.durability
        name, _ = self._folder.new_file(
            encoded.record,
            kind.suffix(encoded.record.pixel_format),
            lambda path: write_file(path, encoded.pieces, durability, files),
        )
        return name

    def leave_out(self, camera: str, error: StorageError) -> None:
        """No picture needs another one."""

    def finish(self, camera: str) -> None:
        """Each picture is finished by itself."""

    def release(self) -> None:
        """Nothing is open."""
