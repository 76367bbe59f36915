"""How a simulated driver says no: OSError with the kernel's errno."""

from __future__ import annotations

import os


def refusal(code: int) -> OSError:
    """The error a failed system call raises; OSError picks the subclass (BlockingIOError for EAGAIN ...)."""
    return OSError(code, os.strerror(code))
