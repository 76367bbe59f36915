"""A service whose cameras a test plugs in, and whose capture processes it plays."""

import asyncio
import json
import os
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

from capture.acting import Actor

from agent.capture import messages as m
from agent.capture import tick_log
from agent.capture.board import Board, Of
from agent.capture.life import Ways
from agent.capture.process_messages import Assignment
from agent.capture.state_word import Phase
from agent.capture.tick_log import End
from agent.discovery.camera import Camera
from agent.discovery.identity import Identity
from agent.discovery.node import Node
from agent.schedule.register import PlanUnknown
from agent.schedule.requests import trace_id
from agent.schedule.ring import Ring
from agent.scope import Cause, Ended, ScopeEnded
from agent.service.journal import Journal
from agent.service.serve import Service, Surroundings
from agent.shared import FENCE, Page

LIMIT_S = 20
RECORD = {
    "file": "top-000007.jpg",
    "sequence": 5,
    "timestamp_ns": 0,
    "timestamp_source": "eof",
    "exposure_ns": None,
    "uncertainty_ns": 3,
}


def camera(path, serial=None, model="Bench", port=None, made_us=1):
    """A camera as udev would show it; another `made_us` is another time it was plugged in."""
    number = int(path.removeprefix("/dev/video"))
    node = Node(
        path=path,
        sys_path=f"/sys/devices/{port or serial}/video4linux/video{number}",
        parent=f"/sys/devices/{port or serial}",
        devnum=81 << 8 | number,
        captures=True,
        made_us=made_us,
        identity=Identity(serial=serial, model=model, port=port),
    )
    return Camera(node, (node,))


class PluggedCameras:
    """A `Presence` whose cameras a test plugs and unplugs. A context manager."""

    def __init__(self, *cameras):
        self.cameras = tuple(cameras)
        self._fd = -1

    def __enter__(self):
        self._fd = os.eventfd(0, os.EFD_NONBLOCK)
        return self

    def __exit__(self, *_):
        os.close(self._fd)

    def fileno(self):
        return self._fd

    def read(self):
        with suppress(BlockingIOError):
            os.eventfd_read(self._fd)
        return ()

    def plug(self, *cameras):
        """These are there now, and no others."""
        self.cameras = tuple(cameras)
        os.eventfd_write(self._fd, 1)


class PlayedProcess(Actor):
    """Answers as a capture process in which all goes well, but for what its stage says; `heard`: what it was told."""

    def __init__(self, pid, inherited, stage):
        super().__init__(pid, inherited, True)
        self.heard, self.stage = [], stage
        self.slots, self.free, self.periods = {}, 0, {}
        self._cancels = []
        self.ends_at_once = None
        self._resources = ExitStack()
        page = self._resources.enter_context(Page.attach_writer(inherited.page))
        self._board = Board(page.words)
        self._resources.callback(self._board.release)
        self.order = None
        asyncio.get_running_loop().add_reader(self.channel.fileno(), self._read)

    def die(self, status):
        if self._status is None:
            asyncio.get_running_loop().remove_reader(self.channel.fileno())
        super().die(status)

    def release(self, limit_ns):
        self._resources.close()
        return super().release(limit_ns)

    def armed(self, phase=Phase.ARMED):
        """What its page says of its first camera."""
        self._board.camera(0)[Of.WORD] = phase

    def shoot(self, end=End.DELIVERED, *, line=True):
        """The one tick of the plan that it was given last ends, and its picture is written."""
        plan = self.of(m.AddPlans)[-1].orders[0].plan
        slot = self.slots.pop(plan.name)
        tick_log.put(Ring(self._board.ring, FENCE), slot, end, 0, plan.start_ns, plan.start_ns, plan.start_ns + 9)
        trace = trace_id(self.order.run_id, slot, 0)
        if line:
            self.order.sink.folder.mkdir(parents=True, exist_ok=True)
            record = {**RECORD, "timestamp_ns": plan.start_ns + 100, "exposure_ns": 40, "trace_ids": [trace]}
            with (self.order.sink.folder / "frames.jsonl").open("a") as log:
                log.write(json.dumps({**RECORD, "trace_ids": ["another"]}) + "\n" + json.dumps(record) + "\n")
        self.say(m.PlansEnded(at_ns=1, ends=((plan.name, "finished", ""),)))
        return trace

    def of(self, kind):
        return [message for message in self.heard if isinstance(message, kind)]

    def say(self, message):
        self.channel.send(message)

    def _read(self):
        if self.order is None:  # it reads no cancel before it knows what it is to do, as a real one
            first = self.channel.receive()
            if first is None:
                return
            self.heard.append(first.message)
            self._answer(first.message)
        for number, message in self.channel.drain(100):
            if self._status is not None:
                return
            self.heard.append(message)
            if isinstance(message, m.Cancel):
                self._cancels.append((number, message))
            by = self._overtaken_by(number, message)
            if by is None:
                self._answer(message)
            else:
                ended = Ended(Cause.CANCELLED, "a plan", by, 1)
                self.say(m.refusal(message.id, 1, ScopeEnded(ended)))

    def _overtaken_by(self, number, message):
        """Who cancelled a plan of a command that was asked before the cancel and is read after it."""
        orders = message.orders if isinstance(message, m.AddPlans) else ()
        for order in orders:
            plan = order.plan
            wanted = {"plan": plan.name, "camera": plan.camera, "client": plan.client}
            for later, cancel in self._cancels:
                if later > number and wanted.get(cancel.kind, cancel.name) == cancel.name:
                    return cancel.by
        return None

    def _answer(self, message):
        if isinstance(message, Assignment):
            self._begin(message)
            return
        refusal = self.stage.refuses.get(type(message))
        if refusal is not None and refusal(message):
            self.say(
                m.Refused(re=message.id, at_ns=1, code="nope", exit_code=2, message="it will not", hint="ask less")
            )
        elif isinstance(message, m.SetPeriod) and message.plan not in self.slots:
            self.say(m.refusal(message.id, 1, PlanUnknown(message.plan)))
        elif type(message) not in self.stage.keeps:
            self.carry_out(message)

    def carry_out(self, message):
        """Do what it is told, and answer; what the stage `keeps` a test lets go on with this."""
        facts = None
        match message:
            case m.AddPlans():
                facts = {order.plan.name: self._slot(order.plan) for order in message.orders}
            case m.SetPeriod():
                self.periods[message.plan] = message.period_ns
            case m.Cancel() | m.Quit():
                facts = self._cancel(message)
        self.say(m.Done(re=message.id, at_ns=1, facts=facts))
        if isinstance(message, m.AddPlans) and self.ends_at_once is not None:
            self.shoot(self.ends_at_once, line=False)
        if isinstance(message, m.Quit):
            self.die(0)

    def _begin(self, assignment):
        self.order = assignment.order
        self._adopt(assignment.adopted)
        if self.stage.comes_up:
            self.say(m.Ready(at_ns=1, cameras={}))

    def _adopt(self, adopted):
        """Plans of a process that died; those that were cancelled meanwhile end at once."""
        self.slots = {each.order.plan.name: each.slot for each in adopted if not each.cancelled_by}
        self.periods = {each.order.plan.name: each.order.plan.period_ns for each in adopted}
        self.free = max((each.slot + 1 for each in adopted), default=0)
        ends = tuple((each.order.plan.name, "cancelled", each.cancelled_by) for each in adopted if each.cancelled_by)
        if ends:
            self.say(m.PlansEnded(at_ns=1, ends=ends))

    def _slot(self, plan):
        self.slots[plan.name], self.free = self.free, self.free + 1
        self.periods[plan.name] = plan.period_ns
        return self.slots[plan.name]

    def _cancel(self, message):
        names = [message.name] if getattr(message, "kind", "all") == "plan" else list(self.slots)
        ended = [name for name in names if self.slots.pop(name, None) is not None]
        if ended:
            self.say(m.PlansEnded(at_ns=1, ends=tuple((name, "cancelled", message.by) for name in ended)))
        reports = tuple(
            m.CameraReport(camera=one.name, was_on=True, asked_ns=1, entered_ns=2, returned_ns=3)
            for one in self.order.cameras
        )
        return m.CancelReport(plans=len(ended), already=not ended, cameras=reports)


class Stage:
    """A service and everything around it.

    `comes_up`: processes tell that their cameras are ready. `refuses`: by command type, whether one is refused.
    `keeps`: command types that are not answered.
    """

    def __init__(self, folder, config, *cameras, environment=None, spawn_viewer=None, **around):
        self.folder = folder
        self.path = folder / "config.yaml"
        self.path.write_text(config)
        self.present = PluggedCameras(*cameras)
        self.processes = []
        self.entries = []
        self.comes_up, self.refuses, self.keeps = True, {}, set()
        self.surroundings = Surroundings(
            ways=Ways(spawn=self._spawn, first_back_off_ns=1),
            presence=lambda: self.present,
            journal=Journal(lambda message, priority, fields: self.entries.append((message, priority, fields))),
            state=folder,
            environment={} if environment is None else environment,
            socket=folder / "control.sock",
            viewers=lambda _frame_socket: spawn_viewer,
            **around,
        )
        self.service = Service(self.path, self.surroundings)

    @property
    def agent(self):
        return self.service.agent

    @property
    def kinds(self):
        return [fields["KIND"] for _, _, fields in self.entries]

    def process(self, group):
        """The last process of a group."""
        return [each for each in self.processes if each.order is not None and each.order.name == group][-1]

    def count(self, group):
        return sum(each.order is not None and each.order.name == group for each in self.processes)

    async def until(self, condition):
        """Wait for events until something is so."""
        events = self.agent.events(0)
        try:
            while not condition():
                await anext(events)
        finally:
            await events.aclose()

    async def until_plan(self, name, state):
        await self.until(lambda: self.agent.parts.book.find(name).standing.value == state)

    async def ready(self, *groups):
        await self.until(lambda: set(groups) <= self.agent.parts.fleet.ready)
        await self.agent.parts.fleet.handed()

    def write(self, config):
        self.path.write_text(config)

    def _spawn(self, inherited):
        self.processes.append(PlayedProcess(1000 + len(self.processes), inherited, self))
        return self.processes[-1]


def played(folder: Path, config, *cameras, **around):
    """Runs `scene(stage)` on a service: `played(...)(scene)`."""

    @asynccontextmanager
    async def opened():
        stage = Stage(folder, config, *cameras, **around)
        async with stage.service:
            yield stage

    def run(scene):
        async def play():
            async with asyncio.timeout(LIMIT_S), opened() as stage:
                await scene(stage)
            return stage

        return asyncio.run(play())

    return run
