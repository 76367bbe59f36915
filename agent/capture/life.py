"""One capture process from its start to its end, watched: the parent's half of heartbeats and of a hung stop."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

from agent.capture.board import Board
from agent.capture.channel import open_pair
from agent.capture.child import Inherited, Spawn
from agent.capture.door import open_door
from agent.capture.escalation import Escalation, FindDevice, Said
from agent.capture.messages import Command
from agent.capture.order import GroupOrder
from agent.capture.packets import ChannelBroken
from agent.capture.process_messages import Assignment, Failed
from agent.capture.usb_reset import Resetter, UsbReset, find_usb_device
from agent.capture.vitals import Vitals
from agent.errors import AgentError
from agent.shared import Page
from agent.units import NS_PER_S, format_duration

_AT_ONCE = 1024
"""Messages heard in one turn."""


MakeSafe = Callable[[GroupOrder], Sequence[AgentError]]


def leave_lines(_order: GroupOrder) -> Sequence[AgentError]:
    """No lines outlive the processes: those of a simulation end with them."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How processes are started, watched and replaced. Tests hand in their own.

    `wedged_ns`: a loop that has not turned for so long is dead. `starting_ns`: the same until its first turn.
    `make_safe`: drives the lines of a group whose process has gone to their safe levels; what could not be, and why.
    `first_back_off_ns`, `largest_back_off_ns`, `quiet_ns`: see `agent.capture.back_off`.
    """

    spawn: Spawn
    find_usb_device: FindDevice = find_usb_device
    reset_usb_device: Resetter = UsbReset
    make_safe: MakeSafe = leave_lines
    wedged_ns: int = 2 * NS_PER_S
    starting_ns: int = 30 * NS_PER_S
    first_back_off_ns: int = NS_PER_S
    largest_back_off_ns: int = 30 * NS_PER_S
    quiet_ns: int = 60 * NS_PER_S


class Pages(NamedTuple):
    """The memory a process is given: its group's page, the layout of it, the page of quotas."""

    page: Page
    board: Board
    quotas: Page


class Life:
    """One process. Not shared between threads; `release()` is idempotent and leaves nothing that the kernel lets go."""

    def __init__(self, ways: Ways, pages: Pages, assignment: Assignment, now_ns: int) -> None:
        """Start it and tell it its assignment. Raises OSError."""
        self._ways = ways
        self._order: GroupOrder = assignment.order
        with ExitStack() as passed, ExitStack() as undo:
            self._channel, theirs = open_pair()
            undo.callback(self._channel.release)
            passed.enter_context(theirs)
            self._door, their_door = open_door()
            undo.callback(self._door.release)
            passed.enter_context(their_door)
            self._child = ways.spawn(Inherited(theirs.fileno(), pages.page.fd, pages.quotas.fd, their_door.fileno()))
            undo.pop_all()
        self.pid = self._child.pid
        self.started_ns = now_ns
        self.vitals = Vitals(pages.board, [camera.name for camera in self._order.cameras], now_ns)
        self.failed: Failed | None = None
        self.killed_because = ""
        self._escalation: Escalation | None = None
        self._quit_by_ns: int | None = None
        self._look_at_ns = now_ns
        self._channel.send(assignment)

    @property
    def killed(self) -> bool:
        """SIGKILL was sent."""
        return self._escalation is not None

    @property
    def hangs(self) -> bool:
        """It was killed, all was tried, and it is still there."""
        return self._escalation is not None and self._escalation.exhausted

    @property
    def tried(self) -> tuple[str, ...]:
        """What was tried from outside to end it, as steps of a CameraReport."""
        return () if self._escalation is None else tuple(self._escalation.tried)

    def fds(self) -> Mapping[int, int]:
        """Descriptors and the events of poll(2) to wait for."""
        found = {self._child.fileno(): select.POLLIN}
        if not self._channel.closed:
            found[self._channel.fileno()] = select.POLLIN | (select.POLLOUT if self._channel.wants_write else 0)
        if self._escalation is not None:
            found |= dict.fromkeys(self._escalation.fds(), select.POLLIN)
        return found

    def next_ns(self) -> int | None:
        """When to look again though no descriptor is ready; 0 for at once, None for never."""
        if self._channel.waiting:
            return 0
        if self._escalation is not None:
            return self._escalation.next_ns
        return self._look_at_ns if self._quit_by_ns is None else min(self._look_at_ns, self._quit_by_ns)

    def send(self, command: Command) -> None:
        """Pass a command on. Raises ChannelFull."""
        self._channel.send(command)

    def pass_on(self, packet: bytes, connection: socket.socket) -> bool:
        """Pass a client of frames on, as `Door.pass_on`."""
        return self._door.pass_on(packet, connection)

    def quit_by(self, instant_ns: int) -> None:
        """It was told to end: kill it if it is still there then."""
        self._quit_by_ns = instant_ns

    def hear(self, now_ns: int) -> list[Any]:
        """What it says. One that speaks nonsense is killed."""
        if self._channel.closed:
            return []
        try:
            self._channel.flush()
            return [received.message for received in self._channel.drain(_AT_ONCE)]
        except ChannelBroken as error:
            self._channel.release()
            self._channel.closed = True
            self.kill(error.message, now_ns)
            return []

    def status(self) -> int | None:
        """How it ended; None while it is there."""
        return self._child.status()

    def standing(self) -> str:
        """What it does or hangs in, by /proc."""
        return self._child.standing()

    def watch(self, now_ns: int) -> None:
        """Look at its beats and stops, and kill it where they say so."""
        if self.killed:
            return
        silence_ns = self.vitals.look(now_ns)
        self._look_at_ns = now_ns + self._ways.wedged_ns // 4
        because = self._hung_stop(now_ns) or self._silence(silence_ns)
        if not because and self._quit_by_ns is not None and now_ns >= self._quit_by_ns:
            because = "it did not end when it was told to"
        if because:
            self.kill(because, now_ns)

    def kill(self, because: str, now_ns: int) -> None:
        """SIGKILL, and the escalation begins; the first reason is kept."""
        if self.killed:
            return
        self.killed_because = because
        suspects = frozenset(self.vitals.stopping()) or frozenset(camera.name for camera in self._order.cameras)
        self._escalation = Escalation(
            now_ns,
            self._order.limits.step_ns,
            [camera for camera in self._order.cameras if camera.usb_reset and camera.name in suspects],
            self._ways.find_usb_device,
            self._ways.reset_usb_device,
        )
        self._child.kill()

    def escalate(self, now_ns: int) -> list[Said]:
        """The steps against a killed process that are due."""
        return [] if self._escalation is None else self._escalation.handle(now_ns, self.standing)

    def release(self) -> bool:
        """Kill it if it is there, wait a step at most, let go of it. False: the kernel has not let it go."""
        with ExitStack() as steps:
            steps.callback(self._channel.release)
            steps.callback(self._door.release)
            if self._escalation is not None:
                steps.callback(self._escalation.release)
            return self._child.release(self._order.limits.step_ns)

    def _hung_stop(self, now_ns: int) -> str:
        limit_ns = self._order.limits.stop_ns + self._order.limits.step_ns
        for camera, (stands, since_ns) in self.vitals.stopping().items():
            if now_ns - since_ns >= limit_ns:
                return f"camera {camera} had {stands} for {format_duration(now_ns - since_ns)}"
        return ""

    def _silence(self, silence_ns: int) -> str:
        # a STREAMOFF has a limit of its own
        if self.vitals.stopping():
            return ""
        limit_ns = self._ways.wedged_ns if self.vitals.beaten else self._ways.starting_ns
        return f"its loop had stood still for {format_duration(silence_ns)}" if silence_ns >= limit_ns else ""
