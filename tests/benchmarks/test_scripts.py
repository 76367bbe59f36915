"""What the benchmarks know of themselves, and that all sides of a comparison of pictures make pictures."""

from pathlib import Path

import numpy as np
import pytest

import benchmarks
from agent.pipeline.encode import PictureKind
from benchmarks.__main__ import HERE, main, run, summaries
from benchmarks.f5_encoders import PEERS, SIDES


def test_all_scripts_are_listed(capsys):
    found = summaries()
    folder = Path(benchmarks.__file__).parent
    assert set(found) == {*HERE, *(path.stem for path in folder.glob("rig_*.py"))}
    assert all(found.values())
    assert main(["list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(found)


def test_an_unknown_name_measures_nothing(tmp_path, capsys):
    assert not run(["f3_handoff", "nothing"], tmp_path)
    assert "no such benchmark: nothing" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", list(PEERS))
def test_all_sides_make_pictures_of_the_same_frame(kind):
    assert list(SIDES) == ["ours", *PEERS[kind]]
    pairs = np.random.default_rng(1).integers(16, 235, (64, 96, 2), np.uint8)
    sizes = {side: make(kind)(pairs) for side, make in SIDES.items()}
    least = 64 * 96 * 3 if kind is PictureKind.TIFF else 2_000
    assert all(least <= size < 2 * min(sizes.values()) for size in sizes.values())
