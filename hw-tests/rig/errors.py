# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong with the rig itself, as opposed to a test that fails in it."""

from __future__ import annotations


class RigError(Exception):
    """The rig cannot do what was asked.

    Attributes:
        hint: what the person at the keyboard can do about it, or an empty string.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class HostLacks(RigError):
    """A program or package is missing on this machine and could not be installed."""


class ImageBuildFailed(RigError):
    """The guest's image could not be built."""


class GuestLost(RigError):
    """The guest went away, or never appeared: panic, QEMU ended, no answer on the command channel."""


class TimeLimitExceeded(RigError):
    """The guest was still busy when its time was up."""
