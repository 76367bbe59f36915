"""One tree of errors. Each says what happened, has a stable `code`, and a `hint`: what to do next.

`exit_code` is what the command line ends with when the error reaches it; `camera-agent --help` lists the codes.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import ClassVar


class AgentError(Exception):
    """Anything the agent reports to a person. `details` are typed facts for programs (`--json`, HTTP)."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def as_dict(self) -> dict[str, object]:
        """The error as one JSON object: code, message, hint and its typed details."""
        return {"code": self.code, "message": self.message, "hint": self.hint, **self.details}


class InputError(AgentError):
    """The person asked for something that cannot be: nothing was changed."""

    code = "bad_input"
    exit_code = 2


class QuantityError(InputError):
    """A quantity without its unit, with an unknown one, or not a number."""

    code = "bad_quantity"


class FormatUnsupported(InputError):
    """The camera does not offer this pixel format or frame size."""

    code = "format_unsupported"


class ControlUnknown(InputError):
    """The camera has no control of this name or id."""

    code = "control_unknown"


class ControlValueError(InputError):
    """A value outside what a control allows. Details: control, asked, minimum, maximum, step or choices."""

    code = "control_value"


class DeviceError(AgentError):
    """A system call on a device failed. `errno` is the kernel's, `request` the ioctl or call by its kernel name."""

    code = "device_error"
    exit_code = 6

    def __init__(self, message: str, *, hint: str, device: str, request: str, errno: int, **details: object) -> None:
        super().__init__(message, hint=hint, device=device, request=request, errno=errno, **details)
        self.device = device
        self.request = request
        self.errno = errno


class DeviceNotFound(DeviceError):
    """No such device node."""

    code = "device_not_found"
    exit_code = 3


class DeviceGone(DeviceError):
    """The camera was unplugged or its driver unbound (ENODEV)."""

    code = "device_gone"
    exit_code = 3


class DevicePermission(DeviceError):
    """The user may not open the device node."""

    code = "permission_denied"
    exit_code = 4


class DeviceBusy(DeviceError):
    """Somebody else holds the camera. `holders` names them where /proc tells."""

    code = "device_busy"
    exit_code = 5

    def __init__(
        self, message: str, *, hint: str, device: str, request: str, holders: Sequence[str] = (), **details: object
    ) -> None:
        super().__init__(
            message, hint=hint, device=device, request=request, errno=errno.EBUSY, holders=list(holders), **details
        )
        self.holders = tuple(holders)


class NotACaptureDevice(DeviceError):
    """The node exists but does not capture video by streaming."""

    code = "not_a_capture_device"
    exit_code = 2


class UsbBandwidth(DeviceError):
    """ENOSPC at STREAMON: the USB bus cannot carry this stream beside the others."""

    code = "usb_bandwidth"


class ControlRefused(DeviceError):
    """The driver refused to set a control. `rolled_back` says that every control is as it was before."""

    code = "control_refused"


class ControlHeld(ControlRefused):
    """Not set, and nothing was sent: read-only, grabbed by a stream, or held by an automatic mode."""

    code = "control_held"
    exit_code = 2


class ExposureNotProven(AgentError):
    """Manual exposure was set, but reading it back shows something else: the stream was not started."""

    code = "exposure_not_proven"
    exit_code = 6


class StreamFault(AgentError):
    """The stream broke: no frame within its limit, a queue error, a buffer the driver should not have given."""

    code = "stream_fault"
    exit_code = 6


class StateError(AgentError):
    """A verb that the present state does not allow. Details: state, verb, allowed."""

    code = "wrong_state"


class StorageError(AgentError):
    """A file could not be written: no space, no permission, not a directory. Nothing half-written is left."""

    code = "storage"
    exit_code = 7


def without_frames(error: AgentError) -> AgentError:
    """The same error, with no traceback in it or in its causes: whoever keeps an error keeps what lay on the stack.

    Views of a camera's buffers, for example, which keep the memory mapped, and with it the node open in the kernel.
    """
    link: BaseException | None = error
    while link is not None and link.__traceback__ is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error
