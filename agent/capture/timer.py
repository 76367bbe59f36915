"""timerfd: a descriptor that becomes readable at an absolute instant of CLOCK_MONOTONIC, to the nanosecond.

timerfd_create(2), through libc: Python has it from 3.13 on. Not poll()'s timeout, which knows milliseconds only.
"""

from __future__ import annotations

import ctypes
import os
import time

_TFD_NONBLOCK = os.O_NONBLOCK
_TFD_CLOEXEC = os.O_CLOEXEC
_TFD_TIMER_ABSTIME = 1
_NS_PER_S = 1_000_000_000

# PyDLL: timerfd_settime never blocks, so there is no use in letting go of the interpreter lock around it
_libc = ctypes.PyDLL(None, use_errno=True)
_settime = _libc.timerfd_settime
_settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class _Itimerspec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Timer:
    """One timerfd. A context manager; `release()` is idempotent. Not shared between threads."""

    def __init__(self) -> None:
        fd = _libc.timerfd_create(time.CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), "timerfd_create")
        self._fd: int | None = fd
        self.fd: int = fd
        self._spec = _Itimerspec()
        self._address = ctypes.addressof(self._spec)
        self.armed_ns = 0
        """The instant it was set to last; 0 before the first."""

    def __enter__(self) -> Timer:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def fileno(self) -> int:
        """The descriptor: readable from the instant on, until the timer is set again."""
        return self.fd

    def set(self, instant_ns: int) -> None:
        """Become readable at `instant_ns`; also ends that an earlier instant is readable. In the past: at once."""
        if instant_ns == self.armed_ns:
            return
        spec = self._spec
        # a value of 0 would switch the timer off
        spec.value_s, spec.value_ns = divmod(max(instant_ns, 1), _NS_PER_S)
        if _settime(self.fd, _TFD_TIMER_ABSTIME, self._address, None):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), "timerfd_settime")
        self.armed_ns = instant_ns

    def release(self) -> None:
        """Close the descriptor."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
