"""`plan check --trace`: the exact calls of the real capture loop, with no hardware and no time."""

import json
import re
import signal
from pathlib import Path

import pytest
from cli.outcome import Result

from agent.cli.bench import open_stepped
from agent.cli.dry_run import DryRun
from agent.cli.main import run
from agent.config.plan_file import parse_plan_file

SMALL = """\
output: none
cameras:
  top: {device: /dev/video4, size: 320x240, exposure: 8ms, settle: 0}
plans:
  inspect: {camera: top, every: 100ms, start: 50ms, count: 2, burst: 2}
"""
GOLDEN = """\
   +0.000000  top  open path=/dev/video4
   +0.000000  top  VIDIOC_S_FMT type=VIDEO_CAPTURE pixelformat=YUYV size=320x240 -> pixelformat=YUYV size=320x240
   +0.000000  top  VIDIOC_REQBUFS count=4 type=VIDEO_CAPTURE memory=MMAP -> count=4
   +0.000000  top  VIDIOC_S_EXT_CTRLS auto_exposure=1 exposure_time_absolute=80
   +0.000000  top  VIDIOC_QBUF index=0 memory=MMAP
   +0.000000  top  VIDIOC_QBUF index=1 memory=MMAP
   +0.000000  top  VIDIOC_QBUF index=2 memory=MMAP
   +0.000000  top  VIDIOC_QBUF index=3 memory=MMAP
   +0.000000  top  VIDIOC_STREAMON type=VIDEO_CAPTURE
# frames that no tick wants, VIDIOC_DQBUF and VIDIOC_QBUF of the same buffer: 2 of top
   +0.074667  top  VIDIOC_DQBUF -> index=2 sequence=2 bytesused=153600 timestamp=1.066666
   +0.074667  top  VIDIOC_QBUF index=2 memory=MMAP
   +0.074667  top  VIDIOC_DQBUF -> EAGAIN
   +0.108000  top  VIDIOC_DQBUF -> index=3 sequence=3 bytesused=153600 timestamp=1.100000
   +0.108000  top  VIDIOC_QBUF index=3 memory=MMAP
   +0.108000  top  VIDIOC_DQBUF -> EAGAIN
   +0.108000  top  # tick 0 of inspect: delivered 58ms after it was due, 2 frames
# frames that no tick wants, VIDIOC_DQBUF and VIDIOC_QBUF of the same buffer: 1 of top
   +0.174667  top  VIDIOC_DQBUF -> index=1 sequence=5 bytesused=153600 timestamp=1.166666
   +0.174667  top  VIDIOC_QBUF index=1 memory=MMAP
   +0.174667  top  VIDIOC_DQBUF -> EAGAIN
   +0.208000  top  VIDIOC_DQBUF -> index=2 sequence=6 bytesused=153600 timestamp=1.200000
   +0.208000  top  VIDIOC_QBUF index=2 memory=MMAP
   +0.208000  top  VIDIOC_DQBUF -> EAGAIN
   +0.208000  top  # tick 1 of inspect: delivered 58ms after it was due, 2 frames
   +0.208000  top  VIDIOC_STREAMOFF type=VIDEO_CAPTURE
   +0.208000  top  VIDIOC_STREAMOFF type=VIDEO_CAPTURE
   +0.208000  top  VIDIOC_REQBUFS count=0 type=VIDEO_CAPTURE memory=MMAP -> count=0
   +0.208000  top  close
# edges: none
"""
PROBES = re.compile(r"VIDIOC_(QUERY|ENUM|G_|TRY|EXPBUF)|  mmap |close index")


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text):
        path = Path("plans.yaml")
        path.write_text(text)
        return path

    return write


def spoken(out):
    """The lines without comments at the top and without what only asks the camera what it is."""
    lines = [line for line in out.splitlines()[3:] if not PROBES.search(line)]
    return "".join(f"{line}\n" for line in lines)


def test_a_small_plan_call_by_call(cli, file):
    result = cli("plan", "check", file(SMALL), "--trace")
    assert (result.code, result.err) == (0, "")
    assert spoken(result.out) == GOLDEN


def test_it_is_said_that_no_hardware_was_asked(cli, file):
    out = cli("plan", "check", file(SMALL), "--trace").out
    assert "No hardware was touched: the answers are those of simulated cameras" in out
    assert "/dev/video4, each like a uvc camera" in out


def test_the_same_file_gives_the_same_trace(cli, file):
    path = file(SMALL)
    descriptors = re.compile(r"fd[= ]\d+ *")
    first, second = (descriptors.sub("", cli("plan", "check", path, "--trace").out) for _ in range(2))
    assert first == second


def test_every_frame_on_request(cli, file):
    out = cli("plan", "check", file(SMALL), "--trace", "--every-frame").out
    assert "frames that no tick wants" not in out
    assert "+0.008000  top  VIDIOC_DQBUF -> index=0 sequence=0 bytesused=153600 timestamp=1.000000" in out


def test_json_has_every_call(cli, file):
    document = cli("plan", "check", file(SMALL), "--trace", "--json").document
    calls = [entry for entry in document["trace"] if "call" in entry]
    ticks = [entry for entry in document["trace"] if "tick" in entry]
    assert document["edges"] == []
    assert document["complete"]
    dequeued = [call for call in calls if call["call"] == "VIDIOC_DQBUF" and not call["error"]]
    assert [call["answered"]["sequence"] for call in dequeued] == [str(number) for number in range(7)]
    assert [call["wanted"] for call in dequeued] == [False, False, True, True, False, True, True]
    assert [(tick["plan"], tick["tick"], tick["end"], tick["due_ns"]) for tick in ticks] == [
        ("inspect", 0, "delivered", 50_000_000),
        ("inspect", 1, "delivered", 150_000_000),
    ]
    assert len({tick["trace_id"] for tick in ticks}) == 2


def test_as_many_ticks_as_are_asked_for(cli, file):
    path = file(SMALL.replace(", count: 2", ""))
    for options, count in (((), 5), (("--ticks", "3"), 3)):
        trace = cli("plan", "check", path, "--trace", "--json", *options).document["trace"]
        assert [entry["tick"] for entry in trace if "tick" in entry] == list(range(count))


def test_a_sensor_answers_in_lines(cli, file):
    out = cli("plan", "check", file(SMALL), "--trace", "--camera-like", "sensor").out
    assert "VIDIOC_S_EXT_CTRLS exposure=540\n" in out
    assert "VIDIOC_STREAMON type=VIDEO_CAPTURE_MPLANE" in out


def test_the_cameras_of_simulate(cli, file):
    text = SMALL.replace("/dev/video4", "/dev/video2")
    out = cli("plan", "check", file(text), "--trace", "--simulate").out
    assert "(/dev/video0, /dev/video2)" in out
    assert "card='Bench camera B'" in out


def test_two_groups_quotas_and_stored_frames(cli, file):
    text = """
cameras:
  top: {device: /dev/video0, settle: 0, group: g}
  side: {device: /dev/video1, settle: 0, group: g}
  left: {device: /dev/video2, settle: 0}
plans:
  a: {camera: top, every: 40ms, quota: 1/s}
  b: {camera: side, every: 40ms}
  c: {camera: left, every: 40ms}
"""
    trace = cli("plan", "check", file(text), "--trace", "--ticks", "9", "--json").document["trace"]
    ends = {(entry["plan"], entry["tick"]): entry["end"] for entry in trace if "tick" in entry}
    assert ends["a", 0] == ends["b", 0] == ends["c", 1] == "delivered"
    assert ends["a", 1] == "refused_plan"
    off = [entry["camera"] for entry in trace if entry.get("call") == "VIDIOC_STREAMOFF"]
    assert set(off) == {"top", "side", "left"}


def test_a_frame_that_was_stored_goes_back_as_one_that_was_wanted(cli, file):
    text = SMALL.replace("output: none\n", "").replace("burst: 2", "burst: 1")
    trace = cli("plan", "check", file(text), "--trace", "--json").document["trace"]
    wanted = [
        entry["call"] for entry in trace if entry.get("wanted") and entry.get("call") in ("VIDIOC_DQBUF", "VIDIOC_QBUF")
    ]
    streaming = wanted[wanted.index("VIDIOC_DQBUF") :]
    assert streaming.count("VIDIOC_QBUF") == 2


def test_a_camera_that_cannot_be_set_ends_with_its_error(cli, file):
    result = cli("plan", "check", file(SMALL.replace("320x240", "333x77")), "--trace")
    assert result.code == 2
    assert "camera top: " in result.err
    assert "333x77" in result.err
    assert "VIDIOC_STREAMON" not in result.out
    assert "VIDIOC_ENUM_FRAMESIZES" in result.out


def test_a_tick_far_away_ends_the_dry_run_in_bounded_time(file, monkeypatch):
    text = SMALL.replace("start: 50ms", "start: 1h")
    with open_stepped(["/dev/video4"], "uvc") as cameras:
        plans = parse_plan_file(text, "x", now_ns=cameras.now_ns(), realtime_now_ns=0)
        with DryRun(cameras, plans, most_frames=50) as dry:
            assert dry.arm()
            dry.add([plans.plans["top"]])
            dry.run(1)
            dry.stop()
    assert dry.frames == 50
    assert not dry.complete


def interrupted_when_armed(dry):
    dry.arm()
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_ends_it_with_the_cameras_closed(file):
    handler = signal.getsignal(signal.SIGINT)
    with open_stepped(["/dev/video4"], "uvc") as cameras:
        plans = parse_plan_file(SMALL, "x", now_ns=cameras.now_ns(), realtime_now_ns=0)
        dry = DryRun(cameras, plans)
        with pytest.raises(KeyboardInterrupt), dry:
            interrupted_when_armed(dry)
    assert dry.entries[-1].call.name == "close"
    assert signal.getsignal(signal.SIGINT) is handler


def test_bad_input(cli, file):
    path = file(SMALL)
    assert cli("plan", "check", path, "--trace", "--simulate", "--camera-like", "uvc").code == 2
    assert cli("plan", "check", path, "--trace", "--ticks", "0").code == 2
    result = cli("plan", "check", file(SMALL.replace("camera: top", "camera: tpo")), "--trace")
    assert (result.code, result.out) == (2, "")


def test_nothing_of_this_machine_is_opened(file, capsys):
    """The kernels that the command line could choose from are not asked for one."""
    code = run(["plan", "check", str(file(SMALL)), "--trace", "--json"], lambda _simulate: pytest.fail("opened"))
    out = capsys.readouterr().out
    assert (code, json.loads(out)["file"]) == (0, "plans.yaml")
    assert isinstance(Result(code, out, ""), Result)


def test_a_camera_that_is_to_be_found_is_stood_for_or_found_among_the_simulated_ones(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("plans.yaml")
    path.write_text(SMALL.replace("/dev/video4", "{serial: SIM00001}"))
    stood_for = cli("plan", "check", path, "--trace").out
    assert "(serial SIM00001, each like a uvc camera)" in stood_for
    assert "top  open path=serial SIM00001" in stood_for
    assert "top  open path=/dev/video0" in cli("plan", "check", path, "--trace", "--simulate").out
    path.write_text(SMALL.replace("/dev/video4", "{serial: SIM00009}"))
    assert cli("plan", "check", path, "--trace", "--simulate").code == 3


TRIGGERED = """\
output: none
groups:
  line-1:
    trigger: {kind: pulse, output: {line: rig-lines:trigger, active: low}, pulse: 1ms, settle: 20ms, cycle: 40ms}
    emergency_stop: {line: "gpiochip0:5", active: low, bias: pull-up}
cameras:
  top: {device: /dev/video4, group: line-1, size: 320x240, exposure: 8ms, settle: 0, trigger: {strobe: rig-lines:s}}
  side: {device: /dev/video6, group: line-1, size: 320x240, exposure: 8ms, settle: 0, trigger: {}}
plans:
  sets: {group: line-1, every: 100ms, start: 50ms, count: 2}
"""
PULSE = TRIGGERED.splitlines()[3].strip()
LINES = """\
   +0.000000  line-1  line gpiochip0:5 open input active=low bias=pull-up
   +0.000000  line-1  line gpiochip0:5 read -> inactive
   +0.000000  top     line rig-lines:s open input active=high
   +0.000000  line-1  line rig-lines:trigger open output active=low safe=inactive
   +0.000000  line-1  line rig-lines:trigger read -> inactive
   +0.000000  line-1  line rig-lines:trigger read -> inactive
   +0.050000  line-1  line rig-lines:trigger set active
   +0.050013  top     line rig-lines:s edge to active
   +0.051000  line-1  line rig-lines:trigger set inactive
   +0.063013  line-1  # tick 0 of sets: delivered 13.013003ms after it was due, 2 frames
   +0.150000  line-1  line rig-lines:trigger set active
   +0.150013  top     line rig-lines:s edge to active
   +0.151000  line-1  line rig-lines:trigger set inactive
   +0.163013  line-1  # tick 1 of sets: delivered 13.012807ms after it was due, 2 frames
   +0.163013  top     line rig-lines:s close
   +0.163013  line-1  line rig-lines:trigger close
   +0.163013  line-1  line gpiochip0:5 close
"""


def told_of_lines(out):
    return "".join(f"{line}\n" for line in out.splitlines() if "  line " in line or "# tick" in line)


def test_every_line_and_every_edge_under_the_names_of_the_file(cli, file):
    result = cli("plan", "check", file(TRIGGERED), "--trace")
    assert (result.code, result.err) == (0, "")
    assert told_of_lines(result.out) == LINES
    assert result.out.endswith("# edges seen: 2 of rig-lines:s\n")


def test_the_trigger_mode_is_set_and_read_back_before_the_stream_and_put_back_after_it(cli, file):
    calls = [line.split(maxsplit=2)[1:] for line in cli("plan", "check", file(TRIGGERED), "--trace").out.splitlines()]
    top = [rest for camera, rest in (call for call in calls if len(call) == 2) if camera == "top"]
    on, off = (top.index(f"VIDIOC_STREAM{word} type=VIDEO_CAPTURE") for word in ("ON", "OFF"))
    set_ = top.index("VIDIOC_S_EXT_CTRLS trigger_mode=1")
    read = next(place for place, call in enumerate(top) if "-> trigger_mode=1" in call and place > set_)
    assert set_ < read < on < off < top.index("VIDIOC_S_EXT_CTRLS trigger_mode=0")


def test_the_edges_as_facts(cli, file):
    document = cli("plan", "check", file(TRIGGERED), "--trace", "--json").document
    edges = [(edge["line"], edge["at_ns"], edge["ours"], edge["active"]) for edge in document["edges"]]
    assert edges[:3] == [
        ("rig-lines:trigger", 50_000_000, True, True),
        ("rig-lines:s", 50_012_784, False, True),
        ("rig-lines:trigger", 51_000_000, True, False),
    ]
    assert len(edges) == 6
    assert [entry["told"] for entry in document["trace"] if entry.get("line") == "gpiochip0:5"] == [
        "line gpiochip0:5 open input active=low bias=pull-up",
        "line gpiochip0:5 read -> inactive",
        "line gpiochip0:5 close",
    ]


def test_the_cameras_own_triggers(cli, file):
    out = cli("plan", "check", file(TRIGGERED.replace(PULSE, "trigger: {kind: software, cycle: 40ms}")), "--trace").out
    pressed = re.findall(r"\+(\S+)  (\w+) +VIDIOC_S_EXT_CTRLS software_trigger=1 ", out)
    assert pressed == [("0.050000", "top"), ("0.050000", "side"), ("0.150000", "top"), ("0.150000", "side")]
    assert out.count(": delivered") == 2


@pytest.mark.parametrize("seen", ["", ", input: {line: 'rig:edge', active: low}"])
def test_a_pwm_is_switched_on_when_all_stream_and_fires_by_itself(cli, file, seen):
    pwm = f"trigger: {{kind: pwm, pwm: {{chip: pwmchip0, every: 50ms, width: 1ms}}{seen}}}"
    out = cli("plan", "check", file(TRIGGERED.replace(PULSE, pwm)), "--trace").out
    lines = out.splitlines()
    on = next(place for place, line in enumerate(lines) if line.endswith("pwm pwmchip0:0 on: 1ms of every 50ms"))
    assert all("STREAMON" not in line for line in lines[on:])
    assert "+0.163013  line-1  pwm pwmchip0:0 off" in out
    assert [line[3:12] for line in lines if "line rig-lines:s edge" in line] == [
        "+0.000013", "+0.050013", "+0.100013", "+0.150013",
    ]  # fmt: skip
    assert ("4 of rig:edge" in lines[-1]) == bool(seen)
    assert out.count(": delivered") == 2


def test_triggers_of_others_never_come(cli, file):
    text = TRIGGERED.replace(PULSE, "trigger: {kind: edge, input: rig-lines:edge}")
    text = text.replace("every: 100ms, start: 50ms", "on_edge: true")
    result = cli("plan", "check", file(text), "--trace")
    assert result.code == 0
    assert "VIDIOC_DQBUF" not in result.out
    assert "# nobody is wired to rig-lines:edge in a dry run: no edge comes" in result.out


def test_lines_of_simulate_are_those_of_its_chip(cli, file):
    text = TRIGGERED.replace("/dev/video4", "/dev/video0").replace("/dev/video6", "/dev/video2")
    text = text.replace("rig-lines:trigger, active: low", "bench:trigger").replace("rig-lines:s", "bench:strobe-0")
    text = text.replace('"gpiochip0:5", active: low, bias: pull-up', "bench:stop")
    # the second camera's stamps are of the end of its readout
    text = text.replace("trigger: {}}", "trigger: {readout: 16ms}}")
    out = cli("plan", "check", file(text), "--trace", "--simulate").out
    assert out.count(": delivered") == 2
    assert "edges seen: 2 of bench:strobe-0" in out


def test_no_module_of_this_machine_is_touched(cli, file):
    text = TRIGGERED.replace("trigger: {}}", "trigger: {sensor: imx296, mode: external_level}}")
    result = cli("plan", "check", file(text), "--trace")
    assert (result.code, result.err) == (0, "")
    assert result.out.count(": delivered") == 2
    assert "# Camera side: the parameter of imx296's module is not set here" in result.out
    assert re.search(r"side +VIDIOC_S_EXT_CTRLS trigger_mode=2", result.out)
