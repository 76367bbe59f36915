"""What was before an event: frames kept in memory until it happens, and how long it lasts. Pure bookkeeping."""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar


class Held(Protocol):
    """One encoded frame. `is_key`: it can be read without those before it."""

    @property
    def camera(self) -> str:
        """Whose."""
        ...

    @property
    def at_ns(self) -> int:
        """Its stamp."""
        ...

    @property
    def is_key(self) -> bool:
        """It can be read without those before it."""
        ...

    @property
    def size_bytes(self) -> int:
        """What it takes of the memory."""
        ...


H = TypeVar("H", bound=Held)


class EventGate(Generic[H]):
    """Frames go in, and come out when they are to be written: from `before_ns` before an event to `after_ns` after it.

    Of each camera at most what was within `before_ns` and `late_ns` is kept, from a key frame on; of all together
    `limit_bytes`: the
    oldest go first, are counted in `dropped`, and no frame that needs them stays. Instants are CLOCK_MONOTONIC.
    """

    def __init__(self, before_ns: int, after_ns: int, limit_bytes: int, late_ns: int = 0) -> None:
        """`late_ns`: so much later than it happens an event may be told: as much more is kept."""
        self._late_ns = late_ns
        self.before_ns, self.after_ns, self.limit_bytes = before_ns, after_ns, limit_bytes
        self.dropped = 0
        self.events = 0
        self.bytes = 0
        self._held: dict[str, deque[H]] = {}
        self._from_ns: int | None = None
        self._until_ns = 0
        self._whole: set[str] = set()
        """Cameras whose last frame was written or is kept: what follows it can be read."""

    def __len__(self) -> int:
        return sum(len(held) for held in self._held.values())

    def wants_key(self, camera: str, at_ns: int) -> bool:
        """Whether a frame of that stamp is of use only as a key frame: nothing is kept that it could follow."""
        return camera not in self._whole or not (self.passes(at_ns) or self._held.get(camera))

    def passes(self, at_ns: int) -> bool:
        """Whether a frame of that stamp is written at once."""
        return self._from_ns is not None and self._from_ns <= at_ns <= self._until_ns

    def put(self, item: H) -> bool:
        """Keep it; or not, and it is to be written now: True."""
        passes = self.passes(item.at_ns)
        held = self._held.setdefault(item.camera, deque())
        follows = item.camera in self._whole and (passes or held)
        if not follows and not item.is_key:
            self.dropped += 1
            return False
        self._whole.add(item.camera)
        if passes:
            return True
        held.append(item)
        self.bytes += item.size_bytes
        self._let_go(held, item.at_ns - self.before_ns - self._late_ns)
        while self.bytes > self.limit_bytes:
            camera = min(
                (name for name, each in self._held.items() if each), key=lambda name: self._held[name][0].at_ns
            )
            self.dropped += self._pop_group(self._held[camera])
            if not self._held[camera]:
                self._whole.discard(camera)
        return False

    def event(self, at_ns: int) -> list[H]:
        """It happened: what is to be written of that which was kept, by stamp. More events make it last longer."""
        self.events += 1
        begin_ns = at_ns - self.before_ns
        if self._from_ns is None or begin_ns > self._until_ns:
            self._from_ns = begin_ns
        else:
            self._from_ns = min(self._from_ns, begin_ns)
        self._until_ns = max(self._until_ns, at_ns + self.after_ns)
        found: list[H] = []
        for camera, held in self._held.items():
            self._let_go(held, begin_ns)
            if held and held[-1].at_ns < begin_ns:
                self._clear(camera)
            while held and (held[0].at_ns <= self._until_ns or not held[0].is_key):
                found.append(held.popleft())  # also those behind it that could not be read without: an event may follow
                self.bytes -= found[-1].size_bytes
        return sorted(found, key=lambda item: item.at_ns)

    def clear(self, camera: str) -> None:
        """Nothing that was kept of a camera is of use any more."""
        self.dropped += self._clear(camera)

    def _let_go(self, held: deque[H], begin_ns: int) -> None:
        """Drop leading groups that ended before an instant, but never the last one."""
        while True:
            following = next((place for place, item in enumerate(held) if place and item.is_key), None)
            if following is None or held[following - 1].at_ns >= begin_ns:
                return
            self._pop_group(held)

    def _pop_group(self, held: deque[H]) -> int:
        """Drop a key frame and all that need it; how many."""
        count = 0
        while held and (not count or not held[0].is_key):
            self.bytes -= held.popleft().size_bytes
            count += 1
        return count

    def _clear(self, camera: str) -> int:
        held = self._held.get(camera, deque())
        count = len(held)
        while held:
            self.bytes -= held.popleft().size_bytes
        if count:
            self._whole.discard(camera)
        return count
