import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from fractions import Fraction
from math import ceil, floor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.errors import InputError
from agent.schedule.quota import Buckets, Limit, QuotaError, check_limit
from agent.shared import Lock, Page

S = 1_000_000_000
RACER = Path(__file__).parent / "racer.py"


def words_of(buckets):
    return memoryview(bytearray(Buckets.words_for(buckets) * 8)).cast("q")


def bucket_of(limit, now_ns=0):
    buckets = Buckets(words_of(1), contextlib.nullcontext)
    buckets.define(0, limit, now_ns)
    return buckets


def assert_never_over(limit, grants_ns):
    """In each closed interval [t_i, t_j]: grants * period <= burst * period + amount * (t_j - t_i). All pairs.

    With x_k = k * period - amount * t_k that is x_j - x_i <= (burst - 1) * period: enough to hold it against the least.
    """
    least = None
    for k, at_ns in enumerate(grants_ns):
        x = k * limit.period_ns - limit.amount * at_ns
        least = x if least is None else min(least, x)
        assert x - least <= (limit.burst - 1) * limit.period_ns, (k, at_ns)


# what a limit may be


@pytest.mark.parametrize(
    ("limit", "key"),
    [
        (Limit(0, S), "amount"),
        (Limit(-1, S), "amount"),
        (Limit(1, 0), "period_ns"),
        (Limit(1, -S), "period_ns"),
        (Limit(1, S, 0), "burst"),
        (Limit(2**63, S), "amount"),
        (Limit(1, 2**62, 2), "burst"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_and_changes_nothing(limit, key):
    with pytest.raises(InputError, match=f"camera/top: .*{key.removesuffix('_ns')}") as caught:
        check_limit(limit, "camera/top")
    assert caught.value.details["key"] == key
    assert caught.value.details["asked"] == getattr(limit, key)
    buckets = bucket_of(Limit(1, S))
    before = buckets._words.tobytes()
    for change in (buckets.define, buckets.set_limit):
        with pytest.raises(QuotaError):
            change(0, limit, 5)
    assert buckets._words.tobytes() == before


@pytest.mark.parametrize(
    "limit", [Limit(1, 1), Limit(1, 2**63 - 1), Limit(2**63 - 1, 1, 2**63 - 1), Limit(1, 2**62, 1)]
)
def test_the_largest_and_smallest_limits_work(limit):
    check_limit(limit)
    buckets = bucket_of(limit)
    assert buckets.take((0,), 0) is None
    assert buckets.level(0, 2**62) == limit.burst if limit.period_ns < 2**62 else True


@pytest.mark.parametrize("index", [-1, 1, 7])
def test_a_bucket_that_is_not_there_is_an_error(index):
    buckets = bucket_of(Limit(1, S))
    for ask in (buckets.level, buckets.next_token_ns):
        with pytest.raises(QuotaError, match="no token bucket"):
            ask(index, 0)
    for change in (buckets.define, buckets.set_limit):
        with pytest.raises(QuotaError, match="no token bucket"):
            change(index, Limit(1, S), 0)


def test_a_bucket_never_defined_or_named_twice_takes_nothing():
    buckets = Buckets(words_of(2), contextlib.nullcontext)
    buckets.define(0, Limit(1, S, 5), 0)
    with pytest.raises(QuotaError, match="no token bucket 1"):
        buckets.take((0, 1), 0)
    with pytest.raises(QuotaError, match="named twice"):
        buckets.take((0, 0), 0)
    assert buckets.level(0, 0) == 5


# exactness


@pytest.mark.parametrize("limit", [Limit(1, 3 * S), Limit(97, 1_000_000_007_011, 5), Limit(7, 60 * S, 3)])
def test_over_a_million_seconds_not_one_token_and_not_one_nanosecond_is_lost(limit):
    end_ns = 10**6 * S
    buckets = bucket_of(limit)
    grants = []
    now_ns = 0
    while (now_ns := buckets.next_token_ns(0, now_ns)) <= end_ns:
        assert buckets.take((0,), now_ns) is None
        grants.append(now_ns)
    assert len(grants) == limit.burst + limit.amount * end_ns // limit.period_ns
    fresh = range(1, len(grants) - limit.burst + 1)
    assert grants[limit.burst :] == [-(-k * limit.period_ns // limit.amount) for k in fresh]


def test_asking_every_nanosecond_gives_the_same_as_asking_seldom():
    limit = Limit(3, 1_000)
    often, seldom = bucket_of(limit), bucket_of(limit)
    granted = [t for t in range(100_000) if often.take((0,), t) is None]
    expected, now_ns = [], 0
    while (now_ns := seldom.next_token_ns(0, now_ns)) < 100_000:
        expected.append(now_ns)
        seldom.take((0,), now_ns)
    assert granted == expected
    assert len(granted) == 1 + (99_999 * 3) // 1_000


limits = st.builds(Limit, st.integers(1, 10), st.integers(1, 60), st.integers(1, 6))


@given(limits, st.integers(0, 100), st.lists(st.integers(0, 80)), st.integers(0, 80))
def test_next_token_is_the_very_first_instant_that_grants(limit, now_ns, waits, pause):
    buckets = bucket_of(limit)
    for wait in waits:
        now_ns += wait
        buckets.take((0,), now_ns)
    now_ns += pause
    at_ns = buckets.next_token_ns(0, now_ns)
    assert at_ns >= now_ns
    assert buckets.level(0, at_ns) >= 1
    if at_ns > now_ns:
        assert buckets.take((0,), at_ns - 1) == 0
    assert buckets.take((0,), at_ns) is None


@given(limits, st.lists(st.integers(-40, 60), min_size=1))
def test_readings_that_go_back_never_give_a_token_too_many(limit, steps):
    buckets = bucket_of(limit, 1_000)
    grants, latest, now_ns = [], 1_000, 1_000
    for step in steps:
        now_ns += step
        level = buckets.level(0, now_ns)
        if now_ns <= latest:
            assert level == buckets.level(0, latest)
        if buckets.take((0,), now_ns) is None:
            latest = max(latest, now_ns)
            grants.append(latest)
        else:
            assert level < 1
    assert_never_over(limit, grants)
    for i in range(len(grants)):  # the same by brute force
        for j in range(i, len(grants)):
            span_ns = grants[j] - grants[i]
            assert (j - i + 1) <= limit.burst + Fraction(limit.amount * span_ns, limit.period_ns)


# against a naive model


class Death(Exception):
    pass


class Dying:
    """Words of a process that dies at its n-th store."""

    def __init__(self, words, stores, die):
        self._words, self._left, self._die = words, stores, die

    def __len__(self):
        return len(self._words)

    def __getitem__(self, place):
        return self._words[place]

    def __setitem__(self, place, value):
        if self._left == 0:
            self._die()
        self._left -= 1
        self._words[place] = value


def raise_death():
    raise Death


class Model:
    """One bucket in fractions."""

    def __init__(self, limit, now_ns):
        self.limit, self.level, self.last_ns = limit, Fraction(limit.burst), now_ns

    def at(self, now_ns):
        passed = max(0, now_ns - self.last_ns)
        return min(Fraction(self.limit.burst), self.level + Fraction(self.limit.amount * passed, self.limit.period_ns))

    def settle(self, now_ns):
        self.level, self.last_ns = self.at(now_ns), max(now_ns, self.last_ns)


COUNT = 4
chosen = st.lists(st.integers(0, COUNT - 1), unique=True, max_size=COUNT)
asked_late = st.integers(0, 30)


class AgainstModel(RuleBasedStateMachine):
    @initialize(defined=st.tuples(*[limits] * COUNT))
    def start(self, defined):
        self.now_ns = 100
        self.words = words_of(COUNT)
        self.inside = self.died = False
        # two processes, as it were, with words in common
        self.processes = [Buckets(self.words, self.held) for _ in range(2)]
        self.models = [Model(limit, self.now_ns) for limit in defined]
        for index, limit in enumerate(defined):
            self.processes[0].define(index, limit, self.now_ns)

    @contextlib.contextmanager
    def held(self):
        assert not self.inside
        self.inside = True
        try:
            yield
        finally:
            self.inside = False

    @rule(passed_ns=st.one_of(st.integers(0, 9), st.integers(0, 500)))
    def time_passes(self, passed_ns):
        self.now_ns += passed_ns

    @rule(indices=chosen, late=asked_late, process=st.integers(0, 1))
    def take(self, indices, late, process):
        now_ns = self.now_ns - late
        lacking = [index for index in indices if self.models[index].at(now_ns) < 1]
        before = self.words.tobytes()
        assert self.processes[process].take(indices, now_ns) == (lacking[0] if lacking else None)
        if lacking:
            assert self.died or self.words.tobytes() == before  # after a death it cleans up
        else:
            for index in indices:
                self.models[index].settle(now_ns)
                self.models[index].level -= 1
        self.died = False

    @rule(index=st.integers(0, COUNT - 1), limit=limits, late=asked_late, process=st.integers(0, 1))
    def reload(self, index, limit, late, process):
        now_ns = self.now_ns - late
        model = self.models[index]
        model.settle(now_ns)
        expected = min(model.level, Fraction(limit.burst))
        if limit.period_ns != model.limit.period_ns:  # rounded down to what the new period can count
            expected = min(Fraction(floor(model.level * limit.period_ns), limit.period_ns), Fraction(limit.burst))
        assert 0 <= min(model.level, limit.burst) - expected < Fraction(1, limit.period_ns)
        model.limit, model.level = limit, expected
        self.processes[process].set_limit(index, limit, now_ns)

    @rule(index=st.integers(0, COUNT - 1), limit=limits)
    def define_anew(self, index, limit):
        self.processes[0].define(index, limit, self.now_ns)
        self.models[index] = Model(limit, self.now_ns)

    @rule(
        indices=chosen.filter(len),
        limit=limits,
        what=st.sampled_from(["take", "set_limit", "define"]),
        part=st.floats(0, 1, exclude_max=True),
    )
    def die_at_a_store(self, indices, limit, what, part):
        """Whatever store it dies before, the last one included: nothing has happened. Two deaths in a row: the second
        also dies while it cleans up.
        """

        def act(buckets):
            if what == "take":
                buckets.take(indices, self.now_ns)
            else:
                change = buckets.define if what == "define" else buckets.set_limit
                change(indices[0], limit, self.now_ns)

        if what == "take" and any(self.models[index].at(self.now_ns) < 1 for index in indices):
            return
        copy = words_of(COUNT)
        copy[:] = self.words
        counted = Dying(copy, 10**6, raise_death)
        act(Buckets(counted, contextlib.nullcontext))
        stores = 10**6 - counted._left
        dying = Buckets(Dying(self.words, floor(part * stores), raise_death), self.held)
        with pytest.raises(Death):
            act(dying)
        self.died = True

    @invariant()
    def levels_agree_and_no_lock_is_left(self):
        assert not self.inside
        for index, model in enumerate(self.models):
            level = self.processes[1].level(index, self.now_ns)
            assert level == model.at(self.now_ns)
            assert 0 <= level <= model.limit.burst


AgainstModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestAgainstModel = AgainstModel.TestCase


def test_a_reload_is_no_jump_and_no_gift():
    buckets = bucket_of(Limit(1, S, 10))
    for _ in range(7):
        buckets.take((0,), 0)
    assert buckets.level(0, S // 2) == Fraction(7, 2)
    buckets.set_limit(0, Limit(1, S, 10), S // 2)
    buckets.set_limit(0, Limit(100, S, 50), S // 2)
    assert buckets.level(0, S // 2) == Fraction(7, 2)
    buckets.set_limit(0, Limit(100, S, 2), S // 2)
    assert buckets.level(0, S // 2) == 2
    buckets.set_limit(0, Limit(100, S, 50), S // 2)
    assert buckets.level(0, S // 2) == 2
    assert buckets.level(0, S // 2 + S // 100) == 3


def test_a_reload_is_in_force_for_every_process_at_once():
    words = words_of(1)
    first, second = Buckets(words, contextlib.nullcontext), Buckets(words, contextlib.nullcontext)
    first.define(0, Limit(1, S), 0)
    assert second.take((0,), 0) is None
    assert second.take((0,), S // 10) == 0
    first.set_limit(0, Limit(10, S), 0)
    assert second.take((0,), S // 10) is None


# processes


@contextlib.contextmanager
def shared_buckets(limits_, start_ns=0):
    with Page.create("quota", Buckets.words_for(len(limits_))) as page:
        lock = Lock(page)
        buckets = Buckets(page.words, lock.held)
        for index, limit in enumerate(limits_):
            buckets.define(index, limit, start_ns)
        yield page, buckets
        lock.release()


@contextlib.contextmanager
def racer(page, asks, seed):
    command = [sys.executable, str(RACER), str(page.fd), str(asks), str(seed)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, pass_fds=[page.fd], stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def read_log(process):
    *grants, (_, refused) = [line.split() for line in process.stdout]
    return [
        (int(stamp), int(now), {int(index): int(at_ns) for index, at_ns in (each.split(":") for each in chosen)})
        for stamp, now, *chosen in grants
    ], int(refused)


def assert_log_within(limits_, log):
    """`log`: grants in the order of their changes, with the instants at which their buckets granted."""
    for index, limit in enumerate(limits_):
        assert_never_over(limit, [taken[index] for _, _, taken in log if index in taken])


def assert_instants(start_ns, log):
    """A bucket grants at the latest reading that was brought so far."""
    latest = dict.fromkeys(range(len(RACED)), start_ns)
    for _, now_ns, taken in log:
        for index, at_ns in taken.items():
            latest[index] = max(latest[index], now_ns)
            assert at_ns == latest[index]


def assert_replayed(limits_, start_ns, log, buckets):
    """The naive model grants the same in the same order, and ends with the same levels, to the fraction."""
    models = [Model(limit, start_ns) for limit in limits_]
    for _, now_ns, taken in log:
        for index in taken:
            models[index].settle(now_ns)
            models[index].level -= 1
            assert models[index].level >= 0
    last_ns = max(now_ns for _, now_ns, _ in log)
    assert [buckets.level(index, last_ns) for index in range(len(models))] == [model.at(last_ns) for model in models]


RACED = (Limit(300_000, S, 40), Limit(123_456, S, 7), Limit(50_000, S), Limit(1, 30_001, 3))


def test_processes_racing_never_get_one_token_over_the_limit():
    asks = 4_000
    start_ns = time.monotonic_ns()
    with shared_buckets(RACED, start_ns) as (page, buckets), contextlib.ExitStack() as stack:
        processes = [stack.enter_context(racer(page, asks, seed)) for seed in range(4)]
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        logs = [read_log(process) for process in processes]
        assert [process.wait() for process in processes] == [0] * 4
        log = sorted((grant for grants, _ in logs for grant in grants), key=lambda grant: grant[0])
        assert all(len(grants) + refused == asks for grants, refused in logs)
        assert all(grants and refused for grants, refused in logs)
        # no change was lost, none made twice
        assert [stamp for stamp, _, _ in log] == list(range(len(RACED) + 1, len(RACED) + 1 + len(log)))
        assert_instants(start_ns, log)
        assert_log_within(RACED, log)
        assert_replayed(RACED, start_ns, log, buckets)


def test_a_process_goes_on_within_the_limit_while_others_are_killed():
    choose = random.Random(6)
    with shared_buckets(RACED) as (page, buckets), racer(page, 20_000, 0) as survivor:
        survivor.stdin.write("go\n")
        survivor.stdin.flush()
        for seed in range(1, 4):
            with racer(page, 0, seed) as victim:
                victim.stdin.write("go\n")
                victim.stdin.flush()
                doomed = page.words[1] + choose.randrange(1, 60)
                while page.words[1] < doomed:  # changes committed by anybody: the victim is anywhere by then
                    now_ns = time.monotonic_ns()
                    buckets.take((0,), now_ns)
                victim.send_signal(signal.SIGKILL)
                victim.wait()
            for index, limit in enumerate(RACED):
                assert 0 <= buckets.level(index, time.monotonic_ns()) <= limit.burst
        grants, refused = read_log(survivor)
        assert survivor.wait() == 0
        assert len(grants) + refused == 20_000
        assert_log_within(RACED, grants)


def test_processes_killed_at_random_took_all_or_nothing_and_freed_the_lock():
    """Time stands still, so that every token can be counted. The victim's stores are slowed down by being Python."""
    burst, kills, inside = 10**6, 60, 0
    choose = random.Random(6)
    own = [0] * 4
    with shared_buckets([Limit(1, S, burst)] * 4) as (page, buckets):
        committed_before = page.words[1]
        for _ in range(kills):
            start = page.words[1]
            child = os.fork()
            if child == 0:
                slow = Buckets(Dying(page.words, 10**9, raise_death), buckets._held)
                while True:
                    slow.take((0, 1, 2, 3), 0)
            while page.words[1] == start:
                pass
            for _ in range(choose.randrange(200)):
                pass
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            inside += page.words[0] != page.words[1]
            index = choose.randrange(4)
            assert buckets.take((index,), 0) is None
            own[index] += 1
            victims = page.words[1] - committed_before - sum(own)
            assert [buckets.level(i, 0) for i in range(4)] == [burst - victims - own[i] for i in range(4)]
    assert inside  # about one in three; else this test shows nothing


STORES_OF_FOUR = 1 + 4 * 6 + 1


@pytest.mark.parametrize("stores", range(STORES_OF_FOUR + 1))
def test_a_process_killed_before_its_nth_store_took_all_or_nothing(stores):
    with shared_buckets([Limit(1, S, 3)] * 4) as (page, buckets):
        start_ns = time.monotonic_ns()
        child = os.fork()
        if child == 0:
            words = Dying(page.words, stores, lambda: os.kill(os.getpid(), signal.SIGKILL))
            Buckets(words, buckets._held).take((0, 1, 2, 3), start_ns)
            os.kill(os.getpid(), signal.SIGKILL)  # after its last store, then
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        expected = 2 if stores == STORES_OF_FOUR else 3
        assert [buckets.level(index, start_ns) for index in range(4)] == [expected] * 4
        assert buckets.take((1,), start_ns) is None
        assert [buckets.level(index, start_ns) for index in range(4)] == [expected, expected - 1, expected, expected]


@pytest.mark.parametrize("first", range(1, STORES_OF_FOUR))
def test_a_second_death_while_the_first_is_cleaned_up_changes_nothing(first):
    """Each pair of places to die at; the second process asks for two of the four buckets, the third for one of them."""
    for second in range(STORES_OF_FOUR + 5):
        words = words_of(4)
        buckets = Buckets(words, contextlib.nullcontext)
        for index in range(4):
            buckets.define(index, Limit(1, S, 3), 0)
        with pytest.raises(Death):
            Buckets(Dying(words, first, raise_death), contextlib.nullcontext).take((0, 1, 2, 3), 0)
        took = 0
        with contextlib.suppress(Death):
            assert Buckets(Dying(words, second, raise_death), contextlib.nullcontext).take((1, 2), 0) is None
            took = 1
        assert buckets.take((1,), 0) is None
        assert [buckets.level(index, 0) for index in range(4)] == [3, 2 - took, 3 - took, 3]


def test_the_last_store_is_the_one_that_counts():
    words = words_of(4)
    buckets = Buckets(words, contextlib.nullcontext)
    for index in range(4):
        buckets.define(index, Limit(1, S), 0)
    counted = Dying(words, 10**6, raise_death)
    assert Buckets(counted, contextlib.nullcontext).take((0, 1, 2, 3), 0) is None
    assert 10**6 - counted._left == STORES_OF_FOUR
    assert ceil(buckets.level(0, 0)) == 0
