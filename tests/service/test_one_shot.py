"""Captures with a played process: pain 1, and everything that may keep a picture from coming."""

import asyncio

import pytest
from service.played import camera, played

from agent.capture import messages as m
from agent.capture.state_word import Phase
from agent.capture.tick_log import End
from agent.errors import AgentError, InputError
from agent.service.one_shot import find_line

CONFIG = "output: none\ncameras:\n  top: {device: {serial: A1}}\n"
TOP = camera("/dev/video0", serial="A1")


async def asked(stage, **options):
    """A capture that has reached its process."""
    process = stage.process("top")
    before = len(process.of(m.AddPlans))
    task = asyncio.create_task(stage.agent.capture("top", "anna", options))
    await until(lambda: len(process.of(m.AddPlans)) > before or task.done())
    await until(lambda: any(plan.slot is not None for plan in stage.agent.parts.book) or task.done())
    return task


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


def scene_of(tmp_path, scene):
    async def ready(stage):
        await stage.ready("top")
        stage.process("top").armed()
        await scene(stage, stage.process("top"))
        assert list(stage.agent.parts.book) == []
        assert stage.agent.parts.watchers == {}

    played(tmp_path, CONFIG, TOP)(ready)


def test_pain_1_a_picture_exposed_after_the_request(tmp_path):
    async def scene(stage, process):
        task = await asked(stage)
        trace = process.shoot()
        shot = await task
        plan = process.of(m.AddPlans)[0].orders[0].plan
        assert (plan.count, plan.period_ns, plan.camera) == (1, None, "top")
        assert shot["asked_ns"] <= shot["due_ns"] == plan.start_ns
        assert shot["exposed_ns"] == plan.start_ns + 60
        assert (shot["trace_id"], shot["sequence"], shot["uncertainty_ns"]) == (trace, 5, 3)
        assert shot["path"] == str(tmp_path / "captures" / "top" / "top-000007.jpg")
        assert not process.of(m.StartCamera)
        assert not process.of(m.Cancel)

    scene_of(tmp_path, scene)


def test_a_camera_that_was_off_is_started_and_stopped_again(tmp_path):
    async def scene(stage, process):
        process.armed(Phase.PREPARED)
        task = await asked(stage, exposure_ns=5_000_000, gain="6dB")
        process.shoot()
        await task
        await until(lambda: process.of(m.Cancel))
        kinds = [type(message) for message in process.heard[1:]]
        assert kinds == [m.StartCamera, m.Expose, m.AddPlans, m.Cancel]
        assert (process.of(m.Cancel)[0].kind, process.of(m.Expose)[0].gain.mdb) == ("camera", 6000)

    scene_of(tmp_path, scene)


def test_a_camera_that_somebody_wants_by_then_is_left_on(tmp_path):
    async def scene(stage, process):
        process.armed(Phase.PREPARED)
        task = await asked(stage)
        shot = process.of(m.AddPlans)[0]
        await stage.agent.add_plans({"mine": {"camera": "top", "every": "1s", "store": False}}, "bob", "")
        process.heard.remove(process.of(m.AddPlans)[1])
        assert process.of(m.AddPlans) == [shot]
        process.shoot()
        await task
        await stage.agent.start("top", "a test")
        assert not process.of(m.Cancel)
        await stage.agent.cancel_plan("mine", "bob")
        stage.agent.parts.book.remove([stage.agent.parts.book.find("mine")])

    scene_of(tmp_path, scene)


def test_whoever_goes_away_cancels_it(tmp_path):
    async def scene(stage, process):
        task = await asked(stage)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: process.of(m.Cancel))
        (cancel,) = process.of(m.Cancel)
        assert (cancel.kind, cancel.name) == ("plan", process.of(m.AddPlans)[0].orders[0].plan.name)

    scene_of(tmp_path, scene)


def test_one_that_takes_too_long_is_cancelled(tmp_path):
    async def scene(stage, process):
        task = await asked(stage, timeout_ns=50_000_000)
        with pytest.raises(AgentError, match="no picture of top within 50ms") as caught:
            await task
        assert caught.value.code == "capture_late"
        await until(lambda: process.of(m.Cancel))

    scene_of(tmp_path, scene)


@pytest.mark.parametrize(
    ("end", "code", "told"),
    [
        (End.NO_FRAME, "capture_failed", "no frame came in time"),
        (End.STORAGE, "storage", "could not be written"),
        (End.NOT_READY, "capture_failed", "was not streaming"),
        (End.REFUSED_AGENT, "capture_failed", "agent's quota"),
    ],
)
def test_why_no_picture_came_is_told(tmp_path, end, code, told):
    async def scene(stage, process):
        task = await asked(stage)
        trace = process.shoot(end, line=False)
        with pytest.raises(AgentError, match=told) as caught:
            await task
        assert (caught.value.code, caught.value.details["trace_id"]) == (code, trace)
        assert caught.value.details["end"] == end.name.lower()

    scene_of(tmp_path, scene)


def test_a_picture_without_a_line_is_none(tmp_path):
    async def scene(stage, process):
        task = await asked(stage)
        process.shoot(line=False)
        with pytest.raises(AgentError, match="has no line"):
            await task

    scene_of(tmp_path, scene)


def test_a_cancel_of_the_camera_ends_it(tmp_path):
    async def scene(stage, process):
        task = await asked(stage)
        await stage.agent.stop("top", "bob")
        with pytest.raises(AgentError, match="cancelled: bob") as caught:
            await task
        assert caught.value.code == "cancelled"

    scene_of(tmp_path, scene)


def test_what_its_process_refuses_is_told(tmp_path):
    async def scene(stage, process):
        stage.refuses[m.AddPlans] = lambda command: True
        with pytest.raises(AgentError, match="it will not"):
            await stage.agent.capture("top", "anna", {})
        assert process.of(m.AddPlans)

    scene_of(tmp_path, scene)


def test_two_at_once_get_their_own(tmp_path):
    async def scene(stage, process):
        first = await asked(stage)
        commands = process.of(m.AddPlans)
        second = await asked(stage)
        trace = process.shoot()
        assert (await second)["trace_id"] == trace
        assert not first.done()
        process.heard = commands
        assert process.shoot() == (await first)["trace_id"]

    scene_of(tmp_path, scene)


def test_an_end_that_is_told_with_the_answer_is_heard(tmp_path):
    async def scene(stage, process):
        process.ends_at_once = End.NOT_READY
        with pytest.raises(AgentError, match="was not streaming"):
            await stage.agent.capture("top", "anna", {"timeout_ns": 5_000_000_000})

    scene_of(tmp_path, scene)


@pytest.mark.parametrize(
    "options",
    [{"exposure": 1}, {"exposure_ns": "8ms"}, {"exposure_ns": True}, {"timeout_ns": 0}, {"gain": 3}, {"gain": "3"}],
)
def test_bad_options_begin_nothing(tmp_path, options):
    async def scene(stage, process):
        with pytest.raises(InputError):
            await stage.agent.capture("top", "anna", options)
        assert not process.of(m.AddPlans)

    scene_of(tmp_path, scene)


def test_a_log_that_is_not_there_has_no_line(tmp_path):
    assert find_line(tmp_path / "frames.jsonl", "x") is None
