"""The real capture loop on two stepped cameras: turned by hand, with threads that work when a test says so."""

import os
from contextlib import ExitStack, nullcontext, suppress

from capture.stage import HeldPublisher, ManualHelper

from agent.capture import messages as m
from agent.capture.board import Board, Of
from agent.capture.channel import Channel, open_pair
from agent.capture.door import Door, open_door
from agent.capture.helper import Outcome
from agent.capture.inbox import Inbox
from agent.capture.loop import CaptureLoop
from agent.capture.order import CameraOrder, GroupOrder, PlanOrder, Realtime, StageLimits
from agent.capture.process import Equipment
from agent.capture.process_messages import Assignment
from agent.capture.quotas import Quotas
from agent.capture.settings import Settings
from agent.capture.tick_log import unpack
from agent.errors import AgentError
from agent.schedule.account import Account
from agent.schedule.plan import Plan
from agent.schedule.quota import Buckets
from agent.schedule.ring import RingReader
from agent.simulation.bench import uvc_profile
from agent.simulation.clock import ManualClock
from agent.simulation.kernel import SimulatedKernel
from agent.simulation.wired import wired_lines
from agent.trigger.pwm import PwmOut
from agent.units import NS_PER_MS

NAMES = ("top", "side")
RUN_ID = 0xC0FFEE


class LoopHelper(ManualHelper):
    """Outcomes come through the doorbell, as those of a thread."""

    def __init__(self, bell):
        super().__init__()
        self._bell = bell
        self._busy = False

    def submit(self, job, then, *, urgent=False):
        if self._busy:
            raise RuntimeError("has a job already")
        self._busy = True
        self.job = (job, then)

    def work(self):
        (job, then), self.job = self.job, None
        try:
            outcome = Outcome(job(), None)
        except AgentError as error:
            outcome = Outcome(None, error)
        self._bell.put(lambda told: self._told(then, told), outcome)

    def release(self):
        return True

    def _told(self, then, outcome):
        self._busy = False
        then(outcome)


class RungPublisher(HeldPublisher):
    """It rings when frames come back or it gets ready, as a sink's descriptor does."""

    def __init__(self):
        super().__init__()
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fds(self):
        return (self._fd,)

    def give_back(self, count=1, **how):
        os.eventfd_write(self._fd, 1)
        return super().give_back(count, **how)

    def get_ready(self):
        self.is_ready = True
        os.eventfd_write(self._fd, 1)

    def collect(self, now_ns):
        with suppress(BlockingIOError):
            os.eventfd_read(self._fd)
        return super().collect(now_ns)

    def release(self):
        super().release()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class LoopStage:
    """A loop, its parent's end of the channel, its page and its cameras. Entered, its cameras stream.

    `settle` lets everything happen that can without time passing; `turn` is one turn and no more.
    """

    def __init__(
        self,
        *,
        capacity=64,
        quotas=None,
        adopted=(),
        left_off=(),
        page=None,
        publisher=None,
        join_ns=0,
        queue_messages=4096,
        trigger=None,
        emergency_stop=None,
        camera_trigger=None,
        cameras=NAMES,
        limits=None,
        open_pwm=PwmOut,
        settings=None,
    ):
        self.clock = ManualClock()
        self.quotas_words = memoryview(bytearray(8 * Buckets.words_for(8 + capacity))).cast("q")
        self.page = page
        self.said, self.helpers, self.records = [], {}, []
        self.number = 0
        self.publisher = publisher
        self._order = GroupOrder(
            name="g",
            cameras=(),
            quotas=quotas or {},
            plan_capacity=capacity,
            run_id=RUN_ID,
            limits=limits or StageLimits(),
            realtime=Realtime(join_ns=join_ns),
            trigger=trigger,
            emergency_stop=emergency_stop,
        )
        self._camera_trigger, self._triggered, self._open_pwm = camera_trigger, cameras, open_pwm
        self.wrap_output = self.wrap_input = self.prepare_camera = self.hold = self.pulled = None
        self._settings = settings or Settings(settle_frames=0)
        self._adopted, self._left_off = adopted, left_off
        self._queue_messages = queue_messages

    def __enter__(self):
        self.publisher = self.publisher or RungPublisher()
        with ExitStack() as undo:
            undo.callback(self.publisher.release)
            self.kernel = undo.enter_context(
                SimulatedKernel([uvc_profile(name, place + 1) for place, name in enumerate(NAMES)], clock=self.clock)
            )
            self.lines = undo.enter_context(wired_lines(self.kernel))
            self._set_the_scene(undo)
            self.cameras = dict(zip(NAMES, self.kernel.cameras, strict=True))
            settings = self._settings
            orders = [
                CameraOrder(
                    name=name,
                    path=camera.path,
                    settings=settings,
                    trigger=self._camera_trigger if name in self._triggered else None,
                )
                for name, camera in self.cameras.items()
            ]
            order = self._order.__class__(
                **{field: getattr(self._order, field) for field in self._order.__slots__} | {"cameras": tuple(orders)}
            )
            capacity = order.plan_capacity
            self.buckets = Buckets(self.quotas_words, nullcontext)
            for index, limit in enumerate(order.quotas.values()):
                self.buckets.define(index, limit, self.clock.now_ns())
            self.page = memoryview(bytearray(8 * Board.words_for(2, capacity))).cast("q")
            self.board = Board.create(self.page, 2, capacity)
            undo.callback(self.board.release)
            self.parent, theirs = open_pair()
            undo.callback(self.parent.release)
            channel = undo.enter_context(Channel(theirs, queue_messages=self._queue_messages))
            inbox = undo.enter_context(Inbox(channel))
            assignment = Assignment(order=order, adopted=self._adopted, left_off=self._left_off)
            places = {name: place for place, name in enumerate(order.quotas)}
            quotas = Quotas(self.buckets, places, len(places))
            self.door, their_door = open_door()
            undo.callback(self.door.release)
            equipment = Equipment(
                self.kernel,
                assignment,
                inbox,
                channel,
                self.board,
                quotas,
                self.lines,
                self._open_pwm,
                Door(their_door),
            )
            self.loop = CaptureLoop(equipment, self.publisher, make_helper=self._make_helper, now_ns=self.clock.now_ns)
            undo.callback(self.loop.release)
            self.ring = RingReader(self.board.ring)
            self.loop.start()
            self.settle()
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_):
        if not self.loop.epoll.closed:
            for _ in range(2):
                self.work()
                self.loop.bell.collect()
        self._undo.close()

    def _make_helper(self, name, bell):
        self.helpers[name] = LoopHelper(bell)
        return self.helpers[name]

    def _set_the_scene(self, undo):
        """What a test wants to be so before the loop begins."""
        if self.hold is not None:
            undo.callback(self.lines.open_output(self.hold).release)
        if self.pulled is not None:
            self.lines.pull(self.pulled, True)
        if self.wrap_output is not None:
            opened = self.lines.open_output
            self.lines.open_output = lambda order: self.wrap_output(opened(order))
        if self.wrap_input is not None:
            watched = self.lines.open_input
            self.lines.open_input = lambda order: self.wrap_input(watched(order))
        if self.prepare_camera is not None:
            for camera in self.kernel.cameras:
                self.prepare_camera(camera)

    # -- turning --------------------------------------------------------------------------------------------------

    def events(self):
        return [(fd, mask) for fd, mask in self.loop.epoll.poll(0) if fd != self.loop.timer.fd]

    def turn(self):
        self.loop.turn(self.events())
        self.check_sleep()
        self.records += [unpack(record, RUN_ID) for record in self.ring.read()[0]]

    def work(self):
        """All threads have done what they were given."""
        for helper in self.helpers.values():
            if helper.job is not None:
                helper.work()

    def settle(self):
        """Until there is no reason for another turn, and no thread has anything to do."""
        for _ in range(500):
            self.work()
            if not self.events() and not self.is_due() and self.loop.wait_s:
                return self.hear()
            self.turn()
        raise AssertionError("the loop spins")

    def due_ns(self):
        loop = self.loop
        times = [loop.scheduler.next_ns, loop.publisher.next_ns(), *(unit.next_ns for unit in loop.units.values())]
        times += [loop.lines.next_ns, loop.subscribers.next_ns]
        return min((time for time in times if time is not None), default=None)

    def is_due(self):
        due_ns = self.due_ns()
        return due_ns is not None and due_ns <= self.clock.now_ns()

    def check_sleep(self):
        """A loop that sleeps must wake for whatever is due next."""
        due_ns = self.due_ns()
        if self.loop.wait_s and due_ns is not None:
            assert self.clock.now_ns() < self.loop.timer.armed_ns <= due_ns + self._order.realtime.join_ns

    def advance(self, duration_ns):
        """Let time pass as it would: the loop turns at each of its instants and for each frame."""
        end_ns = self.clock.now_ns() + duration_ns
        while self.clock.now_ns() < end_ns:
            due_ns = self.due_ns()
            frame_ns = [self.kernel._stepper.next_of(camera) for camera in self.cameras.values()]
            instants = [ns for ns in (due_ns, *frame_ns, end_ns) if ns is not None and ns > self.clock.now_ns()]
            self.kernel.advance(min(instants) - self.clock.now_ns())
            self.settle()
        return self.hear()

    # -- asking ---------------------------------------------------------------------------------------------------

    def send(self, kind, /, **what):
        """Ask; the id of the command."""
        self.number += 1
        self.parent.send(kind(id=self.number, **what))
        return self.number

    def hear(self):
        new = [received.message for received in self.parent.drain(100_000)]
        self.said += new
        return new

    def answer(self, number):
        """The one final answer to a command."""
        self.hear()
        (answer,) = [said for said in self.said if getattr(said, "re", None) == number and type(said) is not m.Progress]
        return answer

    def is_answered(self, number):
        self.hear()
        return any(getattr(said, "re", None) == number for said in self.said)

    def ask(self, kind, /, **what):
        """Ask, let it happen, and give the answer."""
        number = self.send(kind, **what)
        self.settle()
        return self.answer(number)

    def plan(self, name="p", camera="top", period_ms=40, store=False, quota=None, **plan):
        plan.setdefault("start_ns", self.clock.now_ns())
        period_ns = None if period_ms is None else period_ms * NS_PER_MS
        return PlanOrder(plan=Plan(name=name, camera=camera, period_ns=period_ns, **plan), store=store, quota=quota)

    def add(self, *names, **plan):
        orders = tuple(self.plan(name, **plan) for name in names or ("p",))
        answer = self.ask(m.AddPlans, orders=orders)
        assert isinstance(answer, m.Done), answer
        return answer.facts

    def cancel(self, kind="all", name="", by="a test"):
        return self.send(m.Cancel, kind=kind, name=name, by=by)

    # -- looking --------------------------------------------------------------------------------------------------

    def account(self, name="p"):
        return self.loop.scheduler.run(name).account()

    def accounts(self):
        return [Account.read(self.board.plans, slot) for slot in range(self.board.capacity)]

    def streams(self, camera="top"):
        return self.cameras[camera].stream is not None

    def words(self, camera="top"):
        return self.board.camera(NAMES.index(camera))

    def taken(self, camera="top"):
        return self.words(camera)[Of.TAKEN]

    def ends_told(self):
        """The ends of plans, in the order they were told."""
        return [end for event in self.of(m.PlansEnded) for end in event.ends]

    def of(self, kind):
        self.hear()
        return [said for said in self.said if isinstance(said, kind)]
