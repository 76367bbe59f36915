"""What goes wrong with trigger lines. All are LineError: `device` is the chip, `line` the line as it was asked for.

Every errno becomes a typed error in `typed_error`.
"""

from __future__ import annotations

import errno as numbers
import os
from collections.abc import Sequence

from agent.errors import DeviceError, StateError


class LineError(DeviceError):
    """A call on a line or its chip failed. `request` is the kernel's name of the call, `errno` the kernel's."""

    code = "line_error"

    def __init__(
        self, message: str, *, hint: str, device: str, line: str, request: str, errno: int, **details: object
    ) -> None:
        super().__init__(message, hint=hint, device=device, request=request, errno=errno, line=line, **details)
        self.line = line


class _Missing(LineError):
    """Not found; `suggestions` are words that would be."""

    def __init__(
        self, message: str, *, hint: str, device: str, line: str, request: str = "open", suggestions: Sequence[str]
    ) -> None:
        super().__init__(
            message,
            hint=hint,
            device=device,
            line=line,
            request=request,
            errno=numbers.ENOENT,
            suggestions=list(suggestions),
        )
        self.suggestions = tuple(suggestions)


class ChipNotFound(_Missing):
    """No chip of this name, path or label, or several. `suggestions` are chips there are."""

    code = "chip_not_found"
    exit_code = 3


class LineNotFound(_Missing):
    """No line of this name or offset, or several. `suggestions` are lines that can be asked for."""

    code = "line_not_found"
    exit_code = 3


class LineBusy(LineError):
    """Somebody else holds the line. `consumer` is the name they gave; empty when the kernel tells none."""

    code = "line_busy"
    exit_code = 5

    def __init__(
        self, message: str, *, hint: str, device: str, line: str, request: str = "GPIO_V2_GET_LINE", consumer: str
    ) -> None:
        super().__init__(
            message, hint=hint, device=device, line=line, request=request, errno=numbers.EBUSY, consumer=consumer
        )
        self.consumer = consumer


class LinePermission(LineError):
    """The user may not open the chip."""

    code = "line_permission"
    exit_code = 4


class LineGone(LineError):
    """The chip was unplugged or its driver unbound (ENODEV)."""

    code = "line_gone"
    exit_code = 3


class PwmNotProven(LineError):
    """A PWM output was set, and reading it back shows something else. Details: asked, found. It was switched off."""

    code = "pwm_not_proven"


class PulseActive(StateError):
    """A pulse was asked for while one is active or a train is not over: nothing was changed."""

    code = "pulse_active"


def released(what: str, verb: str) -> StateError:
    """The error for `verb` on something that was released."""
    return StateError(
        f"cannot {verb}: {what} was released", hint="open it again", state="released", verb=verb, allowed=["open"]
    )


def typed_error(code: int, request: str, *, device: str, line: str, consumer: str = "") -> LineError:
    """The error for `code` answered to `request`, with what to do next. `consumer`: who holds it, where known."""
    where = f"{device}:{line}" if line else device
    reason = f"{request} on {where}: {os.strerror(code)}"
    if code == numbers.EBUSY:
        holder = f"held by {consumer!r}" if consumer else "held by somebody who gave no name"
        return LineBusy(
            f"the line {where} is busy: {holder}",
            hint="stop that program or driver, or use another line; `gpioinfo` shows who holds what",
            device=device,
            line=line,
            request=request,
            consumer=consumer,
        )
    kind, message, hint = _KINDS.get(code, (LineError, "the kernel refused: {reason}", "look into the kernel log"))
    return kind(
        message.format(where=where, reason=reason),
        hint=_HINTS.get(code, hint),
        device=device,
        line=line,
        request=request,
        errno=code,
    )


_GONE = (LineGone, "{where} is gone ({reason})", "plug the chip in again, or load its driver")
_FORBIDDEN = (
    LinePermission,
    "no permission for {where} ({reason})",
    "add yourself to the group of the device (usually: sudo usermod -aG gpio $USER) and log in again",
)
_KINDS: dict[int, tuple[type[LineError], str, str]] = {
    numbers.ENODEV: _GONE,
    numbers.ENXIO: _GONE,
    numbers.ENOENT: _GONE,  # its node went away between the listing and now
    numbers.EACCES: _FORBIDDEN,
    numbers.EPERM: _FORBIDDEN,
}
_HINTS = {
    numbers.EINVAL: "the kernel does not accept these settings on this line",
    numbers.EOPNOTSUPP: "the chip's driver lacks this setting: leave it out",
    numbers.EMFILE: "too many open files: raise LimitNOFILE",
    numbers.EIO: "the chip does not answer: look into journalctl -k",
}
