"""What a capture process does from its first message to its exit."""

from __future__ import annotations

import gc
import os
import select
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple, NoReturn, Protocol

from agent.capture import realtime
from agent.capture.board import Board
from agent.capture.channel import Channel, ChannelFull, attach
from agent.capture.child import Inherited
from agent.capture.door import Door
from agent.capture.inbox import Inbox
from agent.capture.process_messages import Assignment, Failed
from agent.capture.pwm_output import OpenPwm
from agent.capture.quota_page import open_quotas
from agent.capture.quotas import Quotas
from agent.clock import monotonic_ns
from agent.errors import AgentError, InputError
from agent.kernel import Kernel
from agent.shared import Page
from agent.trigger.lines import Lines
from agent.trigger.pwm import PwmOut
from agent.units import NS_PER_MS, NS_PER_S

EX_SOFTWARE = 70
"""The exit status after an unexpected exception (sysexits.h)."""
_FLUSH_NS = NS_PER_S
"""How long the last answers may wait for a parent that does not read."""


class Loop(Protocol):
    """The capture loop, as far as the process knows it."""

    def run(self) -> None:
        """Carry out commands and plans until a Quit; every stream is off when it returns."""
        ...

    def release(self) -> None:
        """Stop every stream and close every camera; idempotent."""
        ...


class Equipment(NamedTuple):
    """What a loop is built from. `open_pwm`: takes a PWM channel, this machine's if nothing else is said.

    `door`: where clients of frames come from, the loop's own from then on; None: nowhere.
    """

    kernel: Kernel
    assignment: Assignment
    inbox: Inbox
    channel: Channel
    board: Board
    quotas: Quotas
    lines: Lines
    open_pwm: OpenPwm = PwmOut
    door: Door | None = None


MakeLoop = Callable[[Equipment], Loop]


def serve(kernel: Kernel, inherited: Inherited, make_loop: MakeLoop, lines: Lines) -> int:
    """Be a capture process on the inherited descriptors; returns its exit status.

    An error is the last message on the command socket before everything is stopped: the parent then knows the first
    cause even if the stop hangs. Raises SystemExit(EX_SOFTWARE) after an unexpected exception.
    """
    with ExitStack() as resources:
        channel = resources.enter_context(attach(inherited.channel))
        door = Door(socket.socket(fileno=inherited.door))
        resources.callback(door.release)
        for fd in (inherited.page, inherited.quotas):
            resources.callback(os.close, fd)
        for fd in inherited:
            os.set_inheritable(fd, False)
        inbox = resources.enter_context(Inbox(channel))
        try:
            return _work(kernel, inherited, channel, inbox, make_loop, lines, door)
        except AgentError as error:
            return error.exit_code
        except BaseException as error:
            traceback.print_exception(error, file=sys.stderr)
            raise SystemExit(EX_SOFTWARE) from error
        finally:
            flush(channel, _FLUSH_NS)


def leave(status: int) -> NoReturn:
    """End the process, also when a thread hangs in a driver: the interpreter would wait for it."""
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others:
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def flush(channel: Channel, limit_ns: int) -> bool:
    """Send what waits, for at most `limit_ns`; False when the parent did not take it all."""
    deadline_ns = monotonic_ns() + limit_ns
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLOUT)
    while not channel.flush():
        remaining_ns = deadline_ns - monotonic_ns()
        if remaining_ns <= 0:
            return False
        poll.poll(-(-remaining_ns // NS_PER_MS))
    return True


def failed(error: BaseException) -> Failed:
    """The last message of a process that gives up because of `error`."""
    if isinstance(error, AgentError):
        # what is asked for is wrong or not permitted: another process would be told the same
        again = not isinstance(error, InputError | realtime.RealtimeRefused)
        return Failed(
            at_ns=monotonic_ns(),
            code=error.code,
            exit_code=error.exit_code,
            message=error.message,
            hint=error.hint,
            again=again,
            details={name: str(value) for name, value in error.details.items()},
        )
    return Failed(
        at_ns=monotonic_ns(),
        code="internal",
        exit_code=EX_SOFTWARE,
        message=f"an unexpected {type(error).__name__}: {error}",
        hint="this is a fault of ours: please report it with the traceback",
        again=True,
        details={"traceback": "".join(traceback.format_exception(error))},
    )


def _work(
    kernel: Kernel,
    inherited: Inherited,
    channel: Channel,
    inbox: Inbox,
    make_loop: MakeLoop,
    lines: Lines,
    door: Door,
) -> int:
    with ExitStack() as running:
        try:
            assignment = inbox.first()
            if assignment is None:
                return 0
            realtime.apply(assignment.order.realtime)
            board = Board(running.enter_context(Page.attach_writer(inherited.page)).words)
            running.callback(board.release)
            quotas = open_quotas(inherited.quotas, assignment, running)
            loop = make_loop(Equipment(kernel, assignment, inbox, channel, board, quotas, lines, door=door))
            running.callback(loop.release)
            # what lives now lives to the end: no collection looks at it again
            gc.collect()
            gc.freeze()
            loop.run()
        except BaseException as error:
            _report(channel, error)
            raise
    return 0


def _report(channel: Channel, error: BaseException) -> None:
    try:
        channel.send(failed(error))
    except ChannelFull:  # the parent reads nothing: the exit status is all it will learn
        return
    flush(channel, _FLUSH_NS)
