"""Lines of Linux GPIO chips, through the official bindings of libgpiod and the kernel's uAPI v2.

Follows Documentation/userspace-api/gpio/chardev.rst and drivers/gpio/gpiolib-cdev.c. Edges are stamped by the kernel
in the hard interrupt, on CLOCK_MONOTONIC. They are read as the kernel gives them: the bindings' objects cost thrice.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import Self

import gpiod
from gpiod.line import Bias as KernelBias
from gpiod.line import Clock, Direction, Value
from gpiod.line import Edge as KernelEdge

from agent.clock import ReadClock, monotonic_ns
from agent.trigger.errors import LineError, LineGone, LinePermission, released, typed_error
from agent.trigger.lines import (
    Bias,
    ChipInfo,
    Edge,
    Edges,
    InputOrder,
    LineInfo,
    LineRef,
    OutputOrder,
    Written,
)
from agent.trigger.lookup import find_chip, find_line
from agent.trigger.numbering import Numbering

OpenChip = Callable[[str], gpiod.Chip]
ReadBytes = Callable[[int, int], bytes]  # os.read

_TO_KERNEL = {
    None: KernelBias.AS_IS,
    Bias.DISABLED: KernelBias.DISABLED,
    Bias.PULL_UP: KernelBias.PULL_UP,
    Bias.PULL_DOWN: KernelBias.PULL_DOWN,
}
_FROM_KERNEL = {kernel: bias for bias, kernel in _TO_KERNEL.items() if bias is not None}
_EDGES = {
    (False, False): KernelEdge.NONE,
    (True, False): KernelEdge.RISING,
    (False, True): KernelEdge.FALLING,
    (True, True): KernelEdge.BOTH,
}
_EVENT = Struct("=QI4xII24x")
_RISING = 1  # struct gpio_v2_line_event, GPIO_V2_LINE_EVENT_RISING_EDGE: include/uapi/linux/gpio.h
_REQUEST, _GET, _SET = "GPIO_V2_GET_LINE", "GPIO_V2_LINE_GET_VALUES", "GPIO_V2_LINE_SET_VALUES"


@contextmanager
def _door(request: str, device: str, line: str = "") -> Iterator[None]:
    """The one door from the bindings' exceptions to typed errors.

    EINVAL comes as ValueError and EOPNOTSUPP as NotImplementedError, with the errno as first argument (ext/common.c).
    """
    try:
        yield
    except (OSError, ValueError, NotImplementedError) as error:
        code = error.args[0] if error.args and isinstance(error.args[0], int) else errno.EINVAL
        raise typed_error(code, request, device=device, line=line) from error


class _Requested:
    """One line held by this process: a context manager with an idempotent `release()`. Used by one thread."""

    def __init__(self, request: gpiod.LineRequest, device: str, line: LineInfo) -> None:
        self._held: gpiod.LineRequest | None = request
        self._device = device
        self._offset = line.offset
        self._name = line.name or str(line.offset)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __str__(self) -> str:
        """For people: `/dev/gpiochip0:trigger`."""
        return f"{self._device}:{self._name}"

    def is_active(self) -> bool:
        """The level, as the kernel says it."""
        request = self._request("read the level")
        with _door(_GET, self._device, self._name):
            return request.get_value(self._offset) is Value.ACTIVE

    def release(self) -> None:
        """Let go. Idempotent."""
        request, self._held = self._held, None
        if request is not None:
            request.release()

    def _request(self, verb: str) -> gpiod.LineRequest:
        if self._held is None:
            raise released(f"the line {self}", verb)
        return self._held


class GpioOutput(_Requested):
    """An output line. See `agent.trigger.lines.OutputLine`."""

    def __init__(
        self, request: gpiod.LineRequest, device: str, line: LineInfo, *, safe_active: bool, read_ns: ReadClock
    ) -> None:
        super().__init__(request, device, line)
        self._safe_active = safe_active
        self._read_ns = read_ns

    def set(self, active: bool) -> Written:
        """Drive the line. Raises LineGone, LineError; StateError after `release`."""
        request = self._request("set the level")
        value = Value.ACTIVE if active else Value.INACTIVE
        with _door(_SET, self._device, self._name):
            before_ns = self._read_ns()
            request.set_value(self._offset, value)
            return Written(before_ns, self._read_ns())

    def release(self) -> None:
        """Safe level, then let go. Idempotent; silent when the chip has gone. Lets go before it raises LineError."""
        if self._held is None:
            return
        try:
            with suppress(LineGone):
                self.set(self._safe_active)
        finally:
            super().release()


class GpioInput(_Requested):
    """An input line. See `agent.trigger.lines.InputLine`."""

    def __init__(self, request: gpiod.LineRequest, device: str, line: LineInfo, most: int, read: ReadBytes) -> None:
        super().__init__(request, device, line)
        self._numbering = Numbering()
        self._fd, self._most_bytes, self._read = request.fd, most * _EVENT.size, read
        os.set_blocking(self._fd, False)  # the descriptor is this request's alone; reading then cannot block

    def fileno(self) -> int:
        """The request's descriptor: POLLIN for edges, POLLERR and POLLHUP when the chip has gone."""
        self._request("poll")
        return self._fd

    def read(self) -> Edges:
        """The edges that wait, at most a buffer full; what is more stays readable."""
        self._request("read edges")
        try:
            events = _EVENT.iter_unpack(self._read(self._fd, self._most_bytes))
        except BlockingIOError:
            return Edges((), 0)
        except OSError as error:
            raise typed_error(error.errno or errno.EIO, "read", device=self._device, line=self._name) from error
        edges = tuple([Edge(at_ns, kind == _RISING, seqno, of_line) for at_ns, kind, seqno, of_line in events])
        return Edges(edges, self._numbering.lost(edges))


class GpioLines:
    """The GPIO chips of this machine. Stateless; every call opens and closes what it needs.

    `devices`: where the chips' nodes are; `open_chip`, `read_ns`, `read`: for tests.
    """

    def __init__(
        self,
        *,
        devices: Path = Path("/dev"),
        open_chip: OpenChip = gpiod.Chip,
        read_ns: ReadClock = monotonic_ns,
        read: ReadBytes = os.read,
    ) -> None:
        self._devices = devices
        self._open_chip = open_chip
        self._read_ns = read_ns
        self._read = read

    def chips(self) -> Sequence[ChipInfo]:
        """All chips that may be opened, by number. Raises LinePermission when there are some and none may be."""
        found, refused = [], []
        for path in self._nodes():
            try:
                with self._chip(str(path)) as chip:
                    found.append(_chip_info(chip, str(path)))
            except LineGone:  # unplugged between the listing and now
                continue
            except LinePermission as error:
                refused.append(error)
        if refused and not found:
            raise refused[0]
        return tuple(found)

    def lines(self, chip: str) -> Sequence[LineInfo]:
        """The lines of a chip. Raises ChipNotFound, LinePermission, LineGone, LineError."""
        return self._lines_of(self._find_chip(chip, ""))

    def open_output(self, order: OutputOrder) -> GpioOutput:
        """Take a line and drive it to its safe level. Raises as `agent.trigger.lines.Lines` says."""
        settings = gpiod.LineSettings(
            direction=Direction.OUTPUT,
            active_low=order.active_low,
            output_value=Value.ACTIVE if order.safe_active else Value.INACTIVE,
        )
        chip, line = self._find(order.line)
        request = self._take(chip, line, settings, order.consumer)
        return GpioOutput(request, chip.path, line, safe_active=order.safe_active, read_ns=self._read_ns)

    def open_input(self, order: InputOrder) -> GpioInput:
        """Take a line and watch it. Raises as `agent.trigger.lines.Lines` says."""
        settings = gpiod.LineSettings(
            direction=Direction.INPUT,
            edge_detection=_EDGES[order.rising, order.falling],
            bias=_TO_KERNEL[order.bias],
            active_low=order.active_low,
            debounce_period=timedelta(microseconds=(order.debounce_ns or 0) // 1_000),
            event_clock=Clock.MONOTONIC,
        )
        chip, line = self._find(order.line)
        request = self._take(chip, line, settings, order.consumer, order.buffer_events)
        return GpioInput(request, chip.path, line, order.buffer_events, self._read)

    def _take(
        self,
        chip: ChipInfo,
        line: LineInfo,
        settings: gpiod.LineSettings,
        consumer: str,
        buffer_events: int | None = None,
    ) -> gpiod.LineRequest:
        name = line.name or str(line.offset)
        with self._chip(chip.path) as opened:
            try:
                with _door(_REQUEST, chip.path, name):
                    return opened.request_lines({line.offset: settings}, consumer, buffer_events)
            except LineError as error:
                if error.errno != errno.EBUSY:
                    raise
                with _door("GPIO_V2_GET_LINEINFO", chip.path, name):
                    holder = opened.get_line_info(line.offset).consumer
                raise typed_error(errno.EBUSY, _REQUEST, device=chip.path, line=name, consumer=holder or "") from error

    def _find(self, ref: LineRef) -> tuple[ChipInfo, LineInfo]:
        chips = [self._find_chip(ref.chip, ref.line)] if ref.chip else self.chips()
        return find_line(ref, {chip: self._lines_of(chip) for chip in chips})

    def _find_chip(self, wanted: str, line: str) -> ChipInfo:
        """By name or path without opening the others, which the user may not be allowed to; else by label."""
        path = Path(wanted) if wanted.startswith("/") else self._devices / wanted
        real = path.resolve()
        if real in self._nodes():
            with self._chip(str(real)) as chip:
                return _chip_info(chip, str(real))
        return find_chip(wanted, self.chips(), line=line)

    def _lines_of(self, chip: ChipInfo) -> tuple[LineInfo, ...]:
        with self._chip(chip.path) as opened, _door("GPIO_V2_GET_LINEINFO", chip.path):
            return tuple(_line_info(opened.get_line_info(offset)) for offset in range(chip.lines))

    def _nodes(self) -> list[Path]:
        """The chips' nodes by number; links to them are left out (older udev rules make some)."""
        nodes = [path for path in self._devices.glob("gpiochip*") if not path.is_symlink()]
        return sorted(nodes, key=lambda path: (len(path.name), path.name))

    @contextmanager
    def _chip(self, path: str) -> Iterator[gpiod.Chip]:
        with _door("open", path):
            chip = self._open_chip(path)
        try:
            yield chip
        finally:
            chip.close()


def _chip_info(chip: gpiod.Chip, path: str) -> ChipInfo:
    with _door("GPIO_GET_CHIPINFO", path):
        info = chip.get_info()
    return ChipInfo(path, info.name, info.label, info.num_lines)


def _line_info(info: gpiod.LineInfo) -> LineInfo:
    return LineInfo(
        offset=info.offset,
        name=info.name or "",
        consumer=info.consumer or "",
        used=info.used,
        output=info.direction is Direction.OUTPUT,
        active_low=info.active_low,
        bias=_FROM_KERNEL.get(info.bias),
    )
