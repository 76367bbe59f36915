"""`trigger lines`: what is there, who uses it, and chips that cannot be read."""

import json

import pytest
from cli.lines_bench import EDGE, NAMES, LinesBench

from agent.simulation.line_level import LineChip
from agent.simulation.lines import SimulatedLines
from agent.trigger.lines import Bias, InputOrder


@pytest.fixture
def bench(capsys):
    with LinesBench(capsys) as made:
        yield made


def test_a_table_of_each_chip(bench):
    watched = bench.chip.open_input(InputOrder(line=EDGE, consumer="a watcher", active_low=True, bias=Bias.PULL_UP))
    held = bench.hold("the trigger")
    out = bench.call("lines").out
    watched.release()
    held.release()
    assert "gpiochip0 [bench] /dev/gpiochip0, 4 lines" in out
    rows = [line.split() for line in out.splitlines()]
    assert ["0", "trigger", "output", "the", "trigger", "high"] in rows
    assert ["1", "edge", "input", "a", "watcher", "pull-up", "low"] in rows
    assert ["3", "input", "high"] in rows


def test_json_has_the_same(bench):
    held = bench.hold("the trigger")
    (chip,) = bench.call("lines", "--json").document["chips"]
    held.release()
    assert (chip["name"], chip["path"], chip["label"], chip["count"]) == ("gpiochip0", "/dev/gpiochip0", "bench", 4)
    assert [line["name"] for line in chip["lines"]] == list(NAMES)
    assert chip["lines"][0] == {
        "offset": 0,
        "name": "trigger",
        "direction": "output",
        "used": True,
        "consumer": "the trigger",
        "bias": None,
        "active_low": False,
    }


@pytest.mark.parametrize("chip", ["bench", "gpiochip0", "/dev/gpiochip0"])
def test_one_chip_by_name_label_or_path_and_only_named_lines(bench, chip):
    (found,) = bench.call("lines", chip, "--named", "--json").document["chips"]
    assert [line["name"] for line in found["lines"]] == ["trigger", "edge", "stop"]


def test_no_such_chip_suggests_one(bench):
    result = bench.call("lines", "bnech")
    assert (result.code, result.out) == (3, "")
    assert "there are bench" in result.err


def test_no_chip_at_all_says_what_to_do(bench):
    bench.chip.unplug("bench")
    result = bench.call("lines")
    assert (result.code, result.out) == (0, "")
    assert "no GPIO chip" in result.err
    assert json.loads(bench.call("lines", "--json").out) == {"chips": []}


def test_without_permission(bench):
    bench.chip.forbid("bench")
    assert bench.call("lines").code == 4


def test_a_chip_that_goes_while_it_is_read_hides_no_other(bench):
    with SimulatedLines([LineChip(label=label, names=("a",)) for label in ("left", "right")]) as two:
        bench.chip, before = two, bench.chip
        before.release()
        chips = two.chips()
        bench.chips = lambda: chips
        two.unplug("left")
        out = bench.call("lines").out
        assert "there is no chip" in out
        assert "gpiochip1 [right]" in out
        assert bench.call("lines", "left").code == 3
