"""What systemd is told, and what it hands over (sd_notify(3), sd_listen_fds(3)).

systemd-python where it is installed (the extra `service`). Without it the protocol is spoken here: a datagram of
`KEY=value` lines to $NOTIFY_SOCKET, which sd_notify(3) keeps stable for such implementations.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, MutableMapping
from contextlib import suppress

from agent.clock import ReadClock, monotonic_ns
from agent.units import NS_PER_US

Send = Callable[[str], None]
"""Sends the lines of one message."""

_FIRST_FD = 3
"""SD_LISTEN_FDS_START."""


class Notifier:
    """Tells systemd how the service stands. Nothing is told where nobody listens. `watchdog_ns`: None without one."""

    def __init__(self, send: Send, watchdog_ns: int | None = None, now_ns: ReadClock = monotonic_ns) -> None:
        self.watchdog_ns = watchdog_ns
        self._send, self._now_ns = send, now_ns
        self._status = ""

    def ready(self, status: str) -> None:
        """It serves, for the first time or after a reload."""
        self._status = status
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it (Type=notify-reload)."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={self._now_ns() // NS_PER_US}\nSTATUS=reading its configuration")

    def stopping(self) -> None:
        """It ends."""
        self._send("STOPPING=1\nSTATUS=cancelling everything")

    def status(self, status: str) -> None:
        """One line for `systemctl status`, sent when it is another one."""
        if status != self._status:
            self._status = status
            self._send(f"STATUS={_line(status)}")

    def alive(self) -> None:
        """All is well: the watchdog begins to count anew."""
        self._send("WATCHDOG=1")


def notifier(environment: MutableMapping[str, str]) -> Notifier:
    """By the variables that systemd sets for the service it starts; they are taken out, so that no child has them."""
    address = environment.pop("NOTIFY_SOCKET", "")
    watchdog_us, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
    mine = watchdog_us.isdecimal() and int(watchdog_us) > 0 and pid in ("", str(os.getpid()))
    send = _sender(address) if address else _nobody
    return Notifier(send, int(watchdog_us) * NS_PER_US if mine and address else None)


def handed_over(environment: MutableMapping[str, str]) -> list[int]:
    """Descriptors of sockets that systemd listens on for us; none where it started somebody else."""
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    descriptors = list(range(_FIRST_FD, _FIRST_FD + int(count)))
    for fd in descriptors:
        os.set_inheritable(fd, False)
    return descriptors


def _sender(address: str) -> Send:
    try:
        import systemd.daemon as daemon
    except ImportError:
        return _datagrams(address)

    def send(lines: str) -> None:
        # it reads the address from the environment, which children must not have
        os.environ["NOTIFY_SOCKET"] = address
        try:
            with suppress(OSError):  # as below: what systemd does not take is no reason to end
                daemon.notify(lines)
        finally:
            del os.environ["NOTIFY_SOCKET"]

    return send


def _datagrams(address: str) -> Send:
    target = f"\0{address[1:]}" if address.startswith("@") else address

    def send(lines: str) -> None:
        # a supervisor that does not read must not hold the loop up
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
            channel.sendto(lines.encode(), target)

    return send


def _nobody(_lines: str) -> None:
    """Not started by systemd."""


def _line(text: str) -> str:
    return text.replace("\n", "; ")
