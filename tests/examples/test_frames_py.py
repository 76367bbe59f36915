"""The Python example, as its own process."""

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest
from client.stage import Door, PlayedLender, wait_until
from frames.pools import FACTS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def door(tmp_path):
    with Door(tmp_path) as opened:
        yield opened


def test_it_prints_frames(door):
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "CAMERA_AGENT_SOCKET": str(door.path.with_name("control.sock")),
    }
    command = [sys.executable, str(ROOT / "examples" / "frames.py"), "top", "3"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert select.select([door._listener], [], [], 30)[0]
        channel, _ = door._listener.accept()
        assert select.select([channel], [], [], 30)[0]
        lender = PlayedLender(channel)
        door._lenders.append(lender)
        lender.open()
        pool = lender.pool()
        for number in range(3):
            pool.planes[number][0][:] = 10 * number
            lease = lender.lend(pool, number, facts=FACTS._replace(sequence=number), skipped=number)
            assert lease in wait_until(lender.returned)
        out, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (0, "")
    assert out.splitlines() == [
        f"top {number} {FACTS.timestamp_ns} GREY 64x32 mean {10 * number:.1f} skipped {number}" for number in range(3)
    ]
