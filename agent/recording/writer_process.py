"""A recorder's hold on its writing process: frames in slots, answers in order, and a limit for each frame."""

from __future__ import annotations

import select
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from agent.capture.sink_process import SinkProcess, cpus_beside
from agent.clock import ReadClock
from agent.errors import AgentError
from agent.recording.messages import Done, WriterFault, receive, send
from agent.recording.order import RecordOrder
from agent.recording.slots import Slots
from agent.units import NS_PER_MS, NS_PER_S, format_duration

PROGRAM = (sys.executable, "-m", "agent.recording.writer")
_START_NS = 20 * NS_PER_S
_STOCK_NS = 600 * NS_PER_S
"""To look at all that is in a folder: some ten seconds for a million files."""
_FINISH_NS = 20 * NS_PER_S
_KEEPING_NS = 60 * NS_PER_S
"""For work on the folder: an index of millions of lines is written anew."""
_MOST_IN_A_ROW = 5
"""As often the process is replaced without one frame that was finished."""
_DONE_FIELDS = frozenset(field.name for field in fields(Done))


class Failed(AgentError):
    """The writing process could not begin: its own error."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(told["told"], hint=told["hint"])
        self.code = told["code"]  # type: ignore[misc]
        self.exit_code = told["exit_code"]  # type: ignore[misc]


@dataclass(slots=True)
class _Handed:
    """A frame that is in a slot: how many bytes are told of it."""

    slot: int
    told: int


class WriterProcess:
    """One process at a time; one that was over the limit is replaced, and goes on with the frames behind.

    `release()` is idempotent and leaves no process behind. Not to be shared between threads.
    """

    def __init__(
        self,
        order: RecordOrder,
        slots: int,
        *,
        read_monotonic_ns: ReadClock,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        """Start it. Raises OSError; Failed when the recording cannot begin."""
        self._order, self._program = order, program
        self._now_ns = read_monotonic_ns
        self._memory: Slots | None = None
        self._free = list(range(slots))
        self._slots = slots
        self._handed: deque[_Handed] = deque()
        self._limit_at_ns: int | None = None
        self._keeping = False
        self._event_ns: int | None = None
        self.replaced = 0
        self._in_a_row = 0
        self._start()

    @property
    def pending(self) -> int:
        """Frames that were handed over and not answered for."""
        return len(self._handed)

    @property
    def has_room(self) -> bool:
        """Whether another frame can be handed over."""
        return bool(self._free)

    def fits(self, size_bytes: int) -> bool:
        """Whether a frame of that size can be handed over now; when nothing is pending it always can."""
        return self._memory is not None and size_bytes <= self._memory.slot_bytes

    def hand(self, frame: Any, told: bytes, size_bytes: int) -> None:
        """Copy a frame and hand it over; there has to be room. Raises Revoked, and nothing is handed over then."""
        if not self.fits(size_bytes):
            self._make_memory(size_bytes)
        slot = self._free.pop()
        try:
            if self._memory is None:
                raise ValueError("no memory was made")
            self._memory.put(slot, frame, told)
        except BaseException:
            self._free.append(slot)
            raise
        handed = _Handed(slot, len(told))
        self._handed.append(handed)
        self._tell(handed)
        if len(self._handed) == 1:
            self._begin_limit()

    def event(self, at_ns: int) -> None:
        """Something happened. It holds for a process that replaces this one, too."""
        self._event_ns = at_ns
        send(self._process.channel, "event", at_ns=at_ns)

    def wait(self, wait_ns: int) -> None:
        """Until `answers` has something to say, or so long. May be left by an exception at any point."""
        now_ns = self._now_ns()
        until_ns = now_ns + wait_ns
        if self._limit_at_ns is not None:
            until_ns = min(until_ns, self._limit_at_ns)
        self._poll.poll(max(0, -(-(until_ns - now_ns) // NS_PER_MS)))

    def answers(self, wait_ns: int) -> list[Done]:
        """What has become of frames since, waiting up to `wait_ns` for the first answer.

        A frame over its limit, or that ended the process, is `given_up`. Raises Failed, WriterFault.
        """
        found: list[Done] = []
        while not found:
            now_ns = self._now_ns()
            until_ns = now_ns + (wait_ns if not found else 0)
            if self._limit_at_ns is not None:
                until_ns = min(until_ns, self._limit_at_ns)
            if self._poll.poll(max(0, -(-(until_ns - now_ns) // NS_PER_MS))):
                if not self._receive(found):
                    found += self._replace("writer_gone", f"the process that writes {self._process.ending}")
            elif self._limit_at_ns is not None and self._now_ns() >= self._limit_at_ns:
                found += self._replace("encode_limit", self._over_told)
            else:
                break
        while self._poll.poll(0):
            if not self._receive(found):
                break  # its end is found by the next call
        return found

    def finish(self) -> list[Done]:
        """Let it work on what is pending, finish its files and end. The last answer is of no frame: what was finished.

        A frame over its limit is given up as before. Raises WriterFault.
        """
        found: list[Done] = []
        while self._handed:
            found += self.answers(_FINISH_NS)
        send(self._process.channel, "end")
        self._limit_at_ns = self._now_ns() + _FINISH_NS
        while self._poll.poll(max(0, (self._limit_at_ns - self._now_ns()) // NS_PER_MS)):
            message, _ = receive(self._process.channel)
            if message is None:
                raise WriterFault(
                    f"the process that writes {self._ended()} before its files were finished",
                    hint="what is in the folder can be read; see the journal for the cause",
                )
            if message["kind"] == "ended":
                return [*found, _done(message)]
            if message["kind"] == "wrote":
                found.append(_done(message))
        raise WriterFault(
            f"the files were not finished within {format_duration(_FINISH_NS)}",
            hint="what is in the folder can be read; is the disk slow, or gone?",
        )

    def release(self) -> None:
        """End it, whatever it does; idempotent."""
        self._process.channel.close()
        self._process.release(NS_PER_S)
        if self._memory is not None:
            self._memory.release()

    def _start(self) -> None:
        self._process = SinkProcess(self._program, cpus_beside(()))
        try:
            self._poll = select.poll()
            self._poll.register(self._process.channel, select.POLLIN)
            send(self._process.channel, "order", order=self._order.as_bytes().decode())
            self._await_ready()
        except BaseException:
            self._process.channel.close()
            self._process.release()
            raise

    def _await_ready(self) -> None:
        wait_ns = _START_NS
        while self._poll.poll(wait_ns // NS_PER_MS):
            message, _ = receive(self._process.channel)
            if message is None:
                raise WriterFault(
                    f"the process that writes {self._ended()} before it was ready", hint="see the lines above"
                )
            if message["kind"] == "failed":
                raise Failed(message)
            if message["kind"] == "ready":
                self._keeping = False
                return
            wait_ns = _STOCK_NS if message["kind"] == "keeping" else _START_NS
        told = f"the process that writes was not ready within {format_duration(wait_ns)}"
        raise WriterFault(told, hint="is the folder on a disk that does not answer?")

    def _make_memory(self, size_bytes: int) -> None:
        if self._handed:
            raise ValueError("a larger frame waits until nothing is pending")
        if self._memory is not None:
            self._memory.release()
        self._memory = Slots(self._slots, size_bytes)
        self._tell_memory()

    def _tell_memory(self) -> None:
        memory = self._memory
        if memory is not None:
            fields_ = {"count": memory.count, "slot_bytes": memory.slot_bytes}
            send(self._process.channel, "memory", fds=(memory.fd,), **fields_)

    def _tell(self, handed: _Handed) -> None:
        send(self._process.channel, "frame", slot=handed.slot, told=handed.told)

    def _receive(self, found: list[Done]) -> bool:
        """One message; False at the end of the process."""
        message, _ = receive(self._process.channel)
        if message is None:
            self._ended()
            return False
        kind = message["kind"]
        if kind == "done" and self._handed:
            self._in_a_row = 0
            self._free.append(self._handed.popleft().slot)
            found.append(_done(message))
            self._begin_limit()
        elif kind == "wrote":
            found.append(_done(message))
        elif kind in ("keeping", "kept"):
            self._keeping = kind == "keeping"
            self._begin_limit()
        return True

    def _begin_limit(self) -> None:
        """Of the frame whose turn it is; while it works on the folder, or for an event, that does not count."""
        limit_ns = _KEEPING_NS if self._keeping else self._order.encode_limit_ns
        self._limit_at_ns = self._now_ns() + limit_ns if self._handed else None

    def _replace(self, code: str, told: str) -> list[Done]:
        """Kill it, give up the frame whose turn it was, and start another one with those behind."""
        self._in_a_row += 1
        if self._in_a_row > _MOST_IN_A_ROW:
            hint = "every frame is too much for this machine: choose a smaller frame, another format or a longer limit"
            raise WriterFault(f"{told}, for the {self._in_a_row}th time in a row", hint=hint)
        self._process.kill()
        self._process.channel.close()
        self._process.release()
        self.replaced += 1
        given_up = []
        if self._handed:
            self._free.append(self._handed.popleft().slot)
            given_up.append(Done(stored=False, code=code, told=told))
        self._start()
        self._tell_memory()
        if self._event_ns is not None:
            send(self._process.channel, "event", at_ns=self._event_ns)
        for handed in self._handed:
            self._tell(handed)
        self._begin_limit()
        return given_up

    @property
    def _over_told(self) -> str:
        return f"a frame took longer than {format_duration(self._order.encode_limit_ns)}"

    def _ended(self) -> str:
        self._process.release(NS_PER_S)
        return self._process.ending


def _done(message: dict[str, Any]) -> Done:
    return Done(**{name: value for name, value in message.items() if name in _DONE_FIELDS})
