# SPDX-License-Identifier: GPL-3.0-or-later
"""A UVC camera in user space: speaks USB/IP to the kernel's vhci-hcd, so that the kernel's own uvcvideo drives it."""

from __future__ import annotations

from .handle import UvcCamera

__all__ = ["UvcCamera"]
