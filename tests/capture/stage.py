"""One camera unit on a stepped simulation, with helpers whose jobs run and report only when a test says so."""

from types import SimpleNamespace

from agent.capture.board import Board
from agent.capture.helper import Outcome
from agent.capture.order import CameraOrder, StageLimits
from agent.capture.publish import REVOKED, NoPublisher, Returned
from agent.capture.settings import Settings
from agent.capture.station import Station
from agent.capture.stop import Waiter
from agent.capture.unit import CameraUnit
from agent.errors import AgentError
from agent.scope import Cause, Ended
from agent.simulation.bench import uvc_profile
from agent.simulation.clock import ManualClock
from agent.simulation.kernel import SimulatedKernel


def make_board(cameras=1, capacity=16):
    return Board.create(memoryview(bytearray(8 * Board.words_for(cameras, capacity))).cast("q"), cameras, capacity)


class ManualHelper:
    """`work` runs the job, `report` hands its outcome to the loop: the two moments of a thread, apart."""

    def __init__(self):
        self.job = None
        self.outcome = None

    def start(self):
        pass

    def submit(self, job, then, *, urgent=False):
        if self.job is not None or self.outcome is not None:
            raise RuntimeError("has a job already")
        self.job = (job, then)

    def work(self):
        (job, then), self.job = self.job, None
        try:
            outcome = Outcome(job(), None)
        except AgentError as error:
            outcome = Outcome(None, error)
        self.outcome = (then, outcome)

    def report(self):
        (then, outcome), self.outcome = self.outcome, None
        then(outcome)

    def release(self):
        return self.job is None and self.outcome is None


class HeldPublisher:
    """Frames stay out until a test gives them back; `room`: how many may be out. As a sink that is told what to do."""

    def __init__(self, room=100):
        self.room = room
        self.out, self.back, self.armed, self.forgotten = [], [], [], []
        self.refuses = None
        self.is_ready = True

    def fds(self):
        return ()

    def camera_armed(self, camera, format, pool):  # noqa: A002
        if self.refuses is not None:
            raise self.refuses
        self.armed.append(camera)

    def publish(self, camera, shot, trace_ids, limit_ns):
        if len(self.out) >= self.room:
            return False
        self.out.append((camera, shot))
        return True

    def give_back(self, count=1, *, stored=True, error="", told=""):
        """The sink has done with the oldest: what `collect` would give."""
        done, self.out = self.out[:count], self.out[count:]
        self.back += [Returned(camera, shot, stored, error, told=told, took_ns=5) for camera, shot in done]
        return self.back

    def collect(self, now_ns):
        back, self.back = self.back, []
        return back

    def next_ns(self):
        return 0 if self.back else None

    def revoke(self, camera):
        gone = [pair for pair in self.out if pair[0] == camera]
        self.out = [pair for pair in self.out if pair[0] != camera]
        self.back += [Returned(name, shot, stored=False, error=REVOKED) for name, shot in gone]

    def forget(self, camera):
        self.revoke(camera)
        self.forgotten.append(camera)

    def release(self):
        self.back.clear()


class Stage:
    """A unit and everything around it; also what it tells the loop (`unit.Around`)."""

    def __init__(self, publisher=None, limits=None, board=None, **camera):
        self.clock = ManualClock()
        self.kernel = SimulatedKernel([uvc_profile()], clock=self.clock)
        (self.camera,) = self.kernel.cameras
        self.board = board or make_board()
        self.slow, self.stopper, self.closer = ManualHelper(), ManualHelper(), ManualHelper()
        self.watched = False
        self.changes = []
        self.ends = []
        self.reports = []
        self.progress = []
        self.publisher = publisher or NoPublisher()
        self.unit = CameraUnit(
            self.kernel,
            CameraOrder(name="top", path=self.camera.path, settings=Settings(settle_frames=0), **camera),
            limits or StageLimits(),
            self.board.camera(0),
            self,
            publisher=self.publisher,
            helpers=(self.slow, self.stopper, self.closer),
            now_ns=self.clock.now_ns,
            station=Station("top", self.board.camera(0), self, self.clock.now_ns),
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for helper in (self.slow, self.stopper, self.closer):
            helper.job = None
        self.unit.release()
        self.kernel.release()
        self.board.release()

    # what the loop is for the unit
    def watch(self, unit, fd):
        self.watched = True

    def unwatch(self, fd):
        self.watched = False

    def changed(self, unit):
        self.changes.append(unit.word.phase)

    def stopping(self, unit):
        pass

    def ended(self, request, now_ns):
        self.ends.append(request)

    def trace(self, tick):
        return f"{tick.number:032x}"

    # what a test does
    def up(self):
        self.unit.start()
        self.slow.work()
        self.slow.report()

    def want(self, wanted=1, tick=1, stores=False):
        now_ns = self.clock.now_ns()
        self.unit.want(SimpleNamespace(number=tick, due_ns=now_ns, fired_ns=now_ns, wanted=wanted), stores)
        return self.unit.requests.waiting[-1]

    def cancel(self):
        place = len(self.reports)
        self.reports.append(None)

        def done(report):
            assert self.reports[place] is None, "answered twice"
            self.reports[place] = report

        ended = Ended(Cause.CANCELLED, "camera top", "a test", self.clock.now_ns())
        self.unit.cancel(ended, Waiter(lambda step, told: self.progress.append(step), done))

    def stopped(self):
        """STREAMOFF runs, and its outcome reaches the loop."""
        self.stopper.work()
        self.stopper.report()

    def finish(self):
        """All that the threads have to do, and all that is told of it."""
        for _ in range(6):
            for helper in (self.stopper, self.closer, self.slow):
                if helper.job is not None:
                    helper.work()
                if helper.outcome is not None:
                    helper.report()

    def returns(self):
        """What came back reaches the unit."""
        for back in self.publisher.collect(self.clock.now_ns()):
            self.unit.returned(back)

    def wait(self):
        """Until the unit has something to do by itself."""
        self.clock.move_to(self.unit.next_ns)
        self.unit.check(self.clock.now_ns())

    def frames(self, count=1):
        self.kernel.step(self.camera, count)
        return self.unit.on_readable(1)

    @property
    def streams(self):
        return self.camera.stream is not None
