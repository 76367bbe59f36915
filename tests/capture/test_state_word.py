"""The word of a camera: one table, walked to its ends, and against a model of the driver."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.capture.board import Of
from agent.capture.state_word import ALLOWED, Phase, StateWord, Step, describe, read_word
from agent.errors import StateError

START = (Phase.IDLE, False, False)
RESTING = (Phase.IDLE, Phase.PREPARED, Phase.FAULT)


def reachable():
    found, edge = {START}, [START]
    while edge:
        state = edge.pop()
        for (before, _), after in ALLOWED.items():
            if before == state and after not in found:
                found.add(after)
                edge.append(after)
    return found


def make_word(now_ns=lambda: 7):
    words = memoryview(bytearray(8 * 32)).cast("q")
    return StateWord(words, now_ns), words


def steps_from(state):
    return {step: after for (before, step), after in ALLOWED.items() if before == state}


def test_every_state_of_the_table_is_reached_and_none_is_a_dead_end():
    assert reachable() == {state for state, _ in ALLOWED} | set(ALLOWED.values())
    for state in reachable():
        assert any(after != state for after in steps_from(state).values()), describe_state(state)


def test_busy_and_cancelled_has_exactly_one_way_on_which_is_stop_and_then_clear():
    cancelled = [state for state in reachable() if state[2]]
    assert {phase for phase, _, _ in cancelled} == set(Phase)
    for state in cancelled:
        ways = {step for step, after in steps_from(state).items() if after != state}
        if state[0] is Phase.STOPPING:
            assert ways == {Step.STOPPED, Step.FAILED, Step.CLOSED}
            assert {steps_from(state)[step] for step in ways} == {(phase, False, False) for phase in RESTING}
        else:
            assert ways == {Step.STOP}
            assert steps_from(state)[Step.STOP] == (Phase.STOPPING, True, True)


def test_a_cancel_is_possible_whenever_a_stream_is_on_or_may_come_on():
    for state in reachable():
        phase, busy, _ = state
        assert (Step.CANCEL in steps_from(state)) == (busy or phase is Phase.ARMED), describe_state(state)


def test_only_a_job_that_nobody_cancelled_ends_with_the_stream_on():
    assert {before for (before, step), after in ALLOWED.items() if step is Step.ARMED} == {
        (phase, True, False) for phase in RESTING
    }


def test_a_job_that_ends_leaves_no_state_busy_for_ever():
    for phase, busy, cancelled in reachable():
        if busy and not cancelled:
            ends = {Step.SET, Step.FAILED, Step.SERVED} & steps_from((phase, busy, cancelled)).keys()
            assert ends, describe_state((phase, busy, cancelled))
    assert ALLOWED[(Phase.FAULT, True, False), Step.SET] == (Phase.FAULT, False, False)


def describe_state(state):
    return f"{state[0].name} {'busy' if state[1] else ''} {'cancelled' if state[2] else ''}"


@pytest.mark.parametrize("step", Step)
def test_a_step_that_is_not_in_the_table_changes_nothing(step):
    for state in reachable():
        word, words = make_word()
        word.phase, word.busy, word.cancel_pending = state
        before = words.tolist()
        if (state, step) in ALLOWED:
            assert word.allows(step)
            continue
        with pytest.raises(StateError) as caught:
            word.step(step)
        assert (words.tolist(), word.state) == (before, state)
        assert caught.value.details["allowed"] == [other.value for other in Step if other in steps_from(state)]


def test_people_read_it():
    word, words = make_word()
    word.step(Step.WORK)
    word.step(Step.CANCEL)
    assert describe(words[Of.WORD]) == "idle, busy, cancel pending"


def test_a_successor_begins_idle_with_a_word_of_its_own():
    word, words = make_word()
    word.step(Step.WORK)
    last = words[Of.WORD]
    StateWord(words, lambda: 9)
    assert read_word(words[Of.WORD]) == START
    assert words[Of.WORD] >> 16 > last >> 16


class Stores(list):
    """The words of a camera, each store seen as a reader would see it: `seen` is told after every one."""

    def __init__(self, seen):
        super().__init__([0] * 32)
        self._seen = seen

    def __setitem__(self, place, value):
        super().__setitem__(place, value)
        self._seen()


class Camera(RuleBasedStateMachine):
    """A model of what the driver does: a job, a stream, ticks. The word follows it, whatever happens."""

    @initialize()
    def begin(self):
        self.now_ns = 100
        self.models, self.seen = [START], []
        self.words = Stores(lambda: self.seen.append((self.words[Of.WORD], self.words[Of.SINCE_NS])))
        self.word = StateWord(self.words, lambda: self.now_ns)
        self.seen.clear()

    @rule(step=st.sampled_from(Step), wait_ns=st.integers(0, 5))
    def anything(self, step, wait_ns):
        self.now_ns += wait_ns
        model, stored = self.models[-1], list(self.words)
        after = ALLOWED.get((model, step))
        self.seen.clear()
        if after is None:
            with pytest.raises(StateError):
                self.word.step(step)
            assert list(self.words) == stored
            return
        self.word.step(step)
        self.models.append(after)
        # in between two stores a reader sees the old word or the new one, never a third
        assert {read_word(word) for word, _ in self.seen} <= {model, after}
        if after != model:
            assert self.words[Of.WORD] >> 16 == (stored[Of.WORD] >> 16) + 1
            assert self.words[Of.SINCE_NS] == self.now_ns

    @invariant()
    def the_word_is_the_model(self):
        assert read_word(self.words[Of.WORD]) == self.models[-1] == self.word.state

    @invariant()
    def cancelled_means_on_its_way_to_rest(self):
        phase, busy, cancelled = self.models[-1]
        assert phase is not Phase.STOPPING or (busy and cancelled)
        assert not cancelled or busy or phase is Phase.ARMED


Camera.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestCamera = Camera.TestCase
