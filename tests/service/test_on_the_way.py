"""Plans that are on their way to a process while it dies, is ended, or is asked something else."""

import asyncio

from service.played import camera, played

from agent.capture import messages as m
from agent.errors import AgentError
from agent.units import NS_PER_MS, NS_PER_S

TOP = camera("/dev/video0", serial="A1")
LEFT = camera("/dev/video2", serial="B2")
APART = "cameras:\n  top: {device: {serial: A1}}\n  left: {device: {serial: B2}}\n"
TOGETHER = "cameras:\n  top: {device: {serial: A1}, group: g}\n  left: {device: {serial: B2}, group: g}\n"
MINE = {"mine": {"camera": "left", "every": "1s"}}


async def asked(stage, group):
    """The AddPlans that a group's process has heard and not answered."""
    process = stage.process(group)
    while not process.of(m.AddPlans):
        await asyncio.sleep(0)
    return process, process.of(m.AddPlans)[-1]


def test_a_plan_whose_camera_gets_another_group_meanwhile_runs_there(tmp_path):
    async def scene(stage):
        await stage.ready("g")
        stage.keeps.add(m.AddPlans)
        adding = asyncio.create_task(stage.agent.add_plans(MINE, "anna", ""))
        await asked(stage, "g")
        stage.keeps.clear()
        stage.write(APART)
        await stage.agent.reload("a test")
        await adding
        await stage.ready("left")
        assert (await stage.agent.plan("mine"))["group"] == "left"
        assert list(stage.process("left").slots) == ["mine"]

    played(tmp_path, TOGETHER, TOP, LEFT)(scene)


def test_what_the_process_that_ends_takes_at_last_is_not_what_the_next_one_has(tmp_path):
    async def scene(stage):
        await stage.ready("g")
        stage.keeps |= {m.AddPlans, m.Quit}
        adding = asyncio.create_task(stage.agent.add_plans(MINE, "anna", ""))
        old, command = await asked(stage, "g")
        stage.write(APART)
        reloading = asyncio.create_task(stage.agent.reload("a test"))
        while not old.of(m.Quit):
            await asyncio.sleep(0)
        old.carry_out(command)
        await adding
        assert (await stage.agent.plan("mine"))["state"] == "waiting"
        stage.keeps.clear()
        old.die(0)
        await reloading
        await stage.ready("left")
        assert list(stage.process("left").slots) == ["mine"]

    played(tmp_path, TOGETHER, TOP, LEFT)(scene)


def test_a_plan_that_is_changed_while_it_is_on_its_way_is_changed_in_its_process(tmp_path):
    async def scene(stage):
        await stage.ready("left")
        stage.keeps.add(m.AddPlans)
        adding = asyncio.create_task(stage.agent.add_plans(MINE, "anna", ""))
        process, command = await asked(stage, "left")
        changing = asyncio.create_task(stage.agent.change_plan("mine", by="anna", every_ns=NS_PER_S // 2))
        await asyncio.sleep(0)
        process.carry_out(command)
        await adding
        assert (await changing)["period_ns"] == 500 * NS_PER_MS
        assert process.periods == {"mine": 500 * NS_PER_MS}

    played(tmp_path, APART, LEFT)(scene)


def test_a_plan_that_is_changed_while_its_process_refuses_it_holds_up_nobody(tmp_path):
    async def scene(stage):
        await stage.ready("left")
        stage.keeps.add(m.AddPlans)
        adding = asyncio.create_task(stage.agent.add_plans(MINE, "anna", ""))
        process, _ = await asked(stage, "left")
        changing = asyncio.create_task(stage.agent.change_plan("mine", by="anna", every_ns=NS_PER_S // 2))
        await asyncio.sleep(0)
        process.die(-9)
        await asyncio.wait([adding, changing])
        assert isinstance(adding.exception(), AgentError)
        assert changing.exception() is None
        assert await stage.agent.plans() == []

    played(tmp_path, APART, LEFT)(scene)


def test_a_process_that_dies_when_it_is_told_of_a_reload_begins_anew_by_the_new_file(tmp_path):
    before, after = (f"{APART}plans:\n  lapse: {{camera: left, every: {every}}}\n" for every in ("1s", "2s"))

    async def scene(stage):
        await stage.ready("left")
        stage.keeps.add(m.SetPeriod)
        process = stage.process("left")
        stage.write(after)
        reloading = asyncio.create_task(stage.agent.reload("a test"))
        while not process.of(m.SetPeriod):
            await asyncio.sleep(0)
        process.die(-9)
        assert (await reloading)["problems"] == []
        await stage.agent.parts.fleet.ended()
        await stage.ready("left")
        assert stage.process("left").periods == {"lapse": 2 * NS_PER_S}
        assert (await stage.agent.plan("lapse"))["period_ns"] == 2 * NS_PER_S
        assert (await stage.agent.config_diff())["changes"] == []

    played(tmp_path, before, LEFT)(scene)


def test_a_name_that_somebody_takes_during_a_reload_is_told(tmp_path):
    before = f"{APART}plans:\n  lapse: {{camera: left, every: 1s}}\n"

    async def scene(stage):
        await stage.ready("left")
        stage.keeps.add(m.Cancel)
        process = stage.process("left")
        stage.write(f"{APART}plans:\n  mine: {{camera: left, every: 2s}}\n")
        reloading = asyncio.create_task(stage.agent.reload("a test"))
        while not process.of(m.Cancel):
            await asyncio.sleep(0)
        await stage.agent.add_plans(MINE, "anna", "")
        process.carry_out(process.of(m.Cancel)[-1])
        assert (await reloading)["problems"] == ["there is a plan mine already"]
        assert (await stage.agent.plan("mine"))["period_ns"] == NS_PER_S

    played(tmp_path, before, LEFT)(scene)
