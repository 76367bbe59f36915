"""A supervisor on a clock of the test's own, with processes that the test plays itself."""

import os
import select
import socket

from agent.capture.board import Head, Of
from agent.capture.channel import Channel
from agent.capture.door import Door
from agent.capture.life import Ways
from agent.capture.messages import AddPlans, Cancel, Done, Progress
from agent.capture.order import CameraOrder, GroupOrder, PlanOrder, StageLimits
from agent.capture.quota_page import NO_ROOM
from agent.capture.state_word import Phase
from agent.capture.supervisor import Supervisor
from agent.capture.usb_reset import UsbDevice
from agent.schedule.plan import Plan
from agent.units import NS_PER_MS, NS_PER_S

LIMITS = StageLimits(stop_ns=3 * NS_PER_S, step_ns=NS_PER_S)
ORDER = GroupOrder(name="g", cameras=(CameraOrder(name="top", path="/dev/video0"),), limits=LIMITS, plan_capacity=8)


class Actor:
    """A `Child` whose part the test plays. `obeys`: SIGKILL ends it, as it does unless the kernel hangs."""

    def __init__(self, pid, inherited, obeys):
        self.pid, self.obeys = pid, obeys
        self.channel = Channel(socket.socket(fileno=os.dup(inherited.channel)))
        self.door = Door(socket.socket(fileno=os.dup(inherited.door)))
        self.killed = False
        self._fd = os.eventfd(0)
        self._status = None

    def fileno(self):
        return self._fd

    def kill(self):
        self.killed = True
        if self.obeys:
            self.die(-9)

    def die(self, status):
        if self._status is None:
            self._status = status
            self.channel.release()
            self.door.release()
            os.eventfd_write(self._fd, 1)

    def status(self):
        return self._status

    def standing(self):
        return "state D in uvc_stop_streaming"

    def release(self, limit_ns):
        if self._fd >= 0:
            self.kill()
            self.channel.release()
            self.door.release()
            os.close(self._fd)
            self._fd = -1
        return self._status is not None


class Reset:
    """A USB reset that ends when the test says so."""

    def __init__(self, device):
        self.device, self.said, self.released = device, None, False
        self._fd = os.eventfd(0)

    def fileno(self):
        return self._fd

    def end(self, words):
        self.said = words
        os.eventfd_write(self._fd, 1)

    def outcome(self):
        return self.said

    def release(self):
        if not self.released:
            self.released = True
            os.close(self._fd)


class Theatre:
    """The supervisor of one group, its processes one after the other, and all that it told."""

    def __init__(self, order=ORDER, *, obeys=True, spawn=None, room=NO_ROOM, **ways):
        self.now_ns = 1_000 * NS_PER_S
        self.actors, self.resets, self.told = [], [], []
        self.obeys = obeys
        self.ways = Ways(
            spawn=spawn or self._spawn,
            find_usb_device=lambda path: UsbDevice("1-2", path),
            reset_usb_device=self._reset,
            **ways,
        )
        self.supervisor = Supervisor([order], self.ways, self.now_ns, room)
        self.group = self.supervisor.groups[order.name]

    def __enter__(self):
        self.go()
        return self

    def __exit__(self, *_):
        self.supervisor.release()

    @property
    def actor(self):
        return self.actors[-1]

    def go(self, after_ns=0):
        """Let time pass, exactly as a loop of the supervisor's user would: waking at each of its instants."""
        end_ns = self.now_ns + after_ns
        calls = 0
        while True:
            next_ns = self.supervisor.next_ns()
            if (next_ns is not None and next_ns <= self.now_ns) or self._ready():
                self._handle()
                calls += 1
                assert calls < 20, "a loop would spin"
            elif next_ns is None or next_ns > end_ns:
                self.now_ns = end_ns
                return
            else:
                self.now_ns, calls = next_ns, 0

    def beat(self, for_ns, every_ns=250 * NS_PER_MS):
        """Let time pass with a loop that turns."""
        end_ns = self.now_ns + for_ns
        while self.now_ns < end_ns:
            self.group.board.words[Head.BEATS] += 1
            self.go(min(every_ns, end_ns - self.now_ns))

    def phase(self, phase, camera=0):
        """What the process writes to the page."""
        words = self.group.board.camera(camera)
        words[Of.WORD], words[Of.SINCE_NS] = phase, self.now_ns
        words[Of.ENTERED_NS] = self.now_ns if phase is Phase.STOPPING else 0

    def ask(self, kind, /, **what):
        """Ask the group; the command's id."""
        command = kind(id=self.supervisor.number(), **what)
        self.supervisor.ask(self.group.name, command, self.now_ns)
        return command.id

    def cancel(self, kind="camera", name="top"):
        return self.ask(Cancel, kind=kind, name=name, by="a test")

    def heard(self):
        """What the process hears."""
        return [received.message for received in self.actor.channel.drain(1000)]

    def run_plan(self, name, slot, **plan):
        """A plan the process has taken on."""
        order = PlanOrder(plan=Plan(name=name, camera="top", start_ns=0, period_ns=NS_PER_S, **plan))
        number = self.ask(AddPlans, orders=(order,))
        self.say(Done(re=number, at_ns=self.now_ns, facts={name: slot}))
        return order

    def say(self, *messages):
        """What the process says."""
        for message in messages:
            self.actor.channel.send(message)
        self.go()

    def answers(self, number):
        """All final answers to a command."""
        return [m for m in self.told if getattr(m, "re", 0) == number and not isinstance(m, Progress)]

    def answer(self, number):
        """The one final answer to a command."""
        (answer,) = self.answers(number)
        return answer

    def of(self, kind):
        return [message for message in self.told if isinstance(message, kind)]

    def _ready(self):
        poll = select.poll()
        for fd, events in self.supervisor.fds().items():
            poll.register(fd, events)
        # a killed process's descriptor stays readable until it is reaped; it is reaped in `handle`
        return bool(poll.poll(0))

    def _handle(self):
        self.told += [told.message for told in self.supervisor.handle(self.now_ns)]

    def _spawn(self, inherited):
        self.actors.append(Actor(1000 + len(self.actors), inherited, self.obeys))
        return self.actors[-1]

    def _reset(self, device):
        self.resets.append(Reset(device))
        return self.resets[-1]
