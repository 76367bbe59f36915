# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong with the camera, in one tree."""

from __future__ import annotations


class UvcCameraError(Exception):
    """Any failure of the camera or its handle; `hint` says what to do about it."""

    code = "uvc_camera"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.hint = hint


class ProtocolError(UvcCameraError):
    """The host's side of the USB/IP stream cannot be understood."""

    code = "protocol"


class HostGone(UvcCameraError):
    """The kernel closed its end of the USB/IP stream: the camera was detached."""

    code = "host_gone"


class AttachError(UvcCameraError):
    """The virtual host controller is absent, full, or refused the camera."""

    code = "attach"


class OrderError(UvcCameraError):
    """An order on the control channel was refused: unknown, malformed, or impossible now."""

    code = "order"


class LineError(UvcCameraError):
    """A GPIO line is not there, or cannot be followed."""

    code = "line"


class NodeTimeout(UvcCameraError):
    """The kernel brought no video node up, or did not let one go, within the time allowed."""

    code = "node_timeout"


class Stall(Exception):
    """A control request answered with STALL; `reason` is a UVC request error code (UVC 1.1, 4.2.1.2)."""

    NOT_READY, WRONG_STATE, OUT_OF_RANGE, INVALID_UNIT, INVALID_CONTROL, INVALID_REQUEST = 1, 2, 4, 5, 6, 7

    def __init__(self, reason: int) -> None:
        super().__init__(f"STALL, error code {reason}")
        self.reason = reason
