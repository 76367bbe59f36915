"""One camera's pictures into a folder: from session to files, with the stream off and the files whole at every end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from agent.capture.session import Session
from agent.capture.settings import Prepared, Settings
from agent.capture.shot import Shot
from agent.clock import monotonic_ns
from agent.errors import AgentError
from agent.kernel import Kernel
from agent.pipeline.encode import PictureKind
from agent.pipeline.pixels import PictureDamaged
from agent.pipeline.record import Circumstances, FrameRecord
from agent.pipeline.writer import PictureWriter
from agent.v4l2.device import Capabilities
from agent.v4l2.stream import Stopped

_DAMAGED_IN_A_ROW = 10
"""Cameras send a damaged JPEG now and then; one that sends nothing else is broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be captured.

    `limit_ns`: how long to wait for a frame. `every_ns`: from picture to picture, None: every frame.
    """

    device: str
    settings: Settings
    count: int
    folder: Path
    kind: PictureKind = PictureKind.JPEG
    quality: int = 90
    limit_ns: int
    every_ns: int | None = None
    restore_controls: bool = False


class Shooting:
    """Carries out one order. What it came to stays readable after `run`, however that ended.

    `waiting` surrounds every wait for a frame and the start of the stream: where it raises, the capture ends.
    `on_picture` is called after each picture. One thread runs it.
    """

    def __init__(
        self,
        kernel: Kernel,
        order: Order,
        *,
        waiting: Callable[[], AbstractContextManager[None]],
        on_picture: Callable[[], None],
    ) -> None:
        self.order = order
        self.about: Capabilities | None = None
        self.prepared: Prepared | None = None
        self.folder: Path | None = None
        self.records: list[FrameRecord] = []
        self.damaged = 0
        self.losses: dict[str, int] = {}
        self.distrusted: str | None = None
        self.stopped: Stopped | None = None
        self._kernel = kernel
        self._waiting = waiting
        self._on_picture = on_picture
        self._damaged_in_a_row = 0

    @property
    def told(self) -> str:
        """How far it came, for people: `3 of 10 pictures are in photos`."""
        many = f"{len(self.records)} of {self.order.count} pictures"
        return f"{many} are in {self.folder}" if self.records else f"{many} written"

    def run(self) -> None:
        """Take the pictures. Raises what sessions and picture writers raise, and what `waiting` raises.

        A failure after the start of the stream carries a note on how many pictures there are.
        """
        order = self.order
        with Session(self._kernel, order.device) as session:
            self.about = session.capabilities
            if order.restore_controls:
                session.restore_on_release()
            self.prepared = session.prepare(order.settings)
            order.kind.check(self.prepared.format.pixel_format)
            with self._writer(self.about.card) as writer:
                self.folder = writer.folder
                try:
                    self._stream(session, writer)
                except AgentError as error:
                    error.add_note(self.told)
                    raise

    def _stream(self, session: Session, writer: PictureWriter) -> None:
        with self._waiting():
            session.arm()
        start_ns = monotonic_ns()
        try:
            for number in range(self.order.count):
                due_ns = 0 if self.order.every_ns is None else start_ns + number * self.order.every_ns
                while not self._one(session, writer, due_ns):
                    continue
                self._on_picture()
        finally:
            self.stopped = session.disarm()
            self.losses = session.ledger.as_dict()
            self.distrusted = session.judge.first_reason if session.judge else None

    def _one(self, session: Session, writer: PictureWriter, due_ns: int) -> bool:
        """One frame into one picture; False when it was damaged and the next one should be tried."""
        limit_ns = self.order.limit_ns + max(due_ns - monotonic_ns(), 0)
        with self._waiting():
            shot = session.take(limit_ns=limit_ns, after_ns=due_ns)
        try:
            self.records.append(writer.write(shot.frame, self._circumstances(shot)))
        except PictureDamaged:
            self.damaged += 1
            self._damaged_in_a_row += 1
            if self._damaged_in_a_row == _DAMAGED_IN_A_ROW:
                raise
            return False
        finally:
            session.give_back(shot)
        self._damaged_in_a_row = 0
        return True

    def _circumstances(self, shot: Shot) -> Circumstances:
        return Circumstances(
            realtime_ns=shot.realtime_ns,
            exposure_requested_ns=self.order.settings.exposure_ns,
            exposure_ns=shot.exposure_ns,
            gain=shot.gain,
        )

    def _writer(self, card: str) -> PictureWriter:
        order = self.order
        return PictureWriter(order.folder, card, order.kind, quality=order.quality, model=card)
