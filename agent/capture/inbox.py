"""All that can tell a capture process what to do, as one stream of commands: the socket, its end, and SIGTERM."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from agent.capture.channel import Channel, Received
from agent.capture.messages import Quit
from agent.capture.packets import ChannelBroken
from agent.capture.process_messages import Assignment

_LAST = sys.maxsize
"""The number of an end that nobody numbered: every command was asked before it."""


class Inbox:
    """Commands in the order of `Channel.drain`. SIGTERM and a closed connection are a `Quit` with the id 0.

    While entered, which must be in the main thread, it takes SIGTERM and ignores SIGINT: a Ctrl-C of the terminal is
    the parent's to judge. An answer to id 0 is awaited by nobody and does no harm.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._wake = -1
        self._end_told = False
        self._undo = ExitStack()

    def __enter__(self) -> Inbox:
        with ExitStack() as undo:
            self._wake, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            undo.callback(os.close, self._wake)
            undo.callback(os.close, write)
            undo.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(write, warn_on_full_buffer=False))
            undo.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, _note))
            undo.callback(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.SIG_IGN))
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def fds(self) -> Sequence[int]:
        """Descriptors to poll for reading: when one is readable, `drain`. After the end of the connection one less."""
        return (self._wake,) if self._end_told else (self._channel.fileno(), self._wake)

    @property
    def waiting(self) -> bool:
        """Commands were read and not handed out yet: drain again without polling."""
        return self._channel.waiting and not self._channel.congested

    def drain(self, bound: int) -> list[Received]:
        """All cancels that have arrived, ends among them, then at most `bound` other commands. Raises ChannelBroken.

        A parent that reads too few of its answers gets no other command taken until it has read them.
        """
        terminated = self._terminated()
        received = self._channel.drain(0 if self._channel.congested else bound)
        if terminated:
            received.insert(0, Received(_LAST, Quit(id=0, by="SIGTERM")))
        if self._channel.closed and not self._end_told:
            self._end_told = True
            received.insert(0, Received(_LAST, Quit(id=0, by="the end of the connection")))
        return received

    def first(self) -> Assignment | None:
        """Wait for the first message; None when the process is to end before it has begun. Raises ChannelBroken."""
        poll = select.poll()
        for fd in self.fds():
            poll.register(fd, select.POLLIN)
        while True:
            poll.poll()
            if self._terminated():
                return None
            received = self._channel.receive()
            if received is not None:
                return _assignment(received)
            if self._channel.closed:
                return None

    def _terminated(self) -> bool:
        try:
            return signal.SIGTERM in os.read(self._wake, 4096)
        except BlockingIOError:
            return False


def _assignment(received: Received) -> Assignment:
    if isinstance(received.message, Assignment):
        return received.message
    raise ChannelBroken(
        f"the first message was no assignment but {type(received.message).__name__}",
        hint="a capture process is started by the agent, not by hand: `camera-agent plan run` does it",
    )


def _note(_number: int, _frame: object) -> None:
    """Python's half of the handler: the C one has written the signal's number to the pipe already."""
