"""The service's configuration: what it comes to, several files as one, and all that can be wrong with it."""

import re
from pathlib import Path

import pytest
from config.service import service, texts, told
from config.test_plan_file import COMPLETE, TRIGGERED
from hypothesis import given
from hypothesis import strategies as st

from agent.config.access import AccessWish, Address, SocketWish
from agent.config.folder import read_texts
from agent.config.pictures import Pictures
from agent.config.problems import ConfigError
from agent.config.service_file import ServiceFile, load_service_file, parse_service_file
from agent.discovery.match import Match
from agent.schedule.quota import Limit
from agent.units import NS_PER_S

ROOT = Path(__file__).parents[2]
SHORTEST, WHOLE = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/configuration.md").read_text(), re.DOTALL)
TOP = "cameras:\n  top: {device: /dev/video0}\n"


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "---\n", "null", "{}", "cameras:\nplans:\n", "cameras: {}\nlimits:\n"]
)
def test_nothing_is_a_configuration_too(text):
    assert service(text) == ServiceFile()
    assert service(text, "") == ServiceFile()


def test_the_installed_file_is_valid_and_asks_for_nothing():
    assert load_service_file(ROOT / "systemd" / "config.yaml") == ServiceFile()


def test_the_installed_file_is_valid_without_its_comment_signs():
    found = service(uncommented((ROOT / "systemd" / "config.yaml").read_text()))
    assert found.matches == {"top": Match(serial="A1")}
    assert list(found.plans) == ["lapse"]
    assert found.metrics == Address("127.0.0.1", 9091)
    assert found.access == AccessWish(look=("users",), control=("operators",), administer=("camera-admins",))


def uncommented(text):
    """With the examples in force: lines that begin with `#` and two blanks, or with `#` and a letter."""
    return "\n".join(line[1:] if re.match(r"#(  )+[a-z]+:|#[a-z]+:", line) else line for line in text.split("\n"))


def test_the_documented_examples():
    assert service(SHORTEST).matches == {"top": Match(serial="A1")}
    found = service(WHOLE)
    assert found.access == AccessWish(look=("users",), control=("operators",), administer=("camera-admins",))
    assert found.socket == SocketWish(path=Path("/run/camera-agent/control.sock"), mode=0o660, group="camera-agent")
    assert found.metrics == Address("127.0.0.1", 9091)
    assert found.pictures == Pictures(Path("photos"), "png", 90)
    assert found.limits["client/line"] == Limit(10, NS_PER_S)
    assert list(found.recordings) == ["night"]
    (group,) = found.groups.values()
    assert [camera.name for camera in group.cameras] == ["left", "top"]
    assert [camera.path for camera in group.cameras] == ["", ""]
    assert group.limits.stop_ns == 2 * NS_PER_S
    assert group.quotas == found.limits
    assert found.plans["lapse"].dated
    assert not found.plans["watch"].dated
    assert set(found.document) == {
        "access", "socket", "metrics", "cameras", "plans", "quotas", "limits", "realtime", "output", "file_type",
        "recordings",
    }  # fmt: skip


@pytest.mark.parametrize("text", [COMPLETE, TRIGGERED])
def test_a_plan_file_is_a_configuration(text):
    found = service(text)
    assert found.groups["line-1"].cameras
    assert found.plans


def test_paths_are_what_the_file_says_until_they_are_found():
    found = service("cameras: {top: {device: {serial: A1}, group: g}, left: {device: /dev/video2, group: g}}")
    assert found.matches == {"top": Match(serial="A1"), "left": Match(path="/dev/video2")}
    paths = {camera.name: camera.path for camera in found.group("g", {"top": "/dev/video7"}).cameras}
    assert paths == {"top": "/dev/video7", "left": "/dev/video2"}


def test_files_add_to_each_other():
    parts = (
        TOP + "limits: {stop: 2s}\naccess: {look: [a]}\n",
        "cameras:\n  left: {device: /dev/video2}\nlimits: {frame: 1s}\nquotas: {cameras: {top: 5/s}}\n",
        "plans: {lapse: {camera: left}}\naccess: {control: [b]}\nquotas: {agent: 9/s, cameras: {left: 1/s}}\n",
    )
    found = service(*parts)
    assert list(found.matches) == ["top", "left"]
    assert found.limits == {
        "agent": Limit(9, NS_PER_S),
        "camera/top": Limit(5, NS_PER_S),
        "camera/left": Limit(1, NS_PER_S),
    }
    assert found.groups["top"].limits.stop_ns == 2 * NS_PER_S
    assert found.groups["top"].limits.frame_ns == NS_PER_S
    assert found.access == AccessWish(look=("a",), control=("b",))
    assert found.files == ("f0.yaml", "f1.yaml", "f2.yaml")
    assert service(*reversed(parts)) == found


SECTIONS = (
    TOP,
    "cameras:\n  left: {device: /dev/video2, group: top}\n",
    "plans: {a: {camera: top, every: 1s}}\n",
    "plans: {b: {camera: left, every: 1s, quota: 1/s}}\n",
    "limits: {stop: 2s}\n",
    "quotas: {agent: 9/s}\n",
    "quotas: {cameras: {top: 1/s}}\n",
    "output: none\n",
    "metrics: :9091\n",
)


@given(st.permutations(SECTIONS), st.lists(st.integers(0, len(SECTIONS)), max_size=4))
def test_where_and_in_which_order_things_stand_changes_nothing(sections, cuts):
    """Sections of one name cannot stand twice in one file, so each is a file of its own or with others."""
    files = []
    for section in sections:
        name = section.split(":")[0]
        fitting = next((file for file in files[: len(cuts)] if not any(s.startswith(name) for s in file)), None)
        if fitting is None:
            files.append([section])
        else:
            fitting.append(section)
    assert service(*("".join(file) for file in files)) == service(*SECTIONS)


CONFLICTS = [
    ((TOP, TOP), ("f1.yaml", 2, "cameras.top", "written twice: here and on line 2 of f0.yaml")),
    (("output: a", "output: a"), ("f1.yaml", 1, "output", "written twice: here and on line 1 of f0.yaml")),
    (("limits: {stop: 1s}", "\nlimits:\n  stop: 1s"), ("f1.yaml", 3, "limits.stop", "here and on line 1 of f0.yaml")),
    (("socket: /run/a", "socket: {mode: 0660}"), ("f1.yaml", 1, "socket", "here and on line 1 of f0.yaml")),
    (
        (TOP, "cameras:\n  left: {device: /dev/video0}"),
        ("f1.yaml", 2, "cameras.left", "/dev/video0 is the device of top on line 2 of f0.yaml already"),
    ),
    (
        ("cameras: {top: {device: {serial: A1}}}", "cameras:\n  left: {device: {serial: A1}}"),
        ("f1.yaml", 2, "cameras.left", "serial A1 is the device of top on line 1 of f0.yaml already"),
    ),
    (
        (TOP + "plans: {a: {camera: top, every: 1s, copies: 2}}", "plans:\n  a-1: {camera: top, every: 1s}"),
        ("f1.yaml", 2, "plans.a-1", "a-1 is made here and on line 3 of f0.yaml"),
    ),
    (
        (
            "cameras: {top: {device: /dev/video0}, left: {device: /dev/video2}}\ngroups: {top: {emergency_stop: c:1}}",
            "groups:\n  left:\n    emergency_stop: c:1",
        ),
        (
            "f1.yaml",
            3,
            "groups.left.emergency_stop",
            "line c:1 is the emergency stop of group top on line 2 of f0.yaml",
        ),
    ),
    ((TOP, "plans: {a: {camera: tpo}}"), ("f1.yaml", 1, "plans.a.camera", "no camera is named 'tpo'")),
    (("", "plans: {a: {camera: top}}"), ("f1.yaml", 1, "plans.a.camera", "no camera is named 'top'")),
    (("", "[a]"), ("f1.yaml", 1, "", "this is a list, where a mapping belongs")),
    (("", "cameras: [a]"), ("f1.yaml", 1, "cameras", "this is a list, where a mapping belongs")),
    ((TOP, "cameras: 5"), ("f1.yaml", 1, "cameras", "this is a single value, where a mapping belongs")),
    ((TOP, "cameras:\n  to: {devic: /dev/video2}"), ("f1.yaml", 2, "cameras.to.devic", "there is no such key")),
    (("a: [", ""), ("f0.yaml", 1, "", "this is no YAML")),
]


@pytest.mark.parametrize(("files", "expected"), CONFLICTS)
def test_what_does_not_go_together_is_told_with_both_places(files, expected):
    *place, words = expected
    found = [message for file, line, key, message in told(*files) if [file, line, key] == place]
    assert any(words in message for message in found)


BAD = [
    ("acces: {}", "acces", "there is no such key"),
    ("access: {looks: [a]}", "access.looks", "there is no such key"),
    ("access: {look: a}", "access.look", "this is a single value, where a list belongs"),
    ("access: {look: [a, a]}", "access.look", "a group stands here twice"),
    ("access: {look: ['a b']}", "access.look[0]", "'a b' is not a group of users"),
    ("socket: run/x", "socket", "'run/x' is not a whole path"),
    ("socket: /run/", "socket", "'/run/' cannot be a socket"),
    (f"socket: /{'é' * 60}", "socket", "cannot be a socket"),
    (f"socket: /{'a' * 98}", "socket", "is longer than 98 characters"),
    ("socket: {mode: 0777}", "socket.mode", "'0777' is no mode of a socket"),
    ("socket: {mode: 1b0}", "socket.mode", "'1b0' is no mode of a socket"),
    ("socket: [a]", "socket", "this is a list, where a mapping belongs"),
    ("socket:", "socket", "nothing stands here"),
    ("metrics: 9091", "metrics", "'9091' is not an address"),
    ("metrics: :0", "metrics", "':0' is not an address"),
    ("metrics: a:65536", "metrics", "'a:65536' is not an address"),
    ("output: ''", "output", "a folder without a name"),
    ("ageing: 1", "ageing", "has no unit"),
    ("quotas: {cameras: {top: 1/s}}", "quotas.cameras.top", "no camera is named 'top'"),
    ("groups: {g: {emergency_stop: c:1}}", "groups.g", "no camera is in group 'g'"),
    (f"{TOP}plans: {{a: {{camera: top, start: 1969-12-31T23:59:59Z}}}}", "plans.a.start", "is too far away"),
    (f"{TOP}plans: {{a: {{camera: top, start: 2100-01-01T00:00:00Z}}}}", "plans.a.start", "is too far away"),
    (f"{TOP}plans: {{a: {{camera: top, start: 2027-01-01}}}}", "plans.a.start", "is not a date and time"),
]


@pytest.mark.parametrize(("text", "key", "message"), BAD)
def test_bad_input(text, key, message):
    ((_, line, found_key, found),) = told(text)
    assert (line, found_key) == (text.count("\n") + 1, key)
    assert message in found


def test_a_misspelt_key_is_suggested():
    with pytest.raises(ConfigError) as caught:
        service("acces: {}", "cameras: {top: {device: /dev/video0, exposur: 8ms}}")
    assert [problem.hint.split("?")[0] for problem in caught.value.problems] == [
        "did you mean access",
        "did you mean exposure",
    ]
    assert caught.value.message.startswith("2 files: 2 problems\n  f0.yaml:1: acces: ")


GOOD = [
    ("metrics: '[::1]:9091'", "metrics", Address("::1", 9091)),
    ("metrics: :9091", "metrics", Address("", 9091)),
    ("socket: /run/x.sock", "socket", SocketWish(path=Path("/run/x.sock"))),
    ("socket: {mode: 600}", "socket", SocketWish(mode=0o600)),
    ("access: {look: []}", "access", AccessWish(look=())),
    ("output: none", "pictures", Pictures(None)),
    ("output: null", "pictures", Pictures(None)),
    ("quotas: {clients: {any: 1/s}}", "limits", {"client/any": Limit(1, NS_PER_S)}),
]


@pytest.mark.parametrize(("text", "name", "expected"), GOOD)
def test_good_input(text, name, expected):
    assert getattr(service(text), name) == expected
    assert str(Address("::1", 9)) == "[::1]:9"


def test_a_comment_or_another_line_changes_nothing():
    assert service("# a\n\n" + TRIGGERED) == service(TRIGGERED)


def test_room_for_plans_grows_in_steps():
    def room(copies):
        return service(f"{TOP}plans: {{a: {{camera: top, every: 1d, copies: {copies}}}}}").groups["top"].plan_capacity

    assert [room(copies) for copies in (1, 512, 513, 3584, 3585)] == [1024, 1024, 4096, 4096, 16384]


# -- the folder ----------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(TOP)
    return path


def test_files_of_the_folder_are_read_by_name(file):
    folder = file.with_name("config.d")
    folder.mkdir()
    for name in ("20.yaml", "10.yaml", ".hidden.yaml", "10.yaml~", "README"):
        (folder / name).write_text(f"cameras: {{n{name[:2]}: {{device: /dev/{name[:2]}}}}}" if name[0] in "12" else "[")
    assert [Path(each.name).name for each in read_texts(file)] == ["config.yaml", "10.yaml", "20.yaml"]
    (folder / "10.yaml~").unlink()
    assert list(load_service_file(file).matches) == ["top", "n10", "n20"]


def test_another_file_has_a_folder_of_its_own(file):
    other = file.with_name("bench.yaml")
    other.write_text("")
    folder = file.with_name("bench.d")
    folder.mkdir()
    (folder / "a.yaml").write_text(TOP)
    assert load_service_file(other) == load_service_file(file)


def test_all_that_cannot_be_read_is_told_at_once(file):
    folder = file.with_name("config.d")
    folder.mkdir()
    (folder / "a.yaml").mkdir()
    (folder / "b.yml").write_text("")
    (folder / "c.yaml").write_bytes(b"\xff")
    file.unlink()
    with pytest.raises(ConfigError) as caught:
        load_service_file(file)
    found = {(Path(problem.file).name, problem.message.split(":")[0]) for problem in caught.value.problems}
    assert found == {
        ("config.yaml", "cannot be read"),
        ("a.yaml", "cannot be read"),
        ("b.yml", "is not read, because of its name"),
        ("c.yaml", "this is not UTF-8"),
    }


def test_a_folder_that_is_none(file):
    file.with_name("config.d").write_text("")
    with pytest.raises(ConfigError, match=r"config\.d: cannot be read: Not a directory"):
        load_service_file(file)


def test_too_many_files(file):
    folder = file.with_name("config.d")
    folder.mkdir()
    for number in range(257):
        (folder / f"{number}.yaml").touch()
    with pytest.raises(ConfigError, match="has 257 files"):
        load_service_file(file)


def test_texts_are_kept_for_whoever_adds_plans():
    assert service(TOP, "").texts == tuple(texts(TOP, ""))
    assert parse_service_file([]) == ServiceFile()
