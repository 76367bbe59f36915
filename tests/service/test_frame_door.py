"""The frame socket: who is let in, who waits, who is passed on to which process, and who is sent away."""

import asyncio
import os
import socket
import stat
from contextlib import asynccontextmanager, contextmanager

import pytest
from frames.pools import open_descriptors
from service.played import camera, played

from agent.capture.messages import Ready
from agent.config.access import SocketWish
from agent.control.access import Access
from agent.control.listening import listen
from agent.control.peer import Peer
from agent.frames import wire
from agent.frames.wire import Refused, Subscribe, Target
from agent.service.frame_door import MOST_OF_ONE, MOST_WAITING, FrameDoor
from agent.service.plan_book import Standing
from agent.service.sockets import open_sockets
from agent.simulation.clock import ManualClock
from agent.units import NS_PER_S

TOP = camera("/dev/video0", serial="A1")
LEFT = camera("/dev/video2", serial="B2")
CONFIG = """
output: photos
cameras:
  top: {device: {serial: A1}}
  left: {device: {serial: B2}}
plans:
  lapse: {camera: top, every: 500ms}
"""


@contextmanager
def connected(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as client:
        client.connect(str(path))
        yield client


async def heard(client):
    """The next packet from the agent; empty at the end."""
    while True:
        try:
            return await asyncio.get_running_loop().sock_recv(client, 65536)
        except ConnectionResetError:
            continue


async def refusal(client):
    message = wire.unpack_for_reader(await heard(client))
    assert isinstance(message, Refused)
    assert await heard(client) == b""
    return message.code


def subscribe(name="top", target=Target.CAMERA):
    return wire.pack_subscribe(Subscribe(target, name))


async def taken(process):
    """What came through the door of a played process."""
    while (arrived := process.door.receive()) is None:
        await asyncio.sleep(0)
    return arrived


@asynccontextmanager
async def a_door(stage, *, access=None, peer=None, now_ns=None):
    """A door of its own on the stage's parts."""
    with listen(stage.folder / "other.sock", kind=socket.SOCK_SEQPACKET) as listening:
        options = {"peer_of": lambda _: peer} if peer else {}
        if now_ns is not None:
            options["now_ns"] = now_ns
        door = FrameDoor(stage.agent.parts, [listening.socket], access=access or Access(), **options)
        door.start()
        try:
            yield door, stage.folder / "other.sock"
        finally:
            door.close()


def test_a_client_is_passed_on_with_what_it_said(tmp_path):
    async def scene(stage):
        await stage.ready("top", "left")
        path = stage.folder / "frames.sock"
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((stage.folder / "control.sock").stat().st_mode)
        for name, target, group in (
            ("top", Target.CAMERA, "top"),
            ("left", Target.GROUP, "left"),
            ("lapse", Target.PLAN, "top"),
        ):
            with connected(path) as client:
                client.send(subscribe(name, target))
                packet, theirs = await taken(stage.process(group))
                assert packet == subscribe(name, target)
                with theirs:
                    theirs.send(b"frames")
                    assert await heard(client) == b"frames"
                assert await heard(client) == b"", "the agent keeps no end of it"

    played(tmp_path, CONFIG, TOP, LEFT)(scene)
    assert not (tmp_path / "frames.sock").exists()


def test_who_comes_before_its_camera_waits_for_it(tmp_path):
    async def scene(stage):
        await stage.ready("left")
        with connected(stage.folder / "frames.sock") as client:
            client.send(subscribe())
            stage.present.plug(TOP, LEFT)
            await stage.ready("top")
            packet, theirs = await taken(stage.process("top"))
            theirs.close()
            assert packet == subscribe()

    played(tmp_path, CONFIG, LEFT)(scene)


def test_who_comes_while_its_process_is_replaced_waits_for_the_next(tmp_path):
    async def scene(stage):
        await stage.ready("top")
        stage.comes_up = False
        stage.process("top").die(-9)
        with connected(stage.folder / "frames.sock") as client:
            client.send(subscribe())
            while stage.count("top") < 2:
                await asyncio.sleep(0)
            assert stage.process("top").door.receive() is None
            stage.process("top").say(Ready(at_ns=1, cameras={}))
            _, theirs = await taken(stage.process("top"))
            theirs.close()

    played(tmp_path, CONFIG, TOP)(scene)


@pytest.mark.parametrize("target", list(Target))
def test_what_is_not_configured_is_refused(tmp_path, target):
    async def scene(stage):
        await stage.ready("top")
        with connected(stage.folder / "frames.sock") as client:
            client.send(subscribe("nobody", target))
            assert await refusal(client) == "not_found"

    played(tmp_path, CONFIG, TOP)(scene)


def test_a_plan_that_is_over_is_refused(tmp_path):
    async def scene(stage):
        await stage.ready("top")
        await stage.agent.cancel_plan("lapse", "a test")
        assert stage.agent.parts.book.find("lapse").standing is Standing.CANCELLED
        with connected(stage.folder / "frames.sock") as client:
            client.send(subscribe("lapse", Target.PLAN))
            assert await refusal(client) == "wrong_state"

    played(tmp_path, CONFIG, TOP)(scene)


@pytest.mark.parametrize(
    "packet", [b"x", b"\xff" * 90, wire.pack_ready(), subscribe()[:9], subscribe() + bytes(4096), bytes(60_000)]
)
def test_who_says_nonsense_is_refused(tmp_path, packet):
    async def scene(stage):
        await stage.ready("top")
        held = open_descriptors()
        with connected(stage.folder / "frames.sock") as client:
            with open(os.devnull) as null:
                socket.send_fds(client, [packet], [null.fileno()] * 5)
            assert await refusal(client) == "frame_protocol"
        assert open_descriptors() == held

    played(tmp_path, CONFIG, TOP)(scene)


def test_who_speaks_again_before_it_has_a_process_is_refused(tmp_path):
    async def scene(stage):
        with connected(stage.folder / "frames.sock") as client:
            client.send(subscribe())
            client.send(subscribe())
            assert await refusal(client) == "frame_protocol"

    played(tmp_path, CONFIG, LEFT)(scene)


def test_who_may_not_look_is_refused_and_what_is_in_force_can_be_changed(tmp_path):
    stranger, nobody = Peer(4711, 1234, frozenset({1234}), "anna"), frozenset()

    async def scene(stage):
        await stage.ready("top")
        async with a_door(stage, access=Access(look=frozenset({4}), control=nobody), peer=stranger) as (door, path):
            with connected(path) as client:
                client.send(subscribe())
                assert await refusal(client) == "not_allowed"
            door.set_access(Access(look=frozenset({1234}), control=nobody))
            with connected(path) as client:
                client.send(subscribe())
                _, theirs = await taken(stage.process("top"))
                theirs.close()

    played(tmp_path, CONFIG, TOP)(scene)


def test_who_waits_when_he_loses_the_right_to_look_gets_nothing(tmp_path):
    stranger, nobody = Peer(4711, 1234, frozenset({1234}), "anna"), frozenset()

    async def scene(stage):
        await stage.ready("left")
        access = Access(look=frozenset({1234}), control=nobody)
        async with a_door(stage, access=access, peer=stranger) as (door, path):
            with connected(path) as client:
                client.send(subscribe())
                while not (door.waiting and all(each.wish for each in door._arrived.values())):
                    await asyncio.sleep(0)
                door.set_access(Access(look=frozenset({4}), control=nobody))
                stage.present.plug(TOP, LEFT)
                await stage.ready("top")
                assert await refusal(client) == "not_allowed"
                assert stage.process("top").door.receive() is None

    played(tmp_path, CONFIG, LEFT)(scene)


def test_who_says_nothing_is_sent_away_in_time(tmp_path):
    async def scene(stage):
        clock = ManualClock()
        async with a_door(stage, now_ns=clock.now_ns) as (door, path):
            with connected(path) as silent, connected(path) as waiting:
                waiting.send(subscribe())
                while door.waiting < 2:
                    await asyncio.sleep(0)
                await asyncio.sleep(0)
                clock.move_to(clock.now_ns() + NS_PER_S)
                door.sweep()
                assert await refusal(silent) == "frame_protocol"
                assert door.waiting == 1, "who has said it may wait"

    played(tmp_path, CONFIG, LEFT)(scene)


def test_who_goes_while_it_waits_is_forgotten(tmp_path):
    async def scene(stage):
        async with a_door(stage) as (door, path):
            with connected(path) as client:
                client.send(subscribe())
                while not door.waiting:
                    await asyncio.sleep(0)
            while door.waiting:
                await asyncio.sleep(0)

    played(tmp_path, CONFIG, LEFT)(scene)


def test_more_than_may_wait(tmp_path):
    async def scene(stage):
        await stage.ready("left")
        held, kind = open_descriptors(), socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK
        async with a_door(stage) as (door, path):
            for _ in range(20):
                clients = [socket.socket(socket.AF_UNIX, kind) for _ in range(50)]
                for client in clients:
                    client.connect(str(path))
                    client.send(subscribe())
                assert await refusal(clients[-1]) == "too_many_clients"
                assert door.waiting <= MOST_OF_ONE <= MOST_WAITING
                for client in clients:
                    client.close()
                while door.waiting:
                    await asyncio.sleep(0)
        assert open_descriptors() == held

    played(tmp_path, CONFIG, LEFT)(scene)


def test_what_a_reload_takes_away_is_refused_to_who_waits_for_it(tmp_path):
    async def scene(stage):
        with connected(stage.folder / "frames.sock") as client:
            client.send(subscribe())
            await stage.ready("left")
            stage.write(CONFIG.replace("  top: {device: {serial: A1}}\n", "").replace("camera: top", "camera: left"))
            await stage.agent.reload("a test")
            assert await refusal(client) == "not_found"

    played(tmp_path, CONFIG, LEFT)(scene)


def test_at_the_end_everybody_is_sent_home(tmp_path):
    async def scene(stage):
        stage.late = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stage.late.connect(str(stage.folder / "frames.sock"))
        stage.late.send(subscribe())
        while not any(each.wish for each in stage.service._frame_door._arrived.values()):
            await asyncio.sleep(0)

    with played(tmp_path, CONFIG, LEFT)(scene).late as late:
        assert late.recv(10) == b""


# -- sockets --------------------------------------------------------------------------------------------------------


def _listening(path, kind):
    made = socket.socket(socket.AF_UNIX, kind)
    made.bind(str(path))
    made.listen()
    return made


@pytest.mark.parametrize("handed", ["none", "control", "frames", "both"])
def test_sockets_are_systemds_or_our_own(tmp_path, handed):
    given, theirs = tmp_path / "systemd", {}
    given.mkdir()
    if handed in ("control", "both"):
        theirs[socket.SOCK_STREAM] = _listening(given / "control.sock", socket.SOCK_STREAM)
    if handed in ("frames", "both"):
        theirs[socket.SOCK_SEQPACKET] = _listening(given / "frames.sock", socket.SOCK_SEQPACKET)
    descriptors = [each.detach() for each in reversed(theirs.values())]
    with open_sockets(SocketWish(path=tmp_path / "control.sock", mode=0o600), None, descriptors) as sockets:
        (control,), (frames,) = sockets.of(socket.SOCK_STREAM), sockets.of(socket.SOCK_SEQPACKET)
        ours, systemds = tmp_path, given
        place = systemds if handed in ("control", "both") else ours
        assert control.type == socket.SOCK_STREAM
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(place / "control.sock"))
        with connected((ours if handed == "none" else systemds) / "frames.sock"):
            frames.accept()[0].close()
    assert (given / "control.sock").exists() == (handed in ("control", "both")), "what is systemd's stays"
    assert (given / "frames.sock").exists() == (handed in ("frames", "both"))
    assert not (tmp_path / "control.sock").exists()
    assert not (tmp_path / "frames.sock").exists()
