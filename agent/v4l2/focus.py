"""One run of a camera's own autofocus, within a limit.

Follows the kernel's camera control reference: V4L2_CID_AUTO_FOCUS_START is a button, V4L2_CID_AUTO_FOCUS_STATUS a bit
mask that says busy, reached or failed (V4L2_AUTO_FOCUS_STATUS_*).
"""

from __future__ import annotations

import enum
import errno
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.clock import ReadClock
from agent.errors import AgentError, DeviceError, DeviceGone
from agent.units import NS_PER_MS, NS_PER_S, format_duration
from agent.v4l2.controls import Control, enumerate_controls
from agent.v4l2.ioctl import Node
from agent.v4l2.refusals import refused_by_us
from agent.v4l2.transaction import set_controls
from agent.v4l2.uapi import ControlID
from agent.v4l2.values import format_value, read_values


class Status(enum.IntFlag):
    """V4L2_AUTO_FOCUS_STATUS_*; without any of them (IDLE) the autofocus does nothing."""

    BUSY = 1 << 0
    REACHED = 1 << 1
    FAILED = 1 << 2


_ENDED = Status.REACHED | Status.FAILED
_HOLDS = (
    # continuous autofocus: the kernel's page lets drivers ignore the button then
    (ControlID.FOCUS_AUTO, -1),
    # V4L2_LOCK_FOCUS: the same page lets drivers stop updating the status then
    (ControlID["_3A_LOCK"], 1 << 2),
)
"""Controls, with their bits, that keep a single run from being started or from being watched."""
_LOOK_EVERY_NS = 20 * NS_PER_MS
_OLD_NEWS_NS = 200 * NS_PER_MS
"""An end that was already there before the start is believed only after this, unless it was seen busy in between.

s5c73m3 (drivers/media/i2c/s5c73m3/s5c73m3-ctrls.c) reads its status from the sensor's firmware, which needs time to
take the command.
"""


class FocusFailed(AgentError):
    """The camera's autofocus failed, or did not end within its limit. Details: device, limit_ns, status, stopped.

    `stopped`: V4L2_CID_AUTO_FOCUS_STOP was accepted; always false after an end of its own.
    """

    code = "focus_failed"
    exit_code = 6


class FocusMissing(AgentError):
    """The camera has no autofocus that can be started and asked how it went. Details: device, available."""

    code = "focus_missing"
    exit_code = 2


@dataclass(frozen=True, slots=True)
class FocusReport:
    """The camera said that focus was reached, `took_ns` after it was told to focus."""

    device: str
    took_ns: int


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What the last look showed: `ended` by itself, or the time was over. `was_busy`: on this or an earlier look."""

    status: Status
    ended: bool
    was_busy: bool
    took_ns: int


def _sleep_ns(duration_ns: int) -> None:
    time.sleep(duration_ns / NS_PER_S)


def focus_once(node: Node, limit_ns: int, now_ns: ReadClock, pause: Callable[[int], None] = _sleep_ns) -> FocusReport:
    """Press V4L2_CID_AUTO_FOCUS_START and wait until the camera says reached or failed, at most `limit_ns`.

    Blocks between its looks by `pause` (nanoseconds), and in the ioctls; `limit_ns` counts from right before the press,
    and a last look at the limit counts. What is still under way then is stopped, where the camera has a button for it.

    The kernel's page does not say whether the camera must stream for it. A sensor that is not powered up before the
    stream cannot focus: s5c73m3 then stores the press, and answers EBUSY when asked for its status.

    Raises before anything was set: FocusMissing, ControlHeld (continuous autofocus is on, or the focus is locked).
    Raises after: FocusFailed; DeviceGone, DeviceError.
    """
    controls = {control.id: control for control in enumerate_controls(node)}
    start, status = controls.get(ControlID.AUTO_FOCUS_START), controls.get(ControlID.AUTO_FOCUS_STATUS)
    if start is None or status is None or not status.readable:
        raise _missing(node.path, controls)
    _check_holds(node, controls, start)
    before = _read_before(node, status, controls, limit_ns)
    started_ns = now_ns()
    set_controls(node, {start: 1})
    try:
        outcome = _watch(node, status, before, range(started_ns, started_ns + limit_ns), now_ns, pause)
    except DeviceError:
        _stop(node, controls)
        raise
    if outcome.ended and outcome.status & Status.FAILED:
        raise _failed(node.path, controls, outcome, limit_ns, stopped=False)
    if not outcome.ended:
        raise _failed(node.path, controls, outcome, limit_ns, stopped=_stop(node, controls))
    return FocusReport(node.path, outcome.took_ns)


def _check_holds(node: Node, controls: Mapping[int, Control], start: Control) -> None:
    for number, mask in _HOLDS:
        control = controls.get(number)
        value = 0 if control is None else int(read_values(node, [control]).get(number, 0))
        if control is not None and value & mask:
            state = f"{control.slug} is {format_value(control, value)}"
            hint = f"set {control.slug} to {format_value(control, value & ~mask)} first"
            raise refused_by_us(node.path, start, errno.EACCES, f"cannot be used while {state}", hint)


def _read_status(node: Node, status: Control) -> Status:
    return Status(int(read_values(node, [status])[status.id]))


def _read_before(node: Node, status: Control, controls: Mapping[int, Control], limit_ns: int) -> Status:
    """The status before the start. Raises FocusFailed when the camera is not ready to tell it."""
    try:
        return _read_status(node, status)
    except DeviceError as error:
        if error.errno != errno.EBUSY:
            raise
        message = f"the autofocus of {node.path} is not ready: {error.message}"
        hint = _not_streaming(controls)
        raise FocusFailed(
            message, hint=hint, device=node.path, limit_ns=limit_ns, status=None, stopped=False
        ) from error


def _watch(
    node: Node, status: Control, before: Status, times_ns: range, now_ns: ReadClock, pause: Callable[[int], None]
) -> _Outcome:
    """Look until it ends or `times_ns`, from the start to the limit, are over."""
    was_busy = False
    while True:
        seen = _read_status(node, status)
        looked_ns = now_ns()
        took_ns = looked_ns - times_ns.start
        was_busy = was_busy or Status.BUSY in seen
        is_old_news = seen == before and not was_busy and took_ns < _OLD_NEWS_NS
        ended = bool(seen & _ENDED) and Status.BUSY not in seen and not is_old_news
        if ended or looked_ns >= times_ns.stop:
            return _Outcome(seen, ended, was_busy, took_ns)
        pause(min(_LOOK_EVERY_NS, times_ns.stop - looked_ns))


def _stop(node: Node, controls: Mapping[int, Control]) -> bool:
    """Press V4L2_CID_AUTO_FOCUS_STOP; False when there is none, or the driver refused it. Raises DeviceGone."""
    stop = controls.get(ControlID.AUTO_FOCUS_STOP)
    if stop is None:
        return False
    try:
        set_controls(node, {stop: 1})
    except DeviceGone:
        raise
    except AgentError:
        return False
    return True


def _missing(device: str, controls: Mapping[int, Control]) -> FocusMissing:
    names = [control.slug for control in controls.values() if "focus" in control.slug]
    return FocusMissing(
        f"{device} has no autofocus that can be started once and asked how it went",
        hint=f"it has {', '.join(names)}" if names else "it has no control of its focus at all: turn the lens by hand",
        device=device,
        available=names,
    )


def _failed(
    device: str, controls: Mapping[int, Control], outcome: _Outcome, limit_ns: int, *, stopped: bool
) -> FocusFailed:
    if outcome.ended:
        problem = f"failed after {outcome.took_ns // NS_PER_MS} ms"
    else:
        verb = "reach focus" if outcome.was_busy else "begin"
        fate = "it was stopped" if stopped else "it could not be stopped"
        problem = f"did not {verb} within {format_duration(limit_ns)}; {fate}"
    contrast = f"give it light, and something with edges at a distance it can reach{_by_hand(controls)}"
    return FocusFailed(
        f"the autofocus of {device} {problem}",
        hint=contrast if outcome.was_busy else _not_streaming(controls),
        device=device,
        limit_ns=limit_ns,
        status=int(outcome.status),
        stopped=stopped,
    )


def _not_streaming(controls: Mapping[int, Control]) -> str:
    return f"some cameras focus only while they stream, and this one may not stream yet{_by_hand(controls)}"


def _by_hand(controls: Mapping[int, Control]) -> str:
    absolute = controls.get(ControlID.FOCUS_ABSOLUTE)
    return "" if absolute is None else f"; or set {absolute.slug} by hand"
