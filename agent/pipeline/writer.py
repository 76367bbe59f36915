"""Pictures into a folder: `camera-000000.jpg` and so on, and a line in `frames.jsonl` for each."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.clock import ReadClock, monotonic_ns
from agent.errors import StateError
from agent.pipeline.calls import LINUX, Files
from agent.pipeline.colour import Levels
from agent.pipeline.encode import Encoder, PictureKind
from agent.pipeline.exif import exif_of
from agent.pipeline.files import Durability, prepare_folder, write_file
from agent.pipeline.frame_log import FrameLog
from agent.pipeline.jpeg import DEFAULT_QUALITY, Chroma
from agent.pipeline.names import file_name
from agent.pipeline.record import Circumstances, FrameRecord, record_of
from agent.v4l2.frame import Frame


class PictureWriter:
    """Writes the frames of one camera into a folder.

    Numbers go on behind those already there; nothing is overwritten. The picture appears before its line. One writer
    a folder and camera, one thread a writer. `make` and `model` go into the EXIF.
    """

    def __init__(
        self,
        folder: Path,
        camera: str,
        kind: PictureKind = PictureKind.JPEG,
        *,
        quality: int = DEFAULT_QUALITY,
        levels: Levels = Levels.LIMITED,
        chroma: Chroma = Chroma.AS_SENT,
        durability: Durability = Durability.CACHED,
        make: str = "",
        model: str = "",
        files: Files = LINUX,
        read_monotonic_ns: ReadClock = monotonic_ns,
    ) -> None:
        self.camera = camera
        self._now_ns = read_monotonic_ns
        self.kind = kind
        self._encoder = Encoder(kind, quality=quality, levels=levels, chroma=chroma)
        self._durability = durability
        self._make, self._model = make, model
        self._files = files
        self._name = file_name(camera)
        self.folder = prepare_folder(folder, files)
        self.number = next_number(self.folder, self._name)
        self._log: FrameLog | None = FrameLog(self.folder, durability=durability, files=files)

    def write(
        self,
        frame: Frame,
        circumstances: Circumstances,
        *,
        committing: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> FrameRecord:
        """Encode a frame, write its file, then its line.

        `committing` surrounds the steps that others can see, the file's name and its line; where entering it raises,
        there is neither.
        Raises: FormatUnsupported, PictureDamaged, StorageError: no file then; or StorageError from the log, with
        the picture there and without a line; StateError after `release`.
        """
        if self._log is None:
            raise StateError(
                "this picture writer was released", hint="make a new one", state="released", verb="write", allowed=[]
            )
        file = f"{self._name}-{self.number:06d}.{self.kind.suffix(frame.format.pixel_format)}"
        record = record_of(frame, file=file, camera=self.camera, circumstances=circumstances)
        exif = b"" if self.kind is PictureKind.RAW else exif_of(record, make=self._make, model=self._model)
        began_ns = self._now_ns()
        pieces = self._encoder.encode(frame, exif)
        record = replace(record, encode_began_ns=began_ns, encode_ended_ns=self._now_ns())
        with ExitStack() as seen:
            write_file(
                self.folder / file,
                pieces,
                self._durability,
                self._files,
                before_naming=lambda: seen.enter_context(committing()),
            )
            self.number += 1
            self._log.append(record)
        return record

    def release(self) -> None:
        """Close the log. Idempotent."""
        log, self._log = self._log, None
        if log is not None:
            log.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def next_number(folder: Path, name: str) -> int:
    """One more than the highest number of this camera's pictures in the folder, of whatever kind; 0 for none."""
    pattern = re.compile(re.escape(name) + r"-(\d{6,})\.[a-z0-9]+")
    found = (pattern.fullmatch(entry.name) for entry in folder.iterdir())
    return max((int(match[1]) + 1 for match in found if match), default=0)
