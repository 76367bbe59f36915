"""A comparison from samples to the table: kept as it was, judged by its intervals, without the machine's name."""

import json
import platform
import re
from dataclasses import replace

import pytest

from benchmarks.__main__ import collect
from benchmarks.common import Taken
from benchmarks.environment import describe
from benchmarks.report import judge, make_report
from benchmarks.result import KEPT_SAMPLES, Block, Comparison, Condition, Measured, read_all
from benchmarks.stats import Interval

ENVIRONMENT = {
    "kernel": "6.12", "kernel_config": {"HZ": "250"}, "cpu_model": "C", "cpus": 2, "emulated": True, "python": "3.13",
    "packages": {"numpy": "2.0"}, "tools": {"t --version": "t 1.2"},
}  # fmt: skip


def _condition(name, ours_us, peer_us=10):
    blocks = [Block(ours, (ours_us if ours else peer_us) * 1000, 5) for _ in range(12) for ours in (True, False)]
    return Condition(name, "none", 0.5, 0.75, tuple(blocks))


def _alone(unit, *figures, gate=1, moonshot=0):
    """A comparison with nobody."""
    blocks = tuple(Block(True, figure, 100) for figure in figures)
    return Comparison(
        name="Y1", row="Y", what="a count", measure="frames after it", unit=unit, ours="ours", gate=gate,
        moonshot=moonshot, where="rig", repeat="make it", environment=ENVIRONMENT,
        conditions=(Condition("idle", "none", 0.5, 0.75, blocks),),
    )  # fmt: skip


def _comparison(idle=5, loaded=15):
    return Comparison(
        name="X1", row="X", what="a thing", measure="CPU per thing", unit="ns", ours="ours", peer="peer --version",
        against="a peer", gate=1, moonshot=1 / 50, where="rig", repeat="make it", notes=("a note",),
        environment=ENVIRONMENT, conditions=(_condition("idle", idle), _condition("under load", loaded)),
    )  # fmt: skip


def test_what_is_written_is_read(tmp_path):
    comparison = _comparison()
    comparison.write(tmp_path / "new")
    assert read_all(tmp_path / "new") == [comparison]


def test_files_of_others_are_left_alone(tmp_path):
    (tmp_path / "P1.json").write_text('{"samples": []}')
    _comparison().write(tmp_path)
    assert [found.name for found in read_all(tmp_path)] == ["X1"]
    assert [path.name for path in collect(tmp_path, tmp_path / "taken")] == ["X1.json"]


def test_sides_and_their_ratio():
    condition = _condition("idle", 5)
    assert condition.ours == [5000] * 12
    assert condition.peers == [10000] * 12
    assert condition.ratio == Interval(0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("intervals", "verdict"),
    [([(0.8, 0.7, 1.0)], "met"), ([(0.9, 0.8, 1.1)], "open"), ([(1.2, 1.1, 1.3)], "missed"),
     ([(0.8, 0.7, 0.9), (1.2, 1.1, 1.3)], "missed"), ([(0.8, 0.7, 0.9), (1.0, 0.9, 1.3)], "open")],
)  # fmt: skip
def test_a_bound_is_met_only_by_whole_intervals_in_all_conditions(intervals, verdict):
    assert judge([Interval(*values) for values in intervals], 1) == verdict


def test_without_a_peer_the_worst_block_is_bounded():
    comparison = _alone("frames", 0, 0, 0, 2, 0, 0)
    (condition,) = comparison.conditions
    assert comparison.bounded(condition) == Interval(2, 2, 2)
    assert judge([comparison.bounded(condition)], 1) == "missed"
    assert judge([comparison.bounded(condition)], 2) == "met"


def test_without_a_peer_the_table_bounds_the_figure_itself():
    frames = make_report([_alone("frames", 0, 0, 3)])
    assert "| [Y1](#y1) | nobody (rig) | idle | 0 frames |  | worst **3 frames** | ≤ 1 frames: missed |" in frames
    assert "- peer" not in frames
    shares = make_report([_alone("share", 0, 0.001, 0.002, gate=0.0018)])
    assert "| 0.1 % |  | worst **0.2 %** | ≤ 0.18 %: missed | ≤ 0 %: missed |" in shares


def test_a_plain_figure_is_tabled_without_bounds_and_with_its_spread():
    plain = _alone("ns", 2_000, 3_000, gate=None, moonshot=None)
    blocks = (Block(True, 2_000, 3, (-200_000, 1_000, 2_000)), Block(True, 3_000, 1, (3_000,)))
    report = make_report([replace(plain, conditions=(Condition("idle", "none", 0.5, 0.75, blocks),))])
    assert "| [Y1](#y1) | nobody (rig) | idle | 2.5 µs |  | worst **3.0 µs** |  |  |" in report
    assert "- idle, 4 samples: least -200 µs, P50 1.0 µs, P99 3.0 µs, most 3.0 µs" in report
    assert "samples:" not in make_report([_comparison()])


def test_of_many_samples_every_nth_is_kept():
    few = Block.of(Measured(2, 3, [1, 2, 3]), ours=True)
    assert few == Block(True, 2, 3, (1, 2, 3))
    many = Block.of(Measured(2, 10 * KEPT_SAMPLES + 1, range(10 * KEPT_SAMPLES + 1)), ours=False)
    assert many.samples == tuple(range(0, 10 * KEPT_SAMPLES + 1, 11))
    assert many.count == 10 * KEPT_SAMPLES + 1
    assert len(many.samples) <= KEPT_SAMPLES


def test_samples_are_kept_in_one_line(tmp_path):
    block = Block.of(Measured(2, 3, [10, -20, 30]), ours=True)
    found = Condition("idle", "none", 0.5, 0.75, (block, Block(False, 1.5, 3)))
    comparison = replace(_comparison(), conditions=(found,))
    path = comparison.write(tmp_path)
    assert '"samples": [10,-20,30]\n' in path.read_text()
    assert Comparison.read(path) == comparison


def test_one_run_of_three_sides_gives_each_pair_its_own_blocks():
    condition = Condition("idle", "none", 0.5, 0.75, ())
    taken = Taken(condition, (("a", 1), ("b", 2), ("c", 3), ("c", 4), ("b", 5), ("a", 6)))

    def figure(number):
        return Measured(number, 1)

    found = taken.figures(("a", figure), ("c", figure))
    assert [(block.ours, block.figure) for block in found.blocks] == [(True, 1), (False, 3), (False, 4), (True, 6)]
    alone = taken.figures(("b", figure))
    assert [(block.ours, block.figure) for block in alone.blocks] == [(True, 2), (True, 5)]
    both = taken.figures(("c", figure), ("c", lambda number: Measured(10 * number, 1)))
    assert [(block.ours, block.figure) for block in both.blocks] == [(True, 3), (False, 30), (True, 4), (False, 40)]


def test_the_table_says_what_was_found():
    report = make_report([_comparison()])
    assert (
        "| [X1](#x1) | a peer (rig) | idle | 5.0 µs | 10.0 µs | **0.5 [0.5, 0.5]** | ≤ 1: missed | ≤ 1/50: missed |"
        in report
    )
    assert "|  |  | under load | 15.0 µs | 10.0 µs | **1.5 [1.5, 1.5]** |  |  |" in report
    assert "- again: `make it`" in report
    assert "HZ 250, Python 3.13, numpy 2.0, t 1.2" in report


def test_the_environment_does_not_name_the_machine():
    found = json.dumps(describe([("true",)]))
    assert not re.search(rf"\b{re.escape(platform.node())}\b", found)
    assert "/home" not in found
