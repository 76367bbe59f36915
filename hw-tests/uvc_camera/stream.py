# SPDX-License-Identifier: GPL-3.0-or-later
"""The video stream: pictures into payloads into the host's URBs (UVC 1.1, 2.4.3; bulk: 2.4.3.2.1).

Each picture begins with a payload that is a header only, sent when its exposure starts: uvcvideo stamps a frame when
its first header arrives, so the driver's stamp is the start of exposure. The data follow at the end of the exposure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from . import faults as fault_names
from . import usbip
from .faults import Faults
from .formats import StreamMode
from .pacing import FreeRunning, Pacing, Pulse, Start, Triggered
from .record import Record
from .scene import Scene
from .sensor import Sensor, Settings
from .trigger_input import Terminals

Send = Callable[..., None]
"""Queues the buffers given for the host, in order."""

_HEADER_BYTES = 2
_FRAME_ID, _END_OF_FRAME, _ERROR, _END_OF_HEADER = 0x01, 0x02, 0x40, 0x80
_MOST_IN_FLIGHT = 2
"""A picture may still be on its way when the next exposure starts; a third one finds no memory in the camera."""


@dataclass
class _Picture:
    """A picture between the start of its exposure and its last payload."""

    number: int
    settings: Settings
    start: Start
    frame_id: int
    faults: tuple[str, ...]
    keep_bytes: int | None
    header_ns: int | None = None
    data: memoryview | None = None
    sent_bytes: int = 0

    @property
    def ready_ns(self) -> int:
        return self.start.time_ns + self.settings.exposure_ns

    def facts(self) -> dict[str, object]:
        return {"number": self.number, "exposure_ns": self.settings.exposure_ns, "gain": self.settings.gain,
                "start_ns": self.start.time_ns, "header_ns": self.header_ns, "bytes": self.sent_bytes,
                "trigger": self.start.pulse and self.start.pulse.number, "faults": self.faults}  # fmt: skip


class Stream:
    """The streaming interface's one endpoint. For one thread."""

    def __init__(
        self,
        send: Send,
        sensor: Sensor,
        faults: Faults,
        record: Record,
        clock: Callable[[], int],
        first_number: int,
        terminals: Terminals,
    ) -> None:
        self._send = send
        self._sensor = sensor
        self._faults = faults
        self._record = record
        self._clock = clock
        self._terminals = terminals
        self._strobe_end_ns: int | None = None
        self._armed_ns = 0
        self._early: list[Pulse] = []
        self.next_number = first_number
        self._urbs: deque[tuple[int, int]] = deque()
        self._pictures: deque[_Picture] = deque()
        self._committed: StreamMode | None = None
        self._mode: StreamMode | None = None
        self._pacing: Pacing | None = None
        self._scene: Scene | None = None
        self._frame_id = 0

    def commit(self, mode: StreamMode) -> None:
        """The host chose `mode`; the stream starts with its first URB, and pulses count from now on."""
        self._committed = mode
        self._armed_ns = self._clock()
        self._scene = Scene(mode.picture, mode.size.width_px, mode.size.height_px)

    def submit(self, seqnum: int, length: int) -> None:
        """An URB of the host to be filled."""
        self._urbs.append((seqnum, length))
        if self._committed is not None and self._mode is None:
            self._start(self._committed)

    def unlink(self, seqnum: int) -> bool:
        """Take an URB back; False when it is not queued (any more). The host does this when it stops streaming."""
        found = [urb for urb in self._urbs if urb[0] == seqnum]
        if not found:
            return False
        self._urbs.remove(found[0])
        self.stop("unlink")
        return True

    def stop(self, cause: str) -> None:
        """End the stream; nothing more is sent until the next commit. Idempotent."""
        self._committed = None
        for pulse in self._forget_early():
            self.ignore(pulse, "ignored", "stopped")
        if self._mode is None:
            return
        if self._pacing is not None:
            self._pacing.stop()
        self._mode, self._pacing = None, None
        self._cut_pictures()
        self._end_strobe()
        self._record.write("stop", cause=cause)

    @property
    def due_ns(self) -> int | None:
        """When `work` has something to do next: a monotonic time, possibly past; None for nothing in sight."""
        if self._pacing is None:
            return None
        times = [self._pacing.due_ns, self._picture_due_ns(), self._strobe_end_ns]
        return min((each for each in times if each is not None), default=None)

    def work(self) -> None:
        """Do what is due: one step of one picture at most, so that requests of the host never wait long."""
        if self._pacing is None or self._mode is None:
            return
        if self._strobe_end_ns is not None and self._strobe_end_ns <= self._clock():
            self._end_strobe()
        start = self._pacing.take(self._clock())
        if start is not None:
            self._expose(start, self._pacing, self._mode)
        due_ns = self._picture_due_ns()
        if due_ns is not None and due_ns <= self._clock():
            self._advance(self._pictures[0])

    def pace(self) -> None:
        """Follow the trigger input, or run freely, as the input is switched. Nothing happens while not streaming."""
        if self._mode is None:
            return
        if self._pacing is not None:
            self._pacing.stop()
            self._armed_ns = self._clock()
        trigger = self._terminals.trigger
        if trigger.on:
            self._pacing = Triggered(self._armed_ns, trigger.readout_ns, self._faults, self.ignore)
        else:
            self._pacing = FreeRunning(self._clock(), self._mode.interval_ns)
        for pulse in self._forget_early():
            self._pacing.trigger(pulse)

    def trigger(self, pulse: Pulse) -> None:
        """A pulse on the trigger input, which is in trigger mode."""
        if self._pacing is not None:
            self._pacing.trigger(pulse)
        elif self._committed is not None:
            self._early.append(pulse)  # the host's first URB is on its way
        else:
            self.ignore(pulse, "ignored", "not_streaming")

    def ignore(self, pulse: Pulse, outcome: str, reason: str) -> None:
        """Write down a pulse that makes no picture."""
        self._record.write("trigger", time_ns=pulse.time_ns, number=pulse.number, outcome=outcome, reason=reason)

    def _forget_early(self) -> list[Pulse]:
        early, self._early = self._early, []
        return early

    def _start(self, mode: StreamMode) -> None:
        self._mode = mode
        self.pace()
        self._sensor.start()
        self._record.write("start", format=mode.picture.name, width_px=mode.size.width_px,
                           height_px=mode.size.height_px, interval_ns=mode.interval_ns)  # fmt: skip

    def _expose(self, start: Start, pacing: Pacing, mode: StreamMode) -> None:
        if start.missed:
            self._miss(start.missed)
        if len(self._pictures) >= _MOST_IN_FLIGHT:
            self._refuse(start)
            return
        self._accept(start)
        settings = self._sensor.next_picture(mode.interval_ns)
        pacing.stretch(settings.exposure_ns)
        self._begin_strobe(start.time_ns + settings.exposure_ns)
        number, self.next_number = self.next_number, self.next_number + 1
        held = self._faults.active(fault_names.HOLD_PICTURES) or self._faults.take(fault_names.DROP_FRAME)
        if held:
            self._record.write("dropped", number=number, start_ns=start.time_ns, faults=[held.name],
                               trigger=start.pulse and start.pulse.number)  # fmt: skip
            return
        self._frame_id ^= _FRAME_ID
        short, bad = (self._faults.take(name) for name in (fault_names.SHORT_FRAME, fault_names.ERROR_BIT))
        names = start.faults + tuple(fault.name for fault in (short, bad) if fault)
        keep = None if short is None else mode.picture_bytes // 2 if short.keep_bytes is None else short.keep_bytes
        self._pictures.append(_Picture(number, settings, start, self._frame_id, names, keep))

    def _accept(self, start: Start) -> None:
        """Write a pulse down that makes a picture; one that makes two, once."""
        pulse = start.pulse
        if pulse is not None and fault_names.DOUBLE_TRIGGER not in start.faults:
            self._record.write("trigger", time_ns=pulse.time_ns, number=pulse.number, outcome="exposed",
                               reason=None)  # fmt: skip

    def _refuse(self, start: Start) -> None:
        """There is no memory for a picture: a sensor left to itself exposes in vain, a triggered one does not."""
        if start.pulse is None:
            self._miss(1)
        elif fault_names.DOUBLE_TRIGGER not in start.faults:
            self.ignore(start.pulse, "ignored", "no_memory")

    def _begin_strobe(self, end_ns: int) -> None:
        strobe = self._terminals.strobe
        if strobe is None:
            return
        if self._strobe_end_ns is None:
            strobe.set(True)
        self._strobe_end_ns = end_ns

    def _end_strobe(self) -> None:
        if self._strobe_end_ns is not None and self._terminals.strobe is not None:
            self._strobe_end_ns = None
            self._terminals.strobe.set(False)

    def _miss(self, count: int) -> None:
        self._record.write("missed", number=self.next_number, count=count)
        self.next_number += count

    def _picture_due_ns(self) -> int | None:
        if not self._pictures or not self._urbs or self._faults.active(fault_names.HOLD_PICTURES):
            return None
        first = self._pictures[0]
        return first.start.time_ns if first.header_ns is None or first.data is None else first.ready_ns

    def _advance(self, picture: _Picture) -> None:
        """One step: the header, the drawing, or as many payloads as there are URBs."""
        if self._faults.take(fault_names.URB_ERROR):
            self._fail_urb()
        elif picture.header_ns is None:
            self._payload(picture, b"", last=False)
            picture.header_ns = self._clock()
        elif picture.data is None:
            if self._scene is not None:
                picture.data = memoryview(self._scene.take(picture.number, picture.settings))[: picture.keep_bytes]
        else:
            self._send_data(picture, picture.data)

    def _send_data(self, picture: _Picture, data: memoryview) -> None:
        last = False
        while self._urbs and not last:
            room = self._urbs[0][1] - _HEADER_BYTES
            part = data[picture.sent_bytes : picture.sent_bytes + room]
            picture.sent_bytes += len(part)
            last = picture.sent_bytes >= len(data)
            self._payload(picture, part, last)
        if last:
            self._pictures.popleft()
            self._record.write("frame", **picture.facts())

    def _payload(self, picture: _Picture, part: bytes | memoryview, last: bool) -> None:
        seqnum, _ = self._urbs.popleft()
        flags = picture.frame_id | _END_OF_HEADER | (_END_OF_FRAME if last else 0)
        if fault_names.ERROR_BIT in picture.faults:
            flags |= _ERROR
        self._send(usbip.ret_submit(seqnum, usbip.STATUS_OK, _HEADER_BYTES + len(part)),
                   bytes((_HEADER_BYTES, flags)), part)  # fmt: skip

    def _fail_urb(self) -> None:
        seqnum, _ = self._urbs.popleft()
        self._record.write("urb_error", seqnum=seqnum, status=usbip.STATUS_PROTOCOL)
        self._cut_pictures()
        self._send(usbip.ret_submit(seqnum, usbip.STATUS_PROTOCOL, 0))

    def _cut_pictures(self) -> None:
        for picture in self._pictures:
            self._record.write("cut", **picture.facts())
        self._pictures.clear()
