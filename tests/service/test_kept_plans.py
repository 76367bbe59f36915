"""Plans that somebody added outlive the agent; what they are when they come back, and what becomes of a bad file."""

import asyncio
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from service.played import camera, played

from agent.capture import messages as m
from agent.service.kept_plans import FILE_NAME, KeptPlan, KeptPlans
from agent.units import NS_PER_S

LEFT = camera("/dev/video2", serial="B2")
CONFIG = "cameras:\n  top: {device: {serial: A1}}\n  left: {device: {serial: B2}}\n"
MINE = {"mine": {"camera": "left", "every": "1s", "count": 10}}
SOON = 2_000_000_000 * NS_PER_S


def kept(folder):
    path = folder / FILE_NAME
    return {told["name"]: told for told in map(json.loads, path.read_text().splitlines())} if path.exists() else {}


def restarted(folder, scene, config=CONFIG, now_ns=None):
    """The agent is started on the folder that an earlier one left."""
    around = {} if now_ns is None else {"realtime_now_ns": lambda: now_ns}
    played(folder, config, LEFT, **around)(scene)


def add(folder, plans=MINE, **how):
    async def scene(stage):
        await stage.ready("left")
        await stage.agent.add_plans(plans, "user anna", "user-anna", **how)

    played(folder, CONFIG, LEFT)(scene)


def test_a_plan_goes_on_after_a_restart_with_its_owner_and_the_ticks_that_are_left(tmp_path):
    add(tmp_path)
    start_ns = kept(tmp_path)["mine"]["start_ns"]

    async def scene(stage):
        await stage.ready("left")
        plan = await stage.agent.plan("mine")
        assert (plan["state"], plan["by"], plan["client"]) == ("running", "user anna", "user-anna")
        (order,) = stage.process("left").of(m.AddPlans)[-1].orders
        assert (order.plan.count, order.plan.client) == (7, "user-anna")

    restarted(tmp_path, scene, now_ns=start_ns + 5 * NS_PER_S // 2)
    assert list(kept(tmp_path)) == ["mine"], "it ended with the agent, and is not over"


@pytest.mark.parametrize("verb", ["cancel", "end"])
def test_a_plan_that_is_over_is_not_kept(tmp_path, verb):
    async def scene(stage):
        await stage.ready("left")
        await stage.agent.add_plans(MINE, "anna", "")
        assert list(kept(tmp_path)) == ["mine"]
        if verb == "cancel":
            await stage.agent.cancel_plan("mine", "anna")
        else:
            stage.process("left").say(m.PlansEnded(at_ns=1, ends=(("mine", "finished", ""),)))
            await stage.until_plan("mine", "finished")

    played(tmp_path, CONFIG, LEFT)(scene)
    assert kept(tmp_path) == {}


def test_what_is_held_by_a_connection_and_what_was_refused_is_not_kept(tmp_path):
    add(tmp_path, is_held=True)

    async def scene(stage):
        await stage.ready("left")
        stage.refuses[m.AddPlans] = lambda _: True
        with pytest.raises(Exception, match="it will not"):
            await stage.agent.add_plans(MINE, "anna", "")

    played(tmp_path, CONFIG, LEFT)(scene)
    assert kept(tmp_path) == {}


def test_changes_are_kept_and_another_period_counts_from_then_on(tmp_path):
    async def scene(stage):
        await stage.ready("left")
        await stage.agent.add_plans(MINE, "anna", "")
        await stage.agent.change_plan("mine", by="anna", priority=5, quota="3/s")
        start_ns = kept(tmp_path)["mine"]["start_ns"]
        await stage.agent.change_plan("mine", by="anna", every_ns=2 * NS_PER_S)
        told = kept(tmp_path)["mine"]
        assert told["plan"] == {"camera": "left", "every": "2s", "count": 9, "priority": 5, "quota": "3/s"}
        assert told["start_ns"] > start_ns

    played(tmp_path, CONFIG, LEFT)(scene)

    async def later(stage):
        await stage.ready("left")
        plan = await stage.agent.plan("mine")
        assert (plan["period_ns"], plan["priority"], plan["quota"]) == (2 * NS_PER_S, 5, "3/s")

    restarted(tmp_path, later)


def test_copies_and_starts_are_kept_each_with_its_own(tmp_path):
    plans = {
        "many": {"camera": "left", "every": "4s", "copies": 4},
        "later": {"camera": "left", "every": "1h", "start": "2h"},
        "dated": {"camera": "left", "every": "1h", "start": "2033-01-31T08:00:00+01:00"},
    }
    add(tmp_path, plans)
    asked_ns = kept(tmp_path)["later"]["asked_ns"]

    async def scene(stage):
        await stage.ready("left")
        orders = [order.plan for command in stage.process("left").of(m.AddPlans) for order in command.orders]
        starts = {plan.name: plan.start_ns for plan in orders}
        assert starts["many-2"] - starts["many-1"] == NS_PER_S
        assert starts["later"] - starts["many-0"] == 7200 * NS_PER_S - 4 * NS_PER_S
        assert starts["dated"] - starts["later"] == kept(tmp_path)["dated"]["start_ns"] - asked_ns - 7200 * NS_PER_S

    restarted(tmp_path, scene, now_ns=asked_ns + NS_PER_S // 2)


def test_all_of_its_ticks_are_past(tmp_path):
    add(tmp_path)

    async def scene(stage):
        await stage.ready("left")
        assert await stage.agent.plans() == []
        assert "plan.refused" not in stage.kinds

    restarted(tmp_path, scene, now_ns=SOON)
    assert kept(tmp_path) == {}


def test_a_clock_that_is_behind_the_plans_begin_is_not_waited_for(tmp_path):
    add(tmp_path)

    async def scene(stage):
        await stage.ready("left")
        (order,) = stage.process("left").of(m.AddPlans)[-1].orders
        assert order.plan.count == 10
        assert order.plan.start_ns <= stage.surroundings.now_ns()

    restarted(tmp_path, scene, now_ns=5 * NS_PER_S)


@pytest.mark.parametrize(
    "config",
    [
        "cameras:\n  top: {device: {serial: A1}}\nplans:\n  x: {camera: top, every: 1s}\n",
        f"{CONFIG}plans:\n  mine: {{camera: top, every: 7s}}\n",
    ],
)
def test_what_the_configuration_does_not_allow_any_more_is_told_and_the_rest_goes_on(tmp_path, config):
    add(tmp_path, {**MINE, "other": {"camera": "top", "every": "1h"}})

    async def scene(stage):
        assert stage.kinds.count("plan.refused") == 1
        assert (await stage.agent.plan("other"))["state"] == "waiting"

    restarted(tmp_path, scene, config)
    assert list(kept(tmp_path)) == ["other"]


def test_a_folder_that_cannot_be_written_is_told_and_the_plan_runs(tmp_path):
    async def scene(stage):
        await stage.ready("left")
        (tmp_path / FILE_NAME).with_suffix(".new").mkdir()
        await stage.agent.add_plans(MINE, "anna", "")
        assert stage.kinds[-2:] == ["plans.not_kept", "plan.added"]
        assert (await stage.agent.plan("mine"))["state"] == "running"
        assert any("lost with" in one for one in (await stage.agent.health())["problems"])

    played(tmp_path, CONFIG, LEFT)(scene)


TEXTS = st.text(max_size=20)
PLANS = st.builds(
    KeptPlan,
    name=TEXTS,
    plan=st.dictionaries(TEXTS, st.one_of(TEXTS, st.integers(), st.booleans()), max_size=3),
    by=TEXTS,
    client=TEXTS,
    asked_ns=st.integers(0, 2**62),
    start_ns=st.integers(0, 2**62),
)


@given(st.lists(PLANS, unique_by=lambda plan: plan.name, max_size=5), st.data())
def test_what_is_kept_is_read_again_in_whatever_order_it_is_written(tmp_path_factory, plans, data):
    folder = tmp_path_factory.mktemp("kept")

    async def scene():
        made = KeptPlans(folder)
        await asyncio.gather(*(made.add([plan]) for plan in plans))
        gone = {plan.name for plan in plans if data.draw(st.booleans())}
        made.drop(gone)
        await made.close()
        made.drop(plan.name for plan in plans)
        assert KeptPlans(folder).load() == [plan for plan in plans if plan.name not in gone]

    asyncio.run(scene())


@given(st.binary(max_size=200))
def test_fuzz_no_file_keeps_the_agent_from_starting(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("kept")
    (folder / FILE_NAME).write_bytes(data)
    assert isinstance(KeptPlans(folder).load(), list)


def test_a_file_that_may_not_be_read_is_trouble(tmp_path):
    (tmp_path / FILE_NAME).mkdir()
    made = KeptPlans(tmp_path)
    assert made.load() == []
    assert os.strerror(21) in made.trouble
