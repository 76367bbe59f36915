# SPDX-License-Identifier: GPL-3.0-or-later
"""A UVC camera in user space: speaks USB/IP to the kernel's vhci-hcd, so that the kernel's own uvcvideo drives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .handle import UvcCamera

__all__ = ["UvcCamera"]


def __getattr__(name: str) -> object:
    """Import the handle when it is asked for: the camera's own process does without, and starts sooner."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import handle

    return getattr(handle, name)
