"""Who may do what: look, control, administer, each by the groups of whoever connected."""

from __future__ import annotations

import enum
import grp
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.control.errors import NotAllowed
from agent.control.peer import Peer
from agent.errors import InputError


class Level(enum.IntEnum):
    """What a request needs; each level includes those before it."""

    LOOK = 1
    """Read anything."""
    CONTROL = 2
    """Start and stop, set controls, run and cancel plans, take pictures."""
    ADMINISTER = 3
    """Change limits and the configuration in force."""

    @property
    def word(self) -> str:
        """`look`, `control` or `administer`: the key of the configuration."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The groups of each level, by number; None for a level: everybody who may connect has it.

    `owners`: users who may do everything. Who may connect at all is told by the mode of the socket.
    """

    look: frozenset[int] | None = None
    control: frozenset[int] | None = None
    administer: frozenset[int] | None = frozenset()
    owners: frozenset[int] = field(default_factory=lambda: frozenset((0, os.geteuid())))

    def level_of(self, peer: Peer) -> Level | None:
        """The highest level of whoever connected; None: not even to look."""
        if peer.uid in self.owners:
            return Level.ADMINISTER
        for level, groups in ((3, self.administer), (2, self.control), (1, self.look)):
            if groups is None or groups & peer.gids:
                return Level(level)
        return None

    def check(self, peer: Peer, needed: Level) -> None:
        """Raises NotAllowed."""
        level = self.level_of(peer)
        if level is not None and level >= needed:
            return
        groups = (self.look, self.control, self.administer)[needed - 1] or frozenset()
        names = sorted(group_name(gid) for gid in groups)
        where = f"the group {' or '.join(names)}" if names else "root"
        raise NotAllowed(
            f"{peer.user} may not do this: it needs the right to {needed.word}",
            hint=f"ask as a member of {where}; `access:` in the configuration says who may do what",
            user=peer.user,
            level=level.word if level else "none",
            needed=needed.word,
            groups=names,
        )


def group_ids(names: Iterable[str]) -> frozenset[int]:
    """The numbers of groups by their names. Raises InputError with all that do not exist."""
    found: dict[str, int | None] = {}
    for name in names:
        try:
            found[name] = grp.getgrnam(name).gr_gid
        except KeyError:
            found[name] = None
    missing = [name for name, gid in found.items() if gid is None]
    if missing:
        raise InputError(
            f"there is no group {', '.join(missing)}", hint="`getent group` lists those there are", groups=missing
        )
    return frozenset(gid for gid in found.values() if gid is not None)


def group_name(gid: int) -> str:
    """The group's name, or the number where there is none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
