"""`camera-agent plan run` on real drivers: pictures, accounts, Ctrl-C."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

from command import finish, run, start
from inspect_process import vivid_streams
from PIL import Image

LIMIT_S = 60


def plan_file(folder: Path, vivid_path: str, uvc_camera) -> Path:
    text = f"""
output: {folder / "photos"}
cameras:
  vivid: {{device: {vivid_path}, format: YUYV, size: 320x180}}
  usb: {{device: {uvc_camera.node}, format: YUYV, size: 320x240, rate: 30, exposure: 8ms}}
plans:
  lapse: {{camera: vivid, every: 500ms, count: 4, when_busy: {{catch_up: 4}}}}
  burst: {{camera: usb, every: 2s, count: 2, burst: 3, when_busy: {{catch_up: 2}}}}
limits: {{session: 30s, frame: 30s, encode: 30s, stop: 10s}}
"""
    path = folder / "plans.yaml"
    path.write_text(text)
    return path


def test_a_plan_file_with_both_cameras(vivid_path, uvc_camera, tmp_path):
    result = run("plan", "run", plan_file(tmp_path, vivid_path, uvc_camera), "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert {plan["name"]: (plan["ticks"], plan["delivered"]) for plan in found["plans"]} == {
        "lapse": (4, 4),
        "burst": (2, 2),
    }
    assert all(plan["sums_match"] for plan in found["plans"])
    assert found["pictures"] == 10
    files = sorted((tmp_path / "photos").rglob("*.jpg"))
    assert len(files) == 10
    for file in files:
        with Image.open(file) as picture:
            picture.load()
    lines = [json.loads(line) for log in (tmp_path / "photos").rglob("frames.jsonl") for line in log.open()]
    assert sorted(line["file"] for line in lines) == sorted(file.name for file in files)
    assert all(len(trace) == 32 for line in lines for trace in line["trace_ids"])
    assert not vivid_streams(vivid_path)


def test_ctrl_c_stops_every_stream_and_says_how_long_it_took(vivid_path, uvc_camera, tmp_path):
    path = plan_file(tmp_path, vivid_path, uvc_camera)
    path.write_text(path.read_text().replace("count: 4", "count: 4000").replace("count: 2", "count: 2000"))
    process = start("plan", "run", path, "--json")
    deadline_s = time.monotonic() + LIMIT_S
    while not list((tmp_path / "photos").rglob("*.jpg")):
        assert time.monotonic() < deadline_s
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert result.code == 130, result.err
    found = json.loads(result.out)
    assert all(plan["sums_match"] for plan in found["plans"])
    assert {stop["camera"] for stop in found["stops"]} == {"vivid", "usb"}
    assert all(stop["was_on"] and stop["asked_ns"] <= stop["entered_ns"] for stop in found["stops"])
    assert not vivid_streams(vivid_path)
