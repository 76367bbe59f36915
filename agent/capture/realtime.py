"""Real-time options of a process: processors, SCHED_FIFO, locked memory, timer slack (mission row K4).

sched_setaffinity(2), sched_setscheduler(2), mlockall(2), prctl(2). What is refused is an error that says which
capability or limit is missing; nothing is left out in silence.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
from collections.abc import Callable
from typing import NamedTuple, Protocol

from agent.capture.order import Realtime
from agent.errors import AgentError, InputError

_PR_SET_TIMERSLACK = 29
_MCL_CURRENT, _MCL_FUTURE = 1, 2
_LARGEST_SLACK_NS = 2**63 - 1
_FIFO_LOWEST, _FIFO_HIGHEST = 1, 99

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)


class RealtimeError(InputError):
    """A real-time option that no machine, or not this one, can grant. Details: option, asked, allowed."""

    code = "bad_realtime"


class RealtimeRefused(AgentError):
    """The kernel does not permit a real-time option. Details: option, asked, errno, limit where there is one."""

    code = "realtime_refused"
    exit_code = 4


class System(Protocol):
    """The calls that are made; each raises OSError as the kernel would."""

    def affinity(self) -> set[int]:
        """The processors this process may run on."""
        ...

    def set_affinity(self, cpus: tuple[int, ...]) -> None:
        """sched_setaffinity for the calling thread."""
        ...

    def set_fifo(self, priority: int) -> None:
        """SCHED_FIFO for the calling thread, not inherited by what it forks."""
        ...

    def lock_memory(self) -> None:
        """Mlockall, of what is mapped and what will be."""
        ...

    def set_timer_slack(self, slack_ns: int) -> None:
        """PR_SET_TIMERSLACK for the calling thread."""
        ...


class LinuxSystem:
    """The kernel this process runs on. All but `lock_memory` concern the calling thread and threads it starts later."""

    def affinity(self) -> set[int]:
        """The processors this process may run on."""
        return os.sched_getaffinity(0)

    def set_affinity(self, cpus: tuple[int, ...]) -> None:
        """sched_setaffinity for the calling thread."""
        os.sched_setaffinity(0, cpus)

    def set_fifo(self, priority: int) -> None:
        """SCHED_FIFO for the calling thread.

        With SCHED_RESET_ON_FORK: threads and children it starts are ordinary ones, so that a helper which spins
        cannot take a processor away from the loop.
        """
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))

    def lock_memory(self) -> None:
        """Mlockall, of what is mapped and what will be."""
        _checked(_libc.mlockall(_MCL_CURRENT | _MCL_FUTURE), "mlockall")

    def set_timer_slack(self, slack_ns: int) -> None:
        """PR_SET_TIMERSLACK for the calling thread."""
        _checked(_libc.prctl(_PR_SET_TIMERSLACK, slack_ns, 0, 0, 0), "prctl")


class _Wish(NamedTuple):
    option: str
    asked: object
    carry_out: Callable[[], None]
    hint: Callable[[], str]


def check(realtime: Realtime, system: System | None = None) -> None:
    """Look at the values without changing anything. Raises RealtimeError."""
    if realtime.cpus is not None:
        _check_cpus(realtime.cpus, (system or LinuxSystem()).affinity())
    priority = realtime.fifo_priority
    if priority is not None and not _FIFO_LOWEST <= priority <= _FIFO_HIGHEST:
        raise _bad("fifo_priority", priority, f"{_FIFO_LOWEST} to {_FIFO_HIGHEST}", "50 suits most machines")
    slack_ns = realtime.timer_slack_ns
    if slack_ns is not None and not 1 <= slack_ns <= _LARGEST_SLACK_NS:
        # 0 means "back to the default" to the kernel, which is 50 us: the opposite of what whoever writes 0 wants
        raise _bad("timer_slack", slack_ns, "1 ns or more", "1ns is the smallest there is")


def apply(realtime: Realtime, system: System | None = None) -> None:
    """Give the calling process and thread what was asked; call it before threads are started.

    Raises RealtimeError before anything was changed, RealtimeRefused where the kernel does not permit it.
    """
    system = system or LinuxSystem()
    check(realtime, system)
    for wish in _wishes(realtime, system):
        try:
            wish.carry_out()
        except OSError as error:
            raise _refused(wish, error) from error


def _wishes(realtime: Realtime, system: System) -> list[_Wish]:
    """What was asked for, in the order in which it is done: memory is locked before the priority is raised."""
    wishes = []
    cpus, priority, slack_ns = realtime.cpus, realtime.fifo_priority, realtime.timer_slack_ns
    if cpus is not None:
        wishes.append(_Wish("cpus", cpus, lambda: system.set_affinity(cpus), _cpus_hint))
    if slack_ns is not None:
        wishes.append(_Wish("timer_slack", slack_ns, lambda: system.set_timer_slack(slack_ns), _slack_hint))
    if realtime.lock_memory:
        wishes.append(_Wish("lock_memory", True, system.lock_memory, _memory_hint))
    if priority is not None:
        wishes.append(_Wish("fifo_priority", priority, lambda: system.set_fifo(priority), _fifo_hint))
    return wishes


def _check_cpus(cpus: tuple[int, ...], allowed: set[int]) -> None:
    told = _ranges(allowed)
    if not cpus:
        raise _bad("cpus", "none", told, "name at least one, or leave the option out")
    outside = sorted(set(cpus) - allowed)
    if outside:
        raise _bad(
            "cpus",
            _ranges(set(cpus)),
            told,
            f"it may not run on {_ranges(set(outside))}: see nproc, and AllowedCPUs= and CPUAffinity= of its unit",
        )


def _bad(option: str, asked: object, allowed: str, hint: str) -> RealtimeError:
    return RealtimeError(
        f"real-time option {option}: {asked} is not possible (allowed: {allowed})",
        hint=hint,
        option=option,
        asked=asked,
        allowed=allowed,
    )


def _refused(wish: _Wish, error: OSError) -> RealtimeRefused:
    code = error.errno or errno.EIO
    return RealtimeRefused(
        f"real-time option {wish.option} = {wish.asked} was refused: {os.strerror(code)}",
        hint=wish.hint(),
        option=wish.option,
        asked=wish.asked,
        errno=code,
    )


def _fifo_hint() -> str:
    soft, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
    return (
        f"needs CAP_SYS_NICE, or RLIMIT_RTPRIO of at least the priority (now {_limit(soft)}): "
        "LimitRTPRIO= in the unit, rtprio in /etc/security/limits.conf; "
        "on a kernel with CONFIG_RT_GROUP_SCHED also cpu.rt_runtime_us of its cgroup"
    )


def _memory_hint() -> str:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return (
        f"needs CAP_IPC_LOCK, or RLIMIT_MEMLOCK above all it maps (now {_limit(soft)} bytes): "
        "LimitMEMLOCK=infinity in the unit, memlock in /etc/security/limits.conf"
    )


def _cpus_hint() -> str:
    return f"allowed now: {_ranges(os.sched_getaffinity(0))}; AllowedCPUs= and the cpuset of its cgroup decide"


def _slack_hint() -> str:
    return "the kernel has no PR_SET_TIMERSLACK here, or a seccomp filter forbids prctl: SystemCallFilter= in the unit"


def _limit(value: int) -> str:
    return "unlimited" if value == resource.RLIM_INFINITY else str(value)


def _ranges(cpus: set[int]) -> str:
    """{0, 1, 2, 5} as `0-2,5`."""
    told: list[str] = []
    first = last = None
    for cpu in [*sorted(cpus), None]:
        if first is not None and last is not None and cpu == last + 1:
            last = cpu
            continue
        if first is not None:
            told.append(str(first) if first == last else f"{first}-{last}")
        first = last = cpu
    return ",".join(told)


def _checked(answer: int, call: str) -> None:
    if answer != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), call)
