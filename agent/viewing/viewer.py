"""The viewer's work: frames in, pictures out, each encoded once for all who want it so. One thread."""

from __future__ import annotations

import select
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.clock import ReadClock
from agent.control.picture import Look, Picture, PictureFacts
from agent.errors import AgentError, InputError
from agent.frames.borrowed import Revoked
from agent.pipeline.pixels import PictureDamaged
from agent.units import NS_PER_MS
from agent.viewing.darkroom import Darkroom
from agent.viewing.pace import Pace
from agent.viewing.packets import Alive, Drop, Made, Refused, Seen, Show, Take, Told, send_told, unpack_order
from agent.viewing.source import Frames, Lent, OpenFrames

_ORDER_BYTES = 64 * 1024
_FRAME_NS = 200 * NS_PER_MS
"""So long a frame is waited for before orders are looked at again: a new one is never needed for the frame before."""
ALIVE_NS = 500 * NS_PER_MS
"""At least so often the agent hears something."""


@dataclass(slots=True)
class _Shown:
    """What is shown under a number. `in_hand`: the agent has not read the last one yet."""

    look: Look
    rate_per_s: int
    pace: Pace
    in_hand: bool = False


@dataclass(slots=True)
class _Wish:
    """Everybody who wants the frame at hand in this look."""

    key: int | None = None
    ids: list[int] = field(default_factory=list)


class Viewer:
    """Serves one agent until it closes. `frames` are subscribed to only while somebody wants some."""

    def __init__(
        self,
        camera: str,
        channel: socket.socket,
        open_frames: OpenFrames,
        now_ns: ReadClock,
        *,
        idle_ns: int = ALIVE_NS,
    ) -> None:
        """`channel`: to the agent; it is someone else's to close. `idle_ns`: a turn without work waits for it."""
        channel.setblocking(False)
        self._camera = camera
        self._channel = channel
        self._open_frames = open_frames
        self._now_ns = now_ns
        self._idle_ns = idle_ns
        self._frames: Frames | None = None
        self._darkroom = Darkroom()
        self._shown: dict[int, _Shown] = {}
        self._takes: dict[int, Take] = {}
        self._seen = 0
        self._stamp_before_ns: int | None = None
        self._told_ns = now_ns()

    def run(self) -> None:
        """Until the agent closes."""
        self._tell(Alive(0))
        try:
            while self.turn():
                pass
        finally:
            self._let_go()

    def turn(self) -> bool:
        """Orders, then a frame if any is wanted; False: the agent has closed."""
        if not self._hear(0 if self._wanted else self._idle_ns):
            return False
        if not self._wanted:
            self._let_go()
        else:
            lent = self._next()
            if not self._hear(0):  # whoever asked while it came may have it
                return False
            if lent is not None:
                self._develop(lent)
        if self._now_ns() - self._told_ns >= ALIVE_NS:
            self._tell(Alive(self._seen))
        return True

    @property
    def _wanted(self) -> bool:
        return bool(self._shown or self._takes)

    # -- orders ------------------------------------------------------------------------------------------------------

    def _hear(self, wait_ns: int) -> bool:
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.poll(wait_ns // NS_PER_MS)
        while True:
            try:
                packet = self._channel.recv(_ORDER_BYTES)
            except BlockingIOError:
                return True
            except ConnectionResetError:
                return False
            if not packet:
                return False
            self._obey(packet)

    def _obey(self, packet: bytes) -> None:
        order = unpack_order(packet)
        if isinstance(order, Show):
            self._show(order.wanted)
        elif isinstance(order, Take):
            self._takes[order.id] = order
        elif isinstance(order, Drop):
            self._takes.pop(order.id, None)
        elif isinstance(order, Seen) and order.key in self._shown:
            self._shown[order.key].in_hand = False

    def _show(self, wanted: Mapping[int, tuple[Look, int]]) -> None:
        before, self._shown = self._shown, {}
        for key, (look, rate_per_s) in wanted.items():
            kept = before.get(key)
            if kept is None:
                kept = _Shown(look, rate_per_s, Pace(rate_per_s))
            elif kept.rate_per_s != rate_per_s:
                kept.rate_per_s, kept.pace = rate_per_s, Pace(rate_per_s)
            self._shown[key] = kept
        self._darkroom.keep_only(shown.look for shown in self._shown.values())

    # -- frames ------------------------------------------------------------------------------------------------------

    def _next(self) -> Lent | None:
        try:
            if self._frames is None:
                self._frames = self._open_frames()
            return self._frames.next(_FRAME_NS)
        except AgentError as error:
            self._refuse_all(error)
            return None

    def _let_go(self) -> None:
        frames, self._frames = self._frames, None
        if frames is not None:
            frames.release()

    def _develop(self, lent: Lent) -> None:
        """A frame for all who want it; one that was taken back, or came broken, is nobody's: the next one is."""
        self._seen += 1
        began_ns = self._began_ns(lent)
        wishes = self._wishes(lent.timestamp_ns, began_ns)
        if not wishes:
            return
        made: list[tuple[_Wish, Picture | AgentError]] = []
        try:
            with lent:
                for look, wish in wishes.items():
                    made.append((wish, self._picture(lent, look)))
        except (Revoked, PictureDamaged):
            return
        for wish, picture in made:
            self._hand_over(wish, picture, lent.timestamp_ns)

    def _began_ns(self, lent: Lent) -> int | None:
        """Where nobody knows: not before the frame before was stamped."""
        before_ns, self._stamp_before_ns = self._stamp_before_ns, lent.timestamp_ns
        return before_ns if lent.began_ns is None else lent.began_ns

    def _wishes(self, stamp_ns: int, began_ns: int | None) -> dict[Look, _Wish]:
        found: dict[Look, _Wish] = {}
        for key, shown in self._shown.items():
            if not shown.in_hand and shown.pace.is_due(stamp_ns):
                found.setdefault(shown.look, _Wish()).key = key
        for take in self._takes.values():
            if began_ns is not None and began_ns >= take.after_ns:
                found.setdefault(take.look, _Wish()).ids.append(take.id)
        return found

    def _picture(self, lent: Lent, look: Look) -> Picture | AgentError:
        try:
            data, (width_px, height_px) = self._darkroom.develop(lent.frame, look)
        except InputError as error:
            return error
        frame = lent.frame
        facts = PictureFacts(
            camera=self._camera,
            kind=look.kind,
            width_px=width_px,
            height_px=height_px,
            sequence=frame.sequence,
            timestamp_ns=frame.timestamp_ns,
            began_ns=lent.began_ns,
            exposure_ns=lent.exposure_ns,
            gain=lent.gain,
            realtime_ns=lent.realtime_ns,
            trace_ids=lent.trace_ids,
        )
        return Picture(data, facts)

    # -- telling -----------------------------------------------------------------------------------------------------

    def _hand_over(self, wish: _Wish, picture: Picture | AgentError, stamp_ns: int) -> None:
        ids = tuple(wish.ids)
        if isinstance(picture, AgentError):
            self._refuse(picture, wish.key, ids)
            return
        if not self._tell(Made(picture, wish.key, ids)):
            return  # the agent has not read for long: who waits gets a later one
        if wish.key is not None:
            shown = self._shown[wish.key]
            shown.in_hand = True
            shown.pace.show(stamp_ns)
        for one in ids:
            del self._takes[one]

    def _refuse_all(self, error: AgentError) -> None:
        """No frames can be had at all: everybody hears why."""
        self._let_go()
        for key in tuple(self._shown):
            self._refuse(error, key, ())
        self._refuse(error, None, tuple(self._takes))

    def _refuse(self, error: AgentError, key: int | None, ids: tuple[int, ...]) -> None:
        told = {"code": error.code, "message": error.message, "hint": error.hint, "details": error.details}
        if key is not None:
            del self._shown[key]
        for one in ids:
            del self._takes[one]
        if key is not None or ids:
            self._tell(Refused(told, key, ids))

    def _tell(self, told: Told) -> bool:
        try:
            send_told(self._channel, told)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            return False
        self._told_ns = self._now_ns()
        return True
