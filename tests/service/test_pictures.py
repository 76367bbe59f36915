"""Pictures of a service's cameras: whether any can come at all, and what is said where none does."""

import asyncio

import pytest
from control.pretend import picture
from service.played import camera, played
from service.played_viewer import PlayedViewer

from agent.capture.state_word import Phase
from agent.control.errors import BadFields, NotFound
from agent.control.picture import Look
from agent.errors import StateError
from agent.units import NS_PER_S
from agent.viewing.errors import NoFrame, SizeUnsupported
from agent.viewing.packets import Made, Refused, Take

CONFIG = """
output: photos
cameras:
  top: {device: {serial: A}}
  left: {device: {serial: B}}
"""
LOOK = Look(width_px=32)
REFUSAL = {"code": "size_unsupported", "message": "too large", "hint": "smaller", "details": {}}


@pytest.fixture
def looked_at(tmp_path):
    """Runs a scene on a service with the camera `top`, whose stream is on; `viewers`: what was started."""

    def run(scene):
        viewers = []

        def spawn(name):
            viewers.append(PlayedViewer(name))
            return viewers[-1]

        async def with_viewers(stage):
            await stage.ready("top")
            stage.viewers = viewers
            stage.process("top").armed()
            await scene(stage)

        played(tmp_path, CONFIG, camera("/dev/video0", "A"), spawn_viewer=spawn)(with_viewers)

    return run


def snapshot(stage, name="top", after_ns=None, timeout_ns=NS_PER_S):
    return asyncio.ensure_future(stage.agent.snapshot(name, LOOK, after_ns=after_ns, timeout_ns=timeout_ns))


async def taken(stage):
    """The first picture that the viewer is told to take."""
    while True:
        await asyncio.sleep(0)
        for order in stage.viewers[-1].orders() if stage.viewers else ():
            if isinstance(order, Take):
                return order


def test_a_snapshot_is_of_a_frame_from_now_on(looked_at):
    async def scene(stage):
        before_ns = stage.surroundings.now_ns()
        waiting = snapshot(stage)
        take = await taken(stage)
        assert before_ns <= take.after_ns <= stage.surroundings.now_ns()
        assert take.look == LOOK
        stage.viewers[0].say(Made(picture(5), None, (take.id,)))
        assert (await waiting).facts.sequence == 5
        waiting = snapshot(stage, after_ns=77)
        assert (await taken(stage)).after_ns == 77
        waiting.cancel()

    looked_at(scene)


def test_a_camera_that_is_off_or_away_has_none(looked_at):
    async def scene(stage):
        stage.process("top").armed(Phase.PREPARED)
        with pytest.raises(StateError) as refused:
            await snapshot(stage)
        assert refused.value.details["state"] == "prepared"
        assert "camera-agent start top" in refused.value.hint
        with pytest.raises(StateError) as refused:
            await snapshot(stage, "left")
        assert refused.value.details["state"] == "absent"
        with pytest.raises(NotFound):
            await snapshot(stage, "tpo")
        assert not stage.viewers

    looked_at(scene)


@pytest.mark.parametrize(("after_s", "timeout_ns"), [(0, 0), (0, 61 * NS_PER_S), (10, NS_PER_S)])
def test_what_could_never_come_is_not_waited_for(looked_at, after_s, timeout_ns):
    async def scene(stage):
        after_ns = stage.surroundings.now_ns() + after_s * NS_PER_S
        with pytest.raises(BadFields):
            await snapshot(stage, after_ns=after_ns, timeout_ns=timeout_ns)
        assert not stage.viewers

    looked_at(scene)


def test_where_none_comes_in_time_it_is_said_how_the_camera_stands(looked_at):
    async def scene(stage):
        with pytest.raises(NoFrame, match="no frame of top came within 1ms; it is armed"):
            await snapshot(stage, timeout_ns=1_000_000)

    looked_at(scene)


def test_a_stream_of_a_size_that_the_camera_does_not_have_is_refused(looked_at):
    async def scene(stage):
        following = asyncio.ensure_future(stage.agent.view("top", LOOK, 5))
        while not stage.viewers:
            await asyncio.sleep(0)
        (key,) = stage.viewers[0].shown(stage.viewers[0].orders()).values()
        stage.viewers[0].say(Refused(REFUSAL, key, ()))
        with pytest.raises(SizeUnsupported):
            await following

    looked_at(scene)


def test_a_stream_may_begin_before_its_camera_does(looked_at):
    async def scene(stage):
        stage.process("top").armed(Phase.IDLE)
        pictures = await stage.agent.view("top", LOOK, 5)
        (key,) = stage.viewers[0].shown(stage.viewers[0].orders()).values()
        stage.viewers[0].show(key, 9)
        assert (await anext(pictures)).facts.sequence == 9
        stage.viewers[0].die("was ended by SIGKILL")
        await stage.until(lambda: "viewer.died" in stage.kinds)
        await pictures.aclose()

    looked_at(scene)


def test_the_end_of_the_service_ends_pictures(looked_at):
    async def scene(stage):
        stage.process("top").armed(Phase.IDLE)
        pictures = await stage.agent.view("top", LOOK, 5)
        stage.service.stop()
        await stage.service._end()
        assert [one async for one in pictures] == []

    looked_at(scene)
