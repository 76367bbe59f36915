"""The ledger against cameras that know the truth: whatever they do, no frame is matched to a wrong pulse."""

from hypothesis import assume, given
from hypothesis import strategies as st
from trigger.triggered_camera import TriggeredCamera

from agent.trigger.budget import Budget, check_budget
from agent.trigger.ledger import Ledger
from agent.trigger.verdicts import Cause, End, Relocked, Undecided

DELAY = 50
RELOCK_AFTER = 3


@st.composite
def budgets(draw):
    """Small numbers, so that edges are met. The window is 1 to 20, the jitter up to that."""
    window = draw(st.integers(1, 20))
    soonest = draw(st.integers(0, 80))
    return Budget(
        delay_ns=DELAY,
        jitter_ns=draw(st.integers(0, window)),
        window_ns=window,
        wait_ns=draw(st.integers(soonest + 20, soonest + 400)),
        soonest_ns=soonest,
    )


def stamp(draw, uncertainty):
    """An uncertainty, and an error within it."""
    u = draw(st.integers(0, uncertainty))
    return draw(st.integers(-u, u)), u


MOST = 25
"""Pulses in a train. A ledger with room for half of them open remembers all."""


def fire_train(draw, camera, shortest, longest, most=MOST, uncertainty=0):
    now = 1_000
    for _ in range(draw(st.integers(1, most))):
        camera.fire(now, *stamp(draw, uncertainty))
        now += draw(st.integers(shortest, longest))


FATES = st.sampled_from(["good"] * 6 + ["not exposed", "lost", "double", "late", "ghost"])


@given(st.data())
def test_no_frame_is_matched_to_a_wrong_pulse(data):
    """Windows that do not overlap, any jitter within them, any uncertainty: even one that spans several pulses."""
    draw = data.draw
    budget = draw(budgets())
    room = draw(st.integers(1, 30))
    camera = TriggeredCamera(Ledger(budget, relock_after=RELOCK_AFTER, open_pulses=room))
    fire_train(draw, camera, 2 * budget.window_ns, 3 * budget.window_ns + 150, uncertainty=5)
    ghosts = 0
    for number, (fired, _, _) in enumerate(camera.pulses):
        fate = draw(FATES)
        if 2 * room < MOST and fate in ("late", "ghost"):
            continue  # a frame may come when its pulse is forgotten, but then not later than its wait as well
        if fate == "not exposed":
            continue
        if fate == "lost":
            camera.lose()
            continue
        if fate == "ghost" and ghosts < RELOCK_AFTER - 1:  # three that agree would be a shift
            ghosts += 1
            start = fired + draw(st.integers(-200, 200))
            camera.expose(None, start, *stamp(draw, 10), max(fired, start) + draw(st.integers(10, 300)))
        for _ in range(2 if fate == "double" else 1):
            start = fired + DELAY + draw(st.integers(-budget.window_ns, budget.window_ns))
            latency = draw(st.integers(max(budget.soonest_ns, 5), budget.wait_ns + 300 * (fate == "late")))
            # an uncertainty of 300 is a stamp that is not believed: the time of dequeueing stands in
            camera.expose(number, start, *stamp(draw, draw(st.sampled_from([0, 10, 300]))), fired + latency)
    last = max([fired for fired, _, _ in camera.pulses] + [frame.arrived_ns for frame in camera.frames])
    account = camera.run(draw(st.lists(st.integers(1_000, last + 500), max_size=10)))
    assert not account.told(Relocked)
    for number, frame in enumerate(camera.frames):
        partner = account.partner(number)
        if frame.pulse is None and partner is not None:
            fired, told, u = camera.pulses[partner]
            assert abs(frame.start_ns - told - DELAY) <= budget.window_ns + frame.uncertainty_ns + u
        elif partner is not None:
            assert partner == frame.pulse


@given(st.data())
def test_no_frame_is_matched_to_a_wrong_pulse_where_windows_overlap_if_the_jitter_is_as_in_the_data_sheet(data):
    """Pulses as near to each other as you like, or at the same instant."""
    draw = data.draw
    budget = draw(budgets())
    room = draw(st.sampled_from([2, 5, MOST]))
    camera = TriggeredCamera(Ledger(budget, relock_after=2, open_pulses=room))
    fire_train(draw, camera, 0, draw(st.sampled_from([5, 40, 100])), uncertainty=3)
    for number, (fired, _, _) in enumerate(camera.pulses):
        fate = draw(
            st.sampled_from(["good", "good", "good", "not exposed", "double", "late"][: 6 if room == MOST else 5])
        )
        for _ in range({"not exposed": 0, "double": 2}.get(fate, 1)):
            start = fired + DELAY + draw(st.integers(-budget.jitter_ns, budget.jitter_ns))
            latency = draw(st.integers(max(budget.soonest_ns, 6), budget.wait_ns + 300 * (fate == "late")))
            camera.expose(number, start, *stamp(draw, draw(st.sampled_from([0, 10, 60]))), fired + latency)
    last = camera.pulses[-1][0] + budget.wait_ns
    account = camera.run(draw(st.lists(st.integers(1_000, last), max_size=5)))
    assert all(account.partner(number) in (None, frame.pulse) for number, frame in enumerate(camera.frames))
    assert not account.told(Relocked)


@given(st.data())
def test_what_is_in_order_is_matched_and_what_is_not_is_named(data):
    """A budget that `check_budget` accepts, frames in time, no ghosts: every verdict and every cause is the true."""
    draw = data.draw
    budget = draw(budgets())
    unsure = draw(st.integers(0, 5))
    shortest = 2 * (budget.window_ns + 2 * unsure) + 1
    assume(budget.wait_ns >= max(DELAY, budget.soonest_ns) + 4 * unsure)
    check_budget(
        budget, exposure_ns=0, readout_ns=max(0, budget.soonest_ns - DELAY), shortest_ns=shortest,
        uncertainty_ns=2 * unsure, open_pulses=500,
    )  # fmt: skip
    camera = TriggeredCamera(Ledger(budget, open_pulses=500))
    fire_train(draw, camera, shortest, shortest + 150, uncertainty=unsure)
    fates = [draw(st.sampled_from(["good"] * 4 + ["not exposed", "lost"])) for _ in camera.pulses]
    for number, (fired, _, _) in enumerate(camera.pulses):
        if fates[number] == "good":
            start = fired + DELAY + draw(st.integers(-budget.window_ns, budget.window_ns))
            latency = draw(st.integers(max(budget.soonest_ns, 2 * unsure), budget.wait_ns - 2 * unsure))
            camera.expose(number, start, *stamp(draw, unsure), fired + latency)
        elif fates[number] == "lost":
            camera.lose()
    # frames that queue behind the one ahead of them may overrun their wait: then they are late, never wrong
    overtaken = [n for n, f in enumerate(camera.frames) if f.arrived_ns > camera.pulses[f.pulse][1] + budget.wait_ns]
    assume(not overtaken)
    last = max([camera.pulses[-1][0] + unsure, *(frame.arrived_ns for frame in camera.frames)])
    account = camera.run([*draw(st.lists(st.integers(1_000, last), max_size=5)), last])
    for number, frame in enumerate(camera.frames):
        assert account.partner(number) == frame.pulse
        entry = account.frames[number]
        assert entry.residual_ns == frame.start_ns - camera.pulses[frame.pulse][1] - DELAY
    assert set(account.causes()) == {number for number, fate in enumerate(fates) if fate != "good"}
    for number, cause in account.causes().items():
        over = camera.pulses[number][1] + budget.wait_ns <= last
        assert cause is (true_cause(fates, number) or (Cause.NO_FRAME if over else Cause.STOPPED))


def true_cause(fates, number):
    """From the row of pulses without a frame around this one; None when no frame follows it."""
    first = last = number
    while first and fates[first - 1] != "good":
        first -= 1
    while last < len(fates) and fates[last] != "good":
        last += 1
    row = fates[first:last]
    if last == len(fates):
        return None
    if "lost" not in row:
        return Cause.NO_EXPOSURE
    return Cause.DRIVER_LOST if "not exposed" not in row else Cause.UNCLEAR


def shifted_train(draw, *, shortest, longest, latency, jitter, shift, before, unsure=0, losses=False, after=12):
    """A train whose stamps jump by `shift` at the first frame after `before` of them."""
    # the wait begins at the pulse as told
    wait, soonest = latency[1] + 1 + unsure, latency[0] - 1
    budget = Budget(delay_ns=DELAY, jitter_ns=0, window_ns=2 * jitter + 1, wait_ns=wait, soonest_ns=soonest)
    camera = TriggeredCamera(Ledger(budget, relock_after=RELOCK_AFTER))
    now = 10_000
    for number in range(before + after):
        camera.fire(now, *stamp(draw, unsure))
        if losses and draw(st.integers(0, 3)) == 0:
            camera.lose()
        else:
            moved = shift if number >= before else 0
            start = now + DELAY + moved + draw(st.integers(-jitter, jitter))
            camera.expose(number, start, *stamp(draw, unsure), now + draw(st.integers(*latency)))
        now += draw(st.integers(shortest, longest))
    return camera


@given(st.data())
def test_stamps_that_jump_are_locked_again_within_the_stated_frames(data):
    """Forward by anything, whole periods included; pulses regular or not, frames lost, several pulses in flight."""
    draw = data.draw
    jitter, unsure = draw(st.integers(0, 10)), draw(st.integers(0, 5))
    shortest = draw(st.integers(200, 300))
    longest = draw(st.sampled_from([shortest, shortest + 200]))
    soonest = draw(st.integers(100, 700))
    latency = (soonest, soonest + shortest - 4 - 4 * unsure)
    window = 2 * jitter + 1
    shift = draw(st.integers(window + 4 * unsure + jitter + 1, 2_000) | st.sampled_from([shortest, 2 * shortest]))
    camera = shifted_train(
        draw, shortest=shortest, longest=longest, latency=latency, jitter=jitter, shift=shift,
        before=draw(st.integers(0, 4)), unsure=unsure, losses=draw(st.booleans()),
    )  # fmt: skip
    budget = camera.ledger.budget
    assert budget.decides(shortest, unsure)
    assume(all(f.arrived_ns <= camera.pulses[f.pulse][0] + latency[1] for f in camera.frames))
    check_relocked(camera, shift, unsure)


@given(st.data())
def test_stamps_that_jump_back_are_locked_again_unless_they_fall_on_older_pulses(data):
    draw = data.draw
    jitter, period = draw(st.integers(0, 10)), draw(st.integers(200, 300))
    reach = 3 * jitter + 2
    shift = -draw(st.integers(reach, 900))
    assume(reach <= -shift % period <= period - reach)
    soonest = draw(st.integers(100, 700))
    camera = shifted_train(
        draw, shortest=period, longest=period, latency=(soonest, soonest + period - 4), jitter=jitter, shift=shift,
        before=draw(st.integers(0, 4)), losses=draw(st.booleans()),
    )  # fmt: skip
    assume(all(f.arrived_ns <= camera.pulses[f.pulse][0] + soonest + period - 4 for f in camera.frames))
    check_relocked(camera, shift, 0)


def check_relocked(camera, shift, unsure):
    account = camera.run()
    before = [
        n for n, f in enumerate(camera.frames) if abs(f.start_ns - camera.pulses[f.pulse][0] - DELAY) < abs(shift) / 2
    ]
    moved = range(len(before), len(camera.frames))
    assume(len(moved) >= RELOCK_AFTER)
    for number, frame in enumerate(camera.frames):
        shifted = number - len(before)
        if 0 <= shifted < RELOCK_AFTER - 1:
            assert account.frames[number].end is End.SPURIOUS
        else:
            assert account.partner(number) == frame.pulse
    (relocked,) = [notice for notice in account.told(Relocked) if notice.after_frames]
    assert relocked.after_frames == RELOCK_AFTER
    assert abs(relocked.offset_ns - shift) <= camera.ledger.budget.window_ns // 2 + 2 * unsure
    assert not account.told(Undecided)


@given(st.data())
def test_the_first_pulse_after_arming_decides_where_arrivals_do_not(data):
    """Several pulses in flight and nothing known of arrivals; but before the first frame there was no other pulse."""
    draw = data.draw
    period, shift = draw(st.integers(200, 300)), draw(st.integers(20, 150))
    camera = TriggeredCamera(
        Ledger(Budget(delay_ns=DELAY, jitter_ns=0, window_ns=5, wait_ns=2_000), relock_after=RELOCK_AFTER)
    )
    latency = draw(st.integers(period + 1, 4 * period))
    for number in range(12):
        # the train starts slowly: the first frame is there before the second pulse
        camera.fire(number * period + (5_000 if number else 0))
    for number, (fired, _, _) in enumerate(camera.pulses):
        camera.expose(number, fired + DELAY + shift, 0, 0, fired + latency)
    account = camera.run()
    matched = [account.partner(number) for number in range(12)]
    assert matched == [None] * (RELOCK_AFTER - 1) + list(range(RELOCK_AFTER - 1, 12))


@given(period=st.integers(200, 300), shift=st.integers(20, 150), in_flight=st.integers(1, 3))
def test_what_cannot_be_decided_is_told_and_a_pause_decides_it(period, shift, in_flight):
    """Regular pulses, several in flight, arrivals that leave more than one: no offset is adopted before a pause."""
    budget = Budget(delay_ns=DELAY, jitter_ns=0, window_ns=5, wait_ns=5 * period)
    camera = TriggeredCamera(Ledger(budget, relock_after=RELOCK_AFTER))
    for number in range(24):
        fired = number * period + (77_777 if number >= 16 else 0)
        camera.fire(fired)
        moved = shift if number >= 5 else 0
        camera.expose(number, fired + DELAY + moved, 0, 0, fired + in_flight * period + 10)
    account = camera.run()
    assert [account.partner(number) for number in range(5)] == list(range(5))
    assert all(account.partner(number) is None for number in range(5, 16 - in_flight))
    assert all(account.partner(number) in (None, number) for number in range(24))
    (undecided,) = account.told(Undecided)
    assert shift in undecided.offsets_ns
    assert shift - period in undecided.offsets_ns
    assert [n.offset_ns for n in account.told(Relocked)] == [shift, 0]
    assert all(account.partner(number) == number for number in range(16 + RELOCK_AFTER, 24))


@given(period=st.integers(200, 300), periods=st.integers(1, 3), latency=st.integers(60, 199))
def test_a_shift_back_by_whole_periods_is_late_and_never_a_match(period, periods, latency):
    """It looks as a driver does whose queue lags: told for as long as it lasts, and nothing is paired anew."""
    budget = Budget(delay_ns=DELAY, jitter_ns=0, window_ns=5, wait_ns=latency + 1, soonest_ns=latency - 1)
    camera = TriggeredCamera(Ledger(budget, relock_after=RELOCK_AFTER))
    for number in range(20):
        fired = number * period
        camera.fire(fired)
        moved = periods * period if number >= 5 else 0
        camera.expose(number, fired + DELAY - moved, 0, 0, fired + latency)
    account = camera.run(range(0, 20 * period, 7))
    assert [account.partner(number) for number in range(20)] == [*range(5), *[None] * 15]
    ends = [account.frames[number].end for number in range(5, 20)]
    assert ends == [End.AMBIGUOUS] * periods + [End.LATE] * (15 - periods)
    assert not account.told(Relocked)
