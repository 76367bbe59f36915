"""`trigger safe`: outputs that a killed process left behind, safe again."""

import pytest
import yaml
from cli.lines_bench import TRIGGER, LinesBench
from control.thread_desk import serving_in_a_thread

FILE = """\
cameras:
  top: {device: /dev/video0, group: line-1, trigger: {}}
groups:
  line-1:
    trigger: {kind: pulse, pulse: 1ms, output: {line: "bench:trigger", safe: SAFE}}
plans:
  a: {camera: top, every: 1s}
"""


@pytest.fixture
def bench(capsys):
    with LinesBench(capsys) as made:
        yield made


def written(folder, safe="inactive"):
    path = folder / "plans.yaml"
    path.write_text(FILE.replace("SAFE", safe))
    return path


@pytest.mark.parametrize(("safe", "high"), [("inactive", False), ("active", True)])
def test_a_line_that_was_left_at_another_level_is_driven_to_its_safe_one(bench, tmp_path, safe, high):
    bench.chip.pull(TRIGGER, not high)
    bench.levels.clear()
    result = bench.call("safe", written(tmp_path, safe))
    assert (result.code, result.out, result.err) == (0, "line-1: safe\n", "")
    assert bench.levels[0] is high, "let go of, a simulated line follows what pulls it"
    assert bench.is_free()


def test_a_line_that_somebody_holds_is_left_to_them_and_told(bench, tmp_path):
    with bench.hold():
        result = bench.call("safe", written(tmp_path), "--json")
    assert result.code == 5
    [group] = result.document["groups"]
    assert (group["group"], group["safe"], group["errors"][0]["code"]) == ("line-1", False, "line_busy")


def test_a_file_without_outputs_has_nothing_to_make_safe(bench, tmp_path):
    path = tmp_path / "plans.yaml"
    path.write_text("cameras: {top: {device: /dev/video0}}\nplans: {a: {camera: top, every: 1s}}\n")
    result = bench.call("safe", path)
    assert (result.code, result.out) == (0, "")


def test_without_a_file_what_is_in_force_in_the_running_agent_is_made_safe(bench, tmp_path):
    document = yaml.safe_load(FILE.replace("SAFE", "active"))

    async def config():
        return {"files": ["config.yaml"], "loaded_ns": 1, "document": document}

    with serving_in_a_thread(tmp_path) as desk:
        desk.agent.config = config
        bench.chip.pull(TRIGGER, False)
        bench.levels.clear()
        result = bench.call("safe", "--socket", desk.path)
    assert (result.code, result.out) == (0, "line-1: safe\n")
    assert bench.levels[0] is True


def test_without_a_file_and_without_an_agent_it_is_the_usual_file(bench, tmp_path):
    result = bench.call("safe", "--socket", tmp_path / "none.sock")
    assert result.code == 2
    assert "/etc/camera-agent/config.yaml" in result.err
