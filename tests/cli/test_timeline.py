"""`timeline`: a picture of a recording's index, from any index there is, and what it says of a bad one."""

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest
from PIL import Image

MS = 1_000_000
START_NS = 10**12


def line(number, camera="top", **more):
    at_ns = START_NS + number * 33 * MS
    return {
        "file": f"{camera}-{number:06d}.jpg", "camera": camera, "sequence": number, "timestamp_ns": at_ns,
        "timestamp_source": "soe", "dequeued_ns": at_ns + 12 * MS, "exposure_ns": 8 * MS, "lost_before": 0,
        "encode_began_ns": at_ns + 13 * MS, "encode_ended_ns": at_ns + 18 * MS, **more,
    }  # fmt: skip


def index(folder, lines):
    folder.mkdir(exist_ok=True)
    (folder / "frames.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    return folder


def words(svg):
    return [
        element.text for element in ElementTree.fromstring(svg.read_text()).iter("{http://www.w3.org/2000/svg}text")
    ]


def boxes(svg, colour):
    rects = ElementTree.fromstring(svg.read_text()).iter("{http://www.w3.org/2000/svg}rect")
    return [(float(rect.get("x")), float(rect.get("width"))) for rect in rects if rect.get("fill") == colour]


def test_a_lane_for_each_camera_with_what_happened(cli, tmp_path):
    lines = [line(number, camera) for number in range(10) for camera in ("left", "top")]
    lines[7]["lost_before"], lines[9]["skipped"] = 2, 3
    result = cli("timeline", index(tmp_path / "rec", lines), "--output", tmp_path / "t.svg")
    assert (result.code, result.err) == (0, "")
    assert "20 frames of 2 cameras, 2 lost, 3 skipped" in result.out
    told = words(tmp_path / "t.svg")
    assert {"rec", "left", "top", "2 lost", "3 skipped", "exposure", "100"} <= set(told)
    exposures = boxes(tmp_path / "t.svg", "#f0a63a")
    assert len(exposures) == 20 + 1, "and one in the legend"
    widths = {width for _, width in exposures if width != 12}
    assert max(widths) - min(widths) < 0.2, "all are of eight milliseconds"


def test_a_png(cli, tmp_path):
    result = cli(
        "timeline",
        index(tmp_path / "rec", [line(number) for number in range(5)]),
        "--output",
        tmp_path / "t.png",
        "--json",
    )
    assert result.document["cameras"] == ["top"]
    with Image.open(tmp_path / "t.png") as picture:
        picture.load()
        assert picture.width == 2 * 1240
        colours = {colour for _, colour in picture.getcolors(1 << 24)}
    assert (0xF0, 0xA6, 0x3A) in colours


def test_a_long_one_is_begun_and_a_part_can_be_chosen(cli, tmp_path):
    folder = index(tmp_path / "rec", [line(number) for number in range(1000)])
    assert re.search(r"6\d of 1,000 frames", cli("timeline", folder, "--output", tmp_path / "t.svg").out)
    result = cli("timeline", folder, "--from", "10s", "--to", "10100ms", "--output", tmp_path / "t.svg")
    assert "4 of 1,000 frames" in result.out
    assert "10,050" in words(tmp_path / "t.svg")
    assert cli("timeline", folder, "--from", "1h", "--output", tmp_path / "t.svg").code == 2


def test_ticks_and_pulses(cli, tmp_path):
    folder = index(tmp_path / "rec", [line(number, pulse=number) for number in range(5)])
    assert cli("timeline", folder, "--output", tmp_path / "a.svg").code == 0
    assert "trigger pulse" in words(tmp_path / "a.svg")
    ticks, ledger = tmp_path / "ticks.jsonl", tmp_path / "ledger.jsonl"
    ticks.write_text(json.dumps({"camera": "top", "plan": "p", "due_ns": START_NS, "outcome": "delivered"}) + "\n")
    missed = {"camera": "top", "end": "missed", "pulse": 9, "frame": None, "pulse_ns": START_NS + 50 * MS}
    ledger.write_text(json.dumps(missed) + "\n")
    assert cli("timeline", folder, "--ticks", ticks, "--ledger", ledger, "--output", tmp_path / "b.svg").code == 0
    assert {"tick due", "trigger pulse"} <= set(words(tmp_path / "b.svg"))


def test_what_are_no_ticks_or_pulses_is_said_with_its_line(cli, tmp_path):
    index(tmp_path, [line(0)])
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text(json.dumps({"camera": "top", "pulse_ns": "x"}) + "\n")
    for option, told in (("--ticks", "has no due_ns"), ("--ledger", "pulse_ns that is no whole number")):
        found = cli("timeline", tmp_path, option, wrong, "--output", tmp_path / "t.svg")
        assert found.code == 2
        assert "wrong.jsonl:1" in found.err
        assert told in found.err


def test_folders_of_several_cameras_and_lines_of_older_versions(cli, tmp_path):
    for camera in ("a", "b"):
        old = {key: value for key, value in line(0, camera).items() if not key.startswith("encode")}
        index(tmp_path / camera, [old])
    assert "2 frames of 2 cameras" in cli("timeline", tmp_path, "--output", tmp_path / "t.svg").out


@pytest.mark.parametrize(("content", "told"), [
    ("", "has no frames"),
    ("{\n", "1: is no JSON"),
    ("[]\n", "no JSON object"),
    ('{"camera": "top"}\n', "has no sequence"),
    (json.dumps({**line(0), "timestamp_ns": "5"}) + "\n", "timestamp_ns that is no whole number"),
    (json.dumps({**line(0), "dequeued_ns": None}) + "\n", "has no dequeued_ns"),
    (json.dumps({**line(0), "exposure_ns": 0.5}) + "\n", "exposure_ns that is no whole number"),
])  # fmt: skip
def test_what_is_no_index_is_said_with_its_line(cli, tmp_path, content, told):
    (tmp_path / "frames.jsonl").write_text(content)
    result = cli("timeline", tmp_path, "--output", tmp_path / "t.png")
    assert result.code == 2
    assert told in result.err
    assert not (tmp_path / "t.png").exists()


def test_a_line_that_is_being_written_is_left_out(cli, tmp_path):
    folder = index(tmp_path / "rec", [line(0)])
    with (folder / "frames.jsonl").open("a") as log:
        log.write('{"file": "to')
    assert "1 frames" in cli("timeline", folder, "--output", tmp_path / "t.svg").out


def test_no_folder_and_no_picture(cli, tmp_path):
    assert "there is no" in cli("timeline", tmp_path / "nowhere").err
    assert ".png or .svg" in cli("timeline", tmp_path, "--output", "t.gif").err
