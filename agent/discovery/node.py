"""One video node as udev and sysfs show it, and what it says of itself when it is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from agent.discovery.identity import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a node says of itself. `captures`: whether video can be captured from it."""

    captures: bool
    driver: str
    model: str
    bus_info: str


Ask = Callable[[str], Answer | None]
"""Opens the node at a path and asks it (VIDIOC_QUERYCAP); None when it cannot be asked. This room does not speak V4L2:
whoever does hands one in. It may block as long as the driver does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A video node. `sys_path`: its place in sysfs. `parent`: that of the device it belongs to.

    `devnum`: the device number. `index`: its number among the nodes of its device. `captures`: whether video can be
    captured from it, None: not known. `made_us`: when udev first had it (CLOCK_MONOTONIC, microseconds, None: not by
    udev); another one means another device at the same place. `links`: other paths that lead to it.
    """

    path: str
    sys_path: str
    parent: str
    devnum: int
    index: int = 0
    captures: bool | None = None
    made_us: int | None = None
    links: tuple[str, ...] = ()
    identity: Identity = field(default_factory=Identity)
    asked: bool = False

    @property
    def key(self) -> tuple[str, int, int | None]:
        """What is another one when the node was removed and made anew, even if it has the same path again."""
        return self.sys_path, self.devnum, self.made_us

    @property
    def order(self) -> tuple[int, str]:
        """Nodes are made in this order."""
        return self.devnum, self.sys_path

    def told(self, answer: Answer | None) -> Node:
        """With what the node itself says; that counts for more than what udev wrote down."""
        if answer is None:
            return self
        identity = replace(
            self.identity,
            driver=answer.driver or self.identity.driver,
            model=answer.model or self.identity.model,
            bus_info=answer.bus_info or self.identity.bus_info,
        )
        return replace(self, captures=answer.captures, identity=identity, asked=True)

    def renewed(self, before: Node) -> Node:
        """With what `before`, the same node earlier, had been asked: an event does not tell it."""
        if not before.asked or self.asked or before.captures is None:
            return self
        identity = before.identity
        answer = Answer(
            captures=before.captures,
            driver=identity.driver or "",
            model=identity.model or "",
            bus_info=identity.bus_info or "",
        )
        return self.told(answer)
