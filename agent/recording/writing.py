"""What a writing process does with each frame: encode, keep or write it, make room, and say what became of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from agent.clock import Clock, ReadClock, monotonic_ns
from agent.errors import AgentError, StorageError
from agent.frames.borrowed import Plane
from agent.frames.values import PoolFormat
from agent.pipeline.calls import LINUX, Files
from agent.pipeline.lent import format_of, frame_in
from agent.pipeline.record import Circumstances, FrameRecord, record_of
from agent.pipeline.video_file import is_full
from agent.recording.encoded import Encoded, FrameStore, PictureStore
from agent.recording.films import VideoStore
from agent.recording.folder import RecordFolder, Surround
from agent.recording.messages import Done, facts_from, shortened
from agent.recording.order import OnFull, RecordOrder
from agent.recording.ring import EventGate
from agent.units import NS_PER_S
from agent.v4l2.frame import Frame

_TRIES = 16
"""How often old files make room for one frame."""
_LATE_NS = NS_PER_S // 2
"""From an event to when it is told here."""
_ROOM = 4
"""Times what a frame takes is freed at once."""


@dataclass(slots=True)
class _Tally:
    size_bytes: int = 0
    file: str = ""


class Writing:
    """Frames of a recording into its folder. A context manager; `release()` is idempotent. One thread."""

    def __init__(
        self,
        order: RecordOrder,
        *,
        files: Files = LINUX,
        read_monotonic_ns: ReadClock = monotonic_ns,
        read_realtime_ns: ReadClock = Clock.REALTIME.read_ns,
        surround: Surround = contextlib.nullcontext,
    ) -> None:
        """`surround`: entered around work on the folder. Raises StorageError, InputError, VideoUnavailable."""
        self._order = order
        self._monotonic_ns, self._realtime_ns = read_monotonic_ns, read_realtime_ns
        self._gate: EventGate[Encoded] | None = None
        if order.on is not None:
            self._gate = EventGate(order.before_ns, order.after_ns, order.ring_bytes, _LATE_NS)
        self._passing: set[str] = set()
        self.folder = RecordFolder(
            order, files=files, surround=surround, epoch_ns=read_realtime_ns() - read_monotonic_ns()
        )
        try:
            made: Callable[..., FrameStore] = PictureStore if order.format.picture else VideoStore
            self._store = made(order, self.folder, read_monotonic_ns=read_monotonic_ns)
        except BaseException:
            self.folder.release()
            raise

    def __enter__(self) -> Writing:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def take(self, told: dict[str, Any], planes: tuple[Plane, ...]) -> Done:
        """A frame, as `told_of` tells of it. Whatever goes wrong with it is in the answer."""
        frame = frame_in(format_of(PoolFormat(*told["form"])), facts_from(told["facts"]), planes)
        record = _record(frame, told)
        tally, before = _Tally(), self._counts()
        try:
            encoded = self._store.encode(frame, record, key=self._wants_key(record))
            if self._gate is not None and not self._gate.put(encoded):
                self._end_event(record.camera)
                return self._done(tally, before, kept=True)
            self._passing.add(record.camera)
            self._write(encoded, tally)
        except AgentError as error:
            return self._done(tally, before, error)
        return self._done(tally, before)

    def event(self, at_ns: int) -> Done:
        """Something happened: what was kept from before it is written."""
        tally, before = _Tally(), self._counts()
        failed: AgentError | None = None
        for encoded in self._gate.event(at_ns) if self._gate is not None else ():
            self._passing.add(encoded.camera)
            try:
                self._write(encoded, tally)
            except AgentError as error:
                failed = failed or error
        return self._done(tally, before, failed)

    def tidy(self) -> None:
        """Take away what has become too old; from time to time. Raises StorageError."""
        self._make_room(0)

    def finish(self) -> Done:
        """Finish all files. The answer has the lines that waited for that, and the error of a file that could not."""
        tally, before = _Tally(), self._counts()
        try:
            self._store.release()
        except AgentError as error:
            return self._done(tally, before, error)
        return self._done(tally, before)

    def release(self) -> None:
        """Finish all files, close the index; idempotent. Raises StorageError when a file could not be finished."""
        with contextlib.ExitStack() as steps:
            steps.callback(self.folder.release)
            steps.callback(self._store.release)

    def _wants_key(self, record: FrameRecord) -> bool:
        return self._gate is not None and self._gate.wants_key(record.camera, record.timestamp_ns)

    def _end_event(self, camera: str) -> None:
        """A frame that is not written any more ends what was begun for the event."""
        if camera in self._passing:
            self._passing.discard(camera)
            self._store.finish(camera)

    def _write(self, encoded: Encoded, tally: _Tally) -> None:
        try:
            self._make_room(encoded.size_bytes)
        except StorageError as error:
            self._store.leave_out(encoded.camera, error)
            raise
        for _ in range(_TRIES):
            try:
                record = self._store.store(encoded)
            except StorageError as error:
                if not (is_full(error) and self._order.on_full is OnFull.DROP_OLDEST):
                    raise
                if not self.folder.drop_oldest(_ROOM * encoded.size_bytes) or encoded.coded is not None:
                    raise  # a packet is used up: the next frame begins another file
                continue
            tally.size_bytes += encoded.size_bytes
            tally.file = record.file
            return
        raise StorageError(
            f"{self.folder.root} stays full, whatever is taken away",
            hint="something else fills this disk: look with `du`",
            path=str(self.folder.root),
            errno=None,
            errno_name="ENOSPC",
            free_bytes=None,
        )

    def _make_room(self, coming_bytes: int) -> None:
        now_ns = self._monotonic_ns()
        self.folder.make_room(now_ns, coming_bytes, self._realtime_ns() - now_ns)

    def _counts(self) -> tuple[int, int, int]:
        return self.folder.lines, self.folder.removed, 0 if self._gate is None else self._gate.dropped

    def _done(
        self, tally: _Tally, before: tuple[int, int, int], error: AgentError | None = None, *, kept: bool = False
    ) -> Done:
        written, removed, dropped = (now - then for now, then in zip(self._counts(), before, strict=True))
        return Done(
            stored=error is None and not kept,
            kept=kept,
            file=tally.file,
            size_bytes=tally.size_bytes,
            written=written,
            dropped=dropped,
            removed=removed,
            files=len(self.folder.keeper),
            code="" if error is None else error.code,
            told="" if error is None else shortened(error.message),
            hint="" if error is None else shortened(error.hint),
            full=isinstance(error, StorageError) and is_full(error),
        )


def _record(frame: Frame, told: dict[str, Any]) -> FrameRecord:
    facts = told["facts"]
    circumstances = Circumstances(
        realtime_ns=facts["realtime_ns"],
        exposure_ns=facts["exposure_ns"],
        gain=facts["gain"],
        trace_ids=tuple(told["trace_ids"]),
    )
    record = record_of(frame, file="", camera=told["camera"], circumstances=circumstances)
    return replace(record, began_ns=facts["began_ns"], pulse=facts["pulse"], skipped=told["skipped"], plan=told["plan"])
