"""What goes wrong with trigger lines. All are LineError: `device` is the chip, `line` the line as it was asked for."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from agent.errors import DeviceError


class LineError(DeviceError):
    """A call on a line or its chip failed. `request` is the kernel's name of the call, `errno` the kernel's."""

    code = "line_error"

    def __init__(
        self, message: str, *, hint: str, device: str, line: str, request: str, errno: int, **details: object
    ) -> None:
        super().__init__(message, hint=hint, device=device, request=request, errno=errno, line=line, **details)
        self.line = line


class ChipNotFound(LineError):
    """No chip of this name, path or label. `suggestions` are the chips there are."""

    code = "chip_not_found"
    exit_code = 3

    def __init__(self, message: str, *, hint: str, device: str, line: str, suggestions: Sequence[str]) -> None:
        super().__init__(
            message,
            hint=hint,
            device=device,
            line=line,
            request="open",
            errno=errno.ENOENT,
            suggestions=list(suggestions),
        )
        self.suggestions = tuple(suggestions)


class LineNotFound(LineError):
    """The chip has no line of this name or offset, or several chips have it. `suggestions` can be asked for."""

    code = "line_not_found"
    exit_code = 3

    def __init__(self, message: str, *, hint: str, device: str, line: str, suggestions: Sequence[str]) -> None:
        super().__init__(
            message,
            hint=hint,
            device=device,
            line=line,
            request="GPIO_V2_GET_LINEINFO_IOCTL",
            errno=errno.ENOENT,
            suggestions=list(suggestions),
        )
        self.suggestions = tuple(suggestions)


class LineBusy(LineError):
    """Somebody else holds the line. `consumer` is the name they gave; empty when the kernel tells none."""

    code = "line_busy"
    exit_code = 5

    def __init__(self, message: str, *, hint: str, device: str, line: str, consumer: str) -> None:
        super().__init__(
            message,
            hint=hint,
            device=device,
            line=line,
            request="GPIO_V2_GET_LINE_IOCTL",
            errno=errno.EBUSY,
            consumer=consumer,
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
