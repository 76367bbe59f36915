"""A plan file carried out by the real capture loop on simulated cameras, in a time that jumps from event to event.

Nothing waits and nothing is drawn by chance, so the same file gives the same calls. What a helper thread would do is
done at once; its outcome still comes through the doorbell, as in a capture process.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from agent.capture.board import Board, Of
from agent.capture.channel import Channel, attach, open_pair
from agent.capture.helper import Doorbell, Job, Outcome, Then
from agent.capture.inbox import Inbox
from agent.capture.loop import CaptureLoop
from agent.capture.messages import AddPlans, CameraChanged, Cancel, Command, Done, Refused
from agent.capture.order import GroupOrder, PlanOrder
from agent.capture.process import Equipment
from agent.capture.process_messages import Assignment
from agent.capture.publish import NoPublisher, Returned
from agent.capture.pwm_output import OpenPwm, Pwm
from agent.capture.quota_page import QuotaPage, open_quotas
from agent.capture.relayed import relayed
from agent.capture.tick_log import TickRecord, unpack
from agent.cli.bench import SteppedCameras
from agent.config.plan_file import PlanFile
from agent.errors import AgentError
from agent.kernel import Kernel
from agent.schedule.account import Account, State
from agent.schedule.ring import RingReader
from agent.shared import Page
from agent.trigger.lines import Lines
from agent.trigger.pwm_order import PwmOrder
from agent.trigger.trace import LineCall, TracingLines
from agent.units import format_duration
from agent.v4l2.trace import Call, TracingKernel

MOST_FRAMES = 20_000
_FRAME_CALLS = frozenset({"VIDIOC_DQBUF", "VIDIOC_QBUF"})


@dataclass(slots=True)
class Entry:
    """One line of the trace: a call, a line of the file, a tick that ended, or what was told (`told`).

    `camera`: or the group. `idle`: for a frame that no tick wanted.
    """

    at_ns: int
    camera: str
    call: Call | None
    tick: TickRecord | None = None
    plan: str = ""
    idle: bool = False
    line: LineCall | None = None
    told: str = ""


class AtOnce:
    """A `Helper` without a thread: the job is done when it is submitted."""

    def __init__(self, _name: str, bell: Doorbell) -> None:
        self._bell = bell

    def submit(self, job: Job, then: Then) -> None:
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


class _Group:
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

    def taken(self) -> list[int]:
        """Frames that ticks got, by camera."""
        return [words[Of.TAKEN] for words in self.board.all_cameras()]

    def release(self) -> None:
        """Streams off, cameras closed."""
        self._resources.close()


class _TellingPwm:
    """A PWM channel, with what is done to it told."""

    def __init__(self, pwm: Pwm, order: PwmOrder, tell: Callable[[str], None]) -> None:
        self._pwm, self._order, self._tell = pwm, order, tell
        self._on = False

    def start(self) -> None:
        order = self._order
        every, width = format_duration(order.period_ns), format_duration(order.width_ns)
        self._tell(f"pwm {order.chip}:{order.channel} on: {width} of every {every}")
        self._on = True
        self._pwm.start()

    def stop(self) -> None:
        if self._on:
            self._on = False
            self._tell(f"pwm {self._order.chip}:{self._order.channel} off")
            self._pwm.stop()

    def release(self) -> None:
        self.stop()


def _holders(groups: Sequence[GroupOrder]) -> Iterator[tuple[str, str]]:
    """Whose each line is: a strobe its camera's, all others their group's."""
    for group in groups:
        trigger, stop = group.trigger, group.emergency_stop
        orders = [trigger.output, trigger.input] if trigger is not None else []
        for order in (*orders, stop.input if stop is not None else None):
            if order is not None:
                yield str(order.line), group.name
        for camera in group.cameras:
            if camera.trigger is not None and camera.trigger.strobe is not None:
                yield str(camera.trigger.strobe.line), camera.name


class DryRun:
    """The file's groups side by side on one stepped clock. A context manager; leaving it closes the cameras."""

    def __init__(self, cameras: SteppedCameras, file: PlanFile, *, most_frames: int = MOST_FRAMES) -> None:
        """Build the loops; `most_frames`: it ends after so many, however far away the next tick is."""
        self.entries: list[Entry] = []
        self.start_ns = cameras.now_ns()
        self.fault: CameraChanged | None = None
        """The first camera that could not be brought up."""
        self.frames = 0
        self._cameras = cameras
        self._most_frames = most_frames
        self._names = {camera.path: camera.name for group in file.groups for camera in group.cameras}
        self._turn_began = 0
        self._holders = dict(_holders(file.groups))
        kernel = TracingKernel(cameras.kernel, self._on_call, cameras.now_ns)
        lines = TracingLines(cameras.lines, self._on_line, cameras.now_ns)
        with ExitStack() as resources:
            quotas = QuotaPage(file.groups, self.start_ns)
            resources.callback(quotas.release)
            self._groups: list[_Group] = []
            for order in file.groups:
                group = _Group(kernel, lines, self._pwm_of(order), order, quotas, cameras.now_ns)
                resources.callback(group.release)
                self._groups.append(group)
            self._resources = resources.pop_all()

    def __enter__(self) -> DryRun:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    @property
    def complete(self) -> bool:
        """Whether it was not ended for having too many frames."""
        return self.frames < self._most_frames

    def arm(self) -> bool:
        """Bring all cameras up; False when none came."""
        for group in self._groups:
            group.loop.start()
        self._settle()
        for group in self._groups:
            faults = [said for said in group.hear() if isinstance(said, CameraChanged) and said.state == "fault"]
            self.fault = self.fault or next(iter(faults), None)
        return any(unit.armed for group in self._groups for unit in group.loop.units.values())

    def add(self, plans: Sequence[Sequence[PlanOrder]]) -> None:
        """Start the plans of each group. Raises AgentError as the capture process would."""
        for group, orders in zip(self._groups, plans, strict=True):
            if orders:
                cameras = {order.plan.name: order.plan.camera for order in orders}
                slots = self._ask(group, AddPlans(id=1, orders=tuple(orders)))
                group.plans = {slot: (name, cameras[name]) for name, slot in slots.items()}
        self._settle()

    def run(self, ticks: int) -> None:
        """Let time pass until so many ticks have ended, no plan has one to come, or too many frames went by."""
        while self._ended() < ticks and self.complete and self._any_active():
            instants = [group.next_ns() for group in self._groups] + [self._cameras.next_frame_ns()]
            next_ns = min((ns for ns in instants if ns is not None), default=None)
            if next_ns is None:
                return
            self._cameras.advance_to(next_ns)
            self._settle()

    def stop(self) -> None:
        """Cancel everything."""
        for group in self._groups:
            self._ask(group, Cancel(id=2, kind="all", name="", by="the dry run"))

    def _ask(self, group: _Group, command: Command) -> Any:
        group.send(command)
        self._settle()
        for said in group.hear():
            if isinstance(said, Done) and said.re == command.id:
                return said.facts
            if isinstance(said, Refused) and said.re == command.id:
                raise relayed(said.code, said.message, said.hint, exit_code=said.exit_code, details=said.details)
        raise AgentError("the capture loop did not answer in the dry run", hint="this is a fault of ours: report it")

    def _settle(self) -> None:
        while any(self._turn(group) for group in self._groups):
            pass

    def _turn(self, group: _Group) -> bool:
        self._turn_began = len(self.entries)
        taken = group.taken()
        if not group.turn():
            return False
        idle = {
            camera.name
            for camera, before, after in zip(group.order.cameras, taken, group.taken(), strict=True)
            if before == after
        }
        for entry in self.entries[self._turn_began :]:
            entry.idle = entry.camera in idle and entry.call is not None and entry.call.name in _FRAME_CALLS
        self._note_ticks(group)
        return True

    def _note_ticks(self, group: _Group) -> None:
        now_ns = self._cameras.now_ns()
        for record in group.ring.read()[0]:
            tick = unpack(record, group.order.run_id)
            plan, camera = group.plans[tick.slot]
            self.entries.append(Entry(now_ns, camera, None, tick, plan))

    def _on_call(self, call: Call) -> None:
        self.frames += call.name == "VIDIOC_DQBUF" and not call.error
        self.entries.append(Entry(call.at_ns, self._names.get(call.device, call.device), call))

    def _on_line(self, call: LineCall) -> None:
        self.entries.append(Entry(call.at_ns, self._holders.get(call.line, ""), None, line=call))

    def _pwm_of(self, group: GroupOrder) -> OpenPwm:
        """A channel that tells when it is switched."""

        def open_pwm(order: PwmOrder) -> Pwm:
            return _TellingPwm(self._cameras.open_pwm(group, order), order, lambda told: self._note(group.name, told))

        return open_pwm

    def _note(self, holder: str, told: str) -> None:
        self.entries.append(Entry(self._cameras.now_ns(), holder, None, told=told))

    def _accounts(self) -> list[Account]:
        return [Account.read(group.board.plans, slot) for group in self._groups for slot in group.plans]

    def _ended(self) -> int:
        return sum(account.ticks - account.waiting - account.under_way for account in self._accounts())

    def _any_active(self) -> bool:
        return any(account.state is State.RUNNING for account in self._accounts())
