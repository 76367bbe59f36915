"""One camera group's capture processes, one after the other: what is asked of them is answered whatever happens."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from agent.capture import final_answers as final
from agent.capture.back_off import BackOff
from agent.capture.board import Board, Head
from agent.capture.channel import ChannelFull
from agent.capture.child import in_words
from agent.capture.escalation import Said
from agent.capture.final_answers import Asked
from agent.capture.handover import Handover
from agent.capture.life import Life, Pages, Ways
from agent.capture.messages import Command, Done, Progress, Quit, Refused, Relocate, SetLimits
from agent.capture.order import GroupOrder
from agent.capture.process_messages import Failed, ProcessEnded, ProcessHangs, ProcessStarted
from agent.capture.quota_page import QuotaPage
from agent.errors import AgentError
from agent.shared import Page
from agent.units import NS_PER_S

_UNPLUG = "unplug the camera: the driver then lets go, and the process is replaced"
_QUIT_GRACE_NS = NS_PER_S


class Group:
    """Owns the shared page, and the process that writes it. Not shared between threads.

    `ask` passes a command on; `handle` returns answers and events. Every command gets exactly one Done or Refused.
    """

    def __init__(self, order: GroupOrder, quotas: QuotaPage, ways: Ways, now_ns: int) -> None:
        """The first process starts at the first `handle`. Raises PageError."""
        self.name = order.name
        self.starts = 0
        self.first_cause = ""
        """What ended the first process since all was well; empty while all is well."""
        self.over = False
        """No process is there, and none will be started."""
        self.unsafe: tuple[AgentError, ...] = ()
        """The lines that could not be driven to their safe levels after its last process had gone, and why."""
        self._handover = Handover(order, quotas.bases[order.name], quotas.places_of(order))
        self._ways = ways
        self._back_off = BackOff(
            first_ns=ways.first_back_off_ns, largest_ns=ways.largest_back_off_ns, quiet_ns=ways.quiet_ns
        )
        self._life: Life | None = None
        self._start_at_ns = now_ns
        self._failed: Failed | None = None
        self._last_cause = "it was not started yet"
        self._gave_up = False
        self._adopting = False
        self._ending = False
        self._asked: dict[int, Asked] = {}
        self._said: list[Any] = []
        with ExitStack() as resources:
            page = Page.create(f"camera-agent {order.name}", Board.words_for(len(order.cameras), order.plan_capacity))
            resources.callback(page.release)
            self.board = Board.create(page.words, len(order.cameras), order.plan_capacity)
            resources.callback(self.board.release)
            self._pages = Pages(page, self.board, quotas.page)
            self._resources = resources.pop_all()

    @property
    def order(self) -> GroupOrder:
        """What the process is told, with the limits that were changed since."""
        return self._handover.order

    @property
    def pid(self) -> int | None:
        """The process that is there now."""
        return None if self._life is None else self._life.pid

    @property
    def killed(self) -> bool:
        """SIGKILL was sent to the process that is there now."""
        return self._life is not None and self._life.killed

    def fds(self) -> Mapping[int, int]:
        """As those of a Life."""
        return {} if self._life is None else self._life.fds()

    def next_ns(self) -> int | None:
        """As `Supervisor.next_ns`."""
        if self._said:
            return 0
        if self._life is not None:
            return self._life.next_ns()
        return None if self.over else self._start_at_ns

    def ask(self, command: Command, now_ns: int) -> None:
        """Pass a command on; the answer comes out of `handle`. Raises ChannelFull: then it was not asked."""
        asked, life = Asked(command, now_ns), self._life
        if isinstance(command, Relocate | SetLimits):
            self._handover.given(command)  # it stays true whether a process could be told or not
        if life is None:
            self._answer_without(asked, now_ns)
        elif life.hangs:
            self._refuse_hanging(asked, life, now_ns)
        else:
            self._pass_on(life, command, now_ns)
            self._asked[command.id] = asked
        if isinstance(command, Quit):
            self._end(now_ns)

    def pass_on(self, packet: bytes, connection: socket.socket) -> bool:
        """Pass a client of frames on to the process, as `Door.pass_on`; False also where none is there to stay."""
        return self._life is not None and not self._life.killed and self._life.pass_on(packet, connection)

    def handle(self, now_ns: int) -> list[Any]:
        """Do what is due; answers and events since the last call."""
        if self._life is not None:
            self._follow(self._life, now_ns)
        elif not self.over and now_ns >= self._start_at_ns:
            self._start(now_ns)
        said, self._said = self._said, []
        return said

    def release(self) -> bool:
        """Kill what is there, let go of everything; idempotent. False: the kernel has not let a process go."""
        self.over = True
        life, self._life = self._life, None
        with self._resources:
            if life is None:
                return True
            gone = life.release()
            self.unsafe = tuple(self._ways.make_safe(self.order)) if gone else ()
            return gone

    def _pass_on(self, life: Life, command: Command, now_ns: int) -> None:
        """To a process that was killed nothing is said: its end is the answer."""
        if life.killed:
            return
        try:
            life.send(command)
        except ChannelFull:
            if not isinstance(command, Quit):
                raise
            life.kill("it reads no commands", now_ns)

    def _start(self, now_ns: int) -> None:
        self.starts += 1
        self._failed, self._adopting = None, True
        try:
            self._life = Life(self._ways, self._pages, self._handover.assignment(), now_ns)
        except OSError as error:
            cause = f"{self._title()} could not be started: {error}"
            self.first_cause = self.first_cause or cause
            self._fell(0, final.End(now_ns, cause), 0)
            return
        self._said.append(ProcessStarted(at_ns=now_ns, group=self.name, pid=self._life.pid, starts=self.starts))

    def _follow(self, life: Life, now_ns: int) -> None:
        for message in life.hear(now_ns):
            self._heard(life, message, now_ns)
        if self._back_off.was_quiet(now_ns - life.started_ns):
            self.first_cause = ""
        status = life.status()
        if status is not None:
            self._bury(life, status, now_ns)
            return
        life.watch(now_ns)
        if self._adopting and life.vitals.beaten:
            # its loop adopts before it turns for the first time
            self._adopting = False
            self._handover.taken_over()
        hung = life.hangs
        for said in life.escalate(now_ns):
            self._tell(life, said, now_ns)
        if life.hangs and not hung:
            self._give_up(life, now_ns)

    def _heard(self, life: Life, message: Any, now_ns: int) -> None:
        match message:
            case Done() | Refused():
                asked = self._asked.pop(message.re, None)
                if asked is None:
                    self._handover.told(message)
                    return
                if isinstance(message, Done):
                    self._handover.answered(asked.command, message)
            case Progress():
                if message.re in self._asked:
                    self._asked[message.re].steps.append(message.step)
                if message.step == "kill":
                    life.kill(message.told, now_ns)
            case Failed():
                life.failed = life.failed or message
                return
            case _:
                self._handover.told(message)
        self._said.append(message)

    def _tell(self, life: Life, said: Said, now_ns: int) -> None:
        """A step of the escalation, to everybody who waits for a stop; to nobody in particular where no one does."""
        waiting = [number for number, asked in self._asked.items() if final.is_cancel(asked.command)]
        for number in waiting or [0]:
            told = f"process {life.pid} of group {self.name}: {said.told}"
            self._said.append(Progress(re=number, at_ns=now_ns, step=said.step, told=told))

    def _give_up(self, life: Life, now_ns: int) -> None:
        asked, self._asked = self._asked, {}
        for one in asked.values():
            self._refuse_hanging(one, life, now_ns)
        self._said.append(ProcessHangs(at_ns=now_ns, group=self.name, pid=life.pid, told=life.standing(), hint=_UNPLUG))

    def _refuse_hanging(self, asked: Asked, life: Life, now_ns: int) -> None:
        if final.is_cancel(asked.command):
            # whatever becomes of the process, what was cancelled is not taken up again
            self._handover.cancel(final.as_cancel(asked.command))
        self._said.append(final.hangs(asked, now_ns, self._end_of(life, now_ns), life.standing()))

    def _bury(self, life: Life, status: int, now_ns: int) -> None:
        while heard := life.hear(now_ns):
            for message in heard:
                self._heard(life, message, now_ns)
        cause = self._cause(life, status)
        if not self._as_told(life, status):
            self.first_cause = self.first_cause or cause
        end = self._end_of(life, now_ns, cause)
        self._life = None
        life.release()
        if not self._as_told(life, status):
            # before a successor can start: it may have died in the middle of a pulse
            self.unsafe = tuple(self._ways.make_safe(self.order))
            self._said += [final.unsafe(error, now_ns) for error in self.unsafe]
        self._failed = life.failed
        self.board.words[Head.PID] = 0
        self._fell(life.pid, end, now_ns - life.started_ns)

    def _end_of(self, life: Life, now_ns: int, cause: str = "") -> final.End:
        return final.End(now_ns, cause, life.vitals.streaming(), life.tried, life.vitals.in_streamoff())

    def _fell(self, pid: int, end: final.End, lived_ns: int) -> None:
        """A process has gone: answer what it owed, and plan its successor."""
        now_ns, self._last_cause = end.at_ns, end.cause
        self._gave_up = self._failed is not None and not self._failed.again
        self.over = self._ending or self._gave_up
        if not self.over:
            self._start_at_ns = now_ns + self._back_off.after_death(lived_ns)
        asked, self._asked = self._asked, {}
        for number in sorted(asked):
            self._answer_dead(asked[number], end)
        self._said.append(
            ProcessEnded(
                at_ns=now_ns,
                group=self.name,
                pid=pid,
                cause=end.cause,
                hint=self._failed.hint if self._failed else "",
                first_cause=self.first_cause,
                next_start_ns=self._next_start_ns(),
            )
        )

    def _cause(self, life: Life, status: int) -> str:
        if life.failed is not None:
            return f"{self._title()} gave up: {life.failed.message}"
        states = life.vitals.in_words()
        if life.killed_because:
            return f"{self._title()} was killed because {life.killed_because}, while {states}"
        if self._as_told(life, status):
            return f"{self._title()} ended as it was told"
        return f"{self._title()} {in_words(status)} while {states}"

    def _as_told(self, life: Life, status: int) -> bool:
        return self._ending and status == 0 and life.failed is None and not life.killed

    def _answer_dead(self, asked: Asked, end: final.End) -> None:
        command = asked.command
        if final.is_cancel(command):
            plans, cameras = self._handover.cancel(final.as_cancel(command))
            self._said.append(final.stopped(asked, plans, cameras, end))
        elif self._gave_up and self._failed is not None:
            self._said.append(final.gave_up(command, end.at_ns, self._failed))
        else:
            self._said.append(final.died(command, end.at_ns, end.cause, self._next_start_ns()))

    def _answer_without(self, asked: Asked, now_ns: int) -> None:
        """No process is there: its cameras are off, and what was cancelled is not taken up by the next one."""
        command = asked.command
        if final.is_cancel(command):
            cancel = final.as_cancel(command)
            if not self._handover.knows(cancel):
                self._said.append(final.unknown(cancel, now_ns))
                return
            plans, cameras = self._handover.cancel(cancel)
            self._said.append(final.stopped(asked, plans, cameras, final.End(now_ns)))
        elif self._gave_up and self._failed is not None:
            self._said.append(final.gave_up(command, now_ns, self._failed))
        else:
            self._said.append(final.down(command, now_ns, self._last_cause, self._next_start_ns()))

    def _end(self, now_ns: int) -> None:
        """A Quit: what ends now is not replaced."""
        self._ending = True
        if self._life is None:
            self.over = True
            return
        limits = self.order.limits
        self._life.quit_by(now_ns + limits.stop_ns + 2 * limits.step_ns + _QUIT_GRACE_NS)

    def _next_start_ns(self) -> int | None:
        return None if self.over else self._start_at_ns

    def _title(self) -> str:
        return f"capture process of group {self.name}"
