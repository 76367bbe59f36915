# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole USB device, from USB/IP commands to answers. Does no I/O: `send` and the clock are given to it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from . import faults as fault_names
from . import usbip
from .controls import GET_CUR, PRIVACY, REQUEST_NAMES, SET_CUR, Control, ControlSet
from .descriptors import CONTROL_INTERFACE, STREAM_ENDPOINT, Identity, Speed
from .errors import ProtocolError, Stall
from .faults import Faults
from .formats import FORMATS, SIZES, PictureFormat, PictureSize
from .negotiation import COMMIT, PROBE, Negotiation
from .record import Record
from .requests import Setup, StandardRequests
from .sensor import Sensor
from .stream import Send, Stream
from .trigger_input import Terminals

_REQUEST_ERROR_CODE = 2  # VC_REQUEST_ERROR_CODE_CONTROL (UVC 1.1, 4.2.1.2)
_NS_PER_MS = 1_000_000


@dataclass(frozen=True)
class Build:
    """How a camera is made; with a `trigger_switch` the host can put it into trigger mode."""

    identity: Identity = field(default_factory=Identity)
    speed: Speed = Speed.HIGH
    formats: Sequence[PictureFormat] = tuple(FORMATS.values())
    sizes: Sequence[PictureSize] = SIZES
    latency_frames: int = 2
    trigger_switch: bool = False


class Camera:
    """One camera from power-up to unplugging. For one thread; every method returns at once."""

    def __init__(
        self,
        build: Build,
        send: Send,
        faults: Faults,
        record: Record,
        clock: Callable[[], int],
        first_number: int = 0,
        terminals: Terminals | None = None,
    ) -> None:
        self._send = send
        self._faults = faults
        self._record = record
        self._clock = clock
        self._terminals = terminals or Terminals()
        self._controls = ControlSet(build.trigger_switch)
        sensor = Sensor(self._controls, build.latency_frames)
        self.stream = Stream(send, sensor, faults, record, clock, first_number, self._terminals)
        self._standard = StandardRequests(build.identity, build.speed, build.formats, build.sizes, build.trigger_switch)
        self._negotiation = Negotiation(build.formats, build.sizes, build.speed.payload_bytes)
        self._request_error = 0
        self._delayed: list[tuple[int, int, bytes]] = []

    def receive(self, command: usbip.Command) -> None:
        """A command of the host. Raises: ProtocolError for a transfer to an endpoint that is not there."""
        if isinstance(command, usbip.Unlink):
            self._unlink(command)
        elif command.endpoint == 0:
            self._control_transfer(command)
        elif command.endpoint == STREAM_ENDPOINT and command.inwards:
            self.stream.submit(command.seqnum, command.length)
        else:
            raise ProtocolError(f"transfer to endpoint {command.endpoint}, which this camera does not have")

    @property
    def due_ns(self) -> int | None:
        """When `work` has something to do next."""
        times = [self.stream.due_ns, self._delayed[0][0] if self._delayed else None]
        return min((each for each in times if each is not None), default=None)

    def work(self) -> None:
        """Send what is due."""
        while self._delayed and self._delayed[0][0] <= self._clock():
            _, _, reply = heapq.heappop(self._delayed)
            self._send(reply)
        self.stream.work()

    def switch(self, trigger_mode: bool, by: str) -> None:
        """Trigger mode on or off, at once even while streaming. `by`: who did it, for the record."""
        self._terminals.trigger.on = trigger_mode
        self._controls.put(PRIVACY, int(trigger_mode))
        self._record.write("trigger_mode", by=by, **self._terminals.trigger.facts())
        self.stream.pace()

    def power_off(self) -> None:
        """The cable is out."""
        self._delayed.clear()
        self.stream.stop("unplug")

    def _unlink(self, command: usbip.Unlink) -> None:
        waiting = [entry for entry in self._delayed if entry[1] == command.victim]
        for entry in waiting:
            self._delayed.remove(entry)
        heapq.heapify(self._delayed)
        queued = bool(waiting) or self.stream.unlink(command.victim)
        self._send(usbip.ret_unlink(command.seqnum, usbip.STATUS_UNLINKED if queued else usbip.STATUS_OK))

    def _control_transfer(self, command: usbip.Submit) -> None:
        setup = Setup.parse(command.setup)
        delay_ms = 0
        try:
            if setup.is_class and setup.interface == CONTROL_INTERFACE and setup.entity:
                data, delay_ms = self._control_request(setup, command.data)
            else:
                data = self._other_request(setup, command.data)
            actual_bytes = len(data) if command.inwards else len(command.data)
            reply = usbip.ret_submit(command.seqnum, usbip.STATUS_OK, actual_bytes) + data
        except Stall as stall:
            self._request_error = stall.reason
            reply = usbip.ret_submit(command.seqnum, usbip.STATUS_STALL, 0)
        if delay_ms:
            heapq.heappush(self._delayed, (self._clock() + delay_ms * _NS_PER_MS, command.seqnum, reply))
        else:
            self._send(reply)

    def _other_request(self, setup: Setup, data: bytes) -> bytes:
        if setup.clears_halt:
            self.stream.stop("clear_halt")
        if not setup.is_class:
            return self._standard.answer(setup)
        if setup.interface == CONTROL_INTERFACE:
            if (setup.selector, setup.request) != (_REQUEST_ERROR_CODE, GET_CUR):
                raise Stall(Stall.INVALID_CONTROL)
            return bytes((self._request_error,))
        if setup.selector not in (PROBE, COMMIT):
            raise Stall(Stall.INVALID_CONTROL)
        if setup.request != SET_CUR:
            return self._negotiation.get(setup.request)[: setup.length]
        mode = self._negotiation.put(data)
        if setup.selector == COMMIT:
            self.stream.commit(mode)
        return b""

    def _control_request(self, setup: Setup, data: bytes) -> tuple[bytes, int]:
        """The answer and after how many milliseconds to give it. Raises: Stall."""
        control = self._controls.find(setup.entity, setup.selector)
        slow = self._faults.take(fault_names.SLOW_CONTROL, control.name)
        delay_ms = slow.delay_ms if slow else 0
        outcome, value, answer = "stalled", None, b""
        try:
            if setup.request == SET_CUR:
                value = control.decode(data)
                outcome = self._set(control, value)
            else:
                answer = self._controls.get(control, setup.request)[: setup.length]
                value, outcome = int.from_bytes(answer, "little", signed=control.minimum < 0), "done"
        finally:
            self._record.write("control", request=REQUEST_NAMES.get(setup.request, hex(setup.request)),
                               control=control.name, value=value, outcome=outcome, delay_ms=delay_ms)  # fmt: skip
        return answer, delay_ms

    def _set(self, control: Control, value: int) -> str:
        if self._faults.take(fault_names.STALL_CONTROL, control.name):
            raise Stall(Stall.NOT_READY)
        if self._faults.active(fault_names.IGNORE_SETTING, control.name):
            return "ignored"
        self._controls.put(control, value)
        if control is PRIVACY:
            self.switch(bool(value), "control")
        return "done"
