import threading

import pytest
from cli.outcome import SignalAt, assert_all_is_whole, assert_let_go, written
from PIL import Image

from agent.cli.bench import open_kernel
from agent.v4l2.uapi import VIDIOC_DQBUF


def test_what_a_newcomer_sees(cli, kernel, tmp_path):
    result = cli("demo", "--output", tmp_path, "--count", "4")
    assert (result.code, result.err) == (0, "")
    for name in ("Bench-camera-A", "Bench-camera-B"):
        assert assert_all_is_whole(tmp_path / name) == 4
    for fragment in (
        "Bench camera A",
        "Bench camera B",
        "8ms asked, 8ms granted",
        "5ms asked, 4.992593ms granted (the camera's step is one line, 14.815us)",
        "yes, read back before the start",
        "yes, 4 of 4",
        "STREAMOFF took",
        "jitter",
        "What next",
        "camera-agent devices",
        "camera-agent capture --count 10 --exposure 8ms",
        "One trigger line, both cameras: a pulse a tick",
        f"and 10 more in {tmp_path / 'triggered-000000.jsonl'}",
        "15 pulses of the kind pulse; ",
        ": the sums match",
        f"camera-agent plan run {tmp_path / 'triggered-000000.yaml'} --simulate",
        str(tmp_path / "contact-sheet-000000.jpg"),
    ):
        assert fragment in result.out
    with Image.open(tmp_path / "contact-sheet-000000.jpg") as sheet:
        assert sheet.width > 320 * 4
    assert_let_go(kernel)


def test_json(cli, tmp_path):
    document = cli("demo", "--output", tmp_path, "--count", "3", "--json").document
    assert [camera["marks_agree"] for camera in document["cameras"]] == [3, 3]
    assert document["contact_sheet"] == str(tmp_path / "contact-sheet-000000.jpg")
    triggered = document["triggered"]
    (group,) = triggered["triggers"]
    for camera in group["cameras"]:
        ends = [camera[end] for end in ("matched", "missed", "late", "ambiguous", "open")]
        assert sum(ends) == camera["pulses"] == group["pulses"] > 0
        ours = [line for line in triggered["ledger"] if line["camera"] == camera["camera"] and not line["explained"]]
        assert sum(line["end"] == "matched" for line in ours) == camera["matched"]


def test_the_triggered_plan_is_left_for_another_run(cli, tmp_path):
    assert cli("demo", "--output", tmp_path, "--count", "2").code == 0
    checked = cli("plan", "check", tmp_path / "triggered-000000.yaml")
    assert checked.code == 0
    assert "a pulse of 1ms on line bench:trigger when a tick is due, 50ms apart at least" in checked.out


def test_a_second_time_into_the_same_folder(cli, tmp_path):
    for _ in range(2):
        assert cli("demo", "--output", tmp_path, "--count", "2").code == 0
    assert sorted(path.name for path in tmp_path.glob("contact-sheet-*")) == [
        "contact-sheet-000000.jpg",
        "contact-sheet-000001.jpg",
    ]
    assert len(written(tmp_path / "Bench-camera-A")[0]) == 4


def test_pixels_that_do_not_agree_are_said(cli, kernel, tmp_path):
    # the sensor does not follow what its registers say: only the pixels can tell
    kernel.cameras[0].faults.dead_controls = {kernel.cameras[0].profile.optics.exposure_id}
    out = cli("demo", "--output", tmp_path, "--count", "2").out
    assert "NO, 0 of 2" in out
    assert "yes, 2 of 2" in out


@pytest.mark.parametrize("camera", [0, 1])
def test_one_camera_fails_and_both_are_let_go(cli, kernel, tmp_path, camera):
    kernel.cameras[camera].faults.unplug_at_frame = 8
    result = cli("demo", "--output", tmp_path, "--count", "5")
    assert result.code == 3
    assert "is gone" in result.err
    assert_let_go(kernel)


def test_interrupted_in_the_middle_no_thread_goes_on(cli, kernel, tmp_path):
    result = cli("demo", "--output", tmp_path, "--count", "1000", on=SignalAt(kernel, VIDIOC_DQBUF, on_call=30))
    assert result.code == 130
    assert "Bench-camera-B" in result.err
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("camera")] == []
    for name in ("Bench-camera-A", "Bench-camera-B"):
        assert_all_is_whole(tmp_path / name)
    assert_let_go(kernel)


def test_the_folder_is_a_file(cli, kernel, tmp_path):
    (tmp_path / "photos").write_text("")
    assert cli("demo", "--output", tmp_path / "photos").code == 7
    assert_let_go(kernel)


def test_simulate_and_this_machine_are_two_kernels():
    with open_kernel(True) as simulated, open_kernel(False) as real:
        assert simulated.video_nodes() == ["/dev/video0", "/dev/video1", "/dev/video2"]
        assert type(simulated) is not type(real)
