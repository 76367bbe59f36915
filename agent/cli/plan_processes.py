"""The capture processes of a run, as the command line holds them: asked, waited for, listened to, ended."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from agent.capture import messages as m
from agent.capture.board import Head
from agent.capture.child import spawner
from agent.capture.emergency import EmergencyStopLatched
from agent.capture.group_watch import GroupWatch
from agent.capture.life import Ways
from agent.capture.order import GroupOrder
from agent.capture.process_messages import ProcessEnded, ProcessHangs, ProcessStarted
from agent.capture.relayed import relayed
from agent.capture.safe_lines import make_safe
from agent.capture.supervisor import Supervisor
from agent.cli.interruption import Interruption
from agent.clock import monotonic_ns
from agent.errors import AgentError
from agent.units import NS_PER_MS, NS_PER_S

_PROGRAM = (sys.executable, "-m", "agent.cli.process")
_LOOK_NS = 250 * NS_PER_MS
"""How often the pages are read: the table, the ring of requests, whether plans still run."""
_DEATHS = 3
"""A capture process that died so often before its cameras were ready is given up."""
_PRESSED_NS = 10 * NS_PER_S
"""How long an emergency stop's own account is waited for: STREAMOFF, and all steps of the escalation."""
_NO_ERRORS = frozenset({"relocked", "undecided", "out_of_budget", "back_in_budget", "works"})
"""Codes of TriggerTold that the figures account for."""

Tell = Callable[[str, str], None]
"""Takes what happened, and a hint or nothing."""


def usual_ways(*, simulate: bool) -> Ways:
    """Capture processes of this program, on this machine or each on a simulation of its own, which ends with it."""
    if simulate:
        return Ways(spawn=spawner((*_PROGRAM, "--simulate")))
    from agent.trigger.gpio import GpioLines

    return Ways(spawn=spawner(_PROGRAM), make_safe=partial(make_safe, GpioLines()))


class Processes:
    """A context manager: leaving it kills what is still there. One thread.

    `error`: the first thing that went wrong. `watches`: the page of each group; they stay readable to the end.
    """

    def __init__(self, orders: Sequence[GroupOrder], ways: Ways, interruption: Interruption, tell: Tell) -> None:
        """`look`, if set, is called several times a second while anything is waited for. Raises PageError."""
        self.error: AgentError | None = None
        self.watches: dict[str, GroupWatch] = {}
        self.look: Callable[[], None] | None = None
        self.ready: set[str] = set()
        """Groups whose cameras stream or are in fault."""
        self.pressed: dict[str, m.EmergencyStopped] = {}
        """Groups whose emergency stop was pressed, the first of them first."""
        self._interruption = interruption
        self._tell = tell
        self._deaths: dict[str, int] = {}
        self._answers: dict[int, m.Done | m.Refused | None] = {}
        self._faults: dict[tuple[str, str], str] = {}
        self._settled = False
        self._ending = False
        self._look_ns = 0
        with ExitStack() as resources:
            self._supervisor = resources.enter_context(Supervisor(orders, ways, monotonic_ns()))
            for name, group in self._supervisor.groups.items():
                self.watches[name] = watch = GroupWatch(group.order, group.board.words)
                resources.callback(watch.release)
            self._resources = resources.pop_all()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    # -- asking ---------------------------------------------------------------------------------------------------

    def number(self) -> int:
        """The id of the next command."""
        return self._supervisor.number()

    def ask(self, group: str, command: m.Command) -> int:
        """Ask; the number is for `answer`. Raises ChannelFull."""
        self._answers[command.id] = None
        self._supervisor.ask(group, command, monotonic_ns())
        return command.id

    def answer(self, number: int) -> Any:
        """Wait for an answer's facts; a signal interrupts it. Raises the error of a refusal in its own words."""
        while self._answers[number] is None:
            self.wait()
        return self._facts(number)

    def gave_up(self, group: str) -> bool:
        """No process of the group is there, and none that works can be expected."""
        return self._supervisor.groups[group].over or self._deaths.get(group, 0) >= _DEATHS

    # -- waiting --------------------------------------------------------------------------------------------------

    def wait(self, until_ns: int | None = None) -> None:
        """Until something happens, the next look is due, or `until_ns`. A signal raises Interrupted."""
        poll, wait_ms = self._waiting_for(until_ns)
        with self._interruption.waiting():
            poll.poll(wait_ms)
        self._happened()

    def settle(self) -> None:
        """Wait until every camera streams or is in fault. Raises the first fault when none of them streams."""
        while not all(name in self.ready or self.gave_up(name) for name in self.watches):
            self.wait()
        for name in self.watches:
            if name not in self.ready:
                self._ask_why(name)
        self._settled = True
        self.require_not_pressed()
        if not any(camera.streams for watch in self.watches.values() for camera in watch.cameras()):
            raise self._nothing_works()
        for words, hint in [(f"camera {camera}: {cause}", hint) for (camera, cause), hint in self._faults.items()]:
            self._tell(words, hint)

    def require_not_pressed(self) -> None:
        """Raises an error with the code of EmergencyStopLatched when an emergency stop was pressed: the run is over."""
        latched = [name for name, watch in self.watches.items() if watch.board.words[Head.STOPPED_NS]]
        if not latched:
            return
        # the page knows at once; the event comes when all streams are off
        until_ns = monotonic_ns() + _PRESSED_NS
        while not all(name in self.pressed for name in latched) and monotonic_ns() < until_ns:
            self.wait(until_ns)
        for group in latched:
            why = self.pressed[group].why if group in self.pressed else "its process has not told by whom"
            told = f"the emergency stop of group {group} was pressed: {why}"
            hint = "release the switch, see that all is safe, and run it again"
            raise relayed(EmergencyStopLatched.code, told, hint, exit_code=EmergencyStopLatched.exit_code)

    # -- ending ---------------------------------------------------------------------------------------------------

    def cancel(self, by: str) -> list[m.CameraReport]:
        """Cancel everything, and wait until all streams are off; a second signal raises Interrupted.

        What a group refuses is in `error`, and its cameras are not in the answer.
        """
        self._ending = True
        groups = [name for name, group in self._supervisor.groups.items() if not group.over]
        asked = [self.ask(name, m.Cancel(id=self.number(), kind="all", name="", by=by)) for name in groups]
        reports: list[m.CameraReport] = []
        for number in asked:
            while self._answers[number] is None:
                self._wait_on()
            try:
                reports += self._facts(number).cameras
            except AgentError as error:
                self.note(error)
        return reports

    def quit(self) -> None:
        """End the processes, and wait for their ends."""
        self._ending = True
        self._supervisor.quit("the end of the run", monotonic_ns())
        while not self._supervisor.finished:
            self._wait_on()

    def kill(self) -> None:
        """End them at once. A process that is gone has closed its cameras, which stops their streams."""
        for group in self._supervisor.groups.values():
            gone = group.release()
            for error in group.unsafe:
                self._tell(error.message, error.hint)
                self.note(error)
            if not gone:
                hint = "unplug the camera: the driver then lets go; if it does not, restart the machine"
                told = f"the capture process of group {group.name} cannot be killed: its camera may be on"
                self.note(relayed("stop_hangs", told, hint))

    def note(self, error: AgentError) -> None:
        """The first one is kept."""
        self.error = self.error or error

    # -- inside ---------------------------------------------------------------------------------------------------

    def _waiting_for(self, until_ns: int | None) -> tuple[select.poll, int]:
        poll = select.poll()
        for fd, events in self._supervisor.fds().items():
            poll.register(fd, events)
        times = (self._look_ns, self._supervisor.next_ns(), until_ns)
        wait_ns = min(instant_ns for instant_ns in times if instant_ns is not None) - monotonic_ns()
        return poll, max(-(-wait_ns // NS_PER_MS), 0)

    def _wait_on(self) -> None:
        """As `wait`, when the first signal has come already: only the next one raises."""
        poll, wait_ms = self._waiting_for(None)
        poll.poll(wait_ms)
        self._happened()

    def _happened(self) -> None:
        for told in self._supervisor.handle(monotonic_ns()):
            self._hear(told.group, told.message)
        now_ns = monotonic_ns()
        if now_ns >= self._look_ns:
            self._look_ns = now_ns + _LOOK_NS
            if self.look is not None:
                self.look()

    def _facts(self, number: int) -> Any:
        answer = self._answers[number]
        if isinstance(answer, m.Refused):
            raise relayed(answer.code, answer.message, answer.hint, exit_code=answer.exit_code, details=answer.details)
        return None if answer is None else answer.facts

    def _hear(self, group: str, message: Any) -> None:
        match message:
            case m.Done() | m.Refused():
                if message.re in self._answers:
                    self._answers[message.re] = message
            case m.Ready():
                self.ready.add(group)
            case m.CameraChanged(state="fault"):
                self._hear_fault(message)
            case m.EmergencyStopped() | m.TriggerTold():
                self._hear_lines(group, message)
            case m.Progress():
                self._tell(message.told, "")
            case ProcessStarted() if message.starts > 1:
                self._tell(f"the capture process of group {group} was started again", "")
            case ProcessEnded():
                self._hear_end(group, message)
            case ProcessHangs():
                self._tell(f"the capture process of group {group} hangs: {message.told}", message.hint)

    def _hear_fault(self, change: m.CameraChanged) -> None:
        """Told once; while others are still on their way, only when all have come as far as they do."""
        if (change.camera, change.cause) in self._faults:
            return
        self._faults[change.camera, change.cause] = change.hint
        words = f"camera {change.camera}: {change.cause}"
        if self._settled:
            self._tell(words, change.hint)
        self.note(relayed(change.code, words, change.hint))

    def _hear_lines(self, group: str, told: m.EmergencyStopped | m.TriggerTold) -> None:
        """The emergency stop, or what a ledger or a line has to say; a line that does not work is an error."""
        if isinstance(told, m.EmergencyStopped):
            self.pressed.setdefault(group, told)
            self._tell(f"EMERGENCY STOP of group {group}: {told.why}; all its streams are off", "")
            return
        whose = f"camera {told.camera}" if told.camera else f"group {group}"
        words = f"{whose}: {told.told}"
        self._tell(words, told.hint)
        if told.code not in _NO_ERRORS and not self._ending:
            self.note(relayed(told.code, words, told.hint))

    def _hear_end(self, group: str, end: ProcessEnded) -> None:
        if self._ending:
            return
        if group not in self.ready:
            self._deaths[group] = self._deaths.get(group, 0) + 1
        self._tell(end.cause, end.hint)
        if end.next_start_ns is not None:
            self.note(relayed("process_died", end.cause, end.hint or "see what it printed before"))

    def _ask_why(self, group: str) -> None:
        """A process that gave up tells why in the answer to whatever it is asked next."""
        try:
            self.answer(self.ask(group, m.Ping(id=self.number())))
        except AgentError as error:
            self.note(error)

    def _nothing_works(self) -> AgentError:
        """The first error, with what else there was as notes."""
        error = self.error or relayed("device_error", "no camera could be started", "see what was told before")
        for (camera, cause), hint in self._faults.items():
            words = f"camera {camera}: {cause}"
            if words != error.message:
                error.add_note(f"{words}; {hint}")
        return error
