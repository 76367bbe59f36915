"""Frames out of the capture loop and back: whatever a sink does, each comes back once, and never too early."""

import contextlib
import os
import resource
import select
import signal
import sys
from pathlib import Path

import pytest

from agent.capture.lending import MemoryShort
from agent.capture.publish import NoPublisher, SinkPublisher
from agent.capture.session import Session
from agent.capture.settings import Settings
from agent.capture.sink_process import SinkOrder, SinkProcess, cpus_beside
from agent.errors import StateError
from agent.frames.ledger import PoolTooSmall
from agent.simulation.bench import sensor_profile, uvc_profile
from agent.simulation.clock import ManualClock
from agent.simulation.kernel import SimulatedKernel
from agent.units import NS_PER_MS, NS_PER_S
from agent.v4l2.buffers import MemoryKind

ODD = str(Path(__file__).parent / "odd_sink.py")
LIMIT_NS = 800 * NS_PER_MS
TRACE = "0123456789abcdef" * 2
PATIENCE_MS = 20_000


class Bench:
    """A stepped camera, its session, and a publisher whose sink behaves in one way."""

    def __init__(self, way, tmp_path, *, buffers=6, profile=None, **settings):
        self.clock = ManualClock()
        self.kernel = SimulatedKernel([profile or uvc_profile()], clock=self.clock)
        self.camera = self.kernel.cameras[0]
        self.session = Session(self.kernel, self.camera.path, read_monotonic_ns=self.clock.now_ns)
        self.settings = Settings(buffer_count=buffers, settle_frames=0, width_px=320, height_px=240, **settings)
        self.publisher = SinkPublisher(
            SinkOrder(folder=tmp_path, cameras={"top": "Card"}),
            program=(sys.executable, ODD, way),
            read_monotonic_ns=self.clock.now_ns,
        )
        self.poll = select.poll()
        for fd in self.publisher.fds():
            self.poll.register(fd, select.POLLIN)

    def __enter__(self):
        self.arm()
        return self

    def __exit__(self, *_):
        self.publisher.release()
        self.publisher.release()
        self.session.release()
        self.kernel.release()

    @property
    def pid(self):
        return self.publisher._sink.pid

    def arm(self):
        self.prepared = self.session.prepare(self.settings)
        self.session.arm()
        self.publisher.camera_armed("top", self.prepared.format, self.session.pool)

    def shot(self):
        self.kernel.step(self.camera)
        return self.session.take(limit_ns=NS_PER_S)

    def publish(self, shot=None):
        shot = shot or self.shot()
        assert self.publisher.publish("top", shot, [TRACE], LIMIT_NS)
        return shot

    def collect(self):
        return self.publisher.collect(self.clock.now_ns())

    def back(self, many=1):
        """Wait until `many` frames are back, and give them to the driver."""
        found = list(self.collect())
        while len(found) < many:
            if not self.poll.poll(PATIENCE_MS):
                pytest.fail(f"{len(found)} of {many} frames came back")
            found += self.collect()
        for returned in found:
            self.session.give_back(returned.shot)
        return found

    def until(self, condition):
        while not condition():
            if not self.poll.poll(PATIENCE_MS):
                pytest.fail("nothing happens any more")
            assert not self.collect()

    def ready(self):
        self.until(lambda: self.publisher._sink.lender.ready)
        return self

    def replaced(self):
        """Let the replacement start."""
        assert self.publisher.next_ns() is not None
        self.clock.move_to(self.publisher.next_ns())
        self.collect()


@pytest.fixture
def bench(tmp_path):
    made = []

    def make(way, **options):
        made.append(Bench(way, tmp_path, **options))
        return made[-1]

    return make


def test_without_a_sink_frames_come_back_at_once(bench):
    publisher = NoPublisher()
    with bench("good") as top:
        publisher.camera_armed("top", top.prepared.format, top.session.pool)
        assert publisher.next_ns() is None
        shot = top.shot()
        assert publisher.publish("top", shot, [TRACE], LIMIT_NS)
        assert publisher.next_ns() == 0
        (returned,) = publisher.collect(0)
        assert (returned.shot, returned.stored, returned.error) == (shot, False, "")
        assert not publisher.collect(0)
        assert publisher.fds() == ()
        for call in (publisher.revoke, publisher.forget):
            call("top")
        publisher.release()


def test_frames_go_and_come_back(bench):
    with bench("good").ready() as top:
        for _ in range(20):
            shot = top.publish()
            (returned,) = top.back()
            assert returned.shot is shot
            assert (returned.camera, returned.stored, returned.error) == ("top", True, "")
            assert returned.file == f"top-{shot.frame.sequence}"
        assert top.publisher.next_ns() is None
        assert top.publisher.fds() == top.publisher.fds()


def test_what_is_lent_is_the_cameras_own_memory(bench):
    with bench("peek").ready() as top:
        assert top.prepared.memory is MemoryKind.MMAP_EXPORTED
        first = top.publish()
        first.frame.planes[0][:4] = (0xC0, 0xFF, 0xEE, 0x00)  # after it was lent
        top.publish()
        (returned,) = top.back()
        assert returned.shot is first
        assert returned.file == "c0ffee00"
        assert top.publisher._cameras["top"].lent.copied_frames == 0


@pytest.mark.parametrize("kind", list(MemoryKind))
def test_every_kind_of_memory_is_lent_and_only_some_copied(bench, kind):
    with bench("peek", profile=sensor_profile(), memory=(kind,), pixel_format="NM12").ready() as top:
        shot = top.publish()
        content = bytes(shot.frame.planes[0][:4])
        top.publish()
        (returned,) = top.back()
        assert returned.file == content.hex()
        copied = kind in (MemoryKind.MMAP, MemoryKind.USERPTR)
        assert (top.publisher._cameras["top"].lent.copied_frames > 0) == copied


def test_the_driver_always_has_its_floor(bench):
    with bench("hold", buffers=5).ready() as top:
        for _ in range(3):
            top.publish()
        shot = top.shot()
        assert not top.publisher.publish("top", shot, [TRACE], LIMIT_NS)
        top.session.give_back(shot)
        top.session.give_back(top.shot())  # the camera goes on


def test_a_pool_too_small_and_a_camera_never_armed(bench):
    with bench("good", buffers=6) as top:
        shot = top.shot()
        with pytest.raises(StateError):
            top.publisher.publish("side", shot, [], LIMIT_NS)
        top.publisher.publish("top", shot, [], LIMIT_NS)
        with pytest.raises(StateError):
            top.publisher.publish("top", shot, [], LIMIT_NS)
        top.publisher._floor = top.publisher._sink.lender.ledger.floor = 6
        with pytest.raises(PoolTooSmall):
            top.publisher.camera_armed("side", top.prepared.format, top.session.pool)


@pytest.mark.parametrize(
    ("way", "told"), [("die", "status 3"), ("die_at_the_second", "SIGSEGV"), ("closes", "SIGKILL")]
)
def test_a_sink_that_dies_gives_everything_back_and_is_replaced(bench, way, told):
    with bench(way) as top:
        pid = top.pid
        shots = [top.publish(), top.publish()]
        found = top.back(2)
        assert [returned.shot for returned in found] == shots
        stored = [True, False] if way == "die_at_the_second" else [False, False]
        assert [returned.stored for returned in found] == stored
        assert found[-1].error == "sink_gone"
        assert told in found[-1].told
        assert not Path(f"/proc/{pid}").exists()
        assert top.publisher.fault.code == "sink_gone"
        shot = top.shot()
        assert not top.publisher.publish("top", shot, [TRACE], LIMIT_NS), "there is none just now"
        top.publisher._program = (sys.executable, ODD, "good")
        top.replaced()
        assert top.publisher.replaced == 1
        top.publish(shot)
        assert top.back()[0].stored


def test_the_last_words_of_a_sink_count(bench):
    with bench("answer_and_die").ready() as top:
        sink = top.publisher._sink
        os.kill(top.pid, signal.SIGSTOP)
        top.publish()
        ends = select.poll()
        ends.register(sink._process.pidfd, select.POLLIN)

        def answers_and_ends(_):
            os.kill(top.pid, signal.SIGCONT)
            assert ends.poll(PATIENCE_MS)

        sink.check_limits = answers_and_ends  # between the reading of answers and the look whether it is gone
        (returned,) = top.collect()
        assert (returned.stored, returned.file) == (True, "last")
        assert top.publisher.next_ns() is not None


def test_a_sink_killed_while_it_holds_frames(bench):
    with bench("hold").ready() as top:
        shots = [top.publish(), top.publish()]
        os.kill(top.pid, signal.SIGKILL)
        found = top.back(2)
        assert [returned.shot for returned in found] == shots
        assert {returned.error for returned in found} == {"sink_gone"}


def test_a_stuck_sink_is_killed_at_its_limit_and_frames_come_back_when_it_is_gone(bench):
    with bench("hold").ready() as top:
        pid = top.pid
        begun_ns = top.clock.now_ns()
        shots = [top.publish(), top.publish()]
        due_ns = top.publisher.next_ns()
        assert begun_ns < due_ns <= top.clock.now_ns() + LIMIT_NS
        top.clock.move_to(due_ns - 1)
        assert not top.collect()
        assert top.publisher.fault is None
        top.clock.move_to(due_ns)
        found = list(top.collect())
        while not found:
            assert Path(f"/proc/{pid}").exists()
            assert not top.publisher.publish("top", shots[0], [], LIMIT_NS), "nothing is lent to one that ends"
            assert top.poll.poll(PATIENCE_MS)
            found = list(top.collect())
        assert not Path(f"/proc/{pid}").exists(), "it might still have read them"
        assert [(returned.shot, returned.error) for returned in found] == [
            (shots[0], "encode_limit"),
            (shots[1], "sink_gone"),
        ]
        assert top.publisher.fault.code == "encode_limit"
        assert top.publisher.fault.details["limit_ns"] == LIMIT_NS
        for returned in found:
            top.session.give_back(returned.shot)


def test_a_frames_limit_counts_from_its_turn(bench):
    with bench("peek").ready() as top:
        top.publish()
        top.clock.move_to(top.clock.now_ns() + LIMIT_NS - 100 * NS_PER_MS)
        top.publish()  # peek answers for the first now
        answered_ns = top.clock.now_ns()
        top.back()
        assert top.publisher.next_ns() == answered_ns + LIMIT_NS
        top.clock.move_to(answered_ns + LIMIT_NS - 1)
        assert not top.collect()
        assert top.publisher.fault is None


def test_a_sink_that_never_gets_ready_is_replaced_ever_more_slowly(bench):
    with bench("silent") as top:
        top.publish()
        top.clock.move_to(top.publisher.next_ns())
        (returned,) = top.back()
        assert returned.error == "sink_gone"
        assert "not ready" in top.publisher.fault.message
        waits = []
        for _ in range(4):
            top.publisher._program = (sys.executable, ODD, "quits")
            waits.append(top.publisher.next_ns() - top.clock.now_ns())
            top.replaced()
            top.until(lambda: top.publisher._sink is None)
        assert waits == [0, *(100 * NS_PER_MS << doubled for doubled in range(3))]
        assert "status 9" in top.publisher.fault.message


def test_each_sink_that_does_not_get_ready_gives_the_next_one_twice_as_long(bench):
    with bench("silent") as top:
        limits_ns = []
        for _ in range(6):
            limits_ns.append(top.publisher.next_ns() - top.clock.now_ns())
            top.clock.move_to(top.publisher.next_ns())
            top.collect()  # kills it
            top.until(lambda: top.publisher._sink is None)
            top.replaced()
        assert limits_ns == [30 * NS_PER_S << min(failures, 3) for failures in range(6)]


def test_a_sink_that_cannot_be_started_is_tried_again(bench):
    with bench("die") as top:
        top.publish()
        top.back()
        top.publisher._program = ("/nonexistent/program",)
        top.replaced()
        assert "cannot be started" in top.publisher.fault.message
        assert not top.publisher.publish("top", top.shot(), [], LIMIT_NS)
        top.publisher._program = (sys.executable, ODD, "good")
        top.replaced()
        top.publish()
        assert top.back()[0].stored


@pytest.mark.parametrize(
    ("way", "code", "stored"),
    [
        ("wrong", "sink_gone", 0),
        ("twice", "sink_gone", 1),
        ("truncated", "sink_gone", 0),
        ("noise", "sink_gone", 0),
        ("liar", "sink_gone", 0),
    ],
)
def test_a_sink_that_talks_nonsense_is_ended_and_hurts_nobody(bench, way, code, stored):
    with bench(way) as top:
        pid = top.pid
        shots = [top.publish(), top.publish()]
        found = top.back(2)
        assert [returned.shot for returned in found] == shots
        assert [returned.stored for returned in found] == [True] * stored + [False] * (2 - stored)
        assert found[-1].error == code
        assert top.publisher.fault.code == "frame_protocol"
        assert not Path(f"/proc/{pid}").exists()


def test_a_stopped_cameras_frames_come_back_at_once_and_its_late_answers_do_no_harm(bench):
    with bench("peek").ready() as top:
        shots = [top.publish(), top.publish()]
        top.session.disarm()
        top.publisher.revoke("top")
        assert top.publisher.next_ns() == 0
        found = top.collect()
        assert [(returned.shot, returned.stored, returned.error) for returned in found] == [
            (shot, False, "revoked") for shot in shots
        ]
        for returned in found:
            top.session.give_back(returned.shot)
        top.session.arm()
        top.publisher.camera_armed("top", top.prepared.format, top.session.pool)
        anew = top.publish()
        top.publish()
        (returned,) = top.back()
        assert returned.shot is anew, "not the answers to what was revoked"


def test_only_the_stopped_cameras_frames_are_dropped(bench):
    with bench("hold").ready() as top:
        top.publisher.camera_armed("twin", top.prepared.format, top.session.pool)
        shot = top.publish()
        assert top.publisher.publish("twin", top.shot(), [], LIMIT_NS)
        top.publisher.revoke("top")
        top.publisher.revoke("nobody")
        assert [returned.shot for returned in top.collect()] == [shot]


def test_a_pool_that_is_freed_is_forgotten_and_the_next_one_lent(bench):
    with bench("peek").ready() as top:
        top.publish()
        top.session.disarm()
        top.publisher.forget("top")
        for returned in top.collect():
            assert returned.error == "revoked"
            top.session.give_back(returned.shot)
        top.arm()
        shot = top.publish()
        top.publish()
        assert top.back()[0].shot is shot


def test_descriptors_of_a_pool_that_was_freed_are_never_passed_to_a_new_sink(bench):
    with bench("die") as top:
        top.publish()
        top.back()
        top.session.disarm()
        top.session.prepare(top.settings)  # frees the pool that the publisher knows
        top.publisher._program = (sys.executable, ODD, "good")
        top.replaced()
        assert top.publisher._cameras["top"].number is None
        top.session.arm()
        top.publisher.camera_armed("top", top.prepared.format, top.session.pool)
        top.publish()
        assert top.back()[0].stored


def test_one_collect_gives_back_a_bounded_number():
    publisher = NoPublisher()
    for _ in range(100):
        publisher.publish("top", None, [], LIMIT_NS)
    assert [len(publisher.collect(0)) for _ in range(3)] == [64, 36, 0]


def test_a_sink_runs_beside_the_loop():
    both = os.sched_getaffinity(0)
    one = frozenset([min(both)])
    assert cpus_beside(one) == both - one or both == one
    assert cpus_beside(both) == both
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    sink = SinkProcess((sys.executable, ODD, "silent"), one)
    try:
        assert os.sched_getaffinity(sink.pid) == one
        assert os.sched_getscheduler(sink.pid) == os.SCHED_OTHER
        assert os.getpriority(os.PRIO_PROCESS, sink.pid) == max(nice, 5)
        blocked = int(Path(f"/proc/{sink.pid}/status").read_text().split("SigBlk:")[1].split()[0], 16)
        assert blocked & 1 << signal.SIGINT - 1
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT, signal.SIGTERM}
    finally:
        sink.channel.close()
        sink.release()
        sink.release()


@contextlib.contextmanager
def no_descriptors():
    """This process has as many as it may have."""
    limits, fillers = resource.getrlimit(resource.RLIMIT_NOFILE), []
    most = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (most + 1, limits[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                fillers.append(os.open("/dev/null", os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for fd in fillers:
            os.close(fd)


@pytest.mark.parametrize("kind", [MemoryKind.MMAP, MemoryKind.MMAP_EXPORTED])
def test_a_camera_without_descriptors_for_its_memory_is_an_error_of_its_own_and_armed_later(bench, kind):
    with bench("good", memory=(kind,)).ready() as top:
        top.publisher.forget("top")
        with no_descriptors(), pytest.raises(MemoryShort):
            top.publisher.camera_armed("top", top.prepared.format, top.session.pool)
        top.publisher.camera_armed("top", top.prepared.format, top.session.pool)
        top.publish()
        assert top.back()
