"""The log holds whole lines only, whatever broke off."""

import errno
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline.failing import FailingFiles
from pipeline.synthetic import record

from agent.errors import StateError, StorageError
from agent.pipeline.files import Durability
from agent.pipeline.frame_log import LOG_NAME, FrameLog

KEYS = {
    "file", "camera", "sequence", "timestamp_ns", "timestamp_clock", "timestamp_source", "uncertainty_ns",
    "dequeued_ns", "realtime_ns", "exposure_requested_ns", "exposure_ns", "gain", "width", "height", "pixel_format",
    "bytes_per_line", "lost_before",
}  # fmt: skip


def _lines(folder):
    content = (folder / LOG_NAME).read_bytes()
    assert content == b"" or content.endswith(b"\n")
    return [json.loads(line) for line in content.splitlines()]


def _write(folder, files, count=1, **options):
    with FrameLog(folder, files=files, **options) as log:
        for number in range(count):
            log.append(record(sequence=number))


def test_a_line_holds_everything(tmp_path):
    _write(tmp_path, FailingFiles())
    (line,) = _lines(tmp_path)
    assert set(line) == KEYS
    assert line["realtime_ns"] == 1_784_000_000_123_456_789
    assert line["exposure_requested_ns"] == 8_000_000
    assert line["exposure_ns"] == 8_100_000
    assert line["timestamp_ns"] == 5_000_000_123
    assert (line["width"], line["height"], line["pixel_format"]) == (320, 240, "MJPG")


def test_a_line_is_one_write(tmp_path):
    files = FailingFiles()
    _write(tmp_path, files, 3)
    assert files.calls.count("writev") == 3
    assert not files.open_fds


def test_a_new_log_goes_on_behind_the_old_one(tmp_path):
    for _ in range(2):
        _write(tmp_path, FailingFiles(), 2)
    assert [line["sequence"] for line in _lines(tmp_path)] == [0, 1, 0, 1]


def test_a_second_writer_is_refused_and_the_first_goes_on(tmp_path):
    with FrameLog(tmp_path) as first:
        first.append(record(sequence=0))
        with pytest.raises(StorageError, match="another capture is writing") as caught:
            FrameLog(tmp_path)
        assert "--output" in caught.value.hint
        first.append(record(sequence=1))
    _write(tmp_path, FailingFiles())
    assert [line["sequence"] for line in _lines(tmp_path)] == [0, 1, 0]


@given(count=st.integers(0, 5), data=st.data())
def test_a_log_cut_anywhere_is_mended_to_its_whole_lines(tmp_path_factory, count, data):
    folder = tmp_path_factory.mktemp("log")
    _write(folder, FailingFiles(), count)
    content = (folder / LOG_NAME).read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    (folder / LOG_NAME).write_bytes(content[:cut])
    _write(folder, FailingFiles(), 1)
    whole = content[:cut].count(b"\n")
    assert [line["sequence"] for line in _lines(folder)] == [*range(whole), 0]


def test_a_long_broken_end_is_cut(tmp_path):
    (tmp_path / LOG_NAME).write_bytes(b"{}\n" + b"x" * 200_000)
    _write(tmp_path, FailingFiles())
    assert (tmp_path / LOG_NAME).read_bytes().startswith(b'{}\n{"file"')


@given(room=st.integers(0, 1200))
def test_a_full_disk_leaves_whole_lines(tmp_path_factory, room):
    folder = tmp_path_factory.mktemp("log")
    files = FailingFiles(room=room)
    size = len(record(sequence=0).as_line())
    with FrameLog(folder, files=files) as log:
        for number in range(room // size):
            log.append(record(sequence=number))
        with pytest.raises(StorageError) as caught:
            log.append(record(sequence=9))
        assert caught.value.details["errno"] == errno.ENOSPC
        assert len(_lines(folder)) == room // size
        files.room = None  # somebody made space
        log.append(record(sequence=7))
    assert [line["sequence"] for line in _lines(folder)] == [*range(room // size), 7]


def test_when_even_cutting_back_fails_the_log_ends_and_the_next_one_mends_it(tmp_path):
    files = FailingFiles(room=100)
    log = FrameLog(tmp_path, files=files)
    files.fails["ftruncate"] = errno.EIO
    with pytest.raises(StorageError):
        log.append(record())
    with pytest.raises(StateError):
        log.append(record())
    assert not files.open_fds
    _write(tmp_path, FailingFiles())
    assert len(_lines(tmp_path)) == 1


def test_synced_waits_for_each_line(tmp_path):
    files = FailingFiles()
    _write(tmp_path, files, 2, durability=Durability.SYNCED)
    assert files.calls.count("fdatasync") == 2
    files = FailingFiles(fails={"fdatasync": errno.EIO})
    with FrameLog(tmp_path, durability=Durability.SYNCED, files=files) as log, pytest.raises(StorageError):
        log.append(record())
    assert len(_lines(tmp_path)) == 2


@pytest.mark.parametrize("call", ["open", "ftruncate"])
def test_a_log_that_cannot_be_opened_holds_nothing(tmp_path, call):
    files = FailingFiles(fails={call: errno.EROFS})
    with pytest.raises(StorageError):
        FrameLog(tmp_path, files=files)
    assert not files.open_fds


def test_release_is_idempotent_and_final(tmp_path):
    log = FrameLog(tmp_path)
    log.release()
    log.release()
    with pytest.raises(StateError):
        log.append(record())


@pytest.mark.parametrize("goes", [False, True])
def test_a_log_that_is_replaced_between_opening_and_locking_is_not_written_to(tmp_path, goes):
    """Its owner wrote it anew without lines of files that went, or took it away, and ended."""

    class Late(FailingFiles):
        def lock(self, fd):
            (tmp_path / LOG_NAME).unlink()
            if not goes:
                _write(tmp_path, FailingFiles())
            super().lock(fd)

    late = Late()
    with pytest.raises(StorageError) as caught:
        FrameLog(tmp_path, files=late)
    assert caught.value.details["errno_name"] == "EWOULDBLOCK"
    assert not late.open_fds
    _write(tmp_path, FailingFiles())
    assert len(_lines(tmp_path)) == 2 - goes
