"""The trigger ledger's figures: from the words of a page to tables, rows and facts."""

import json

import pytest
from rich.console import Console

from agent.capture import pulse_log
from agent.capture.board import Board, Head, Of
from agent.capture.group_watch import GroupWatch
from agent.capture.messages import CameraReport, CancelReport, EmergencyStopped
from agent.capture.order import CameraOrder, GroupOrder
from agent.capture.trigger_mode import TriggerWish
from agent.capture.trigger_order import CameraTrigger, StopOrder, TriggerKind, TriggerOrder
from agent.cli.plan_ledger import LedgerFile
from agent.cli.plan_trigger_tables import group_texts, pressed_facts, pressed_text, residual_text, trigger_table
from agent.cli.plan_trigger_watch import pulses_of
from agent.schedule.ring import Ring
from agent.trigger.budget import Budget
from agent.trigger.lines import InputOrder, LineRef
from agent.trigger.modes import TriggerMode
from agent.trigger.verdicts import Cause, End, Entry, Explained
from agent.units import NS_PER_MS, NS_PER_S

LINE = InputOrder(line=LineRef("bench", "edge"), consumer="a test")
TRIGGER = CameraTrigger(
    budget=Budget(delay_ns=0, jitter_ns=0, window_ns=1, wait_ns=1), wish=TriggerWish(mode=TriggerMode.EXTERNAL_EDGE)
)
CAMERAS = (
    CameraOrder(name="top", path="/dev/video0", trigger=TRIGGER),
    CameraOrder(name="free", path="/dev/video1"),
    CameraOrder(name="side", path="/dev/video2", trigger=TRIGGER),
)
GROUP = GroupOrder(name="g", cameras=CAMERAS, plan_capacity=4, trigger=TriggerOrder(kind=TriggerKind.EDGE, input=LINE))


@pytest.fixture
def board():
    made = Board.create(memoryview(bytearray(Board.words_for(3, 4) * 8)).cast("q"), 3, 4)
    yield made
    made.release()


def fill(board):
    board.words[Head.PULSES], board.words[Head.EDGES], board.words[Head.EDGES_LOST] = 12, 14, 2
    board.words[Head.SETS], board.words[Head.SETS_INCOMPLETE] = 9, 1
    board.words[Head.SKEW_NS], board.words[Head.SKEW_MAX_NS] = 300, 1_600
    for of, value in {
        Of.PULSES: 12, Of.MATCHED: 7, Of.MISSED: 2, Of.LATE: 1, Of.AMBIGUOUS: 1, Of.SPURIOUS: 3, Of.AMBIGUOUS_FRAMES: 4,
        Of.RELOCKS: 2, Of.OUT_OF_BUDGET: 5, Of.RESIDUAL_MIN_NS: -250, Of.RESIDUAL_MAX_NS: 12_000,
    }.items():  # fmt: skip
        board.camera(0)[of] = value
    board.delays(0).add(13_000)


def told(board):
    console = Console(width=200)
    with console.capture() as captured:
        console.print(trigger_table([pulses_of(GROUP, board)]))
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def test_only_triggered_cameras_have_a_ledger(board):
    fill(board)
    found = pulses_of(GROUP, board)
    assert [camera.camera for camera in found.cameras] == ["top", "side"]
    assert (found.kind, found.pulses, found.sets, found.edges, found.edges_lost) == ("edge", 12, 9, 14, 2)
    assert found.cameras[0].open == 1
    assert (found.cameras[0].residual_min_ns, found.cameras[1].residual_min_ns) == (-250, None)


def test_a_group_without_lines_has_none_and_one_with_a_stop_alone_has_no_pulses(board):
    plain = GroupOrder(name="g", cameras=CAMERAS)
    assert pulses_of(plain, board) is None
    stop = GroupOrder(name="g", cameras=CAMERAS, emergency_stop=StopOrder(input=LINE))
    found = pulses_of(stop, board)
    assert (found.kind, found.cameras, found.sets, found.edges) == (None, [], None, None)
    assert (trigger_table([found]), group_texts([found])) == (None, [])


def test_the_table(board):
    fill(board)
    rows = told(board)
    assert rows[2] == ("top 12, 1 open 7, 5 out of budget 2 1 1, 4 frames 3 -250 ns to +12 us P50 13 us, P99 13 us")
    assert rows[3] == "side 0 0"


def test_the_row_of_the_group(board):
    fill(board)
    ((name, text),) = group_texts([pulses_of(GROUP, board)])
    assert name == "trigger of g"
    assert text == (
        "12 pulses of the kind edge; 9 whole sets, 1 incomplete; skew 300 ns, largest 1.6 us; 14 edges; "
        "2 more were lost in the kernel; the pairing was shifted and locked again 2 times"
    )


@pytest.mark.parametrize(("ns", "text"), [(0, "+0 ns"), (12_800, "+12.8 us"), (-1, "-1 ns")])
def test_residuals_have_a_sign(ns, text):
    assert residual_text(ns) == text


def report(camera, **more):
    return CameraReport(camera=camera, **{"was_on": True, "asked_ns": 5, "entered_ns": 0, "returned_ns": 0} | more)


def test_who_pressed_and_how_fast_the_streams_were_off():
    base_ns = 100 * NS_PER_S
    cameras = (
        report("top", entered_ns=base_ns + 120_000, returned_ns=base_ns + 2 * NS_PER_MS),
        report("side", returned_ns=base_ns + 5 * NS_PER_MS),
        report("free", was_on=False),
    )
    facts = CancelReport(plans=1, already=False, cameras=cameras)
    stop = EmergencyStopped(at_ns=base_ns, pressed_ns=base_ns, why="line bench:stop", facts=facts)
    assert pressed_text(stop, base_ns - 3 * NS_PER_S) == (
        "line bench:stop, 3.000 s after the plans' start; STREAMOFF of top entered 120 us after the edge, "
        "returned 2 ms after it; side was off with its process, 5 ms after it"
    )
    as_facts = pressed_facts("g", stop)
    assert [camera["to_entry_ns"] for camera in as_facts["cameras"]] == [120_000, None, None]
    nothing = EmergencyStopped(
        at_ns=1, pressed_ns=1, why="line x is active", facts=CancelReport(plans=0, already=False)
    )
    assert pressed_text(nothing, None) == "line x is active; no stream was on"


def test_the_ledger_is_read_from_the_page_and_written_line_by_line(board, tmp_path):
    watch = GroupWatch(GROUP, board.words)
    ring = Ring(board.pulses)
    pulse_log.put(ring, 0, Entry(End.MATCHED, 3, 5, -40, start_ns=960, uncertainty_ns=7), 1_000)
    pulse_log.put(ring, 2, Entry(End.MISSED, 4, None, cause=Cause.NO_FRAME), 2_000)
    pulse_log.put_explained(ring, 2, Explained(4, Cause.DRIVER_LOST))
    path = tmp_path / "pulses.jsonl"
    with LedgerFile(path) as file:
        file.write(watch.ledger())
        file.write(watch.ledger())
        assert file.written == 3
    watch.release()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == {
        "camera": "top", "end": "matched", "cause": None, "pulse": 3, "frame": 5, "pulse_ns": 1_000, "start_ns": 960,
        "residual_ns": -40, "uncertainty_ns": 7, "explained": False,
    }  # fmt: skip
    assert [(line["camera"], line["end"], line["cause"], line["explained"]) for line in lines[1:]] == [
        ("side", "missed", "no frame", False),
        ("side", "missed", "driver lost it", True),
    ]


def test_delays_are_a_copy(board):
    fill(board)
    found = pulses_of(GROUP, board)
    board.delays(0).add(1)
    assert found.cameras[0].delays.count == 1
