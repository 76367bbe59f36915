"""Names to cameras over time: a camera that is there keeps its name, and nobody gets one by who came first."""

from hypothesis import given
from hypothesis import strategies as st
from service.played import camera

from agent.discovery.match import Match
from agent.discovery.resolve import resolve
from agent.service.located import NOWHERE, locate

MATCHES = {"top": Match(serial="A1"), "any": Match(model="Twin"), "place": Match(port="p2")}
CAMERAS = [
    camera("/dev/video0", serial="A1", port="p0"),
    camera("/dev/video2", model="Twin", port="p1"),
    camera("/dev/video4", model="Twin", port="p2"),
    camera("/dev/video6", model="Twin", port="p1", made_us=7),
]
PRESENT = st.lists(st.sets(st.integers(0, len(CAMERAS) - 1)), min_size=1, max_size=12)


def seen(chosen):
    return [CAMERAS[number] for number in sorted(chosen)]


@given(PRESENT)
def test_a_name_keeps_its_camera_while_that_is_there_and_never_shares_it(steps):
    located = NOWHERE
    for chosen in steps:
        before, present = located, seen(chosen)
        located = locate(MATCHES, present, before)
        keys = {each.node.key for each in present}
        for name in MATCHES:
            assert (name in located.cameras) != (name in located.problems)
            if before.key(name) in keys:
                assert located.key(name) == before.key(name)
        held = [located.key(name) for name in located.cameras]
        assert len(held) == len(set(held))
        assert set(held) <= keys


@given(st.sets(st.integers(0, len(CAMERAS) - 1)))
def test_from_nothing_it_is_the_policy_and_nothing_else(chosen):
    located, found = locate(MATCHES, seen(chosen)), resolve(MATCHES, seen(chosen))
    assert dict(located.cameras) == dict(found.cameras)
    assert located.problems.keys() == found.problems.keys()


def test_a_camera_that_was_made_anew_is_looked_for_anew():
    matches = {"any": Match(model="Twin")}
    first = locate(matches, [CAMERAS[1]])
    again = locate(matches, [CAMERAS[3]], first)
    assert (first.path("any"), again.path("any")) == ("/dev/video2", "/dev/video6")
    assert first.key("any") != again.key("any")


def test_one_that_fits_no_more_is_given_up():
    first = locate({"top": Match(serial="A1")}, CAMERAS)
    assert locate({"top": Match(serial="Z9")}, CAMERAS, first).problems["top"].code == "camera_missing"
