"""The session's state machine under random orders: never what its table forbids, the stream off at every end."""

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.capture.session import ALLOWED, Session, State
from agent.capture.settings import Settings
from agent.errors import StateError, StreamFault
from agent.pipeline.pixels import luma
from agent.simulation.bench import uvc_profile
from agent.simulation.clock import ManualClock
from agent.simulation.kernel import SimulatedKernel
from agent.simulation.mark import read_mark
from agent.units import NS_PER_MS


class SessionMachine(RuleBasedStateMachine):
    """A model of a few words beside the session: what state it should be in, how many frames wait and are held."""

    def __init__(self):
        super().__init__()
        self.clock = ManualClock()
        self.kernel = SimulatedKernel([uvc_profile()], clock=self.clock)
        (self.camera,) = self.kernel.cameras
        self.session = Session(self.kernel, self.camera.path, read_monotonic_ns=self.clock.now_ns)
        self.model = State.IDLE
        self.held = []

    def attempt(self, verb, call):
        allowed = self.model in ALLOWED[verb]
        try:
            result = call()
        except StateError:
            assert not allowed, f"{verb} refused in {self.model}"
            return None, False
        assert allowed, f"{verb} let through in {self.model}"
        return result, True

    @rule(exposure_ms=st.one_of(st.none(), st.integers(1, 30)))
    def prepare(self, exposure_ms):
        wishes = Settings(settle_frames=0, exposure_ns=exposure_ms and exposure_ms * NS_PER_MS)
        _, done = self.attempt("prepare", lambda: self.session.prepare(wishes))
        if done:
            self.model = State.PREPARED
            self.held = []

    @rule()
    def arm(self):
        _, done = self.attempt("arm", self.session.arm)
        if done:
            self.model = State.ARMED

    @rule()
    def disarm(self):
        _, done = self.attempt("disarm", self.session.disarm)
        if done:
            self.model = State.PREPARED

    @rule(frames=st.integers(0, 6))
    @precondition(lambda self: self.model is State.ARMED)
    def time_passes(self, frames):
        self.kernel.step(self.camera, frames)

    @rule()
    def take(self):
        try:
            shot, done = self.attempt("take", lambda: self.session.take(limit_ns=0))
        except StreamFault:
            self.model = State.FAULT
            return
        if done:
            self.held.append(shot)

    @rule(which=st.integers(0, 3))
    @precondition(lambda self: self.held)
    def give_back(self, which):
        shot = self.held[which % len(self.held)]
        _, done = self.attempt("give back", lambda: self.session.give_back(shot))
        if done:
            self.held.remove(shot)

    @rule(exposure_ms=st.integers(1, 30))
    def expose(self, exposure_ms):
        self.attempt("expose", lambda: self.session.expose(exposure_ms * NS_PER_MS))

    @invariant()
    def the_state_is_the_models_and_the_stream_is_on_only_when_armed(self):
        assert self.session.state is self.model
        assert (self.camera.stream is not None) == (self.model is State.ARMED)
        assert self.session.ledger.balance == 0
        if self.session._stream is not None:
            assert self.session._stream.held == len(self.held)

    def teardown(self):
        self.held.clear()
        self.session.release()
        self.session.release()
        assert self.camera.stream is None
        with pytest.raises(StateError):
            self.session.prepare(Settings())
        self.kernel.release()


TestSession = SessionMachine.TestCase
TestSession.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_an_exposure_changed_between_two_starts_is_the_one_proven_and_settled():
    with (
        SimulatedKernel([uvc_profile()], clock=ManualClock()) as kernel,
        Session(kernel, kernel.cameras[0].path, read_monotonic_ns=kernel.clock.now_ns) as session,
    ):
        session.prepare(Settings(exposure_ns=8 * NS_PER_MS, buffer_count=12))
        session.expose(2 * NS_PER_MS)
        session.arm()
        kernel.step(kernel.cameras[0], 4)
        session.disarm()
        session.arm()
        taken = []
        kernel.step(kernel.cameras[0], 12)
        for _ in range(3):
            shot = session.take(limit_ns=0)
            taken.append((shot.exposure_ns, read_mark(luma(shot.frame)).exposure_ns))
            session.give_back(shot)
        assert taken == [(2 * NS_PER_MS, 2 * NS_PER_MS)] * 3
