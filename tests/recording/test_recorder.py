"""A recorder with its writing process: every frame is in one column, and a frame that takes too long stops nothing."""

import json
import os
import signal
import sys
import time
from fractions import Fraction
from functools import partial
from pathlib import Path

import pytest
from client.stage import wait_until
from pipeline.synthetic import camera_jpeg, frame_of, jpeg_frame
from recording.lent import Lent, Listed
from recording.test_writing import assert_true, files, lines, order

from agent.errors import FormatUnsupported, StorageError
from agent.frames.borrowed import Revoked
from agent.pipeline.video import VideoCodec
from agent.recording.messages import WriterFault
from agent.recording.order import OnFull, Trigger
from agent.recording.parquet import write_parquet
from agent.recording.recorder import Recorder
from agent.recording.slots import needed_bytes
from agent.recording.writer_process import Failed, WriterProcess

av = pytest.importorskip("av")
STEP_NS = 33_000_000
SLOW = (sys.executable, str(Path(__file__).with_name("slow_writer.py")))
STUCK = (sys.executable, str(Path(__file__).with_name("stuck_writer.py")))
pytestmark = pytest.mark.timeout(120)


def some(count, frame=None, **more):
    return [Lent(frame, number, at_ns=10**9 + number * STEP_NS, **more) for number in range(count)]


def recorded(told, frames, **more):
    with Recorder(told, **more) as recorder:
        recorder.run(Listed(frames))
    return recorder.counts


@pytest.mark.parametrize("format_", ["jpg", "mkv"])
def test_every_frame_is_stored_and_given_back(tmp_path, format_):
    frames = some(30, skipped=1, lost=2)
    counts = recorded(order(tmp_path, format_), frames)
    assert (counts.stored, counts.accepted, counts.skipped, counts.lost) == (30, 30, 30, 60)
    assert all(frame.released for frame in frames)
    assert [line["sequence"] for line in lines(tmp_path)] == list(range(30))
    assert lines(tmp_path)[3]["skipped"] == 1
    assert_true(tmp_path)


def test_frames_that_grow_find_room(tmp_path):
    frames = [*some(3), Lent(jpeg_frame(camera_jpeg()), 3, at_ns=2 * 10**9), Lent(frame_of("RG12"), 4, at_ns=3 * 10**9)]
    assert recorded(order(tmp_path), frames).stored == 5


def test_the_end_by_count_time_and_rate(tmp_path):
    assert recorded(order(tmp_path / "count", count=7), some(30)).stored == 7
    assert recorded(order(tmp_path / "time", duration_ns=10 * STEP_NS), some(30)).stored == 10
    counts = recorded(order(tmp_path / "rate", rate=Fraction(10)), some(30))
    assert counts.stored + counts.left_out == 30
    assert 9 <= counts.stored <= 11
    assert recorded(order(tmp_path / "video", "mkv", count=7), some(30)).stored == 7


def test_a_frame_that_was_taken_back_is_not_written(tmp_path):
    frames = some(5)
    frames[2] = Lent(None, 2, at_ns=frames[2].facts.timestamp_ns, revoked=Revoked("gone", hint=""))
    counts = recorded(order(tmp_path), frames)
    assert (counts.stored, counts.revoked) == (4, 1)
    assert 2 not in [line["sequence"] for line in lines(tmp_path)]


def test_what_cannot_be_coded_is_counted_by_its_code(tmp_path):
    frames = [*some(2), Lent(jpeg_frame(camera_jpeg()[:-500]), 2, at_ns=2 * 10**9), *some(1)]
    told = []
    counts = recorded(order(tmp_path), frames, tell=told.append)
    assert (counts.stored, counts.failed) == (3, {"picture_damaged": 1})
    assert len(told) == 1


def test_a_format_that_cannot_be_written_so_ends_it(tmp_path):
    with pytest.raises(FormatUnsupported, match="no Bayer format"):
        recorded(order(tmp_path, "dng"), some(5))
    assert files(tmp_path) == []


def test_a_frame_over_its_limit_is_given_up_and_those_behind_are_not(tmp_path, monkeypatch):
    monkeypatch.setenv("STUCK_AT", "000002.jpg")
    monkeypatch.setenv("STUCK_ONCE", str(tmp_path / "once"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    (tmp_path / "once").touch()
    told = []
    writer = partial(WriterProcess, program=STUCK)
    limited = order(tmp_path / "out", encode_limit_ns=400_000_000)
    counts = recorded(limited, some(8), writer=writer, tell=told.append)
    assert (counts.stored, counts.given_up) == (7, 1)
    assert [line["sequence"] for line in lines(tmp_path / "out")] == [0, 1, 3, 4, 5, 6, 7]
    assert told == ["a frame took longer than 400ms: given up"]
    assert_true(tmp_path / "out")


def test_a_writer_that_is_always_stuck_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("STUCK_AT", ".jpg")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    with pytest.raises(WriterFault) as caught:
        recorded(order(tmp_path, encode_limit_ns=1_000_000), some(40), writer=partial(WriterProcess, program=STUCK))
    assert "in a row" in caught.value.message
    assert files(tmp_path) == []


@pytest.mark.parametrize(("format_", "codec"), [("mkv", None), ("mp4", None), ("mkv", "ffv1"), ("jpg", None)])
def test_a_killed_writer_leaves_what_can_be_read_and_another_goes_on(tmp_path, format_, codec):
    more = {} if codec is None else {"codec": VideoCodec(codec)}
    with Recorder(order(tmp_path, format_, **more)) as recorder:
        recorder.run(KillsAfter(recorder, some(40), 20))
    assert recorder.counts.stored + recorder.counts.given_up == 40
    assert recorder.counts.given_up <= 2
    assert recorder.counts.stored == len(lines(tmp_path))
    assert_true(tmp_path)


class KillsAfter(Listed):
    """Kills the writing process after some frames, by SIGKILL, when it has answered for all it was handed."""

    def __init__(self, recorder, frames, after):
        super().__init__(frames)
        self._recorder, self._after = recorder, after

    def next(self, timeout_ns):
        writer = self._recorder._writer
        if len(self._left) == self._after and not writer.pending:
            self._after = None
            os.kill(writer._process.pid, signal.SIGKILL)
            wait_until(writer._process.gone)
        if len(self._left) == self._after:
            return None
        return super().next(timeout_ns)


def test_a_recorder_that_is_killed_leaves_what_can_be_read(tmp_path):
    """Its writing process finishes when its channel ends: nothing is lost but what was not handed over."""
    recorder = Recorder(order(tmp_path, "mkv"))
    try:
        for frame in some(10):
            recorder._take(frame)
            recorder._settle(10**9)
        writer = recorder._writer._process
        recorder._writer._process.channel.close()
        wait_until(writer.gone)
    finally:
        recorder.release()
    assert len(lines(tmp_path)) == 10
    assert_true(tmp_path)


def test_a_disk_that_is_full_ends_it_or_does_not(tmp_path):
    """The folder's limit is less than a frame: the same to a recorder as a full disk."""
    with pytest.raises(StorageError):
        recorded(order(tmp_path / "stop", "raw", limit_bytes=1000), some(10))
    told = []
    counts = recorded(
        order(tmp_path / "alarm", "raw", limit_bytes=1000, on_full=OnFull.ALARM), some(10), tell=told.append
    )
    assert (counts.stored, counts.not_stored) == (0, 10)
    assert len(told) == 1


class Happens:
    """An event when the n-th frame was asked for."""

    def __init__(self, at):
        self._calls, self._at = 0, at

    def take(self):
        self._calls += 1
        return [10**9 + 10 * STEP_NS] if self._calls == self._at else []


@pytest.mark.parametrize("format_", ["jpg", "mp4"])
def test_around_an_event(tmp_path, format_):
    told = order(tmp_path, format_, on=Trigger.SIGNAL, before_ns=3 * STEP_NS, after_ns=3 * STEP_NS)
    with Recorder(told, events=Happens(13)) as recorder:
        recorder.run(Paced(recorder, some(30)))
    sequences = [line["sequence"] for line in lines(tmp_path)]
    assert set(sequences) >= set(range(7, 14))
    assert max(sequences) == 13
    assert recorder.counts.events == 1
    assert recorder.counts.stored == len(sequences)
    assert_true(tmp_path)


@pytest.mark.parametrize("waits", [False, True])
def test_what_was_before_an_event_may_take_long_to_write(tmp_path, monkeypatch, waits):
    """Ten files of 60 ms each, and frames behind it: none of that is a frame over its limit."""
    monkeypatch.setenv("SLOW_MS", "60")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    told = order(tmp_path, on=Trigger.SIGNAL, before_ns=10 * STEP_NS, encode_limit_ns=300_000_000)
    writer = WriterProcess(told, 4, read_monotonic_ns=time.monotonic_ns, program=SLOW)
    try:
        frames = [(frame, *needed_bytes(frame, "")) for frame in some(12)]
        for each in frames[:11]:
            writer.hand(*each)
            assert [done.kept for done in writer.answers(10**10)] == [True]
        writer.event(10**9 + 10 * STEP_NS)
        if waits:
            writer.wait(10**10)
            assert writer.answers(0) == []
        writer.hand(*frames[11])
        done = writer.finish()
        assert [each.code for each in done] == ["", "", ""]
        assert (sum(each.written for each in done), writer.replaced) == (11, 0)
    finally:
        writer.release()


def test_an_event_lasts_when_the_writer_is_replaced(tmp_path):
    told = order(tmp_path, on=Trigger.SIGNAL, after_ns=40 * STEP_NS)
    with Recorder(told, events=Happens(13)) as recorder:
        recorder.run(KillsAfter(recorder, some(40), 20))
    assert {line["sequence"] for line in lines(tmp_path)} >= set(range(21, 40))


class Paced(Listed):
    """Hands out a frame when nothing is pending, so that events have their place among them."""

    def __init__(self, recorder, frames):
        super().__init__(frames)
        self._recorder = recorder

    def next(self, timeout_ns):
        while self._recorder._writer.pending:
            self._recorder._settle(10**9)
        return super().next(timeout_ns)


def test_a_folder_is_one_recordings(tmp_path):
    with Recorder(order(tmp_path)), pytest.raises(Failed, match="another capture"):
        Recorder(order(tmp_path))


def test_the_index_as_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    recorded(order(tmp_path), some(5))
    for _ in range(2):
        table = parquet.read_table(write_parquet(tmp_path))
    assert table.column("sequence").to_pylist() == list(range(5))
    assert (
        json.loads((tmp_path / "frames.jsonl").read_text().splitlines()[0])["file"] == table.column("file")[0].as_py()
    )
