"""A file is there whole or not at all, whatever fails, and nothing is left behind."""

import errno
import os
import resource
import signal
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline.failing import FailingFiles

from agent.errors import StorageError
from agent.pipeline.calls import LINUX, LinuxFiles
from agent.pipeline.files import Durability, prepare_folder, storage_error, write_all, write_file

PIECES = (b"abc", b"", memoryview(b"defgh"), bytearray(b"ij"))
WHOLE = b"abcdefghij"


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=[True, False], ids=["unnamed", "hidden"])
def tmpfile(request):
    """Whether the file system knows O_TMPFILE."""
    return request.param


@pytest.mark.parametrize("durability", Durability)
def test_a_file_is_written(tmp_path, tmpfile, durability):
    files = FailingFiles(tmpfile=tmpfile)
    write_file(tmp_path / "a.jpg", PIECES, durability, files)
    assert (tmp_path / "a.jpg").read_bytes() == WHOLE
    assert _names(tmp_path) == ["a.jpg"]
    assert not files.open_fds


def test_synced_waits_for_bytes_before_the_name_and_for_the_name_after(tmp_path, tmpfile):
    files = FailingFiles(tmpfile=tmpfile)
    write_file(tmp_path / "a.jpg", PIECES, Durability.SYNCED, files)
    naming = "link_open" if tmpfile else "rename_new"
    order = [call for call in files.calls if call in ("writev", "fdatasync", naming, "fsync")]
    assert order == ["writev", "fdatasync", naming, "fsync"]


def test_cached_waits_for_nothing(tmp_path, tmpfile):
    files = FailingFiles(tmpfile=tmpfile)
    write_file(tmp_path / "a.jpg", PIECES, Durability.CACHED, files)
    assert not {"fdatasync", "fsync"} & set(files.calls)


def test_the_rights_are_those_of_any_new_file(tmp_path, tmpfile):
    (tmp_path / "other").touch()
    write_file(tmp_path / "a.jpg", PIECES, files=FailingFiles(tmpfile=tmpfile))
    assert (tmp_path / "a.jpg").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("room", range(len(WHOLE)))
def test_a_full_disk_leaves_nothing(tmp_path, tmpfile, room):
    files = FailingFiles(room=room, tmpfile=tmpfile)
    with pytest.raises(StorageError) as caught:
        write_file(tmp_path / "a.jpg", PIECES, files=files)
    assert _names(tmp_path) == []
    assert not files.open_fds
    assert caught.value.details["errno_name"] == "ENOSPC"
    assert caught.value.details["free_bytes"] > 0
    assert "free" in caught.value.message


@pytest.mark.parametrize("call", ["open", "writev", "fdatasync", "name", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO])
def test_whatever_fails_leaves_nothing(tmp_path, tmpfile, call, code):
    failing = {"name": "link_open" if tmpfile else "rename_new"}.get(call, call)
    files = FailingFiles(fails={failing: code}, tmpfile=tmpfile)
    with pytest.raises(StorageError) as caught:
        write_file(tmp_path / "a.jpg", PIECES, Durability.SYNCED, files)
    assert _names(tmp_path) == []
    assert not files.open_fds
    assert caught.value.details["errno"] == code
    assert caught.value.exit_code == 7


def test_a_close_that_fails_gives_a_hidden_file_no_name(tmp_path):
    with pytest.raises(StorageError):
        write_file(tmp_path / "a.jpg", PIECES, files=FailingFiles(fails={"close": errno.EDQUOT}, tmpfile=False))
    assert _names(tmp_path) == []


@given(sizes=st.lists(st.integers(0, 50), max_size=8), piecewise=st.integers(1, 20))
def test_a_kernel_that_takes_little_at_a_time_gets_everything(tmp_path_factory, sizes, piecewise):
    path = tmp_path_factory.mktemp("pieces") / "a"
    pieces = tuple(os.urandom(size) for size in sizes)
    write_file(path, pieces, files=FailingFiles(piecewise=piecewise))
    assert path.read_bytes() == b"".join(pieces)


def test_nothing_is_overwritten(tmp_path, tmpfile):
    (tmp_path / "a.jpg").write_bytes(b"old")
    with pytest.raises(StorageError) as caught:
        write_file(tmp_path / "a.jpg", PIECES, files=FailingFiles(tmpfile=tmpfile))
    assert caught.value.details["errno_name"] == "EEXIST"
    assert (tmp_path / "a.jpg").read_bytes() == b"old"
    assert _names(tmp_path) == ["a.jpg"]


def test_a_real_full_device():
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(OSError, match="No space left"):
            write_all(fd, PIECES, LINUX)
    finally:
        os.close(fd)


def test_a_real_limit_on_file_size_leaves_nothing(tmp_path):
    program = (
        "import sys, pathlib; from agent.pipeline.files import write_file; from agent.errors import StorageError\n"
        "try: write_file(pathlib.Path(sys.argv[1]), (bytes(4000), bytes(4000)))\n"
        "except StorageError as error: print(error.details['errno_name'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a")],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)),
    )
    assert done.stdout.strip() == "EFBIG"
    assert _names(tmp_path) == []


def test_a_killed_process_leaves_nothing_under_a_name(tmp_path):
    program = (
        "import os, signal, sys, pathlib\n"
        "from agent.pipeline.calls import LinuxFiles\n"
        "from agent.pipeline.files import write_file\n"
        "class Killed(LinuxFiles):\n"
        "    def writev(self, fd, buffers):\n"
        "        os.write(fd, b'half')\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_file(pathlib.Path(sys.argv[1]), (bytes(4000),), files=Killed())"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert _names(tmp_path) == []


def test_a_missing_folder_and_a_file_in_the_way(tmp_path):
    (tmp_path / "file").touch()
    for path, name in ((tmp_path / "none" / "a", "ENOENT"), (tmp_path / "file" / "a", "ENOTDIR")):
        with pytest.raises(StorageError) as caught:
            write_file(path, PIECES)
        assert caught.value.details["errno_name"] == name
        assert caught.value.details["free_bytes"] > 0


def test_a_folder_is_made_with_its_parents_and_left_empty(tmp_path, tmpfile):
    folder = prepare_folder(tmp_path / "a" / "b", FailingFiles(tmpfile=tmpfile))
    assert folder == tmp_path / "a" / "b"
    assert _names(folder) == []
    assert prepare_folder(folder) == folder


@pytest.mark.parametrize("path", ["file", "file/below"])
def test_a_folder_that_is_a_file(tmp_path, path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as caught:
        prepare_folder(tmp_path / path)
    assert caught.value.details["errno_name"] == "ENOTDIR"


def test_a_folder_that_takes_no_files(tmp_path):
    with pytest.raises(StorageError) as caught:
        prepare_folder(tmp_path, FailingFiles(fails={"open": errno.EROFS}))
    assert "read-only" in caught.value.hint
    with pytest.raises(StorageError):
        prepare_folder(type(tmp_path)("/proc/camera-agent"))


def test_renaming_never_replaces(tmp_path):
    (tmp_path / "new").write_text("new")
    (tmp_path / "old").write_text("old")
    with pytest.raises(FileExistsError):
        LinuxFiles().rename_new(str(tmp_path / "new"), str(tmp_path / "old"))
    assert (tmp_path / "old").read_text() == "old"


@settings(max_examples=20)
@given(code=st.sampled_from(sorted(errno.errorcode)))
def test_every_errno_has_a_hint(tmp_path_factory, code):
    error = storage_error(OSError(code, os.strerror(code)), tmp_path_factory.getbasetemp() / "x")
    assert error.hint
    assert error.details["errno_name"] == errno.errorcode[code]
