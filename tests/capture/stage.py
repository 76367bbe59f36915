"""One camera unit on a stepped simulation, with helpers whose jobs run and report only when a test says so."""

from types import SimpleNamespace

from agent.capture.board import Board
from agent.capture.helper import Outcome
from agent.capture.order import CameraOrder, StageLimits
from agent.capture.publish import NoPublisher
from agent.capture.settings import Settings
from agent.capture.unit import CameraUnit, Waiter
from agent.errors import AgentError
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

    def submit(self, job, then):
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


class Stage:
    """A unit and everything around it; also what it tells the loop (`unit.Around`)."""

    def __init__(self, publisher=None, limits=None, **camera):
        self.clock = ManualClock()
        self.kernel = SimulatedKernel([uvc_profile()], clock=self.clock)
        (self.camera,) = self.kernel.cameras
        self.board = make_board()
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
        return self.unit.waiting[-1]

    def cancel(self):
        place = len(self.reports)
        self.reports.append(None)

        def done(report):
            assert self.reports[place] is None, "answered twice"
            self.reports[place] = report

        self.unit.cancel(Waiter(lambda step, told: self.progress.append(step), done))

    def frames(self, count=1):
        self.kernel.step(self.camera, count)
        return self.unit.on_readable(1)

    @property
    def streams(self):
        return self.camera.stream is not None
