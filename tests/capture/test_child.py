"""One process as its parent holds it."""

import os
import select
import sys

import pytest

from agent.capture.child import Inherited, Process, describe_standing, in_words
from agent.units import NS_PER_S


@pytest.fixture
def inherited():
    fds = Inherited(*(os.memfd_create(name) for name in Inherited._fields))
    yield fds
    for fd in fds:
        os.close(fd)


def python(code, inherited):
    return Process((sys.executable, "-c", code), inherited)


def wait(process):
    poll = select.poll()
    poll.register(process.fileno(), select.POLLIN)
    assert poll.poll(30_000)


def test_it_inherits_its_descriptors_by_name_and_its_end_is_readable(inherited):
    code = "import sys, os; sys.exit(7 if [os.fstat(int(a.split('=')[1])) and a.split('=')[0] for a in sys.argv[1:]]"
    process = python(code + " == ['--channel', '--page', '--quotas', '--door'] else 1)", inherited)
    wait(process)
    assert process.status() == 7
    assert process.release(NS_PER_S)
    assert process.release(NS_PER_S)


def test_what_it_prints_is_not_our_output(inherited, capfd):
    process = python("print('hello')", inherited)
    wait(process)
    process.release(NS_PER_S)
    assert capfd.readouterr().out == ""


def test_release_kills_what_is_there(inherited):
    process = python("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()", inherited)
    assert process.status() is None
    assert process.standing().startswith("state ")
    assert process.release(30 * NS_PER_S)
    assert process.status() == -9
    process.kill()


def test_a_program_that_is_not_there_raises_and_leaves_nothing(inherited):
    with pytest.raises(FileNotFoundError):
        Process(("/nothing/at/all",), inherited)


def task(proc, tid, state, wchan, pid=42):
    directory = proc / str(pid) / "task" / str(tid)
    directory.mkdir(parents=True)
    (directory / "stat").write_text(f"{tid} (stop) (per) {state} 1 2 3\n")
    if wchan is not None:
        (directory / "wchan").write_text(wchan)


def test_the_thread_that_cannot_be_interrupted_is_the_one_told_of(tmp_path):
    task(tmp_path, 42, "S", "ep_poll")
    task(tmp_path, 43, "D", "uvc_stop_streaming")
    task(tmp_path, 5, "Z", "0")
    assert describe_standing(42, tmp_path) == "state D in uvc_stop_streaming"


def test_without_such_a_thread_the_first_is_told_of(tmp_path):
    task(tmp_path, 42, "S", "ep_poll")
    task(tmp_path, 43, "S", "futex")
    assert describe_standing(42, tmp_path) == "state S in ep_poll"


@pytest.mark.parametrize("wchan", ["0", "", None])
def test_a_place_that_the_kernel_hides_is_left_out(tmp_path, wchan):
    task(tmp_path, 42, "D", wchan)
    assert describe_standing(42, tmp_path) == "state D"


def test_nothing_to_be_read_is_said(tmp_path):
    assert describe_standing(42, tmp_path) == "nothing can be read of it in /proc"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "ended with status 0"),
        (70, "ended with status 70"),
        (-9, "was killed by SIGKILL"),
        (-200, "was killed by signal 200"),
    ],
)
def test_the_end_in_words(status, words):
    assert in_words(status) == words
