import contextlib
import fcntl
import itertools
import os
import signal
import struct
import subprocess
import sys

import pytest

from agent import shared
from agent.shared import Lock, Page, PageError

WORDS = 40


@pytest.fixture
def page():
    with Page.create("test", WORDS, layout=3) as made:
        yield made


@contextlib.contextmanager
def locks(page, *bytes_):
    made = [Lock(page, byte) for byte in bytes_]
    yield made
    for lock in made:
        lock.release()


def is_free(page, byte=0):
    """Whether somebody who does not wait gets the lock."""
    fd = os.open(f"/proc/self/fd/{page.fd}", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(fd)


@contextlib.contextmanager
def python(program, *arguments, fds=()):
    """A process that runs `program`; killed at the end if it still does."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    with subprocess.Popen(command, pass_fds=fds, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_reader_sees_what_the_writer_stores_and_cannot_store(page):
    with Page.attach_reader(page.fd, 3) as reader, Page.attach_writer(page.fd, 3) as writer:
        assert reader.words.tolist() == [0] * WORDS
        writer.words[7] = -(2**63)
        page.words[8] = 2**63 - 1
        assert reader.words[7:9].tolist() == [-(2**63), 2**63 - 1]
        with pytest.raises(TypeError):
            reader.words[0] = 1


def test_a_descriptor_that_only_reads_is_enough_for_a_reader(page):
    fd = os.open(f"/proc/self/fd/{page.fd}", os.O_RDONLY)
    with Page.attach_reader(fd, 3) as reader:
        os.close(fd)
        page.words[0] = 5
        assert reader.words[0] == 5


def test_a_page_outlives_its_maker_and_slices_outlive_the_page():
    made = Page.create("test", WORDS)
    reader = Page.attach_reader(made.fd)
    part = made.words[2:4]
    made.release()
    made.release()
    part[0] = 9
    assert reader.words[2] == 9
    reader.release()
    part[1] = 1
    assert part.tolist() == [9, 1]
    assert len(made.words) == 0


def test_nobody_can_change_the_size(page):
    for length in (0, 4096 * 8):
        with pytest.raises(PermissionError):
            os.ftruncate(page.fd, length)
    with pytest.raises(PermissionError):
        fcntl.fcntl(page.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_a_page_that_cannot_be_made_leaves_nothing_behind():
    for words in (-100, 2**58):
        with pytest.raises(OSError, match=r"Invalid argument|too large|Cannot allocate"):
            Page.create("test", words)


def memory_file(length, seals=fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW):
    fd = os.memfd_create("other", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, length)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: os.open("/dev/zero", os.O_RDWR), "not a memory file"),
        (lambda: memory_file(4096, 0), "not sealed"),
        (lambda: memory_file(0), "size of 0 bytes"),
        (lambda: memory_file(56), "size of 56 bytes"),
        (lambda: memory_file(4097), "size of 4097 bytes"),
        (lambda: memory_file(4096), "does not begin as one"),
    ],
)
def test_what_is_not_a_page_is_refused(make, why):
    fd = make()
    for attach in (Page.attach_reader, Page.attach_writer):
        with pytest.raises(PageError, match=why) as caught:
            attach(fd)
        assert caught.value.as_dict()["code"] == "bad_page"
        assert {"found", "expected"} <= caught.value.details.keys()
    os.close(fd)  # stayed ours


@pytest.mark.parametrize(
    ("word", "value", "why"),
    [
        (0, 0, "does not begin as one"),
        (1, 2, "version 2, not 1"),
        (2, WORDS - 1, "not what it says"),
        (3, 4, "layout is 4"),
    ],
)
def test_a_page_of_another_version_size_or_layout_is_refused(page, word, value, why):
    os.pwrite(page.fd, struct.pack("q", value), word * 8)
    with pytest.raises(PageError, match=why) as caught:
        Page.attach_reader(page.fd, 3)
    assert value in caught.value.details.values() or word == 2


TEAR = """
import sys
from agent.shared import Page
with Page.attach_writer(int(sys.argv[1]), 3) as page:
    words = page.words
    print("ready", flush=True)
    while True:
        words[5] = 0
        words[5] = -1
        words[6] += 1
"""


def test_a_word_is_never_seen_half_written_and_attaching_meanwhile_works(page):
    with python(TEAR, page.fd, fds=[page.fd]) as process:
        assert process.stdout.readline() == "ready\n"
        seen = set()
        turns = 0
        while turns < 200 or seen != {0, -1}:
            turns += 1
            with Page.attach_reader(page.fd, 3) as reader:
                words = reader.words
                before = words[6]
                seen.update(words[5] for _ in range(500))
                assert words[6] >= before
            assert seen <= {0, -1}
        assert page.words[6] > 0


COUNT = """
import sys
from agent.shared import Page, Lock
with Page.attach_writer(int(sys.argv[1]), 3) as page:
    lock, words = Lock(page), page.words
    for _ in range(5000):
        with lock.held():
            words[0] += 1
    lock.release()
"""


def test_the_lock_excludes_processes(page):
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(python(COUNT, page.fd, fds=[page.fd])) for _ in range(4)]
        assert [process.wait() for process in processes] == [0] * 4
    assert page.words[0] == 4 * 5000


HOLD = """
import signal, sys
from agent.shared import Page, Lock
page = Page.attach_writer(int(sys.argv[1]), 3)
with Lock(page).held():
    print("held", flush=True)
    signal.pause()
"""


def test_the_lock_dies_with_its_holder(page):
    with python(HOLD, page.fd, fds=[page.fd]) as process, locks(page, 0) as (lock,):
        assert process.stdout.readline() == "held\n"
        assert not is_free(page)
        process.kill()
        with lock.held():  # waits for the death, and no longer
            assert not is_free(page)
        assert is_free(page)


def test_two_locks_of_one_process_exclude_each_other_and_bytes_do_not(page):
    with locks(page, 0, 1) as (lock, other_byte):
        with lock.held():
            assert not is_free(page, 0)
            with other_byte.held():
                assert not is_free(page, 1)
            assert is_free(page, 1)
        assert is_free(page, 0)


def test_an_error_within_and_releasing_while_held_free_the_lock(page):
    with locks(page, 0) as (lock,):
        with pytest.raises(KeyError), lock.held():
            raise KeyError
        assert is_free(page)
    lock = Lock(page)
    lock.__enter__()
    lock.release()
    lock.release()
    assert is_free(page)


def test_a_child_made_by_fork_does_not_share_the_parents_lock(page):
    with locks(page, 0) as (lock,), lock.held():
        child = os.fork()
        if child == 0:
            try:
                fcntl.fcntl(lock._fd, fcntl.F_OFD_SETLK, lock._lock)
            except BlockingIOError:
                os._exit(7)  # somebody else's, that is the parent's
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert not is_free(page)


@contextlib.contextmanager
def alarms(handler):
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_waiting_goes_on_after_signals(page):
    counted = itertools.count(1)
    with locks(page, 0, 0) as (holder, waiter):
        holder.__enter__()

        def handler(*_):
            if next(counted) == 3:
                holder.__exit__(None, None, None)

        with alarms(handler), waiter.held():
            assert next(counted) > 3
            assert not is_free(page)


def test_a_signal_handler_that_raises_ends_the_wait_without_the_lock(page):
    def handler(*_):
        raise KeyboardInterrupt

    with locks(page, 0, 0) as (holder, waiter):
        with holder.held(), pytest.raises(KeyboardInterrupt), alarms(handler), waiter.held():
            pytest.fail("two hold the lock")
        assert is_free(page)


def test_an_exception_just_after_the_kernel_gave_the_lock_gives_it_back(page):
    def profile(_frame, event, called):
        if event == "c_return" and called is fcntl.fcntl:
            sys.setprofile(None)
            raise KeyboardInterrupt

    with locks(page, 0) as (lock,):
        sys.setprofile(profile)
        with pytest.raises(KeyboardInterrupt), lock.held():
            pytest.fail("entered")
        assert sys.getprofile() is None
        assert is_free(page)


def test_the_fence_of_other_machines_can_be_passed_again_and_again():
    fence = shared._bounce()
    for _ in range(3):
        fence()
