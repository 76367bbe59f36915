"""Frames into a folder: whatever call fails, nothing is half written, the index is true, and the policy holds."""

import errno
import json
import os
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline.failing import FailingFiles
from pipeline.synthetic import frame_of, open_picture
from recording.lent import Lent, told

from agent.errors import InputError, StorageError
from agent.pipeline.files import Durability
from agent.recording.order import OnFull, RecordFormat, RecordOrder, Target, Trigger
from agent.recording.rate import RateGate
from agent.recording.writing import Writing

av = pytest.importorskip("av")
STEP_NS = 33_000_000
CALLS = ["open", "writev", "link_open", "fdatasync", "fsync", "ftruncate", "rename", "close", "seek"]


def order(folder, format_="jpg", **more):
    return RecordOrder(target=Target.CAMERA, name="top", folder=folder, format=RecordFormat(format_), **more)


def lines(folder):
    return [json.loads(line) for line in (folder / "frames.jsonl").read_text().splitlines()]


def files(folder):
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "frames.jsonl"
    )


def take(writing, numbers, frame=None, **more):
    return [writing.take(*told(Lent(frame, number, at_ns=10**9 + number * STEP_NS, **more))) for number in numbers]


def assert_true(folder):
    """The index names what is there; every file is whole, and has what the index says of it."""
    named = {line["file"] for line in lines(folder)}
    assert named <= set(files(folder))
    for name in files(folder):
        if name.endswith(".jpg"):
            open_picture(folder / name).load()
        else:
            with av.open(str(folder / name)) as video:
                count = sum(1 for _ in video.decode(video=0))
            mine = [line["video_frame"] for line in lines(folder) if line["file"] == name]
            assert mine == list(range(len(mine)))
            assert len(mine) <= count


@pytest.mark.parametrize("format_", ["jpg", "png", "tiff", "raw", "mp4", "mkv"])
def test_frames_are_in_files_and_in_the_index(tmp_path, format_):
    with Writing(order(tmp_path, format_, template="{date}/{camera}-{number:04d}")) as writing:
        done = take(writing, range(5))
        last = writing.finish()
    assert all(each.stored for each in done)
    assert sum(each.written for each in done) + last.written == 5
    assert [line["sequence"] for line in lines(tmp_path)] == list(range(5))
    assert {line["file"] for line in lines(tmp_path)} == set(files(tmp_path))
    for line in lines(tmp_path):
        assert line["encode_began_ns"] <= line["encode_ended_ns"]
        assert (line["began_ns"], line["pulse"]) == (line["timestamp_ns"], line["sequence"])


def test_numbers_go_on_behind_what_is_there(tmp_path):
    for _ in range(2):
        with Writing(order(tmp_path, template="{camera}/{number:03d}")) as writing:
            take(writing, range(2))
    assert files(tmp_path) == [f"top/00{number}.jpg" for number in range(4)]


def test_segments_by_time_and_size(tmp_path):
    with Writing(order(tmp_path / "time", "mkv", segment_ns=10 * STEP_NS)) as writing:
        take(writing, range(35))
    assert len(files(tmp_path / "time")) == 4
    assert_true(tmp_path / "time")
    with Writing(order(tmp_path / "size", "mkv", segment_bytes=3000)) as writing:
        take(writing, range(60))
    assert len(files(tmp_path / "size")) > 2
    assert_true(tmp_path / "size")


def test_another_format_begins_another_video(tmp_path):
    with Writing(order(tmp_path, "mkv")) as writing:
        take(writing, range(3))
        take(writing, range(3, 6), frame_of("NV12"))
    assert len(files(tmp_path)) == 2
    assert_true(tmp_path)


def test_several_cameras_share_a_folder(tmp_path):
    with Writing(order(tmp_path, "mp4")) as writing:
        for number in range(6):
            take(writing, [number], camera="ab"[number % 2])
    assert files(tmp_path) == ["a-000000.mp4", "b-000000.mp4"]
    assert_true(tmp_path)


@pytest.mark.parametrize(("format_", "segments"), [("jpg", {}), ("mkv", {"segment_ns": 2 * STEP_NS})])
def test_cameras_whose_names_are_the_same_share_their_numbers(tmp_path, format_, segments):
    with Writing(order(tmp_path, format_, template="{number:04d}", **segments)) as writing:
        done = [take(writing, [number], camera=f"camera-{number % 20}")[0] for number in range(100)]
        (tmp_path / f"0{len(files(tmp_path)):03d}.{format_}").write_text("somebody else's")
        done += take(writing, range(100, 110))
    assert [each.told for each in done if each.code] == []
    assert len(lines(tmp_path)) == 110


@pytest.mark.parametrize("format_", ["jpg", "mkv", "mp4"])
@pytest.mark.parametrize("on_full", [OnFull.DROP_OLDEST, OnFull.ALARM])
@pytest.mark.parametrize("call", CALLS)
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(after=st.integers(0, 30))
def test_no_room_at_any_call_leaves_nothing_half_written(tmp_path_factory, format_, on_full, call, after):
    folder = tmp_path_factory.mktemp("full")
    failing = FailingAfter(call, after)
    segments = {} if format_ == "jpg" else {"segment_ns": 4 * STEP_NS}
    told_order = order(folder, format_, on_full=on_full, limit_bytes=40_000, durability=Durability.SYNCED, **segments)
    done, refused = [], None
    try:
        with Writing(told_order, files=failing) as writing:
            done = take(writing, range(20))
            failing.heal()
            done += take(writing, range(20, 24))
            done.append(writing.finish())
    except StorageError as error:
        refused = error
    assert refused is None or refused.details["errno"] == errno.ENOSPC
    assert not failing.open_fds
    if (folder / "frames.jsonl").exists():
        assert_true(folder)
        assert len(lines(folder)) <= 24
    for each in done:
        assert each.code in ("", "storage")
        assert each.full == bool(each.code)
    if len(done) > 20:
        assert all(each.stored for each in done[21:]), "what is over is over"


class FailingAfter(FailingFiles):
    """A disk that is full from the n-th of some calls on."""

    def __init__(self, call, after):
        super().__init__()
        self._call, self._after = call, after
        self._well = False

    def heal(self):
        self.fails, self._well = {}, True

    def seek(self, fd, offset):
        self._enter("seek")
        super().seek(fd, offset)

    def _enter(self, call):
        if not self._well and call == self._call and self.calls.count(call) >= self._after:
            self.fails = {call: errno.ENOSPC}
        super()._enter(call)


class NoLines(FailingFiles):
    """A disk with room for pictures and, for a while, none for the index."""

    full = True

    def writev(self, fd, buffers):
        if self.full and bytes(buffers[0]).startswith(b'{"file"'):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().writev(fd, buffers)


@pytest.mark.parametrize("on_full", [OnFull.DROP_OLDEST, OnFull.ALARM])
def test_a_picture_whose_line_finds_no_room_is_not_left_behind(tmp_path, on_full):
    disk = NoLines()
    with Writing(order(tmp_path, on_full=on_full), files=disk) as writing:
        done = take(writing, range(3))
        assert files(tmp_path) == []
        disk.full = False
        take(writing, range(3, 5))
    assert [each.code for each in done] == ["storage"] * 3
    assert [line["file"] for line in lines(tmp_path)] == files(tmp_path)


def test_an_index_that_could_not_be_cut_back_is_opened_again(tmp_path):
    disk = NoLines()
    with Writing(order(tmp_path, on_full=OnFull.ALARM), files=disk) as writing:
        disk.fails = {"ftruncate": errno.EIO}
        done = take(writing, range(3))
        disk.fails, disk.full = {}, False
        done += take(writing, range(3, 5))
    assert [each.code for each in done] == ["storage"] * 3 + [""] * 2
    assert [line["file"] for line in lines(tmp_path)] == files(tmp_path)
    assert not disk.open_fds


class SmallDisk(FailingFiles):
    """A disk on which what is taken away makes room."""

    def unlink(self, path):
        size = os.stat(path).st_size
        super().unlink(path)
        self.room += size

    def rename(self, source, target):
        self.room += os.stat(target).st_size
        super().rename(source, target)

    def ftruncate(self, fd, length):
        self.room += os.fstat(fd).st_size - length
        super().ftruncate(fd, length)


def test_drop_oldest_makes_room_on_a_full_disk(tmp_path):
    disk = SmallDisk(room=100_000)
    with Writing(order(tmp_path, on_full=OnFull.DROP_OLDEST, limit_bytes=10**9), files=disk) as writing:
        done = take(writing, range(60))
    assert all(each.stored for each in done)
    assert sum(each.removed for each in done) > 40
    assert_true(tmp_path)
    assert lines(tmp_path)[-1]["sequence"] == 59


@pytest.mark.parametrize("on_full", [OnFull.STOP, OnFull.ALARM])
def test_else_old_files_stay_and_frames_are_counted(tmp_path, on_full):
    disk = SmallDisk(room=60_000)
    with Writing(order(tmp_path, on_full=on_full), files=disk) as writing:
        done = take(writing, range(20))
        disk.room = 100_000
        done += take(writing, range(20, 22))
    stored = [each.stored for each in done]
    assert stored[0]
    assert not stored[19]
    assert stored[20:] == [True, True], "what is over is over"
    assert sum(each.removed for each in done) == 0
    assert_true(tmp_path)


class Hiccup(FailingFiles):
    """A disk that is full for one of its writes."""

    writes_left = None

    def writev(self, fd, buffers):
        if self.writes_left is not None:
            self.writes_left -= 1
            if self.writes_left == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().writev(fd, buffers)


def assert_decodable(folder):
    """No frame needs one that is not in its file."""
    before = {}
    for line in lines(folder):
        name, sequence = line["file"], line["sequence"]
        if name not in before or sequence != before[name] + 1:
            with av.open(str(folder / name)) as video:
                packets = [packet for packet in video.demux(video=0) if packet.size]
            assert packets[line["video_frame"]].is_keyframe, f"{name}, frame {sequence}"
        before[name] = sequence


@pytest.mark.parametrize("format_", ["mkv", "mp4"])
def test_no_frame_of_a_video_needs_one_that_found_no_room(tmp_path, format_):
    disk = FailingFiles()
    with Writing(order(tmp_path, format_, limit_bytes=20_000, on_full=OnFull.ALARM), files=disk) as writing:
        done = take(writing, range(60))
        disk.fails = {"rename": errno.EACCES}  # the index cannot be written anew, so no file goes
        while not done[-1].code and len(done) < 400:
            done += take(writing, [len(done)])
        disk.fails = {}
        done += take(writing, range(len(done), len(done) + 5))
    assert [each.code for each in done[-6:]] == ["storage"] + [""] * 5
    assert_true(tmp_path)
    assert_decodable(tmp_path)


@pytest.mark.parametrize("format_", ["mkv", "mp4"])
def test_no_frame_from_memory_needs_one_that_found_no_room(tmp_path, format_):
    disk = Hiccup()
    around = {"on": Trigger.SIGNAL, "before_ns": 50 * STEP_NS, "on_full": OnFull.ALARM}
    with Writing(order(tmp_path, format_, **around), files=disk) as writing:
        take(writing, range(50))
        disk.writes_left = 40
        done = writing.event(10**9 + 49 * STEP_NS)
        take(writing, range(50, 100))
        assert not writing.event(10**9 + 99 * STEP_NS).code
    assert done.code == "storage"
    assert_true(tmp_path)
    assert_decodable(tmp_path)
    assert len(lines(tmp_path)) > 50


@pytest.mark.parametrize(("format_", "limit"), [("jpg", 50_000), ("mkv", 20_000)])
def test_the_limit_of_a_folder_holds_at_every_moment(tmp_path, format_, limit):
    with Writing(order(tmp_path, format_, limit_bytes=limit)) as writing:
        for number in range(150):
            assert take(writing, [number])[0].stored
            size = sum((tmp_path / name).stat().st_size for name in files(tmp_path))
            assert size <= limit * (1.0 if format_ == "jpg" else 1.1)
    assert_true(tmp_path)
    assert lines(tmp_path)[-1]["sequence"] == 149


def test_the_limit_holds_for_many_cameras_together(tmp_path):
    with Writing(order(tmp_path, "mkv", limit_bytes=300_000)) as writing:
        done = [take(writing, [number], camera=f"camera-{number % 12}")[0] for number in range(900)]
        assert sum((tmp_path / name).stat().st_size for name in files(tmp_path)) <= 300_000 * 1.1
    assert [each.told for each in done if each.code] == []
    assert sum(each.removed for each in done) > 0
    assert_true(tmp_path)


def test_a_frame_larger_than_the_limit_says_so(tmp_path):
    with Writing(order(tmp_path, "raw", limit_bytes=1000)) as writing:
        (done,) = take(writing, [0])
    assert (done.code, done.written) == ("storage", 0)
    assert "limit" in done.hint
    assert files(tmp_path) == []


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_nothing_is_taken_away_behind_a_link(tmp_path, when):
    """A day's folder was moved to another disk, and a link left in its place."""
    root, archive = tmp_path / "root", tmp_path / "archive"
    with Writing(order(root, template="day/{camera}-{number}")) as writing:
        take(writing, range(3))

    def move():
        (root / "day").rename(archive)
        (root / "day").symlink_to(archive)

    if when == "before":
        move()
    with Writing(order(root, template="{camera}-{number}", limit_bytes=30_000)) as writing:
        if when == "meanwhile":
            move()
        done = take(writing, range(3, 20))
    assert len(files(archive)) == 3
    assert [each.code for each in done if each.code] == []
    assert sum(each.removed for each in done) > 0


class Clocks:
    """A monotonic clock, and one of the time of day that can be set."""

    def __init__(self):
        self.now_ns, self.epoch_ns = 10**9, 1_784_000_000_000_000_000

    @property
    def read(self):
        return {"read_monotonic_ns": lambda: self.now_ns, "read_realtime_ns": lambda: self.epoch_ns + self.now_ns}


def test_what_is_too_old_goes_also_without_frames(tmp_path):
    clocks = Clocks()
    with Writing(order(tmp_path, keep_ns=60 * 10**9), **clocks.read) as writing:
        take(writing, range(3))
        clocks.now_ns += 61 * 10**9
        writing.tidy()
    assert files(tmp_path) == []
    assert lines(tmp_path) == []


@pytest.mark.parametrize("format_", ["jpg", "mkv"])
@pytest.mark.parametrize("years", [-50, 50])
def test_a_clock_that_is_set_makes_nothing_old(tmp_path, format_, years):
    clocks = Clocks()
    with Writing(order(tmp_path, format_, keep_ns=60 * 10**9), **clocks.read) as writing:
        take(writing, range(3))
        clocks.epoch_ns += years * 365 * 86400 * 10**9
        writing.tidy()
        take(writing, range(3, 6))
        clocks.now_ns += 59 * 10**9
        writing.tidy()
        assert len(lines(tmp_path)) == 6 - (format_ == "mkv")
    assert_true(tmp_path)
    clocks.now_ns += 10**9 + 6 * STEP_NS
    with Writing(order(tmp_path, format_, keep_ns=60 * 10**9), **clocks.read) as writing:
        writing.tidy()
    if years > 0:
        assert files(tmp_path) == []


def test_frames_of_an_earlier_run_are_as_old_as_the_clock_says_when_it_is_right(tmp_path):
    clocks = Clocks()
    with Writing(order(tmp_path), **clocks.read) as writing:
        take(writing, range(3))
    clocks.epoch_ns -= 10 * 86400 * 10**9  # a machine without a battery begins in the past
    with Writing(order(tmp_path, keep_ns=60 * 10**9), **clocks.read) as writing:
        clocks.now_ns += 61 * 10**9
        writing.tidy()
        assert len(files(tmp_path)) == 3
        clocks.epoch_ns += 10 * 86400 * 10**9
        writing.tidy()
    assert files(tmp_path) == []


def test_stock_is_taken_of_what_is_there_and_a_line_without_its_file_goes(tmp_path):
    with Writing(order(tmp_path)) as writing:
        take(writing, range(10))
    (tmp_path / "mine.jpg").write_bytes(b"x" * 10**6)
    (tmp_path / "top-000003.jpg").unlink()
    with (tmp_path / "frames.jsonl").open("a") as log:
        log.write(json.dumps({"file": "../outside.jpg", "realtime_ns": 1}) + "\n")
    outside = tmp_path.parent / "outside.jpg"
    outside.write_text("not ours")
    with Writing(order(tmp_path, limit_bytes=30_000)) as writing:
        take(writing, range(10, 13))
    assert "top-000003.jpg" not in {line["file"] for line in lines(tmp_path)}
    assert (tmp_path / "mine.jpg").exists(), "what the index does not name is somebody's"
    assert outside.read_text() == "not ours"
    outside.unlink()
    assert len(lines(tmp_path)) < 9


@pytest.mark.parametrize("format_", ["jpg", "mkv"])
def test_around_an_event(tmp_path, format_):
    around = {"on": Trigger.SIGNAL, "before_ns": 5 * STEP_NS, "after_ns": 3 * STEP_NS}
    with Writing(order(tmp_path, format_, **around)) as writing:
        assert all(done.kept for done in take(writing, range(20)))
        assert files(tmp_path) == []
        done = writing.event(10**9 + 19 * STEP_NS)
        assert not done.code
        later = take(writing, range(20, 60))
        assert [each.stored for each in later] == [True] * 3 + [False] * 37
        assert not writing.event(10**9 + 59 * STEP_NS).code
    sequences = [line["sequence"] for line in lines(tmp_path)]
    around_first = [number for number in sequences if number < 40]
    assert around_first[-1] == 22
    assert around_first[0] == 14 if format_ == "jpg" else around_first[0] <= 14
    assert sequences[-1] == 59
    if format_ == "mkv":
        assert len(files(tmp_path)) == 2, "each event has its own"
    assert_true(tmp_path)


def test_what_does_not_go_together_is_refused(tmp_path):
    for wrong in (
        {"format_": "jpg", "segment_ns": 1},
        {"format_": "mp4", "codec": "ffv1"},
        {"before_ns": 1},
        {"on": Trigger.EDGE},
        {"parquet": True, "limit_bytes": 1},
    ):
        with pytest.raises(InputError):
            order(tmp_path, **wrong)


def test_an_order_is_the_same_on_the_other_side(tmp_path):
    one = order(tmp_path, "mkv", rate=Fraction(30000, 1001), on=Trigger.PLAN, before_ns=1, codec=None)
    assert RecordOrder.from_bytes(one.as_bytes()) == one
    assert RecordOrder.from_bytes(replace(one, rate=None).as_bytes()).rate is None


@given(st.lists(st.integers(0, 40_000_000), max_size=100), st.integers(1, 60))
def test_a_rate_is_never_exceeded_and_does_not_drift(steps, rate):
    gate, now, passed = RateGate(Fraction(rate)), 0, []
    for step in steps:
        now += step
        if gate.passes("top", now):
            passed.append(now)
    period = 10**9 // rate
    assert len(passed) <= now // period + 2
    assert RateGate(None).passes("top", 0)
