"""The recorder: frames from a source to the writing process, until it is enough, or somebody or the disk says stop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Self

from agent.clock import ReadClock, monotonic_ns
from agent.errors import FormatUnsupported, StorageError
from agent.frames.borrowed import Revoked
from agent.recording.counts import Counts
from agent.recording.events import EventSource, NoEvents
from agent.recording.messages import Done
from agent.recording.order import OnFull, RecordOrder, Target
from agent.recording.rate import RateGate
from agent.recording.slots import needed_bytes
from agent.recording.source import FrameSource, LentFrame
from agent.recording.writer_process import WriterProcess
from agent.units import NS_PER_MS, NS_PER_S

SLOTS = 4
_LOOK_NS = 50 * NS_PER_MS
"""As long a frame is waited for before anything else is looked at."""
_SPARE_NS = NS_PER_S
"""As much later than exposed a frame may still come."""

Waiting = Callable[[], AbstractContextManager[None]]


class Recorder:
    """One recording. A context manager; `release()` ends the writing process, whatever it does, and is idempotent.

    `counts` is the account. `tell`: words for people, when something begins to go wrong and when it is well again.
    """

    def __init__(
        self,
        order: RecordOrder,
        *,
        events: EventSource | None = None,
        tell: Callable[[str], None] = lambda _words: None,
        read_monotonic_ns: ReadClock = monotonic_ns,
        writer: Callable[..., WriterProcess] = WriterProcess,
    ) -> None:
        """Starts the writing process. Raises StorageError, InputError, VideoUnavailable as its errors; OSError."""
        self.order, self.counts = order, Counts()
        self.began_ns: int | None = None
        self.last_ns: int | None = None
        self._events = events or NoEvents()
        self._source: FrameSource | None = None
        self._tell = tell
        self._now_ns = read_monotonic_ns
        self._rate = RateGate(order.rate)
        self._ended = False
        self._trouble = ""
        self._stopped: Done | None = None
        self._plan = order.name if order.target is Target.PLAN else ""
        self._writer = writer(order, SLOTS, read_monotonic_ns=read_monotonic_ns)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def elapsed_ns(self) -> int:
        """Between the stamps of the first frame and the last."""
        return 0 if self.began_ns is None or self.last_ns is None else self.last_ns - self.began_ns

    @property
    def waits_for(self) -> str:
        """Why no frame comes, as far as it is known."""
        return "" if self._source is None else self._source.waits_for

    def run(
        self,
        source: FrameSource,
        *,
        waiting: Waiting = nullcontext,
        look: Callable[[Recorder], None] = lambda _recorder: None,
    ) -> None:
        """Record until there is enough. `waiting` surrounds each wait for a frame: a signal may end it there.

        `look` is called some times a second. Raises StorageError when the recording ended because of the disk,
        FormatUnsupported when frames cannot be written so (both after `finish`); Refused, NotAllowed.
        """
        self._source = source
        while not self._is_enough():
            for at_ns in self._events.take():
                self.counts.events += 1
                self._writer.event(at_ns)
            if self._writer.has_room and not self._is_asked_for():
                with waiting():
                    frame = source.next(_LOOK_NS)
                if frame is not None:
                    self._take(frame)
                elif source.ended or self._is_late():
                    break
                self._settle(0)
            else:
                with waiting():
                    self._writer.wait(_LOOK_NS)
                self._settle(0)
            look(self)
        self.finish()
        if self._stopped is not None and self._stopped.code == FormatUnsupported.code:
            raise FormatUnsupported(self._stopped.told, hint=self._stopped.hint)
        if self._stopped is not None:
            raise StorageError(self._stopped.told, hint=self._stopped.hint, path=str(self.order.folder))

    def finish(self) -> None:
        """What was handed over is written, and all files are finished. Raises WriterFault, or the writer's error."""
        *answers, last = self._writer.finish()
        for done in answers:
            self._add(done)
        self.counts.finish(last)
        if last.code:
            self._stopped = self._stopped or last

    def release(self) -> None:
        """End the writing process."""
        self._writer.release()

    def _take(self, frame: LentFrame) -> None:
        """A frame is here: copied and handed over, or left out."""
        try:
            facts = frame.facts
            self.counts.skipped += frame.skipped
            self.counts.lost += facts.lost_before
            if self._is_over(facts.timestamp_ns):
                return
            if not self._rate.passes(frame.camera, facts.timestamp_ns):
                self.counts.left_out += 1
                return
            told, size = needed_bytes(frame, self._plan)
            while self._writer.pending and not self._writer.fits(size):
                self._settle(_LOOK_NS)
            self._writer.hand(frame, told, size)
        except Revoked:
            self.counts.revoked += 1
        finally:
            frame.release()

    def _is_over(self, at_ns: int) -> bool:
        """Whether a frame of that stamp is after the end; the first one sets the beginning."""
        self.began_ns = at_ns if self.began_ns is None else self.began_ns
        duration_ns = self.order.duration_ns
        if duration_ns is not None and at_ns - self.began_ns >= duration_ns:
            self._ended = True
            return True
        self.last_ns = max(at_ns, self.last_ns or at_ns)
        return False

    def _is_late(self) -> bool:
        """Whether the time is over and no frame came to say so."""
        duration_ns = self.order.duration_ns
        return (
            duration_ns is not None
            and self.began_ns is not None
            and self._now_ns() - self.began_ns >= duration_ns + _SPARE_NS
        )

    def _is_enough(self) -> bool:
        count, counts = self.order.count, self.counts
        enough = count is not None and (counts.accepted if self.order.on is None else counts.stored) >= count
        return self._ended or self._stopped is not None or enough

    def _is_asked_for(self) -> bool:
        """Whether what is handed over makes it enough, if all goes well."""
        count = self.order.count
        return self.order.on is None and count is not None and self.counts.accepted + self._writer.pending >= count

    def _settle(self, wait_ns: int) -> None:
        for done in self._writer.answers(wait_ns):
            self._add(done)

    def _add(self, done: Done) -> None:
        self.counts.add(done)
        if done.code == "storage":
            if self.order.on_full is OnFull.STOP:
                self._stopped = self._stopped or done
            elif self._trouble != done.code:
                self._tell(f"{done.told}: frames are not stored until this is over ({done.hint})")
        elif done.code == FormatUnsupported.code:  # and all that follow
            self._stopped = self._stopped or done
        elif done.code and done.code != self._trouble:
            self._tell(f"{done.told}: given up")
        elif done.stored and self._trouble == "storage":
            told = f"frames are stored again; {self.counts.not_stored:,} were not"
            self._tell(told)
        if done.code or done.stored:
            self._trouble = done.code
