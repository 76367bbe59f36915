"""Cameras followed on a machine that is plugged by hand."""

from dataclasses import replace

import pytest
from discovery.sockets import SOCKETS, Unit, socket_of
from discovery.world import World
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.discovery.camera import cameras_of
from agent.discovery.events import Appeared, Changed, Gone
from agent.discovery.node import Answer
from agent.discovery.watch import Watch

TOP, LEFT = Unit(1, "Bench camera", "A1"), Unit(2, "Bench camera", None)


@pytest.fixture
def world():
    made = World()
    yield made
    made.release()


@pytest.fixture
def watch(world):
    with Watch(world, now_ns=lambda: 77) as made:
        yield made


def told(events):
    return [(type(event).__name__, event.camera.path) for event in events]


def key(world, number):
    return next(path for path in world.nodes if path.endswith(f"/video{number}"))


def test_the_first_read_tells_what_is_there_and_the_next_nothing(world, watch):
    world.plug(1, TOP)
    world.plug(2, LEFT)
    events = watch.read()
    assert told(events) == [("Appeared", "/dev/video0"), ("Appeared", "/dev/video2")]
    assert {event.at_ns for event in events} == {77}
    assert watch.read() == []
    assert [camera.identity.serial for camera in watch.cameras] == ["A1", None]


def test_a_camera_that_is_plugged_in_appears_once_and_its_metadata_node_joins_it(world, watch):
    watch.read()
    world.plug(1, TOP)
    appeared, changed = watch.read()
    assert isinstance(appeared, Appeared)
    assert isinstance(changed, Changed)
    assert (len(appeared.camera.nodes), len(changed.camera.nodes), len(changed.before.nodes)) == (1, 2, 1)
    assert changed.camera.path == "/dev/video0"


def test_pain_10_a_camera_that_is_unplugged_is_gone_once(world, watch):
    world.plug(1, TOP)
    watch.read()
    world.unplug(1)
    events = watch.read()
    assert told([event for event in events if isinstance(event, Gone)]) == [("Gone", "/dev/video0")]
    assert not any(isinstance(event, Appeared) for event in events)
    assert watch.cameras == ()


def test_pain_10_an_unbind_is_the_end_even_if_the_nodes_do_not_say_so(world, watch):
    world.plug(1, TOP)
    watch.read()
    interface = next(iter(world.nodes.values())).parent
    world.nodes.clear()
    world.send("unbind", "usb", interface)
    assert told(watch.read()) == [("Gone", "/dev/video0")]


def test_an_unbind_of_another_interface_is_not(world, watch):
    world.plug(1, TOP)
    watch.read()
    interface = next(iter(world.nodes.values())).parent
    world.send("unbind", "usb", interface.replace(":1.0", ":1.1"))
    world.send("unbind", "usb", interface[:-1])
    assert watch.read() == []


def test_pain_10_unbind_and_rebind_within_one_read_are_gone_and_appeared(world, watch):
    """The same path, number and identity: only the time at which udev made it tells that streams on it are dead."""
    world.plug(1, TOP)
    watch.read()
    before = watch.cameras[0]
    world.unplug(1)
    world.plug(1, TOP)
    events = watch.read()
    assert [kind for kind, _ in told(events) if kind != "Changed"] == ["Gone", "Appeared"]
    assert watch.cameras[0].path == before.path
    assert watch.cameras[0] != before


def test_a_metadata_node_that_goes_alone_changes_the_camera(world, watch):
    world.plug(1, TOP)
    watch.read()
    world.remove(key(world, 1))
    [event] = watch.read()
    assert isinstance(event, Changed)
    assert [node.path for node in event.camera.nodes] == ["/dev/video0"]


def test_a_capture_node_that_goes_alone_is_the_camera_gone(world, watch):
    world.plug(1, TOP)
    watch.read()
    world.remove(key(world, 0))
    assert told(watch.read()) == [("Gone", "/dev/video0")]


def test_a_changed_fact_is_told_and_the_same_one_is_not(world, watch):
    world.plug(1, TOP)
    watch.read()
    node = world.nodes[key(world, 0)]
    world.send("change", "video4linux", node.sys_path, node)
    assert watch.read() == []
    world.send("change", "video4linux", node.sys_path, replace(node, links=("/dev/mine",)))
    [event] = watch.read()
    assert (type(event), event.camera.paths) == (Changed, ("/dev/video0", "/dev/mine"))


def test_a_camera_that_comes_between_listening_and_the_list_appears_once(world, watch):
    """Its events are in the queue, and the list has it as well."""
    world.before_list = lambda: None if world.plugged else world.plug(1, TOP)
    assert told([event for event in watch.read() if not isinstance(event, Changed)]) == [("Appeared", "/dev/video0")]
    assert watch.read() == []


def test_events_from_before_the_list_are_not_believed(world, watch):
    """Plugged, unplugged and plugged again between listening and the list: the old removal means the old camera."""
    world.plug(1, TOP)
    world.unplug(1)
    world.plug(1, TOP)
    assert told(watch.read()) == [("Appeared", "/dev/video0")]
    assert watch.cameras == tuple(cameras_of(world.nodes.values()))


def test_a_node_that_is_gone_when_its_old_removal_is_read_is_gone(world, watch):
    """The list saw a node that the kernel was just taking away: its removal is older than the list."""
    world.plug(1, TOP)
    dying = dict(world.nodes)
    world.unplug(1)
    world.list_nodes = dying.values
    events = watch.read()
    assert told(events)[0] == ("Appeared", "/dev/video0")
    assert "Gone" in {kind for kind, _ in told(events)}
    assert watch.cameras == ()


def test_pain_10_lost_events_are_made_up_for_by_a_new_list():
    world = World(room=3)
    with Watch(world) as watch:
        world.plug(1, TOP)
        world.plug(2, LEFT)
        watch.read()
        assert watch.overruns == 1
        before = watch.cameras
        world.unplug(1)
        world.plug(3, LEFT)
        world.unplug(2)
        world.plug(2, LEFT)
        events = watch.read()
        assert watch.overruns == 2
        gone = {event.camera for event in events if isinstance(event, Gone)}
        assert gone == set(before), "also the one whose removal and return were both lost"
        assert {socket_of(event.camera) for event in events if isinstance(event, Appeared)} == {2, 3}
        assert watch.read() == []


def test_a_flood_is_taken_in_pieces(world, watch):
    world.plug(1, TOP)
    watch.read()
    node = world.nodes[key(world, 0)]
    for number in range(600):
        world.send("change", "video4linux", node.sys_path, replace(node, links=(f"/dev/{number}",)))
    sizes = [len(watch.read()) for _ in range(4)]
    assert sizes == [256, 256, 88, 0]


def test_each_node_is_asked_once_and_made_anew_again(world):
    asked = []

    def ask(path):
        asked.append(path)
        return Answer(captures=path == "/dev/video0", driver="uvcvideo", model="As it says", bus_info="usb-x-1")

    with Watch(world, ask) as watch:
        world.plug(1, TOP)
        watch.read()
        node = world.nodes[key(world, 0)]
        world.send("change", "video4linux", node.sys_path, replace(node, links=("/dev/mine",)))
        watch.read()
        assert asked == ["/dev/video0", "/dev/video1"]
        assert watch.cameras[0].identity.model == "As it says"
        world.unplug(1)
        world.plug(1, TOP)
        watch.read()
        assert asked == ["/dev/video0", "/dev/video1"] * 2


def test_an_event_has_the_time_at_which_it_was_read_and_not_when_the_camera_had_answered(world):
    now_ns = [100]

    def ask(_path):
        now_ns[0] += 1000

    with Watch(world, ask, lambda: now_ns[0]) as watch:
        watch.read()
        world.plug(1, TOP)
        assert watch.read()[0].at_ns == 100


def test_a_node_that_cannot_be_asked_is_known_by_what_udev_says(world):
    with Watch(world, lambda _path: None) as watch:
        world.plug(1, TOP)
        watch.read()
        assert watch.cameras[0].identity.serial == "A1"


def test_release_is_idempotent_and_ends_reading(world):
    with Watch(world) as watch:
        watch.release()
    watch.release()
    assert world.released
    with pytest.raises(ValueError, match="released"):
        watch.read()


class Plugging(RuleBasedStateMachine):
    """Whatever is plugged, pulled, lost and read in whatever order: after a read, what is known is what is there."""

    def __init__(self):
        super().__init__()
        self.world = World(room=12)
        self.watch = Watch(self.world).__enter__()
        self.told = {}
        self.fresh = False

    @rule(socket=st.sampled_from(SOCKETS), number=st.integers(1, 3), serial=st.sampled_from([None, "SN0001", "A1"]))
    def plug(self, socket, number, serial):
        if socket not in self.world.plugged:
            self.world.plug(socket, Unit(number, "Bench camera", serial))
        self.fresh = False

    @precondition(lambda self: self.world.plugged)
    @rule(data=st.data())
    def unplug(self, data):
        self.world.unplug(data.draw(st.sampled_from(sorted(self.world.plugged))))
        self.fresh = False

    @precondition(lambda self: self.world.nodes)
    @rule(data=st.data())
    def remove_one_node(self, data):
        self.world.remove(data.draw(st.sampled_from(sorted(self.world.nodes))))
        self.fresh = False

    @precondition(lambda self: self.world.nodes)
    @rule(data=st.data())
    def repeat(self, data):
        node = self.world.nodes[data.draw(st.sampled_from(sorted(self.world.nodes)))]
        self.world.send(data.draw(st.sampled_from(["add", "change"])), "video4linux", node.sys_path, node)
        self.fresh = False

    @rule()
    def read(self):
        for event in self.watch.read():
            at = event.camera.node.key
            if isinstance(event, Appeared):
                assert at not in self.told
                self.told[at] = event.camera
            elif isinstance(event, Gone):
                assert self.told.pop(at) == event.camera
            else:
                assert self.told[at] == event.before != event.camera
                self.told[at] = event.camera
        self.fresh = True

    @invariant()
    def what_is_known_is_what_is_there(self):
        if self.fresh:
            assert list(self.watch.cameras) == cameras_of(self.world.nodes.values())
            assert sorted(self.told) == sorted(camera.node.key for camera in self.watch.cameras)

    def teardown(self):
        self.watch.release()


TestPlugging = Plugging.TestCase
TestPlugging.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
