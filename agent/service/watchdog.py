"""Whether the service makes progress: what systemd's watchdog is fed by."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent.capture.board import Head
from agent.capture.group import Group
from agent.errors import InputError
from agent.units import NS_PER_S, format_duration

_SHARE = 4
"""Fed so often in the time that systemd waits."""


class Progress:
    """Looks for what should have happened and has not. Pure: it reads pages and instants.

    A capture process that hangs is no lack of progress while somebody does something about it: it is killed, replaced,
    and told of, and a restart of the agent would take the streams of all others. What is one: an instant at which the
    supervisor had to act is past by more than `slack_ns`; a process's loop has not beaten for longer than the
    supervisor may take to kill it.
    """

    def __init__(self, groups: Mapping[str, Group], turned_ns: Callable[[], int], *, wedged_ns: int) -> None:
        """`turned_ns`: when the supervisor was looked after last. `wedged_ns`: as in `agent.capture.life.Ways`."""
        self._groups, self._turned_ns = groups, turned_ns
        self.slack_ns = NS_PER_S
        self._wedged_ns = wedged_ns

    def stands_still(self, now_ns: int) -> str:
        """What does, in words; empty while all goes on."""
        turned_ns = self._turned_ns()
        for name, group in self._groups.items():
            next_ns = group.next_ns()
            overdue_ns = 0 if next_ns is None else now_ns - max(next_ns, turned_ns)
            if overdue_ns > self.slack_ns:
                return f"group {name} was to be looked after {format_duration(overdue_ns)} ago"
            silent_ns = self._silent_ns(group, now_ns)
            if silent_ns > self.longest_silence_ns(group):
                return f"the loop of group {name} has stood still for {format_duration(silent_ns)}, and nobody kills it"
        return ""

    def longest_silence_ns(self, group: Group) -> int:
        """Until a loop that stands still is killed: it is looked at every quarter of its limit.

        A loop in STREAMOFF has the limit of a stop, and a further step.
        """
        limits = group.order.limits
        limit_ns = max(self._wedged_ns, limits.stop_ns + limits.step_ns)
        return limit_ns + self._wedged_ns // 4 + self.slack_ns

    def _silent_ns(self, group: Group, now_ns: int) -> int:
        words = group.board.words
        beat_ns = words[Head.BEAT_NS]
        if group.pid is None or group.killed or words[Head.PID] != group.pid or not beat_ns:
            return 0  # none is there, something is done about it, or it is starting: that has a limit of its own
        return now_ns - beat_ns


class Watchdog:
    """When to feed. `interval_ns` from feed to feed; what is fed late by a turn of the loop is still in time."""

    def __init__(self, watchdog_ns: int, longest_turn_ns: int) -> None:
        """Raises InputError where systemd waits for too short a time: it would kill a service that is well."""
        self.interval_ns = watchdog_ns // _SHARE
        self.budget_ns = self.interval_ns + longest_turn_ns
        if self.budget_ns >= watchdog_ns:
            raise InputError(
                f"WatchdogSec={format_duration(watchdog_ns)} is too short: up to {format_duration(self.budget_ns)} may "
                "pass from one sign of life to the next",
                hint=f"write WatchdogSec={format_duration(-(-longest_turn_ns * _SHARE // (_SHARE - 1)) + NS_PER_S)} "
                "or more",
                key="WatchdogSec",
            )
