# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of gpio-sim: where the kernel shows them, and how the world outside pulls them.

Follows Documentation/admin-guide/gpio/gpio-sim.rst of the kernel.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .errors import LineError

CONFIG = Path("/sys/kernel/config/gpio-sim")
_DEVICES = Path("/sys/devices/platform")
_GPIO_CLASS = Path("/sys/class/gpio")


@dataclass(frozen=True)
class SimLine:
    """One line. `number` is the kernel's own, which its tracepoints use; `folder` holds `pull` and `value`."""

    offset: int
    number: int
    folder: Path

    @property
    def high(self) -> bool:
        """The level on the wire now, whoever makes it."""
        return (self.folder / "value").read_text().strip() == "1"


def find_line(text: str, config: Path = CONFIG, devices: Path = _DEVICES, gpio_class: Path = _GPIO_CLASS) -> SimLine:
    """The line named "chip label:line name". Raises: LineError when gpio-sim has none of that name."""
    label, _, name = text.partition(":")
    for bank in config.glob("*/*/"):
        if _read(bank / "label") != label:
            continue
        for line in bank.glob("line*/"):
            if _read(line / "name") == name:
                offset = int(line.name.removeprefix("line"))
                device = devices / _read(bank.parent / "dev_name") / _read(bank / "chip_name")
                return SimLine(offset, _first_number(label, gpio_class) + offset, device / f"sim_gpio{offset}")
    raise LineError(
        f"gpio-sim has no line {text!r}", hint="give CHIP-LABEL:LINE-NAME; hw-tests/rig/guest/setup makes some"
    )


def _first_number(label: str, gpio_class: Path) -> int:
    for chip in gpio_class.glob("gpiochip*"):
        if _read(chip / "label") == label:
            return int(_read(chip / "base"))
    raise LineError(f"{gpio_class} shows no chip {label!r}", hint="the kernel needs CONFIG_GPIO_SYSFS")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # not there, or gone between the listing and the reading
        return ""


class Pull:
    """Drives a line from outside, as a wire to it would: an input follows. Release with `close`, idempotent."""

    def __init__(self, line: SimLine) -> None:
        self._descriptor = os.open(line.folder / "pull", os.O_WRONLY | os.O_CLOEXEC)

    def set(self, high: bool) -> None:
        """Pull the line up or down; the kernel has raised the input's interrupt when this returns."""
        os.pwrite(self._descriptor, b"pull-up" if high else b"pull-down", 0)

    def close(self) -> None:
        """Let go; the pull stays as it is."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Strobe(Protocol):
    """The camera's strobe output: high while it exposes."""

    def set(self, high: bool) -> None:
        """The level from now on."""
