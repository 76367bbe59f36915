"""Videos of a recording: one file after another for each camera, with a line in the index for each frame."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from agent.clock import ReadClock
from agent.errors import StorageError
from agent.pipeline.record import FrameRecord
from agent.pipeline.video import VideoEncoding, load_av
from agent.pipeline.video_file import VideoFile
from agent.recording.encoded import Encoded
from agent.recording.folder import RecordFolder
from agent.recording.order import RecordOrder
from agent.v4l2.frame import Frame

_PARTS_OF_LIMIT = 8
"""A folder with a limit has at least so many files of each camera: only whole ones can make room."""
_CRF_OF_QUALITY = ((95, 16), (85, 20), (70, 24), (50, 28), (0, 34))


@dataclass(slots=True)
class _Film:
    """Of one camera. `name`: of the file below the folder. `needs_key`: the next frame begins something.

    `failed`: why the last frame was not stored; those that need it are of no use either.

    `waiting`: lines of frames that libav holds still.
    """

    encoding: VideoEncoding
    file: VideoFile | None = None
    writes: VideoEncoding | None = None
    name: str = ""
    counted: int = 0
    waiting: deque[FrameRecord] = field(default_factory=deque)
    needs_key: bool = True
    failed: StorageError | None = None


class VideoStore:
    """A file that grows for each camera; another one when its format changes, or one of the segment limits says."""

    def __init__(self, order: RecordOrder, folder: RecordFolder, *, read_monotonic_ns: ReadClock) -> None:
        """Raises VideoUnavailable."""
        load_av()
        self._order, self._folder = order, folder
        self._now_ns = read_monotonic_ns
        self._films: dict[str, _Film] = {}
        self._crf = next(crf for least, crf in _CRF_OF_QUALITY if order.quality >= least)

    def encode(self, frame: Frame, record: FrameRecord, *, key: bool) -> Encoded:
        """The first frame of a file is a key frame."""
        began_ns = self._now_ns()
        film = self._film(frame, record.camera)
        due = film.needs_key or self._is_due(film, record.timestamp_ns)
        coded = film.encoding.encode(frame, key=key or due)
        film.needs_key = False
        record = replace(record, encode_began_ns=began_ns, encode_ended_ns=self._now_ns())
        return Encoded(record, coded=coded, encoding=film.encoding)

    def store(self, encoded: Encoded) -> FrameRecord:
        """When it fails, its file ends before it, and the next key frame begins another one."""
        film, record = self._films[encoded.camera], encoded.record
        if encoded.coded is None or encoded.encoding is None:
            raise ValueError("this frame was not coded for a video")
        try:
            if encoded.is_key and (film.writes is not encoded.encoding or self._is_due(film, record.timestamp_ns)):
                self.finish(encoded.camera)
            if film.file is None and not encoded.is_key and film.failed is not None:
                raise film.failed
            file = film.file or self._begin(film, encoded.encoding, record)
            number = file.write(encoded.coded)
        except StorageError as error:
            self.leave_out(encoded.camera, error)
            raise
        film.failed = None
        self._count(film, record.timestamp_ns)
        record = replace(record, file=film.name, video_frame=number)
        film.waiting.append(record)
        self._append(film, file)
        return record

    def leave_out(self, camera: str, error: StorageError) -> None:
        """The file ends before it; the next frame is a key frame, and what was coded until then is left out."""
        film = self._films[camera]
        film.needs_key, film.failed = True, error
        self._close(film)

    def finish(self, camera: str) -> None:
        """The file ends; nothing happens without one."""
        film = self._films.get(camera)
        if film is not None:
            self._close(film)

    def release(self) -> None:
        """All of them end, also when one of them cannot."""
        with ExitStack() as steps:
            while self._films:
                _, film = self._films.popitem()
                steps.callback(film.encoding.release)
                steps.callback(self._close, film)

    def _film(self, frame: Frame, camera: str) -> _Film:
        film = self._films.get(camera)
        if film is not None and film.encoding.form == frame.format:
            return film
        encoding = VideoEncoding(frame.format, self._order.codec_for(frame.format.pixel_format), crf=self._crf)
        if film is None:
            film = self._films[camera] = _Film(encoding)
            return film
        self.finish(camera)
        film.encoding.release()
        film.encoding, film.needs_key = encoding, True
        return film

    def _is_due(self, film: _Film, at_ns: int) -> bool:
        file = film.file
        if file is None or file.began_ns is None or file.last_ns is None:
            return False
        long = self._order.segment_ns is not None and at_ns - file.began_ns >= self._order.segment_ns
        most = self._most_bytes()
        large = most is not None and file.size_bytes >= most
        return long or large or at_ns <= file.last_ns

    def _most_bytes(self) -> int | None:
        """Of one file. All cameras have one that cannot be taken away: together those are a part of the limit, too."""
        limit = self._order.limit_bytes
        share = None if limit is None else limit // (_PARTS_OF_LIMIT * len(self._films))
        return min((most for most in (self._order.segment_bytes, share) if most is not None), default=None)

    def _begin(self, film: _Film, encoding: VideoEncoding, record: FrameRecord) -> VideoFile:
        kind = self._order.format.video
        if kind is None:
            raise ValueError(f"{self._order.format} is no video")
        files, durability = self._folder.files, self._order.durability
        name, file = self._folder.new_file(
            record,
            kind.value,
            lambda path: VideoFile(path, encoding, kind, durability=durability, files=files),
        )
        film.file, film.writes, film.name, film.counted = file, encoding, name, 0
        self._folder.keeper.begin(name)
        return file

    def _count(self, film: _Film, at_ns: int) -> None:
        if film.file is not None:
            self._folder.keeper.add(film.name, film.file.size_bytes - film.counted, at_ns)
            film.counted = film.file.size_bytes

    def _append(self, film: _Film, file: VideoFile) -> None:
        """Lines of what is in the file by now."""
        while film.waiting and (film.waiting[0].video_frame or 0) < file.safe:
            self._folder.append(film.waiting[0])
            film.waiting.popleft()

    def _close(self, film: _Film) -> None:
        file, film.file, film.writes = film.file, None, None
        if file is None:
            return
        try:
            file.release()
        finally:
            self._folder.keeper.finish(film.name)
            if file.frames:
                self._folder.keeper.add(film.name, file.size_bytes - film.counted, 0)
            else:
                self._folder.keeper.remove(film.name)
            try:
                self._append(film, file)
            finally:
                film.waiting.clear()
