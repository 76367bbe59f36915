"""A subscription and all that belongs to it but waiting, which threads and asyncio do each in their own way."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from typing import NamedTuple

from agent.client.address import frames_socket, open_channel
from agent.client.errors import AgentUnreachable, Ended, NoFrame, Refused
from agent.client.frame import Frame
from agent.client.link import Link
from agent.clock import ReadClock, monotonic_ns
from agent.errors import AgentError, StateError
from agent.frames.borrowed import Borrowed, Ioctl
from agent.frames.values import State, Subscribe
from agent.frames.wire import pack_subscribe
from agent.units import NS_PER_MS, NS_PER_S

_FIRST_PAUSE_NS = 20 * NS_PER_MS
_LONGEST_PAUSE_NS = NS_PER_S
_PASSING = ("stuck", "too_many_clients", "no_memory")
"""Refusals after which another connection gives frames: at once, or when others have gone, as when all come again."""


class Wait(NamedTuple):
    """What to wait for: that `fd` is readable, or that CLOCK_MONOTONIC is at `until_ns`."""

    fd: int | None
    until_ns: int | None


class Subscription:
    """Frames of a camera, a group or a plan; `step` never waits. One thread at a time. `release()` is idempotent.

    `states`: what each camera was last said to do. `reconnects`: how often a connection ended and another was begun.
    """

    def __init__(
        self,
        wanted: Subscribe,
        socket: str | os.PathLike[str] | None = None,
        *,
        reconnect: bool = True,
        timeout_s: float | None = None,
        ioctl: Ioctl = fcntl.ioctl,
        read_monotonic_ns: ReadClock = monotonic_ns,
    ) -> None:
        """Connects. Raises AgentUnreachable, NotAllowed; what the agent says to it is found by `step`."""
        self.wanted = wanted
        self.path = frames_socket(socket)
        self.timeout_s = timeout_s
        self.states: dict[str, State] = {}
        self.reconnects = 0
        self._reconnect = reconnect
        self._ioctl = ioctl
        self._now_ns = read_monotonic_ns
        self._first = pack_subscribe(wanted)
        self._current: Frame | None = None
        self._missed: Counter[str] = Counter()
        self._pause_ns = _FIRST_PAUSE_NS
        self._again_ns = 0
        self._failed: AgentError | None = None
        self._was_well = False
        self._over = False
        self._link: Link | None = self._connect()

    def release(self) -> None:
        """Give every frame back and close the connection."""
        self._over = True
        self._lose()

    def give_back_current(self) -> None:
        """The frame last taken goes back, unless it is kept."""
        frame, self._current = self._current, None
        if frame is not None and not frame.kept:
            frame.release()

    def step(self) -> Frame | Wait:
        """The next frame, or what to wait for before this is called again.

        Raises Ended, Refused, NotAllowed, ProtocolError, OSError when mapping fails, StateError after release.
        """
        while True:
            link = self._link or self._connect_again()
            if isinstance(link, Wait):
                return link
            try:
                heard = link.hear()
            except BlockingIOError:
                return Wait(link.fileno(), None)
            except Refused as refusal:
                self._lose()
                if not self._was_well or refusal.code not in _PASSING or self._final():
                    raise
                self._failed = refusal
                continue
            except BaseException:
                self._lose()
                raise
            if heard is None:
                self._ended()
            elif isinstance(heard, State):
                self._well()
                self.states[heard.camera] = heard
            elif (frame := self._taken(heard, link)) is not None:
                return frame

    def newest(self, max_age_ns: int | None) -> Frame | Wait:
        """The newest frame there is, or what to wait for; those before it, and those too old, are given back.

        `max_age_ns`: since its `timestamp_ns`. Raises as `step`.
        """
        newest: Frame | None = None
        while isinstance(found := self.step(), Frame):
            if newest is not None:
                self._throw_away(newest, found)
            newest = found
        if newest is not None and max_age_ns is not None and self._now_ns() - newest.timestamp_ns > max_age_ns:
            self._throw_away(newest)
            newest = None
        return newest or found

    def _throw_away(self, frame: Frame, newer: Frame | None = None) -> None:
        self._missed[frame.camera] += 1 + frame.skipped
        frame.release()
        if newer is not None:
            newer.skipped += self._missed.pop(newer.camera, 0)

    def no_frame(self, timeout_s: float) -> AgentError:
        """The error for nothing having come in time: why, as far as it is known."""
        if self._link is None and self._failed is not None:
            return self._failed
        states = {camera: state.state.name.lower() for camera, state in self.states.items()}
        told = ", ".join(f"{camera} is {state}" for camera, state in states.items() if state != "streaming")
        hint = next((state.hint for state in self.states.values() if state.hint), "")
        return NoFrame(
            f"no frame of {self.wanted.name} within {timeout_s:g} s" + (f": {told}" if told else ""),
            hint=hint or "look at `camera-agent status`, or wait longer: timeout_s",
            target=self.wanted.name,
            timeout_s=timeout_s,
            states=states,
        )

    def _taken(self, borrowed: Borrowed, link: Link) -> Frame | None:
        """A frame that came; None when it was taken back on its way."""
        self._well()
        if borrowed.revoked:
            self._missed[borrowed.camera] += 1 + borrowed.skipped
            link.give_back(borrowed.lease, 0)
            return None
        self._current = Frame(borrowed, link, borrowed.skipped + self._missed.pop(borrowed.camera, 0))
        return self._current

    def _connect(self) -> Link:
        return Link(open_channel(self.path, self._first), ioctl=self._ioctl)

    def _connect_again(self) -> Link | Wait:
        if self._over:
            raise StateError("this subscription was released", hint="connect anew", state="released", verb="next")
        now_ns = self._now_ns()
        if self._again_ns == 0:
            self._again_ns = now_ns + self._pause_ns
        if now_ns < self._again_ns:
            return Wait(None, self._again_ns)
        self._pause_ns = min(2 * self._pause_ns, _LONGEST_PAUSE_NS)
        self._again_ns = 0
        try:
            self._link = self._connect()
        except AgentUnreachable as error:
            self._failed = error
            return self._connect_again()
        self.reconnects += 1
        return self._link

    def _well(self) -> None:
        """The other side speaks: the next loss is the first."""
        self._was_well = True
        self._pause_ns = _FIRST_PAUSE_NS

    def _ended(self) -> None:
        self._lose()
        ended = Ended(
            f"the connection for frames of {self.wanted.name} ended",
            hint="its process was replaced or the agent stopped: connect again, or with reconnect=True",
            target=self.wanted.name,
        )
        if self._final():
            raise ended
        self._failed = ended

    def _final(self) -> bool:
        """Whether an end is the last one."""
        self._over |= not self._reconnect
        return self._over

    def _lose(self) -> None:
        """The connection is over; a frame that is being read stays readable, as nobody can answer for it any more."""
        link, self._link = self._link, None
        self._again_ns = 0
        if link is not None:
            link.release()
