"""A comparison from samples to the table: kept as it was, judged by its intervals, without the machine's name."""

import json
import platform
import re

import pytest

from benchmarks.__main__ import collect
from benchmarks.environment import describe
from benchmarks.report import judge, make_report
from benchmarks.result import Block, Comparison, Condition, read_all
from benchmarks.stats import Interval

ENVIRONMENT = {
    "kernel": "6.12", "kernel_config": {"HZ": "250"}, "cpu_model": "C", "cpus": 2, "emulated": True, "python": "3.13",
    "packages": {"numpy": "2.0"}, "tools": {"t --version": "t 1.2"},
}  # fmt: skip


def _condition(name, ours_us, peer_us=10):
    blocks = [Block(ours, (ours_us if ours else peer_us) * 5000, 5) for _ in range(12) for ours in (True, False)]
    return Condition(name, "none", 0.5, 0.75, tuple(blocks))


def _comparison(idle=5, loaded=15):
    return Comparison(
        name="X1", row="X", what="a thing", ours="ours", peer="peer --version", gate=1, moonshot=1 / 50, where="rig",
        repeat="make it", notes=("a note",), environment=ENVIRONMENT,
        conditions=(_condition("idle", idle), _condition("under load", loaded)),
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


def test_time_per_frame_and_ratio():
    condition = _condition("idle", 5)
    assert condition.ours_us == [5.0] * 12
    assert condition.peer_us == [10.0] * 12
    assert condition.ratio == Interval(0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("intervals", "verdict"),
    [([(0.8, 0.7, 1.0)], "met"), ([(0.9, 0.8, 1.1)], "open"), ([(1.2, 1.1, 1.3)], "missed"),
     ([(0.8, 0.7, 0.9), (1.2, 1.1, 1.3)], "missed"), ([(0.8, 0.7, 0.9), (1.0, 0.9, 1.3)], "open")],
)  # fmt: skip
def test_a_bound_is_met_only_by_whole_intervals_in_all_conditions(intervals, verdict):
    assert judge([Interval(*values) for values in intervals], 1) == verdict


def test_the_table_says_what_was_found():
    report = make_report([_comparison()])
    assert (
        "| [X1](#x1) | peer (rig) | idle | 5.0 µs | 10.0 µs | **0.5 [0.5, 0.5]** | ≤ 1: missed | ≤ 1/50: missed |"
        in report
    )
    assert "|  |  | under load | 15.0 µs | 10.0 µs | **1.5 [1.5, 1.5]** |  |  |" in report
    assert "- again: `make it`" in report
    assert "HZ 250, Python 3.13, numpy 2.0, t 1.2" in report


def test_the_environment_does_not_name_the_machine():
    found = json.dumps(describe([("true",)]))
    assert not re.search(rf"\b{re.escape(platform.node())}\b", found)
    assert "/home" not in found
