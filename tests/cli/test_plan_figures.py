"""What a run is summed up from: pages, accounts, the file of requests, the plot."""

import json
import resource
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from agent.capture import tick_log
from agent.capture.board import Board, Of
from agent.capture.group_watch import Accounts, GroupWatch, lateness_facts, merged
from agent.capture.messages import CameraReport
from agent.capture.order import CameraOrder, GroupOrder
from agent.capture.relayed import exit_code_of, relayed
from agent.capture.state_word import Phase
from agent.capture.tick_log import End, TickRecord
from agent.cli.plan_live import refused_text, skipped_text
from agent.cli.plan_plot import PlotData, check_plot_path, write_plot
from agent.cli.plan_summary import account_facts, stop_text, sums_match, sums_text
from agent.cli.plan_ticks import LatenessSeries, TickFile, parse_sample
from agent.errors import AgentError, InputError, QuantityError, StorageError
from agent.schedule.account import COUNTERS, FIRED, LATE_MAX_NS, PLAN_WORDS, STATE, TICKS, Account, State
from agent.schedule.histogram import Histogram
from agent.schedule.requests import Sample
from agent.schedule.ring import Ring

counts = st.integers(0, 10**9)


def histogram(*values):
    made = Histogram(memoryview(bytearray(Histogram.WORDS * 8)).cast("q"))
    for value in values:
        made.add(value)
    return made


def record(number=0, end=End.DELIVERED, *, due_ns=1_000, took_ns=500, sequence=7):
    return TickRecord("ab" * 16, 3, number, end, due_ns, due_ns + 10, due_ns + took_ns, 1, sequence, 40)


@pytest.fixture
def page():
    """The words of a page as a capture process lays it out: two cameras, four places for plans."""
    words = memoryview(bytearray(Board.words_for(2, 4) * 8)).cast("q")
    board = Board.create(words, 2, 4)
    yield words, board
    board.release()


@pytest.fixture
def watch(page):
    cameras = (CameraOrder(name="top", path="/dev/video0"), CameraOrder(name="left", path="/dev/video2"))
    made = GroupWatch(GroupOrder(name="g", cameras=cameras, run_id=0xABC, plan_capacity=4), page[0])
    made.slots = {0: ("a", "top"), 2: ("c", "left")}
    yield made
    made.release()


# -- pages ----------------------------------------------------------------------------------------------------------


def test_cameras_by_their_words(page, watch):
    words = page[1].camera(1)
    words[Of.WORD], words[Of.FRAMES], words[Of.STORED], words[Of.RESTARTS] = Phase.ARMED, 12, 5, 2
    top, left = watch.cameras()
    assert (top.state, top.streams, top.frames) == ("idle", False, 0)
    assert (left.name, left.state, left.streams, left.frames, left.stored, left.starts) == (
        "left", "armed", True, 12, 5, 2,
    )  # fmt: skip


def test_accounts_are_those_of_the_places_the_plans_have(page, watch):
    plans = page[1].plans
    for slot, ticks in ((0, 3), (1, 100), (2, 5)):
        plans[slot * PLAN_WORDS + TICKS] = plans[slot * PLAN_WORDS + FIRED] = ticks
        plans[slot * PLAN_WORDS + LATE_MAX_NS] = ticks * 10
    plans[STATE] = State.RUNNING
    accounts = watch.accounts()
    assert [(figures.name, figures.account.ticks) for figures in accounts.all()] == [("a", 3), ("c", 5)]
    assert (accounts.total().ticks, accounts.total().late_max_ns) == (8, 50)
    assert accounts.states() == {State.FREE: 1, State.RUNNING: 1}
    assert watch.running()
    plans[STATE] = State.FINISHED
    assert not watch.running()


def test_without_plans_there_is_nothing_to_add_up(page, watch):
    watch.slots = {}
    assert (len(watch.accounts()), watch.accounts().total(), watch.running()) == (0, Account(), False)


def test_requests_have_their_plan_and_what_was_overwritten_is_counted(page, watch):
    ring = Ring(page[1].ring)
    tick_log.put(ring, 2, End.REFUSED_PLAN, 4, 100, 0, 110)
    plan, camera, told = watch.records()[0]
    assert (plan, camera, told.end, told.number) == ("c", "left", End.REFUSED_PLAN, 4)
    assert told.trace_id.startswith("0000000000000abc")
    capacity = (len(page[1].ring) - 2) // 8
    for number in range(capacity + 10):
        tick_log.put(ring, 0, End.DELIVERED, number, 100, 0, 110)
    assert len(watch.records()) + watch.lost == capacity + 10
    assert watch.lost >= 10


@given(st.lists(st.lists(counts, min_size=COUNTERS, max_size=COUNTERS), max_size=8), st.integers(1, 5))
def test_the_total_is_the_sum_and_the_busiest_are_the_busiest(rows, most):
    rows = [[State.RUNNING, *row[1:]] for row in rows]
    table = np.array(rows, np.int64).reshape(-1, COUNTERS)
    plans = Accounts([(f"p{place}", "top") for place in range(len(rows))], table)
    total = Account()
    for figures in plans.all():
        total += figures.account
    assert plans.total() == total
    chosen = plans.busiest(most)
    assert len(chosen) == min(most, len(rows))
    left_out = {figures.name for figures in plans.all()} - {figures.name for figures in chosen}
    least = min((figures.account.ticks for figures in chosen), default=0)
    assert all(figures.account.ticks <= least for figures in plans.all() if figures.name in left_out)


@given(st.lists(st.lists(st.integers(0, 2**37), max_size=20), min_size=1, max_size=3))
def test_histograms_together_are_one_of_all_values(groups):
    together = merged([histogram(*values) for values in groups])
    assert together.words.tobytes() == histogram(*(value for values in groups for value in values)).words.tobytes()


def test_percentiles_for_programs():
    facts = lateness_facts(histogram(*range(1_000, 101_000, 1_000)))
    assert (facts["count"], facts["mean_ns"], facts["max_ns"]) == (100, 50_500, 100_000)
    assert 50_000 <= facts["p50_ns"] <= 50_000 * 17 / 16
    assert set(lateness_facts(histogram()).values()) == {0, None}


# -- sums -------------------------------------------------------------------------------------------------------------

WHOLE = Account(
    State.FINISHED, ticks=20, fired=12, coalesced=1, skipped_busy=2, skipped_late=1, refused_plan=3, cancelled=1,
    delivered=9, failed=1, shots_cancelled=2,
)  # fmt: skip


def test_sums_that_match_are_said_to():
    assert sums_match(WHOLE)
    assert sums_text(WHOLE) == (
        "20 = 12 fired + 1 joined another + 3 skipped + 3 refused + 1 cancelled; "
        "of the fired 12 = 9 delivered + 1 failed + 2 cancelled: the sums match"
    )
    assert skipped_text(WHOLE) == "3 (2 busy, 1 late), 1 joined another"
    assert refused_text(WHOLE) == "3 (plan)"
    assert account_facts(WHOLE)["sums_match"] is True


def test_what_was_cut_off_is_said():
    cut = Account(State.RUNNING, ticks=5, fired=4, delivered=3)
    assert not sums_match(cut)
    assert sums_text(cut).endswith("1 under way: the sums match, with 2 that had not ended")


@pytest.mark.parametrize("wrong", [{"ticks": 1, "fired": 2, "delivered": 2}, {"ticks": 2, "fired": 1, "delivered": 2}])
def test_a_tick_counted_twice_is_not_passed_over(wrong):
    assert sums_text(Account(**wrong)).endswith("the sums do NOT match")


@pytest.mark.parametrize(
    ("report", "told"),
    [
        ({"was_on": False}, "its stream was off already"),
        (
            {"entered_ns": 1_200, "returned_ns": 3_200, "steps": ("streamoff",)},
            "STREAMOFF entered 200 ns after the cancel, returned 2.2 us after it: it took 2 us",
        ),
        (
            {"returned_ns": 5_001_000, "steps": ("streamoff", "close", "kill"), "error": "it hung"},
            "its stream ended with its process, 5 ms after the cancel; tried: streamoff, close, kill (it hung)",
        ),
    ],
)
def test_how_a_stop_went(report, told):
    whole = {"camera": "top", "was_on": True, "asked_ns": 1_000, "entered_ns": 0, "returned_ns": 0, **report}
    assert stop_text(CameraReport(**whole)) == told


# -- requests ---------------------------------------------------------------------------------------------------------


class Option:
    opts = ("--sample",)


@pytest.mark.parametrize(
    ("text", "sample"),
    [
        ("every=100", Sample(every=100, failures=False)),
        ("slower=5ms,failures", Sample(slower_than_ns=5_000_000, failures=True)),
        (" every=1 , failures", Sample(every=1, failures=True)),
    ],
)
def test_a_sample_is_what_is_named(text, sample):
    assert parse_sample(None, Option, text) == sample


@pytest.mark.parametrize("text", ["", "every", "every=0", "every=x", "failures=1", "often", "every=3,,"])
def test_no_sample(text):
    with pytest.raises(InputError, match="--sample"):
        parse_sample(None, Option, text)


def test_a_time_without_a_unit():
    with pytest.raises(QuantityError, match="no unit"):
        parse_sample(None, Option, "slower=5")


def test_a_line_for_each_request_that_is_picked(tmp_path):
    path = tmp_path / "ticks.jsonl"
    requests = [
        ("a", "top", record(0)),
        ("a", "top", record(1)),
        ("a", "top", record(2, took_ns=9_000)),
        ("b", "left", record(3, End.REFUSED_AGENT, sequence=-1)),
    ]
    with TickFile(path, Sample(every=4, slower_than_ns=8_000, failures=True)) as file:
        file.write(requests[:2])
        file.write(requests[2:])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["plan"], line["number"], line["outcome"]) for line in lines] == [
        ("a", 0, "delivered"),
        ("a", 2, "delivered"),
        ("b", 3, "refused_agent"),
    ]
    assert lines[0] == {
        "trace_id": "ab" * 16, "plan": "a", "camera": "top", "number": 0, "due_ns": 1_000, "fired_ns": 1_010,
        "ended_ns": 1_500, "outcome": "delivered", "frames": 1, "sequence": 7, "operator_ns": 40,
    }  # fmt: skip
    assert lines[2]["sequence"] is None
    assert file.written == 3


def test_a_file_of_requests_is_never_overwritten_and_never_left_empty(tmp_path):
    path = tmp_path / "ticks.jsonl"
    with TickFile(path, Sample()):
        pass
    assert not path.exists()
    path.write_text("an old one\n")
    with pytest.raises(StorageError, match="File exists"):
        TickFile(path, Sample())
    assert path.read_text() == "an old one\n"


def test_a_full_disk_leaves_whole_lines(tmp_path):
    path = tmp_path / "ticks.jsonl"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with TickFile(path, Sample(every=1)) as file:
        file.write([("a", "top", record(0))])
        # Python ignores SIGXFSZ: a write beyond the limit is an OSError, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, before[1]))
        try:
            with pytest.raises(StorageError, match="File too large"):
                file.write([("a", "top", record(1)), ("a", "top", record(2))])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == [0]
    assert file.written == 1


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**9)), max_size=60))
def test_columns_keep_the_largest_and_stay_few(values):
    series = LatenessSeries(0)
    for at_ns, late_ns in values:
        series.add(at_ns, late_ns)
    columns = series.columns()
    assert len(columns) <= LatenessSeries.MOST
    assert max((largest for _, _, largest in columns), default=0) == max((late for _, late in values), default=0)
    assert all(0 <= mean <= largest for _, mean, largest in columns)
    assert [at_ns for at_ns, _, _ in columns] == sorted(at_ns for at_ns, _, _ in columns)


# -- plot -------------------------------------------------------------------------------------------------------------

NAMESPACE = "{http://www.w3.org/2000/svg}"
DATA = PlotData(
    "a <plan> & more.yaml: 2 plans, 3.0 s",
    [(5_000_000 + 10_000_000 * place, 70_000, 300_000 + place) for place in range(300)],
    histogram(*(60_000 + 700 * place for place in range(300)), 5_000_000),
    WHOLE,
    3,
)
EMPTY = PlotData("empty", [], histogram(), Account(), 0)
ONE = PlotData("one", [(5_000_000, 0, 0)], histogram(0), Account(ticks=1, fired=1, delivered=1), 0)


def test_the_plot_is_svg_with_units_and_labels(tmp_path):
    path = tmp_path / "run.svg"
    write_plot(path, DATA)
    root = ElementTree.parse(path).getroot()
    texts = [element.text for element in root.iter(f"{NAMESPACE}text")]
    assert root.tag == f"{NAMESPACE}svg"
    for label in (DATA.title, "seconds after the start", "from due to fired", "100us", "1ms", "delivered", "9 (45.0%)"):
        assert label in texts
    assert any("3 requests are missing in the upper plot" in text for text in texts)
    assert len(list(root.iter(f"{NAMESPACE}circle"))) == 300


@pytest.mark.parametrize("data", [DATA, EMPTY, ONE], ids=["whole", "empty", "one"])
@pytest.mark.parametrize("name", ["run.svg", "run.PNG"])
def test_whatever_there_is_can_be_drawn_within_the_picture(tmp_path, data, name):
    path = tmp_path / name
    write_plot(path, data)
    if name.endswith("PNG"):
        with Image.open(path) as picture:
            assert (picture.format, picture.size) == ("PNG", (1800, 1400))
        return
    for element in ElementTree.parse(path).getroot().iter():
        for name_, limit in (("x", 900), ("cx", 900), ("y", 700), ("cy", 700)):
            assert 0 <= float(element.get(name_, 0)) <= limit


def test_a_plot_that_cannot_be(tmp_path):
    with pytest.raises(InputError, match="neither an SVG nor a PNG"):
        check_plot_path(tmp_path / "run.pdf")
    with pytest.raises(StorageError):
        write_plot(tmp_path / "none" / "run.svg", EMPTY)


# -- errors of other processes ----------------------------------------------------------------------------------------


def test_an_error_keeps_its_words_code_and_exit_code():
    error = relayed("device_gone", "it is gone", "plug it in", details={"message": "x", "device": "/dev/video0"})
    assert isinstance(error, AgentError)
    assert (error.code, error.exit_code, error.message, error.hint) == ("device_gone", 3, "it is gone", "plug it in")
    assert error.details["device"] == "/dev/video0"
    assert relayed("x", "y", "z", exit_code=4).exit_code == 4


def test_codes_of_nobody_are_the_camera_s():
    assert [exit_code_of("storage"), exit_code_of("bad_input"), exit_code_of("nobody's")] == [7, 2, 6]
