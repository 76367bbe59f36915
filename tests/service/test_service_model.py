"""Cameras, reloads, deaths and cancels in any order: in the end there is what there should be, and nothing twice."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from service.played import camera, played

from agent.control.errors import NotFound
from agent.errors import AgentError
from agent.units import NS_PER_S

CAMERAS = {"A1": camera("/dev/video0", serial="A1"), "B2": camera("/dev/video2", serial="B2")}
TOP, LEFT = "  top: {device: {serial: A1}}\n", "  left: {device: {serial: B2}}\n"
AS_ONE = (TOP + LEFT).replace("}}", "}, group: g}")
PLANS = "plans:\n  a: {camera: top, every: 1s}\n  b: {camera: left, every: 1s}\n"
OTHER = "plans:\n  a: {camera: top, every: 2s}\n  b: {camera: left, every: 1s, count: 3}\n"
FILES = {
    "both": f"cameras:\n{TOP}{LEFT}{PLANS}",
    "other": f"cameras:\n{TOP}{LEFT}{OTHER}",
    "top only": f"cameras:\n{TOP}plans:\n  a: {{camera: top, every: 1s}}\n",
    "as one": f"cameras:\n{AS_ONE}{PLANS}",
    "bad": "cameras: [",
}
FAST_NS = NS_PER_S // 2
VERBS = st.one_of(
    st.tuples(st.just("plug"), st.sets(st.sampled_from(sorted(CAMERAS)))),
    st.tuples(st.just("file"), st.sampled_from(sorted(FILES))),
    st.tuples(st.just("die"), st.integers(0, 9)),
    st.tuples(st.just("add"), st.sampled_from(("top", "left"))),
    st.tuples(st.just("cancel"), st.sampled_from(("a", "b", "mine"))),
    st.tuples(st.just("faster"), st.sampled_from(("a", "mine"))),
    st.tuples(st.just("stop"), st.sampled_from(("top", "left"))),
)
TURNS = st.one_of(st.none(), st.integers(0, 12))
"""How many turns of the loop the next step waits for; None: until this one is answered."""
STEPS = st.lists(st.tuples(VERBS, TURNS), max_size=12)


async def take(stage, verb, what):
    """One step; a refusal is an answer too."""
    try:
        match verb:
            case "plug":
                stage.present.plug(*(CAMERAS[name] for name in sorted(what)))
            case "file":
                stage.write(FILES[what])
                await stage.agent.reload("a test")
            case "die":
                alive = [process for process in stage.processes if process.status() is None and process.order]
                if alive:
                    alive[what % len(alive)].die(-9)
            case "add":
                await stage.agent.add_plans({"mine": {"camera": what, "every": "1s"}}, "a test", "")
            case "faster":
                await stage.agent.change_plan(what, by="a test", every_ns=FAST_NS)
            case "stop":
                await stage.agent.stop(what, "a test")
            case _:
                await stage.agent.cancel_plan(what, "a test")
    except AgentError:
        pass


async def play(stage, steps):
    """All of them, some before the one before is answered."""
    asked = []
    for (verb, what), turns in steps:
        asked.append(asyncio.create_task(take(stage, verb, what)))
        if turns is None:
            await asked[-1]
        for _ in range(turns or 0):
            await asyncio.sleep(0)
    await asyncio.gather(*asked)


async def settled(stage):
    """All is there again, by a file that wants both; and until every process has what it is to have."""
    stage.present.plug(*CAMERAS.values())
    stage.write(FILES["both"])
    await stage.agent.reload("a test")
    await stage.agent.parts.fleet.ended()
    await stage.ready("top", "left")
    for group in ("top", "left"):
        # an answer of the process that is there now: it has read all before it
        try:
            await stage.agent.start(group, "a test")
        except AgentError:
            continue


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_in_the_end_there_is_what_there_should_be(steps):
    done = {step for step, _ in steps if step[0] != "plug"}
    ended = {what for verb, what in done if verb == "cancel"}
    if any(verb == "stop" for verb, _ in done):
        ended |= {"a", "b"}

    async def scene(stage):
        await play(stage, steps)
        await settled(stage)
        alive = {process.order.name: process for process in stage.processes if process.status() is None}
        assert set(alive) == {"top", "left"}
        assert sum(process.status() is None for process in stage.processes) == 2
        plans = [plan for plan in await stage.agent.plans() if plan["state"] == "running"]
        running = {plan["name"]: plan["group"] for plan in plans}
        assert {name: group for group, process in alive.items() for name in process.slots} == running
        periods = {name: process.periods[name] for process in alive.values() for name in process.slots}
        assert {plan["name"]: plan["period_ns"] for plan in plans} == periods
        if ("faster", "a") not in done:
            assert periods.get("a", NS_PER_S) == NS_PER_S
        for name in {"a", "b"} - ended:
            assert name in running
        for group, process in alive.items():
            paths = {one.name: one.path for one in process.order.cameras}
            paths |= {command.camera: command.path for command in process.heard if hasattr(command, "path")}
            assert paths == {group: CAMERAS["A1" if group == "top" else "B2"].path}
        with contextlib.suppress(NotFound):
            assert (await stage.agent.plan("mine"))["state"] != "waiting"

    with tempfile.TemporaryDirectory() as folder:
        played(Path(folder), FILES["both"], *CAMERAS.values())(scene)
