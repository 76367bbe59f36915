"""One frame, as a client has it: views of the camera's own memory, for a time."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from agent.client.conversions import converted
from agent.client.errors import GivenBack, Revoked
from agent.client.images import Image, image_of
from agent.client.link import Link
from agent.clock import monotonic_ns
from agent.frames.borrowed import Borrowed, Plane
from agent.frames.values import Facts, PoolFormat
from agent.pipeline.lent import frame_of


class Frame:
    """A lent frame. It is given back when the next one is taken, on leaving `with frame:`, or by `release()`.

    Pixels may be read until then, and what was made of them be used if the lease was still good after that: leaving
    `with frame:` raises Revoked when it was not, `check()` does so at any time. Views (`planes`, `image`) are not
    copied, cannot be written, and show another frame once this one is given back. One thread reads; `release()` may be
    called from any, and is idempotent.
    """

    __slots__ = ("_borrowed", "_given_back", "_link", "_lock", "_lost", "_reading", "_taken_ns", "kept", "skipped")

    def __init__(self, borrowed: Borrowed, link: Link, skipped: int) -> None:
        self.skipped = skipped
        """Frames of this camera that did not get here since the last one that did."""
        self.kept = False
        """Whether the next frame leaves this one as it is: see `keep`."""
        self._borrowed = borrowed
        self._link = link
        self._taken_ns = monotonic_ns()
        self._lock = threading.Lock()
        self._reading = self._given_back = self._lost = False

    def __repr__(self) -> str:
        return f"<Frame {self.sequence} of {self.camera}, {self.pixel_format} {self.width_px}x{self.height_px}>"

    def __enter__(self) -> Self:
        self.check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        if self._lost and kind is None:
            raise self._revoked()

    @property
    def camera(self) -> str:
        """The camera's name."""
        return self._borrowed.camera

    @property
    def form(self) -> PoolFormat:
        """What the planes hold."""
        return self._borrowed.form

    @property
    def facts(self) -> Facts:
        """All that is known of when and how it was taken."""
        return self._borrowed.facts

    @property
    def trace_ids(self) -> tuple[str, ...]:
        """Of the plans' ticks it served."""
        return self._borrowed.trace_ids

    @property
    def pixel_format(self) -> str:
        """The four-character code, such as `YUYV`."""
        return self.form.pixel_format

    @property
    def width_px(self) -> int:
        """Pixels in a line."""
        return self.form.width_px

    @property
    def height_px(self) -> int:
        """Lines."""
        return self.form.height_px

    @property
    def sequence(self) -> int:
        """The driver's number of it."""
        return self.facts.sequence

    @property
    def timestamp_ns(self) -> int:
        """CLOCK_MONOTONIC of the event that `facts.timestamp_source` names."""
        return self.facts.timestamp_ns

    @property
    def realtime_ns(self) -> int:
        """The same instant in CLOCK_REALTIME, as that clock was then."""
        return self.facts.realtime_ns

    @property
    def began_ns(self) -> int | None:
        """CLOCK_MONOTONIC at which its exposure began, to the best of what is known."""
        return self.facts.began_ns

    @property
    def exposure_ns(self) -> int | None:
        """How long it was exposed, where that is known."""
        return self.facts.exposure_ns

    @property
    def gain(self) -> int | None:
        """The camera's own number, where it is known."""
        return self.facts.gain

    @property
    def pulse(self) -> int | None:
        """The number of the trigger pulse it answers; the frames of one set of a group share it."""
        return self.facts.pulse

    @property
    def lease(self) -> int:
        """The number of its lease."""
        return self._borrowed.lease

    @property
    def place(self) -> int:
        """Which buffer of its pool it lies in."""
        return self._borrowed.place

    @property
    def planes(self) -> tuple[Plane, ...]:
        """What the driver wrote, a flat view of each memory plane. Raises Revoked, GivenBack."""
        return self._readable().planes

    @property
    def image(self) -> Image:
        """Views by pixel format, without a copy: see `agent.client.images`.

        Raises Revoked, GivenBack; FormatUnsupported for a format whose layout is not known, PictureDamaged when bytes
        are missing.
        """
        return image_of(frame_of(self._readable()))

    def bgr(self, levels: str = "limited") -> NDArray[Any]:
        """A copy as OpenCV likes it: height x width x 3, 8 bits, blue first. Raises as `to`."""
        return self.to("bgr", levels)

    def rgb(self, levels: str = "limited") -> NDArray[Any]:
        """A copy, height x width x 3, 8 bits, red first. Raises as `to`."""
        return self.to("rgb", levels)

    def to(self, conversion: str, levels: str = "limited") -> NDArray[Any]:
        """A copy of another form, which stays good when the frame is given back: see `agent.client.conversions`.

        Raises Revoked, also when the lease was lost meanwhile; GivenBack; InputError for an unknown conversion or
        levels; FormatUnsupported, PictureDamaged.
        """
        frame = frame_of(self._readable())
        try:
            made = converted(frame, conversion, levels)
        finally:
            self.check()  # also for an error: it may be of pixels that are another frame's
        return made

    @property
    def revoked(self) -> bool:
        """Whether the lease was lost: after giving it back, whether it was lost before that."""
        return self._lost if self._given_back else self._borrowed.revoked

    def check(self) -> None:
        """Raises Revoked when the lease was lost, GivenBack when it was given back in good order."""
        if self.revoked:
            raise self._revoked()
        if self._given_back:
            raise GivenBack(
                f"frame {self.sequence} of {self.camera} was given back",
                hint="read it before the next one is taken, or copy it: frame.bgr(), frame.image.copy()",
                state="given back",
                verb="read",
            )

    def keep(self) -> Self:
        """Leave it lent when the next one is taken, and return it; `release()` it before its lease ends.

        There have to be more frames at a time for that: `connect(..., most=...)`.
        """
        self.kept = True
        return self

    def release(self) -> None:
        """Give it back; idempotent."""
        with self._lock:
            if self._given_back:
                return
            if self._reading:
                self._borrowed.end_reading()
            self._lost = self._borrowed.revoked
            self._given_back = True
        self._link.give_back(self.lease, monotonic_ns() - self._taken_ns)

    def _readable(self) -> Borrowed:
        self.check()
        with self._lock:
            if not self._reading and not self._given_back:
                self._borrowed.begin_reading()
                self._reading = True
        return self._borrowed

    def _revoked(self) -> Revoked:
        return Revoked(
            f"frame {self.sequence} of {self.camera} was taken back",
            hint="its camera was stopped, or it was kept too long: take the next one, or ask for a longer lease_s",
            camera=self.camera,
            sequence=self.sequence,
        )
