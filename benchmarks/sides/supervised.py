"""A capture process under its supervisor, and a client that asks and waits: what a parent does, with stamps."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from time import monotonic_ns
from typing import Any, NamedTuple

from agent.capture.child import spawner
from agent.capture.life import Ways
from agent.capture.messages import Command, Done, Quit, Ready, Refused
from agent.capture.order import GroupOrder
from agent.capture.process_messages import ProcessEnded
from agent.capture.supervisor import Supervisor
from agent.units import NS_PER_S

PROGRAM = (sys.executable, "-m", "agent.cli.process")
_LIMIT_NS = 180 * NS_PER_S
_PATIENT_NS = 120 * NS_PER_S
"""An emulated processor takes its time to import what a capture process needs."""


class CommandRefused(Exception):
    """The process did not carry out a command, or ended."""


class Answer(NamedTuple):
    """What a command gave, and when, CLOCK_MONOTONIC: just before it was sent, and when the client had its answer.

    `at_ns`: when the capture process had carried it out.
    """

    facts: Any
    sent_ns: int
    answered_ns: int
    at_ns: int

    @property
    def took_ns(self) -> int:
        """From send to answer."""
        return self.answered_ns - self.sent_ns


class Supervised:
    """One group. A context manager: entered when its cameras are up, left when its process has ended."""

    def __init__(self, order: GroupOrder, program: Sequence[str] = PROGRAM) -> None:
        """Start it. Raises CommandRefused, TimeoutError."""
        ways = Ways(spawn=spawner(program), starting_ns=_PATIENT_NS, wedged_ns=_PATIENT_NS)
        self.events: deque[Any] = deque(maxlen=1000)
        self._group = order.name
        self._leaving = False
        with ExitStack() as resources:
            self.supervisor = resources.enter_context(Supervisor([order], ways, monotonic_ns()))
            self.board = self.supervisor.groups[order.name].board
            self.until(lambda message: isinstance(message, Ready))
            self._resources = resources.pop_all()

    def __enter__(self) -> Supervised:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._resources:
            if exception[0] is None:
                self._leaving = True
                self.ask(Quit(id=self.number(), by="the end of the block"))
                while not self.supervisor.finished:
                    self.supervisor.wait(monotonic_ns() + NS_PER_S)

    def number(self) -> int:
        """The id of the next command."""
        return self.supervisor.number()

    def ask(self, command: Command) -> Answer:
        """Send it and wait for its answer. Raises CommandRefused, TimeoutError."""
        sent_ns = monotonic_ns()
        self.supervisor.ask(self._group, command, sent_ns)
        message = self.until(lambda found: isinstance(found, Done | Refused) and found.re == command.id)
        answered_ns = monotonic_ns()
        if isinstance(message, Refused):
            raise CommandRefused(f"{type(command).__name__}: {message.message} ({message.hint})")
        return Answer(message.facts, sent_ns, answered_ns, message.at_ns)

    def until(self, wanted: Callable[[Any], bool]) -> Any:
        """The first message that is `wanted`; others go to `events`. Raises CommandRefused, TimeoutError."""
        deadline_ns = monotonic_ns() + _LIMIT_NS
        while monotonic_ns() < deadline_ns:
            found = None
            for told in self.supervisor.wait(deadline_ns):
                if found is None and wanted(told.message):
                    found = told.message
                else:
                    self._note(told.message)
            if found is not None:
                return found
        raise TimeoutError("the capture process does not answer")

    def wait_until(self, at_ns: int) -> None:
        """Let the time pass, and the supervisor do its work."""
        while monotonic_ns() < at_ns:
            for told in self.supervisor.wait(at_ns):
                self._note(told.message)

    def _note(self, message: Any) -> None:
        if isinstance(message, ProcessEnded) and not self._leaving:
            raise CommandRefused(f"the capture process has gone: {message.cause}")
        self.events.append(message)
