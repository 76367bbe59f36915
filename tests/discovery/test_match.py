"""Matches, suggestions and names, on benches that hypothesis makes up."""

from dataclasses import replace

import pytest
import yaml
from discovery.sockets import Unit, benches, cameras_in, nodes_of, socket_of
from hypothesis import given
from hypothesis import strategies as st

from agent.discovery.camera import Camera, cameras_of
from agent.discovery.identity import Identity
from agent.discovery.match import KEYS, Match, match_from
from agent.discovery.resolve import CameraMissing, CameraShared, MatchAmbiguous, resolve
from agent.discovery.suggest import as_yaml, suggest, suggest_all
from agent.errors import InputError

IDENTITY = Identity(
    serial="A1",
    vendor_id="046d",
    product_id="0825",
    port="pci-0000:00:14.0-usb-0:2.4:1.0",
    usb_position="1-2.4",
    bus_info="usb-0000:00:14.0-2.4",
    model="Bench camera",
    driver="uvcvideo",
    subdevices=("imx219 10-0010",),
)
TWINS = {1: Unit(1, "Bench camera", None), 2: Unit(2, "Bench camera", None)}


# ---- one match


@pytest.mark.parametrize("facts", [
    {"serial": "A1"}, {"serial": "A*"}, {"port": "1-2.4"}, {"port": "pci-*-usb-0:2.4:*"}, {"model": "Bench*"},
    {"model": "imx219*"}, {"vendor_id": "046D", "product_id": "0x0825"}, {"driver": "uvcvideo"},
    {"bus_info": "usb-0000:00:14.0-2.4"}, {"serial": "A1", "model": "Bench camera"},
])  # fmt: skip
def test_fits(facts):
    assert match_from(facts).matches(IDENTITY)


@pytest.mark.parametrize("facts", [
    {"serial": "a1"}, {"serial": "A"}, {"port": "1-2"}, {"model": "bench*"}, {"vendor_id": "046e"},
    {"serial": "A1", "model": "Microscope"}, {"path": "/dev/video0"},
])  # fmt: skip
def test_does_not_fit(facts):
    assert not match_from(facts).matches(IDENTITY)


def test_what_the_system_does_not_say_fits_nothing_not_even_a_star():
    for key in KEYS:
        match = match_from({key: "*" if not key.endswith("_id") else "046d"})
        assert not match.matches(Identity()), key


def test_a_path_fits_the_node_and_the_links_to_it():
    match = Match(path="/dev/v4l/by-path/*")
    assert match.matches(IDENTITY, ("/dev/video0", "/dev/v4l/by-path/x-video-index0"))
    assert not match.matches(IDENTITY, ("/dev/video0",))


def test_a_text_with_brackets_fits_the_camera_that_is_called_so():
    assert Match(serial="[7]").matches(replace(IDENTITY, serial="[7]"))
    assert Match(serial="[7]").matches(replace(IDENTITY, serial="7"))


@pytest.mark.parametrize(("facts", "told"), [
    ({}, "nothing says which"), ({"serial": ""}, "serial: nothing"), ({"vendor_id": "46d"}, "no USB id"),
    ({"colour": "red"}, "no 'colour'"),
])  # fmt: skip
def test_a_match_that_cannot_be_is_refused(facts, told):
    with pytest.raises(InputError, match=told) as caught:
        match_from(facts)
    assert caught.value.hint


# ---- suggestions


@given(benches())
def test_what_is_suggested_fits_that_camera_only_and_prefers_its_own_serial(bench):
    plugged, order = bench
    present = cameras_in(plugged, order)
    serials = [camera.identity.serial for camera in present]
    for camera in present:
        found = suggest(camera, present)
        assert [other for other in present if found.match.fits(other)] == [camera]
        assert found.stable
        own = camera.identity.serial is not None and serials.count(camera.identity.serial) == 1
        assert list(found.match.given) == (["serial"] if own else ["port"])
        assert found.reason


@given(benches())
def test_what_is_suggested_resolves_and_reads_back_from_its_yaml(bench):
    present = cameras_in(*bench)
    suggestions = suggest_all(present)
    read = yaml.safe_load(as_yaml(suggestions))["cameras"]
    wanted = {name: match_from(entry["device"]) for name, entry in read.items()}
    assert wanted == {name: each.match for name, each in suggestions.items()}
    resolution = resolve(wanted, present)
    assert not resolution.problems
    assert resolution.cameras == {name: each.camera for name, each in suggestions.items()}


@given(st.text(min_size=1), st.text())
def test_yaml_holds_whatever_a_device_calls_itself(serial, model):
    [camera] = cameras_of(nodes_of({1: Unit(1, model, serial)})[:1])
    document = yaml.safe_load(as_yaml(suggest_all([camera])))
    [entry] = document["cameras"].values()
    assert match_from(entry["device"]).fits(camera)


def test_the_reason_says_why_not_the_serial():
    plugged = {1: Unit(1, "A", "SN0001"), 2: Unit(2, "B", "SN0001"), 3: Unit(3, "C", None), 4: Unit(4, "D", "OWN")}
    reasons = [suggest(camera, cameras_in(plugged)).reason for camera in cameras_in(plugged)]
    assert reasons[0].startswith("another one has the same serial number")
    assert reasons[2].startswith("it has no serial number")
    assert reasons[3] == "its serial number follows it to any port"


def test_a_camera_that_nothing_tells_apart_gets_its_path_and_is_told_that_it_will_not_last():
    [camera] = cameras_in({1: Unit(1, "A", None)})
    bare = [Camera(replace(camera.node, identity=Identity(), sys_path=f"/{n}", path=f"/dev/video{n}"), ())
            for n in range(2)]  # fmt: skip
    found = suggest(bare[1], bare)
    assert (found.match, found.stable) == (Match(path="/dev/video1"), False)


def test_cameras_of_one_port_are_told_apart_by_their_bus():
    """vivid's instances share a platform device."""
    [camera] = cameras_in({1: Unit(1, "vivid", None)})
    both = []
    for n in range(2):
        identity = Identity(port="platform-vivid.0", bus_info=f"platform:vivid-00{n}", model="vivid")
        both.append(Camera(replace(camera.node, identity=identity, sys_path=f"/{n}"), ()))
    assert suggest(both[0], both).match == Match(bus_info="platform:vivid-000")


def test_names_come_from_the_model_and_differ():
    found = suggest_all(cameras_in({1: Unit(1, "Häßlich & Söhne #3", None), 2: Unit(2, "Häßlich & Söhne #3", None),
                                    3: Unit(3, "\x1b[1m", None), 4: Unit(4, "摄像头", None)}))  # fmt: skip
    assert list(found) == ["h-lich-s-hne-3", "h-lich-s-hne-3-2", "1m", "camera"]
    assert "\x1b" not in as_yaml(found)


# ---- names


@given(benches(least=2), st.data())
def test_pain_11_cameras_that_are_swapped_or_replugged_keep_their_names(bench, data):
    """By serial number the name follows the camera, by port it stays with the socket; /dev/videoN never counts."""
    plugged, order = bench
    present = cameras_in(plugged, order)
    wanted = {name: each.match for name, each in suggest_all(present).items()}
    before = {name: socket_of(camera) for name, camera in resolve(wanted, present).cameras.items()}
    units = data.draw(st.permutations(list(plugged.values())))
    swapped = dict(zip(plugged, units, strict=True))
    found = resolve(wanted, cameras_in(swapped, data.draw(st.permutations(order))))
    assert set(found.cameras) | set(found.problems) == set(wanted)
    for name, match in wanted.items():
        camera = found.cameras.get(name)
        if camera is None:  # somebody else's port: two names that mean one camera are a problem, not a guess
            assert isinstance(found.problems[name], CameraShared)
        elif match.serial is not None:
            assert camera.identity.serial == match.serial == plugged[before[name]].serial
        else:
            assert socket_of(camera) == before[name]


@given(benches(least=2), st.data())
def test_pain_11_a_camera_that_is_missing_gives_its_name_to_nobody(bench, data):
    plugged, order = bench
    wanted = {name: each.match for name, each in suggest_all(cameras_in(plugged, order)).items()}
    before = resolve(wanted, cameras_in(plugged, order)).cameras
    away = data.draw(st.sampled_from(sorted(plugged)))
    left = {socket: unit for socket, unit in plugged.items() if socket != away}
    found = resolve(wanted, cameras_in(left))
    [(name, problem)] = found.problems.items()
    assert isinstance(problem, CameraMissing)
    assert socket_of(before[name]) == away
    assert {each: socket_of(camera) for each, camera in found.cameras.items()} == {
        each: socket_of(camera) for each, camera in before.items() if each != name
    }


@given(benches(), st.dictionaries(st.sampled_from("abcd"), st.sampled_from([
    Match(model="Bench camera"), Match(model="*"), Match(serial="SN0001"), Match(serial="OWN*"),
    Match(port="1-1"), Match(port="*usb-0:2:*"), Match(vendor_id="046d"), Match(path="/dev/video0"),
])))  # fmt: skip
def test_pain_11_nothing_is_ever_given_by_order_or_elimination(bench, wanted):
    plugged, order = bench
    present = cameras_in(plugged, order)
    found = resolve(wanted, present)
    assert found == resolve(dict(reversed(wanted.items())), list(reversed(present))) or found.problems
    assert set(found.cameras).isdisjoint(found.problems)
    assert set(found.cameras) | set(found.problems) == set(wanted)
    for name, camera in found.cameras.items():
        assert [each for each in present if wanted[name].fits(each)] == [camera]
    assert len({camera.path for camera in found.cameras.values()}) == len(found.cameras)
    kinds = {0: CameraMissing, 1: CameraShared}
    for name, problem in found.problems.items():
        fitting = sum(wanted[name].fits(camera) for camera in present)
        assert type(problem) is kinds.get(fitting, MatchAmbiguous)
        assert problem.hint


def test_pain_11_twins_without_serials_are_told_exactly_what_to_write():
    present = cameras_in(TWINS)
    problem = resolve({"left": Match(model="Bench camera")}, present).problems["left"]
    assert isinstance(problem, MatchAmbiguous)
    assert "/dev/video0 (Bench camera), /dev/video2 (Bench camera)" in problem.message
    assert 'device: {port: "pci-0000:00:14.0-usb-0:1:1.0"}' in problem.hint
    assert 'device: {port: "pci-0000:00:14.0-usb-0:2:1.0"}' in problem.hint
    assert "the port must tell them apart" in problem.hint
    wanted = {name: match_from(facts) for name, facts in zip("ab", problem.details["write"], strict=True)}
    assert [socket_of(camera) for camera in resolve(wanted, present).cameras.values()] == [1, 2]


def test_pain_11_one_of_two_twins_is_not_taken_while_the_other_is_unplugged():
    """Two names with the match of both twins: neither gets the one that is there, whichever that is."""
    wanted = {"left": Match(model="Bench camera"), "right": Match(model="Bench camera")}
    found = resolve(wanted, cameras_in({2: TWINS[2]}))
    assert not found.cameras
    assert {type(problem) for problem in found.problems.values()} == {CameraShared}
    assert found.problems["left"].details["shared_with"] == ["right"]


def test_cameras_with_serials_of_their_own_that_fit_one_match_are_told_the_serials():
    present = cameras_in({1: Unit(1, "Bench camera", "A1"), 2: Unit(2, "Bench camera", "B2")})
    hint = resolve({"top": Match(model="Bench*")}, present).problems["top"].hint
    assert hint == 'write device: {serial: "A1"} or device: {serial: "B2"}'


def test_a_camera_that_is_missing_is_told_with_what_is_there():
    present = cameras_in({1: Unit(1, "Bench camera", "A1")})
    problem = resolve({"top": Match(serial="A2")}, present).problems["top"]
    assert problem.message == "no camera has serial A2"
    assert '/dev/video0 (Bench camera) is {serial: "A1"}' in problem.hint
    assert resolve({"top": Match(serial="A2")}, []).problems["top"].hint == "there is none: plug it in"
