"""Pulses timed by hardware: a PWM output through sysfs.

Follows Documentation/ABI/testing/sysfs-class-pwm and Documentation/driver-api/pwm.rst; the rules are those of
drivers/pwm/core.c and sysfs.c. What sysfs reads back is what the kernel took; a driver may round it further for its
hardware, and sysfs does not tell.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from agent.trigger.errors import ChipNotFound, LineBusy, LineError, LineGone, LineNotFound, PwmNotProven, released
from agent.trigger.errors import typed_error as typed_error_of
from agent.trigger.pwm_order import PwmOrder, PwmState, check_width, steps_to

SYSFS = Path("/sys/class/pwm")

_OFF = (("duty_cycle", "0"), ("enable", "0"))


class Files(Protocol):
    """How attributes are read and written; a test puts the kernel's rules here."""

    def read(self, path: Path) -> str:
        """The text of an attribute. Raises OSError."""
        ...

    def write(self, path: Path, text: str) -> None:
        """Write an attribute in one call. Raises OSError."""
        ...


class SysfsFiles:
    """The files as they are. Stateless."""

    def read(self, path: Path) -> str:
        """The text of an attribute. Raises OSError."""
        return path.read_text()

    def write(self, path: Path, text: str) -> None:
        """Write an attribute; an errno of the driver comes with the close at the latest. Raises OSError."""
        path.write_text(text)


class PwmOut:
    """One PWM output, exported for this process. A context manager with an idempotent `release()`. Used by one thread.

    It begins switched off, set as ordered. Exporting is no lock against other programs: whoever may write sysfs may
    change it, which the next proof notices.
    """

    def __init__(
        self, order: PwmOrder, *, root: Path = SYSFS, files: Files | None = None, adopts: bool = False
    ) -> None:
        """Export and set it. `adopts`: also one that is exported already, as a process leaves it that was killed.

        Raises ChipNotFound, LineNotFound (no such channel), LineBusy, LinePermission, LineGone, LineError,
        PwmNotProven. Nothing stays exported then.
        """
        self._files: Files = files or SysfsFiles()
        self._chip = root / order.chip
        self._folder = self._chip / f"pwm{order.channel}"
        self._channel = order.channel
        self._width_ns = order.width_ns
        self._released = False
        self._export(root, order, adopts=adopts)
        try:
            self._set_up(order)
        except BaseException:
            self._abandon()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def state(self) -> PwmState:
        """What sysfs says now. Raises LineGone, LineError; StateError after `release`."""
        self._check_open("read it")
        return PwmState(
            period_ns=int(self._read("period")),
            width_ns=int(self._read("duty_cycle")),
            active_low=self._read("polarity") == "inversed",
            enabled=self._read("enable") == "1",
        )

    def start(self) -> PwmState:
        """Switch it on with the width that was asked for last; the state that was read back.

        Raises PwmNotProven, LineGone, LineError; StateError after `release`.
        """
        self._check_open("start")
        found = self.state()
        wanted = PwmState(found.period_ns, self._width_ns, found.active_low, enabled=True)
        return self._changed(wanted, (("duty_cycle", str(self._width_ns)), ("enable", "1")))

    def stop(self) -> PwmState:
        """Switch it off, inactive: width 0 first, since a driver may leave a disabled output at either level.

        Raises as `start` does.
        """
        self._check_open("stop")
        found = self.state()
        wanted = PwmState(found.period_ns, 0, found.active_low, enabled=False)
        return self._changed(wanted, _OFF)

    def change(self, *, period_ns: int, width_ns: int) -> PwmState:
        """Another period and width, on or off as it is. Raises InputError, and as `start` does.

        The two are written one after the other: while it is on, one period may have the old width in the new period
        or the other way round.
        """
        self._check_open("change")
        check_width(period_ns, width_ns)
        found = self.state()
        wanted = PwmState(period_ns, width_ns, found.active_low, found.enabled)
        proven = self._changed(wanted, steps_to(found, period_ns, width_ns))
        self._width_ns = width_ns
        return proven

    def release(self) -> None:
        """Inactive, off, and unexported. Idempotent; silent when the chip has gone.

        Raises LineError when the driver refuses to be switched off, after everything was tried.
        """
        if self._released:
            return
        self._released = True
        refusals = [refusal for step in _OFF if (refusal := self._refusal(*step)) is not None]
        self._unexport()
        if refusals:
            raise refusals[0]

    def _refusal(self, name: str, text: str) -> LineError | None:
        try:
            self._write(name, text)
        except LineGone:
            return None
        except LineError as error:
            return error
        return None

    def _export(self, root: Path, order: PwmOrder, *, adopts: bool) -> None:
        try:
            channels = int(self._read_at(self._chip / "npwm"))
        except LineGone as error:
            there = sorted(path.name for path in root.glob("pwmchip*"))
            raise ChipNotFound(
                f"there is no PWM chip {order.chip!r}",
                hint=f"there are {', '.join(there)}" if there else "no PWM chip is there: is its overlay loaded?",
                device=order.chip,
                line=str(order.channel),
                suggestions=there,
            ) from error
        if order.channel >= channels:
            raise LineNotFound(
                f"{order.chip} has no channel {order.channel}",
                hint=f"it has {channels}: ask for 0 to {channels - 1}",
                device=order.chip,
                line=str(order.channel),
                request="export",
                suggestions=[str(channel) for channel in range(channels)],
            )
        try:
            self._write_at(self._chip / "export", str(order.channel))
        except LineBusy as error:
            if adopts and self._is_exported():
                return
            raise LineBusy(
                f"the PWM output {order.chip}:{order.channel} is busy",
                hint="a driver has it, or a program exported it; if none uses it any more, write "
                f"{order.channel} to {self._chip / 'unexport'}",
                device=order.chip,
                line=str(order.channel),
                request="export",
                consumer="",
            ) from error

    def _set_up(self, order: PwmOrder) -> None:
        """Off, then period and width in an order the kernel takes, then the polarity, which wants a period and off."""
        found = self.state()
        if found.enabled:  # left on by whoever had it before
            for name, text in _OFF:
                self._write(name, text)
            found = self.state()
        for name, text in steps_to(found, order.period_ns, order.width_ns):
            self._write(name, text)
        if found.active_low != order.active_low:
            self._write("polarity", "inversed" if order.active_low else "normal")
        self._prove(PwmState(order.period_ns, order.width_ns, order.active_low, enabled=False))

    def _changed(self, wanted: PwmState, steps: tuple[tuple[str, str], ...]) -> PwmState:
        for name, text in steps:
            self._write(name, text)
        return self._prove(wanted)

    def _prove(self, wanted: PwmState) -> PwmState:
        found = self.state()
        if found != wanted:
            self._write("enable", "0")
            raise PwmNotProven(
                f"the PWM output {self._folder} was set to {wanted}, but reads {found}",
                hint="another program writes to it, or its driver rounds: ask for what it reads",
                device=self._chip.name,
                line=str(self._channel),
                request="read",
                errno=0,
                asked=str(wanted),
                found=str(found),
            )
        return found

    def _abandon(self) -> None:
        self._released = True
        self._unexport()

    def _is_exported(self) -> bool:
        """By sysfs, rather than held by a driver."""
        try:
            self._read("enable")
        except LineGone:
            return False
        return True

    def _unexport(self) -> None:
        try:
            self._write_at(self._chip / "unexport", str(self._channel))
        except LineGone:  # unplugged, or unexported by somebody else: ENODEV for both
            return

    def _check_open(self, verb: str) -> None:
        if self._released:
            raise released(f"the PWM output {self._folder}", verb)

    def _read(self, name: str) -> str:
        return self._read_at(self._folder / name)

    def _write(self, name: str, text: str) -> None:
        self._write_at(self._folder / name, text)

    def _read_at(self, path: Path) -> str:
        with self._door(f"read {path.name}"):
            return self._files.read(path).strip()

    def _write_at(self, path: Path, text: str) -> None:
        with self._door(f"write {text} to {path.name}"):
            self._files.write(path, text)

    @contextmanager
    def _door(self, request: str) -> Iterator[None]:
        """The one door from errno to typed errors."""
        try:
            yield
        except OSError as error:
            raise self._typed(error.errno or errno.EIO, request) from error

    def _typed(self, code: int, request: str) -> LineError:
        return typed_error_of(code, request, device=self._chip.name, line=str(self._channel))
