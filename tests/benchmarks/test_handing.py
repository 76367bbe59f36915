"""Frames handed out for the benchmarks: each reaches its client, and one that hangs is told apart from the others."""

import sys

import pytest

from agent.units import NS_PER_MS, NS_PER_S
from benchmarks.sides.handing import copied, hand_out
from benchmarks.sides.lending import Lending
from benchmarks.sides.relaying import Camera, by_us, read_ages

FRAMES = 20
USTREAMER_LOG = b"""\
-- INFO  [9041.128      main] -- Using memory sink: camera-agent-frames
-- VERB  [9041.203      main] -- Frame: size=614400, res=640x480, fourcc=YUYV, stride=1280, online=1, key=0, \
latency=0.012, diff=0.000
-- PERF  [9041.203      main] -- A new second has come; captured_fps=30
-- VERB  [9041.236      main] -- Frame: size=614400, res=640x480, fourcc=YUYV, stride=1280, online=1, key=0, \
latency=1.250, diff=0.033
"""


def _order(tmp_path, **options):
    return Lending(str(tmp_path / "s"), 64, 32, FRAMES, **{"warm_up": 3, **options})


def test_handed_out(tmp_path):
    found = hand_out(_order(tmp_path))
    assert len(found.took_ns) == FRAMES
    ((*ways_ns,),) = found.ways_ns
    assert len(ways_ns) == FRAMES
    # the view is there before the frame is given back
    assert all(0 < way_ns < took_ns for way_ns, took_ns in zip(ways_ns, found.took_ns, strict=True))
    assert found.cpu().count == found.wall().count == FRAMES
    assert found.cpu().figure > 0


def test_one_hangs(tmp_path):
    found = hand_out(_order(tmp_path, clients=3, interval_ns=10 * NS_PER_MS, buffers=8), first_hangs=True)
    hanging, *others = found.ways_ns
    assert hanging == []
    assert all(len(ways_ns) >= FRAMES * 19 // 20 for ways_ns in others)
    assert found.way(50, 2).count == sum(map(len, others))
    assert all(took_ns >= 10 * NS_PER_MS for took_ns in found.took_ns)


def test_pool_too_small(tmp_path, capfd):
    with pytest.raises(ChildProcessError, match="ended"):
        hand_out(_order(tmp_path, buffers=3))
    assert "a client was refused" in capfd.readouterr().err


def test_copied():
    found = copied(64, 32, FRAMES)
    assert len(found.took_ns) == found.cpu().count == FRAMES


def test_relayed(tmp_path):
    simulated = (sys.executable, "-m", "agent.cli.process", "--simulate")
    found = by_us(Camera("/dev/video0", 320, 240, 30, frames=5, warm_up=2), tmp_path, simulated)
    assert found.frames == found.way().count == found.cpu().count == 5
    # the simulated camera stamps the start of exposure
    assert all(0 < way_ns < 10 * NS_PER_S for way_ns in found.ways_ns)
    assert found.server_ns > 0 < found.client_ns


def test_ages_of_frames_are_read_from_the_log():
    assert read_ages(USTREAMER_LOG) == [12_000_000, 1_250_000_000]
    assert read_ages(b"") == []
