"""`camera-agent plan run` on real drivers, two kinds of camera in one file: Ctrl-C, and a file to its end.

The program is started as people start it; what comes of it is judged by the drivers, the files and the camera's record.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest
from command import Result, pictures_in, start
from family import end_family
from inspect_process import vivid_streams
from PIL import Image
from vivid import SINGLE
from witness import Witness

LIMIT_S = 180
"""Two capture processes and two sinks load their libraries at the same time, on two emulated processors."""
VIVID, USB = "vivid", "usb"
SIZES = {VIVID: (320, 180), USB: (320, 240)}

pytestmark = pytest.mark.timeout(2 * LIMIT_S + 60)


class Bench:
    """Both cameras, a folder for their pictures, and a plan file that names them."""

    def __init__(self, vivid_path: str, uvc_camera, folder: Path) -> None:
        self.vivid_path, self.witness, self.folder = vivid_path, Witness(uvc_camera), folder
        self._devices = {VIVID: vivid_path, USB: str(uvc_camera.node)}

    def plan_file(self, plans: str) -> Path:
        """Cameras, patient limits and these plans: no tick is lost because the machine is slow."""
        cameras = "".join(
            f"  {name}: {{device: {self._devices[name]}, format: YUYV, size: {width}x{height}, rate: 30}}\n"
            for name, (width, height) in SIZES.items()
        )
        limits = "limits: {session: 60s, frame: 60s, encode: 60s, stop: 20s, step: 10s}\n"
        path = self.folder / "plans.yaml"
        path.write_text(f"output: {self.folder / 'photos'}\ncameras:\n{cameras}plans:\n{plans}{limits}")
        return path

    def stored(self, camera: str) -> int:
        """Pictures of a camera that are whole and written down."""
        log = self.folder / "photos" / camera / "frames.jsonl"
        return log.read_bytes().count(b"\n") if log.exists() else 0

    def assert_off(self) -> None:
        """Both streams are, by the driver's and the camera's own word, and were on before."""
        assert not vivid_streams(self.vivid_path)
        turns = self.witness.kinds("start", "stop")
        assert turns
        assert turns == ["start", "stop"] * (len(turns) // 2)

    def assert_whole(self, camera: str) -> int:
        """Every file of a camera opens and has its line, and there is nothing else; how many there are."""
        folder = self.folder / "photos" / camera
        names, lines = pictures_in(folder)
        assert sorted(line["file"] for line in lines) == names
        for name in names:
            with Image.open(folder / name) as picture:
                picture.load()
                assert picture.size == SIZES[camera]
        assert all(len(trace) == 32 for line in lines for trace in line["trace_ids"])
        return len(names)


@pytest.fixture
def bench(vivids, uvc_camera, tmp_path) -> Bench:
    return Bench(vivids[SINGLE], uvc_camera, tmp_path)


@contextmanager
def running(plan_file: Path) -> Iterator[Popen[str]]:
    """`plan run` of it; whatever becomes of the test, no process of it is left afterwards, and no camera is held."""
    process = start("plan", "run", plan_file, "--json")
    try:
        yield process
    finally:
        if process.poll() is None:
            left = end_family(process.pid)
            print(process.communicate()[1], "killed by the test")
            assert not left, f"not let go by the kernel: {left}"


def ended(process: Popen[str]) -> tuple[Result, dict]:
    """Its end, bounded, and the summary."""
    out, err = process.communicate(timeout=LIMIT_S)
    assert "Traceback" not in err, err
    assert out, err
    return Result(process.returncode, out, err), json.loads(out)


def assert_sums(summary: dict) -> None:
    """Every tick and every shot of every plan has ended, in one place."""
    for account in (*summary["plans"], summary["total"]):
        assert account["sums_match"], account
        assert (account["waiting"], account["under_way"]) == (0, 0), account


def test_ctrl_c_while_both_stream_and_store_turns_both_off(bench):
    path = bench.plan_file(
        f"  lapse: {{camera: {VIVID}, every: 200ms, when_busy: coalesce}}\n"
        f"  burst: {{camera: {USB}, every: 1s, burst: 3, when_busy: coalesce}}\n"
    )
    with running(path) as process:
        deadline_s = time.monotonic() + LIMIT_S
        while not (bench.stored(VIVID) and bench.stored(USB)):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline_s, "not both of them store"
            time.sleep(0.1)
        assert vivid_streams(bench.vivid_path)
        assert bench.witness.kinds("start", "stop")[-1] == "start"
        process.send_signal(signal.SIGINT)
        result, summary = ended(process)
    assert result.code == 130, result.err
    assert "all plans are cancelled, all streams are off" in result.err
    bench.assert_off()
    assert (summary["ended_by"], summary["killed"]) == ("signal", False)
    assert {stop["camera"]: (stop["was_on"], stop["steps"], stop["error"]) for stop in summary["stops"]} == {
        VIVID: (True, ["streamoff"], ""),
        USB: (True, ["streamoff"], ""),
    }
    assert all(stop["asked_ns"] <= stop["entered_ns"] <= stop["returned_ns"] for stop in summary["stops"])
    assert {plan["name"]: plan["state"] for plan in summary["plans"]} == {"lapse": "cancelled", "burst": "cancelled"}
    assert_sums(summary)
    stored = {camera["name"]: camera["stored"] for camera in summary["cameras"]}
    assert {camera: bench.assert_whole(camera) for camera in SIZES} == stored


def test_a_plan_file_to_its_end_leaves_all_its_pictures_whole(bench):
    """Whatever falls behind catches up: four ticks of one frame, two of three."""
    path = bench.plan_file(
        f"  lapse: {{camera: {VIVID}, every: 500ms, count: 4, when_busy: {{catch_up: 4}}}}\n"
        f"  burst: {{camera: {USB}, every: 2s, count: 2, burst: 3, when_busy: {{catch_up: 2}}}}\n"
    )
    with running(path) as process:
        result, summary = ended(process)
    assert result.code == 0, result.err
    bench.assert_off()
    assert summary["ended_by"] == "finished"
    delivered = {plan["name"]: (plan["state"], plan["ticks"], plan["delivered"]) for plan in summary["plans"]}
    assert delivered == {"lapse": ("finished", 4, 4), "burst": ("finished", 2, 2)}
    assert_sums(summary)
    assert {camera: bench.assert_whole(camera) for camera in SIZES} == {VIVID: 4, USB: 2 * 3}
    assert summary["pictures"] == 4 + 2 * 3
