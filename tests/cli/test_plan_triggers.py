"""`plan run` with triggers, with real capture processes on the simulated bench: the ledger, edges, emergency stops."""

import json
from pathlib import Path

import pytest

PULSE = "kind: pulse, output: bench:trigger, cycle: 40ms"
EDGES = "kind: edge, input: bench:edge"
BUDGET = "trigger: {window: 15ms, wait: 2s}"
TOP = f"{{device: /dev/video0, group: bench, size: 320x240, exposure: 8ms, settle: 0, {BUDGET}}}"
SIDE = TOP.replace("video0", "video2").replace("wait: 2s", "wait: 2s, readout: 16ms")
ENDS = ("matched", "missed", "late", "ambiguous", "open")


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(plan, trigger=PULSE, more="", cameras=("top", "side"), other=""):
        written = {"top": TOP, "side": SIDE}
        lines = [f"  {name}: {written[name]}\n" for name in cameras]
        path = Path("plans.yaml")
        path.write_text(
            f"output: none\ngroups: {{bench: {{trigger: {{{trigger}}}{more}}}}}\ncameras:\n{''.join(lines)}{other}"
            f"plans:\n  p: {{{plan}}}\n"
        )
        return path

    return write


def test_every_pulse_is_accounted_for_and_every_end_is_a_line(cli, file):
    path = file("group: bench, every: 150ms, count: 8")
    result = cli("plan", "run", path, "--simulate", "--json", "--ledger", "pulses.jsonl")
    document = result.document
    (plan,), (group,) = document["plans"], document["triggers"]
    assert (plan["ticks"], plan["state"], document["ended_by"]) == (8, "finished", "finished")
    assert (group["group"], group["kind"], group["edges"]) == ("bench", "pulse", None)
    assert group["pulses"] == plan["fired"]
    assert group["sets"] + group["sets_incomplete"] == group["pulses"]
    for camera in group["cameras"]:
        assert camera["pulses"] == group["pulses"] == sum(camera[end] for end in ENDS)
        assert camera["pulse_to_start"]["count"] == camera["matched"] > 0
        assert camera["residual_min_ns"] <= camera["residual_max_ns"]
    lines = [json.loads(line) for line in Path("pulses.jsonl").read_text().splitlines()]
    assert (document["ledger_file"], document["ledger_written"], document["ledger_lost"]) == (
        "pulses.jsonl", len(lines), 0,
    )  # fmt: skip
    for camera in group["cameras"]:
        ours = [line for line in lines if line["camera"] == camera["camera"] and line["pulse"] is not None]
        ended = [line["pulse"] for line in ours if not line["explained"]]
        assert sorted(ended) == list(range(camera["pulses"]))
        matched = [line for line in ours if line["end"] == "matched"]
        assert len(matched) == camera["matched"]
        residuals = [line["residual_ns"] for line in matched]
        assert (min(residuals), max(residuals)) == (camera["residual_min_ns"], camera["residual_max_ns"])


def test_in_words(cli, file):
    result = cli("plan", "run", file("group: bench, every: 150ms, count: 3"), "--simulate", "--ledger", "pulses.jsonl",
                 "--plot", "run.svg")  # fmt: skip
    told = " ".join(result.out.split())
    for fragment in (
        "trigger pulses matched missed late ambiguous spurious residuals pulse to start",
        "trigger of bench 3 pulses of the kind pulse; 3 whole sets, 0 incomplete; skew ",
        "lines in pulses.jsonl",
    ):
        assert fragment in told
    assert "start of exposure less its expected instant" in Path("run.svg").read_text()


def test_a_plan_that_starts_on_edges(cli, file):
    """`trigger` is wired to `edge`: the pulses of one plan start the other."""
    text = file("camera: top, every: 200ms, count: 3", f"{PULSE}, input: bench:edge").read_text()
    other = "  free: {device: /dev/video2, group: bench, size: 320x240, settle: 0}\n"
    Path("plans.yaml").write_text(
        text.replace(f"  side: {SIDE}\n", other) + "  q: {camera: free, on_edge: {divider: 2}}\n"
    )
    document = cli("plan", "run", "plans.yaml", "--simulate", "--json", "--for", "1s").document
    (timed, on_edges), (group,) = document["plans"], document["triggers"]
    assert timed["ticks"] == 3
    assert group["edges"] == group["pulses"] == timed["fired"]
    assert on_edges["ticks"] == (group["edges"] + 1) // 2 > 0
    assert group["sets"] is None


def test_pulses_by_a_pwm(cli, file):
    pwm = "kind: pwm, pwm: {chip: pwmchip0, every: 100ms, width: 1ms}"
    document = cli("plan", "run", file("camera: top, every: 300ms, count: 3", pwm), "--simulate", "--json").document
    (plan,), (group,) = document["plans"], document["triggers"]
    assert plan["ticks"] == 3
    assert group["kind"] == "pwm"
    assert group["pulses"] >= 6


def test_a_stop_that_is_pressed_ends_everything_with_a_code_of_its_own(cli, file):
    """The first pulse presses it: `trigger` is wired to `edge`."""
    other = "  free: {device: /dev/video2, size: 320x240, settle: 0}\n"
    text = file("camera: top, every: 200ms, start: 100ms", more=", emergency_stop: bench:edge", cameras=("top",),
                other=other).read_text()  # fmt: skip
    Path("plans.yaml").write_text(text + "  q: {camera: free, every: 100ms}\n")
    result = cli("plan", "run", "plans.yaml", "--simulate")
    assert result.code == 8
    assert "EMERGENCY STOP of group bench: line bench:edge; all its streams are off\n" in result.err
    assert "camera-agent: the emergency stop of group bench was pressed: line bench:edge\n" in result.err
    told = " ".join(result.out.split())
    assert "ended by the emergency stop" in told
    assert "emergency stop of bench line bench:edge, " in told
    assert "after the plans' start; STREAMOFF of top entered " in told
    assert "stop of free STREAMOFF entered" in told


def test_a_stop_as_facts(cli, file):
    path = file("camera: top, every: 200ms", more=", emergency_stop: bench:edge", cameras=("top",))
    document = cli("plan", "run", path, "--simulate", "--json").document
    assert document["ended_by"] == "emergency_stop"
    (stop,) = document["emergency_stops"]
    (camera,) = stop["cameras"]
    assert (stop["group"], stop["why"], camera["camera"], camera["was_on"]) == ("bench", "line bench:edge", "top", True)
    assert 0 <= camera["to_entry_ns"] <= camera["to_return_ns"]
    assert document["triggers"][0]["emergency_stop_ns"] == stop["pressed_ns"]
    assert {plan["state"] for plan in document["plans"]} == {"cancelled"}


def test_a_stop_that_is_pressed_already_lets_nothing_begin(cli, file):
    path = file("camera: top, every: 200ms", more=", emergency_stop: {line: bench:stop, active: low}", cameras=("top",))
    result = cli("plan", "run", path, "--simulate")
    assert (result.code, result.out) == (8, "")
    assert "the emergency stop of group bench was pressed: line bench:stop is active" in result.err


def test_a_line_that_nobody_has_is_told_and_is_an_error(cli, file):
    path = file(
        "camera: top, every: 100ms, count: 3", PULSE.replace("bench:trigger", "bench:missing"), cameras=("top",)
    )
    result = cli("plan", "run", path, "--simulate")
    assert result.code == 3
    assert "group bench: " in result.err
    assert "missing" in result.err
    assert "3 (camera not ready)" in result.out


@pytest.mark.parametrize("option", ["--ledger", "--ticks"])
def test_files_are_never_written_over(cli, file, option):
    Path("old.jsonl").write_text("an old one\n")
    result = cli("plan", "run", file("camera: top"), "--simulate", option, "old.jsonl")
    assert result.code == 7
    assert Path("old.jsonl").read_text() == "an old one\n"
