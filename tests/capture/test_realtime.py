"""Real-time options: what is asked is done in order, what is not possible or not permitted is said."""

import ctypes
import errno
import json
import os
import subprocess
import sys

import pytest

from agent.capture.order import Realtime
from agent.capture.realtime import RealtimeError, RealtimeRefused, apply, check


class Machine:
    """A `System` that writes down what is asked, and refuses what it is told to."""

    def __init__(self, cpus=(0, 1, 2, 5), refuse=None, code=errno.EPERM):
        self.cpus, self.refuse, self.code = set(cpus), refuse, code
        self.done = []

    def affinity(self):
        return self.cpus

    def _do(self, what, value=None):
        if self.refuse == what:
            raise OSError(self.code, os.strerror(self.code))
        self.done.append((what, value))

    def set_affinity(self, cpus):
        self._do("affinity", cpus)

    def set_fifo(self, priority):
        self._do("fifo", priority)

    def lock_memory(self):
        self._do("memory")

    def set_timer_slack(self, slack_ns):
        self._do("slack", slack_ns)


ALL = Realtime(cpus=(1, 2), fifo_priority=50, lock_memory=True, timer_slack_ns=1)


def test_nothing_asked_nothing_done():
    machine = Machine()
    apply(Realtime(), machine)
    assert not machine.done


def test_everything_asked_is_done_and_the_priority_last():
    machine = Machine()
    apply(ALL, machine)
    assert machine.done == [("affinity", (1, 2)), ("slack", 1), ("memory", None), ("fifo", 50)]


@pytest.mark.parametrize(
    ("asked", "option", "words"),
    [
        (Realtime(cpus=()), "cpus", "at least one"),
        (Realtime(cpus=(1, 3)), "cpus", "may not run on 3"),
        (Realtime(cpus=(-1,)), "cpus", "may not run on -1"),
        (Realtime(fifo_priority=0), "fifo_priority", "50"),
        (Realtime(fifo_priority=100), "fifo_priority", "50"),
        (Realtime(timer_slack_ns=0), "timer_slack", "1ns"),
        (Realtime(timer_slack_ns=2**63), "timer_slack", "1ns"),
    ],
)
def test_a_bad_value_is_named_and_nothing_is_changed(asked, option, words):
    machine = Machine()
    with pytest.raises(RealtimeError) as caught:
        apply(asked, machine)
    assert caught.value.details["option"] == option
    assert words in caught.value.hint
    assert caught.value.exit_code == 2
    assert not machine.done
    with pytest.raises(RealtimeError):
        check(asked, machine)


def test_a_bad_value_beside_good_ones_changes_nothing():
    machine = Machine()
    with pytest.raises(RealtimeError):
        apply(Realtime(cpus=(1,), lock_memory=True, fifo_priority=100), machine)
    assert not machine.done


def test_allowed_processors_are_told_as_ranges():
    with pytest.raises(RealtimeError, match=r"allowed: 0-2,5\)"):
        apply(Realtime(cpus=(9,)), Machine())


@pytest.mark.parametrize(
    ("what", "option", "words"),
    [
        ("fifo", "fifo_priority", ("CAP_SYS_NICE", "LimitRTPRIO=")),
        ("memory", "lock_memory", ("CAP_IPC_LOCK", "LimitMEMLOCK=")),
        ("affinity", "cpus", ("AllowedCPUs=", "cpuset")),
        ("slack", "timer_slack", ("SystemCallFilter=",)),
    ],
)
def test_a_refusal_says_what_is_missing(what, option, words):
    with pytest.raises(RealtimeRefused) as caught:
        apply(ALL, Machine(refuse=what))
    assert caught.value.details["option"] == option
    assert caught.value.details["errno"] == errno.EPERM
    assert all(word in caught.value.hint for word in words)
    assert caught.value.exit_code == 4


_CHILD = """
import json, os, resource, sys
from agent.capture.order import Realtime
from agent.capture.realtime import RealtimeRefused, apply
{before}
try:
    apply(Realtime(**{wishes}))
except RealtimeRefused as error:
    print(json.dumps(error.as_dict()))
else:
    {after}
"""


def in_a_process(wishes, *, before="", after="pass"):
    """Ask the real kernel in a process of its own; what it printed."""
    code = _CHILD.format(before=before, wishes=wishes, after=after)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50)
    return json.loads(done.stdout) if done.stdout else None


def test_the_kernel_takes_processors_and_timer_slack():
    cpu = min(os.sched_getaffinity(0))
    after = "print(json.dumps([list(os.sched_getaffinity(0)), int(open('/proc/self/timerslack_ns').read())]))"
    assert in_a_process(f"dict(cpus=({cpu},), timer_slack_ns=7000)", after=after) == [[cpu], 7000]


WITHOUT_RIGHTS = """
for limit in (resource.RLIMIT_RTPRIO, resource.RLIMIT_MEMLOCK):
    resource.setrlimit(limit, (0, 0))
if os.getuid() == 0:
    os.setuid(65534)
"""


@pytest.mark.parametrize(
    ("wishes", "hint"), [("dict(fifo_priority=10)", "RTPRIO"), ("dict(lock_memory=True)", "MEMLOCK")]
)
def test_the_kernel_refuses_a_process_without_the_right(wishes, hint):
    told = in_a_process(wishes, before=WITHOUT_RIGHTS)
    assert told["code"] == "realtime_refused"
    assert hint in told["hint"]
    assert "now 0" in told["hint"]


def test_fifo_is_not_inherited_by_what_is_forked_later():
    after = (
        "r, w = os.pipe()\n"
        "    if os.fork() == 0:\n"
        "        os.write(w, bytes([os.sched_getscheduler(0) & 0xFF])); os._exit(0)\n"
        "    os.wait()\n"
        "    print(json.dumps([os.sched_getscheduler(0), os.sched_getparam(0).sched_priority, os.read(r, 1)[0]]))"
    )
    told = in_a_process("dict(fifo_priority=10)", after=after)
    if isinstance(told, dict) and told["errno"] in (errno.EPERM, errno.ENOMEM):
        pytest.skip(f"SCHED_FIFO is not permitted here: {told['hint']}")
    assert told == [os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, 10, os.SCHED_OTHER]


def test_locked_memory_is_locked():
    after = (
        "print(json.dumps([int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmLck')][0]))"
    )
    told = in_a_process("dict(lock_memory=True)", after=after)
    if isinstance(told, dict) and told["errno"] in (errno.EPERM, errno.ENOMEM):
        pytest.skip(f"mlockall is not permitted here: {told['hint']}")
    assert told > 1024


def test_the_numbers_are_those_of_the_kernel():
    libc = ctypes.CDLL(None, use_errno=True)
    before = libc.prctl(30, 0, 0, 0, 0)  # PR_GET_TIMERSLACK
    try:
        apply(Realtime(timer_slack_ns=before + 1))
        assert libc.prctl(30, 0, 0, 0, 0) == before + 1
    finally:
        apply(Realtime(timer_slack_ns=before))
