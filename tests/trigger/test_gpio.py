"""From the bindings' exceptions to typed errors; the kernel's own behaviour is hw-tests/test_lines_contract.py."""

from __future__ import annotations

import errno
from datetime import timedelta

import pytest
from gpiod.line import Bias as KernelBias
from gpiod.line import Clock, Direction, Value
from gpiod.line import Edge as KernelEdge
from trigger.fake_gpiod import FakeChip

from agent.trigger.errors import ChipNotFound, LineBusy, LineError, LineGone, LinePermission
from agent.trigger.gpio import GpioLines
from agent.trigger.lines import Bias, Edge, Edges, InputOrder, LineRef, OutputOrder

REF = LineRef("fake", "trigger")


class Machine:
    """A folder of nodes, and the chip behind each."""

    def __init__(self, folder, *labels: str) -> None:
        self.chips: dict[str, FakeChip] = {}
        for number, label in enumerate(labels):
            node = folder / f"gpiochip{number}"
            node.touch()
            self.chips[str(node)] = FakeChip(str(node), label)
        self.lines = GpioLines(devices=folder, open_chip=self.open, read=self.read)

    def open(self, path: str):
        return self.chips[path].open(path)

    def read(self, fd: int, most: int) -> bytes:
        (request,) = (request for chip in self.chips.values() for request in chip.requests if request.fd == fd)
        return request.read(most)


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path, "fake", "second")
    yield made
    assert all(chip.opened == 0 for chip in made.chips.values()), "a chip was left open"
    assert not any(chip.requests for chip in made.chips.values()), "a line was left requested"


@pytest.fixture
def chip(machine):
    return next(iter(machine.chips.values()))


def open_output(machine, **order):
    return machine.lines.open_output(OutputOrder(line=REF, consumer="me", **order))


def open_input(machine, **order):
    return machine.lines.open_input(InputOrder(line=REF, consumer="me", **order))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENODEV, LineGone),
        (errno.EACCES, LinePermission),
        (errno.EPERM, LinePermission),
        (errno.EINVAL, LineError),
        (errno.EOPNOTSUPP, LineError),
        (errno.EIO, LineError),
    ],
)
@pytest.mark.parametrize("opening", [open_output, open_input])
def test_a_refused_request_is_a_typed_error(machine, chip, code, kind, opening):
    chip.answers["request_lines"] = code
    with pytest.raises(kind) as caught:
        opening(machine)
    assert type(caught.value) is kind
    assert (caught.value.errno, caught.value.line, caught.value.device) == (code, "trigger", chip.path)


def test_who_holds_a_busy_line_is_asked(machine, chip):
    chip.answers["request_lines"] = errno.EBUSY
    chip.holder = "spi0 CS1"
    with pytest.raises(LineBusy, match="spi0 CS1") as caught:
        open_output(machine)
    assert caught.value.consumer == "spi0 CS1"


def test_the_chip_that_goes_while_the_holder_is_asked(machine, chip):
    chip.answers["request_lines"] = errno.EBUSY
    chip.get_line_info = iter_then(chip, chip.get_line_info)
    with pytest.raises(LineGone):
        open_output(machine)


def iter_then(chip, first):
    """Answers once, then ENODEV."""
    calls = []

    def get(offset):
        calls.append(offset)
        if len(calls) > 1:
            chip.answers["get_line_info"] = errno.ENODEV
        chip.answer("get_line_info")
        return first(offset)

    return get


@pytest.mark.parametrize("call", ["set_value", "get_value", "read"])
def test_the_chip_may_go_at_any_call(machine, chip, call):
    with open_output(machine) as line:
        line.set(True)
        chip.answers[call] = errno.ENODEV
        if call == "set_value":
            with pytest.raises(LineGone):
                line.set(False)
        elif call == "get_value":
            with pytest.raises(LineGone):
                line.is_active()
    with open_input(machine) as seen:
        if call == "read":
            with pytest.raises(LineGone):
                seen.read()


def test_a_released_output_is_safe_first(machine, chip):
    line = open_output(machine, safe_active=True)
    request = chip.requests[0]
    line.set(False)
    line.release()
    assert [bool(value) for value in request.values] == [False, True]


def test_an_output_that_cannot_be_made_safe_is_let_go_and_told(machine, chip):
    line = open_output(machine)
    chip.answers["set_value"] = errno.EIO
    with pytest.raises(LineError):
        line.release()
    assert not chip.requests
    line.release()


def test_edges_lost_are_counted_and_reading_never_blocks(machine, chip):
    with open_input(machine, buffer_events=2) as line:
        assert line.read() == Edges((), 0)
        chip.requests[0].events = [(10, True, 3, 3), (20, False, 4, 4), (30, True, 7, 7)]
        assert line.read() == Edges((Edge(10, True, 3, 3), Edge(20, False, 4, 4)), 2)
        assert line.read() == Edges((Edge(30, True, 7, 7),), 2)
        assert line.read() == Edges((), 0)


def test_chips_that_may_not_be_opened_are_left_out_unless_they_are_all(machine, chip):
    chip.answers["open"] = errno.EACCES
    assert [found.label for found in machine.lines.chips()] == ["second"]
    with pytest.raises(LinePermission):
        machine.lines.lines("gpiochip0")
    for other in machine.chips.values():
        other.answers["open"] = errno.EACCES
    with pytest.raises(LinePermission) as caught:
        machine.lines.chips()
    assert "group" in caught.value.hint


@pytest.mark.parametrize("code", [errno.ENODEV, errno.ENOENT])
def test_a_chip_that_goes_while_chips_are_listed_is_left_out(machine, chip, code):
    chip.answers["open"] = code
    assert [found.label for found in machine.lines.chips()] == ["second"]
    with pytest.raises(ChipNotFound):
        machine.lines.lines("fake")


def test_a_node_that_is_no_chip_is_not_opened(machine, tmp_path):
    (tmp_path / "ttyS0").touch()
    with pytest.raises(ChipNotFound):
        machine.lines.lines(str(tmp_path / "ttyS0"))


def test_this_machine_is_asked_without_harm():
    GpioLines().chips()


def test_an_order_is_handed_over_as_it_is(machine, chip):
    with open_output(machine, active_low=True, safe_active=True):
        settings = chip.requests[0].settings
        assert (settings.direction, settings.active_low) == (Direction.OUTPUT, True)
        assert settings.output_value is Value.ACTIVE
    with open_input(machine, active_low=True, bias=Bias.PULL_UP, falling=False, debounce_ns=5_000, buffer_events=7):
        settings = chip.requests[0].settings
        assert (settings.direction, settings.active_low) == (Direction.INPUT, True)
        assert (settings.bias, settings.edge_detection) == (KernelBias.PULL_UP, KernelEdge.RISING)
        assert (settings.debounce_period, settings.event_clock) == (timedelta(microseconds=5), Clock.MONOTONIC)
        assert chip.requests[0].buffer_events == 7
