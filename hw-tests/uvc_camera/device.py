# SPDX-License-Identifier: GPL-3.0-or-later
"""The camera with its cable: plugging, unplugging, faults, and what the event loop calls."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence

from . import faults as fault_names
from .camera import Build, Camera
from .edges import Edge
from .errors import HostGone, OrderError, ProtocolError
from .faults import Faults, parse
from .link import Link
from .record import Record
from .trigger_input import Terminals, parse_response
from .vhci import Socket


class Device:
    """A camera that can be plugged in again and again; its faults and its picture numbers outlive an unplugging.

    Release with `unplug`, which is idempotent. For one thread, which asks `link`, `due_ns` and calls `turn`.
    """

    def __init__(
        self,
        build: Build,
        outlet: Socket,
        record: Record,
        clock: Callable[[], int],
        first_number: int = 0,
        terminals: Terminals | None = None,
    ) -> None:
        self._build = build
        self._outlet = outlet
        self._record = record
        self._clock = clock
        self._terminals = terminals or Terminals()
        self.faults = Faults()
        self.port: int | None = None
        self._link: Link | None = None
        self._camera: Camera | None = None
        self._next_number = first_number

    @property
    def link(self) -> Link | None:
        """The descriptor to wait on; None while unplugged or frozen."""
        return None if self._frozen else self._link

    @property
    def due_ns(self) -> int | None:
        """When to call `turn` even if nothing came in."""
        return None if self._frozen or self._camera is None else self._camera.due_ns

    def plug(self) -> int:
        """Attach; the port taken. Does not wait for the driver. Raises: AttachError, OrderError when plugged in."""
        if self._link is not None:
            raise OrderError("the camera is plugged in already")
        kernel_end, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with kernel_end:  # the kernel keeps a reference of its own; ours would hide that it let go
            try:
                self.port = self._outlet.attach(kernel_end)
            except BaseException:
                end.close()
                raise
        self._link = Link(end)
        self._camera = Camera(self._build, self._link.send, self.faults, self._record, self._clock, self._next_number,
                              self._terminals)  # fmt: skip
        self._record.write("attach", port=self.port, speed=self._build.speed.name.lower(),
                           serial=self._build.identity.serial)  # fmt: skip
        return self.port

    def unplug(self, cause: str = "order") -> None:
        """Detach. The kernel tells the driver a little later."""
        if self._link is None or self._camera is None or self.port is None:
            return
        link, camera, port = self._link, self._camera, self.port
        self._link, self._camera, self.port = None, None, None
        self._next_number = camera.stream.next_number
        try:
            self._outlet.detach(port)
        finally:
            link.close()
            camera.power_off()
            if self._build.trigger_switch:
                self._terminals.trigger.on = False  # a control like others: gone with the power
            self._record.write("detach", cause=cause)

    def turn(self, readable: bool) -> None:
        """Answer what came in, send what is due. A host that hung up unplugs the camera. Raises: ProtocolError."""
        if self._frozen or self._link is None or self._camera is None:
            return
        try:
            for command in self._link.receive() if readable else ():
                self._camera.receive(command)
            self._link.flush()  # before a picture is drawn: the host waits for every unlink in turn
            self._camera.work()
            self._link.flush()
        except HostGone:
            self.unplug("host")
        except ProtocolError:
            self.unplug("protocol")
            raise

    def trigger_mode(self, on: bool, line: str | None, response: Mapping[str, object]) -> None:
        """The switch at the camera itself; a `line` wires the input anew. Raises: OrderError, LineError."""
        parsed = parse_response(response)
        if line is not None:
            self._terminals.wire.connect(line)
        self._terminals.trigger.respond(parsed)
        if self._camera is None:
            self._terminals.trigger.on = on
            self._record.write("trigger_mode", by="order", **self._terminals.trigger.facts())
        else:
            self._camera.switch(on, "order")

    def edges(self, edges: Sequence[Edge]) -> None:
        """What the wire at the trigger input carried."""
        for pulse in self._terminals.trigger.pulses(edges):
            if self._camera is None:
                self._record.write("trigger", time_ns=pulse.time_ns, number=pulse.number, outcome="ignored",
                                   reason="unplugged")  # fmt: skip
            else:
                self._camera.stream.trigger(pulse)

    def order_fault(self, name: str, arguments: Mapping[str, object]) -> None:
        """Bring a fault into force. Raises: OrderError."""
        fault = parse(name, arguments)
        self._record.write("fault", name=name, **arguments)
        if name == fault_names.GONE:
            os._exit(1)  # no goodbye to the kernel: it sees the socket close
        self.faults.order(fault)

    def clear_fault(self, name: str | None) -> None:
        """Lift one fault, or with None all."""
        self._record.write("clear", name=name)
        self.faults.clear(name)

    @property
    def _frozen(self) -> bool:
        return self.faults.active(fault_names.FREEZE) is not None
