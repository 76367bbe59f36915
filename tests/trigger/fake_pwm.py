"""/sys/class/pwm with the kernel's rules: drivers/pwm/sysfs.c and core.c (those of 6.1, the stricter ones)."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Channel:
    period: int = 0
    duty_cycle: int = 0
    polarity: str = "normal"
    enable: int = 0
    exported: bool = False
    held_by_driver: bool = False


class FakePwm:
    """A chip `pwmchip0`. `writes`: all that was written. `refuses`: attribute -> errno. `ignores`: taken, not done."""

    def __init__(self, root: Path, channels: int = 2) -> None:
        self.root = root
        self.chip = root / "pwmchip0"
        self.channels = [Channel() for _ in range(channels)]
        self.writes: list[tuple[str, str]] = []
        self.refuses: dict[str, int] = {}
        self.ignores: set[str] = set()
        self.plugged = True
        self.chip.mkdir()

    def read(self, path: Path) -> str:
        if path == self.chip / "npwm" and self.plugged:
            return f"{len(self.channels)}\n"
        channel = self._channel(path)
        return f"{getattr(channel, path.name)}\n"

    def write(self, path: Path, text: str) -> None:
        self.writes.append((path.name, text))
        if path.name in self.refuses:
            raise _error(self.refuses[path.name])
        if path.parent == self.chip:
            self._chip_write(path.name, int(text))
            return
        channel = self._channel(path)
        if path.name in self.ignores:
            return
        self._apply(channel, path.name, text)

    def _chip_write(self, name: str, number: int) -> None:
        if not self.plugged:
            raise _error(errno.ENOENT)
        if number >= len(self.channels):
            raise _error(errno.ENODEV)
        channel = self.channels[number]
        if name == "export":
            if channel.exported or channel.held_by_driver:
                raise _error(errno.EBUSY)
            channel.exported = True
        else:
            if not channel.exported:
                raise _error(errno.ENODEV)
            channel.exported = False

    def _channel(self, path: Path) -> Channel:
        if self.plugged and path.parent.parent == self.chip and path.parent.name.startswith("pwm"):
            channel = self.channels[int(path.parent.name.removeprefix("pwm"))]
            if channel.exported:
                return channel
        raise _error(errno.ENOENT)

    def _apply(self, channel: Channel, name: str, text: str) -> None:
        """pwm_apply_state: the whole state is judged at every write."""
        if name == "polarity":
            if text not in ("normal", "inversed"):
                raise _error(errno.EINVAL)
            if channel.enable and text != channel.polarity:
                raise _error(errno.EBUSY)
        elif int(text) < 0 or (name == "enable" and text not in ("0", "1")):
            raise _error(errno.EINVAL)
        wanted = vars(channel) | {name: text if name == "polarity" else int(text)}
        if not wanted["period"] or wanted["duty_cycle"] > wanted["period"]:
            raise _error(errno.EINVAL)
        setattr(channel, name, wanted[name])


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
