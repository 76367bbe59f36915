"""Chips of the kernel's gpio-sim, one tree in configfs each: Documentation/admin-guide/gpio/gpio-sim.rst.

The level that stands outside a line is its `pull`; what the line has can be read in `value`, but not polled.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from types import TracebackType
from typing import Self

CONFIGFS = Path("/sys/kernel/config/gpio-sim")
_numbers = itertools.count()


class GpioSim:
    """One simulated chip, alive while the context lasts. `names`: of its lines by offset, empty for none.

    `path`: its device node.
    """

    def __init__(self, label: str, names: tuple[str, ...]) -> None:
        self._names = names
        self._tree = CONFIGFS / f"test-{os.getpid()}-{next(_numbers)}"
        self._bank = self._tree / "bank0"
        self._lines = [self._bank / f"line{offset}" for offset, name in enumerate(names) if name]
        for folder in (self._tree, self._bank, *self._lines):
            folder.mkdir()
        (self._bank / "num_lines").write_text(str(len(names)))
        (self._bank / "label").write_text(label)
        for folder in self._lines:
            (folder / "name").write_text(names[int(folder.name.removeprefix("line"))])
        (self._tree / "live").write_text("1")
        chip = (self._bank / "chip_name").read_text().strip()
        self.path = f"/dev/{chip}"
        self._sysfs = Path("/sys/devices/platform") / (self._tree / "dev_name").read_text().strip() / chip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def drive(self, name: str, high: bool) -> None:
        """Pull a line up or down."""
        (self._attributes(name) / "pull").write_text("pull-up" if high else "pull-down")

    def level(self, name: str) -> bool:
        """The physical level of a line: what it drives, or else its pull."""
        return (self._attributes(name) / "value").read_text().strip() == "1"

    def unplug(self) -> None:
        """The chip goes, open lines or not. Idempotent."""
        if self.is_live:
            (self._tree / "live").write_text("0")

    @property
    def is_live(self) -> bool:
        """Whether the chip is there."""
        return (self._tree / "live").read_text().strip() == "1"

    def release(self) -> None:
        """Unplug it, and remove its tree. Idempotent."""
        if self._tree.is_dir():
            self.unplug()
            for folder in (*self._lines, self._bank, self._tree):
                folder.rmdir()

    def _attributes(self, name: str) -> Path:
        return self._sysfs / f"sim_gpio{self._names.index(name)}"
