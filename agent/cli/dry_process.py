"""A capture process without the process, threads and time: the real loop, turned by hand, for dry runs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from agent.capture.board import Board, Of
from agent.capture.channel import Channel, attach, open_pair
from agent.capture.helper import Doorbell, Job, Outcome, Then
from agent.capture.inbox import Inbox
from agent.capture.loop import CaptureLoop
from agent.capture.messages import Command
from agent.capture.order import GroupOrder
from agent.capture.process import Equipment
from agent.capture.process_messages import Assignment
from agent.capture.publish import NoPublisher, Returned
from agent.capture.pwm_output import OpenPwm, Pwm
from agent.capture.quota_page import QuotaPage, open_quotas
from agent.errors import AgentError
from agent.kernel import Kernel
from agent.schedule.ring import RingReader
from agent.shared import Page
from agent.trigger.lines import Lines
from agent.trigger.pwm_order import PwmOrder
from agent.units import format_duration


class AtOnce:
    """A `Helper` without a thread: the job is done when it is submitted."""

    def __init__(self, _name: str, bell: Doorbell) -> None:
        self._bell = bell

    def submit(self, job: Job, then: Then, *, urgent: bool = False) -> None:  # noqa: ARG002
        """Do it now; its outcome comes when the bell is answered."""
        try:
            outcome = Outcome(job(), None)
        except AgentError as error:
            outcome = Outcome(None, error)
        self._bell.put(then, outcome)

    def start(self) -> None:
        """Nothing to make ready."""

    def release(self) -> bool:
        """Nothing to end."""
        return True


class _StoresAtOnce(NoPublisher):
    """A sink that takes no time and keeps nothing."""

    def collect(self, now_ns: int) -> Sequence[Returned]:
        return [replace(back, stored=True) for back in super().collect(now_ns)]


class DryProcess:
    """One capture process without the process."""

    def __init__(
        self,
        kernel: Kernel,
        lines: Lines,
        open_pwm: OpenPwm,
        order: GroupOrder,
        quotas: QuotaPage,
        now_ns: Callable[[], int],
    ) -> None:
        with ExitStack() as resources:
            page = resources.enter_context(
                Page.create("dry run", Board.words_for(len(order.cameras), order.plan_capacity))
            )
            self.board = Board.create(page.words, len(order.cameras), order.plan_capacity)
            resources.callback(self.board.release)
            self._parent, theirs = open_pair()
            resources.callback(self._parent.release)
            channel: Channel = resources.enter_context(attach(theirs.detach()))
            inbox = resources.enter_context(Inbox(channel))
            # here nobody else judges a Ctrl-C
            signal.signal(signal.SIGINT, signal.default_int_handler)
            assignment = Assignment(order=order, quota_base=quotas.bases[order.name])
            allowed = open_quotas(quotas.page.fd, assignment, resources)
            equipment = Equipment(kernel, assignment, inbox, channel, self.board, allowed, lines, open_pwm)
            self.loop = CaptureLoop(equipment, _StoresAtOnce(), make_helper=AtOnce, now_ns=now_ns)
            resources.callback(self.loop.release)
            self.order = order
            self.plans: dict[int, tuple[str, str]] = {}
            """Name and camera by place."""
            self.ring = RingReader(self.board.ring)
            self._now_ns = now_ns
            self._resources = resources.pop_all()

    def next_ns(self) -> int | None:
        """When the loop has something to do by itself."""
        times = [self.loop.scheduler.next_ns, self.loop.publisher.next_ns(), self.loop.lines.next_ns]
        times += [unit.next_ns for unit in self.loop.units.values()]
        return min((time for time in times if time is not None), default=None)

    def turn(self) -> bool:
        """One turn of the loop if there is a reason for one."""
        events = self.loop.epoll.poll(0)
        due_ns = self.next_ns()
        woken = any(fd != self.loop.timer.fd for fd, _ in events)
        if not woken and (due_ns is None or due_ns > self._now_ns()):
            return False
        self.loop.turn(events)
        return True

    def send(self, command: Command) -> None:
        """To the loop's inbox."""
        self._parent.send(command)

    def hear(self) -> list[Any]:
        """What the loop says."""
        return [received.message for received in self._parent.drain(1_000_000)]

    def taken(self) -> list[tuple[int, int]]:
        """Frames that ticks got, and those that came back stored, by camera."""
        return [(words[Of.TAKEN], words[Of.STORED]) for words in self.board.all_cameras()]

    def release(self) -> None:
        """Streams off, cameras closed."""
        self._resources.close()


class TellingPwm:
    """A PWM channel, with what is done to it told."""

    def __init__(self, pwm: Pwm, order: PwmOrder, tell: Callable[[str], None]) -> None:
        self._pwm, self._order, self._tell = pwm, order, tell
        self._on = False

    def start(self) -> None:
        """Tell it, and switch it on."""
        order = self._order
        every, width = format_duration(order.period_ns), format_duration(order.width_ns)
        self._tell(f"pwm {order.chip}:{order.channel} on: {width} of every {every}")
        self._on = True
        self._pwm.start()

    def stop(self) -> None:
        """Tell it, and switch it off; idempotent."""
        if self._on:
            self._on = False
            self._tell(f"pwm {self._order.chip}:{self._order.channel} off")
            self._pwm.stop()

    def release(self) -> None:
        """Off."""
        self.stop()
