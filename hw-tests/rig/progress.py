# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines on the terminal that say what the rig does and how long it has been at it."""

from __future__ import annotations

import sys
import time

_STARTED_S = time.monotonic()


def say(stage: str, message: str) -> None:
    """Prints one line: seconds since the rig was called, the stage, the message."""
    print(f"[{time.monotonic() - _STARTED_S:6.1f} s] {stage}: {message}", flush=True)


def forward(text: str) -> None:
    """Passes the guest's own output on as it came."""
    sys.stdout.write(text)
    sys.stdout.flush()
