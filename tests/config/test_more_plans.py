"""Plans that are asked for while the service runs: read as those of its file."""

import pytest
from config.service import service

from agent.config.more_plans import read_more_plans
from agent.config.problems import ConfigError
from agent.errors import InputError
from agent.units import NS_PER_S

FILE = service(
    "cameras: {top: {device: /dev/video0, rate: 30, group: g}, left: {device: /dev/video2, group: g, buffers: 4}}",
    "plans: {lapse: {camera: top, every: 1s}}\nquotas: {clients: {bench: 1/s}}",
)


def test_a_plan():
    (planned,) = read_more_plans(
        FILE, {"more": {"camera": "top", "every": "2s", "client": "bench", "count": 3}}
    ).values()
    plan = planned.order.plan
    assert (planned.name, planned.group, plan.period_ns, plan.count) == ("more", "g", 2 * NS_PER_S, 3)


def test_one_with_the_name_of_another_is_for_the_caller_to_refuse():
    assert list(read_more_plans(FILE, {"lapse": {"camera": "left"}})) == ["lapse"]


BAD = [
    ({"a": {"camera": "tpo"}}, "no camera is named 'tpo'; did you mean top?"),
    ({"a": {"camera": "top", "every": 5}}, "the duration '5' has no unit"),
    ({"a": {"camera": "top", "every": "1ms"}}, "beyond the camera"),
    ({"a": {"camera": "top", "evry": "1s"}}, "there is no such key"),
    ({}, "there is no plan"),
]


@pytest.mark.parametrize(("asked", "words"), BAD)
def test_bad_ones(asked, words):
    with pytest.raises(ConfigError) as caught:
        read_more_plans(FILE, asked)
    assert words in f"{caught.value.message}; {caught.value.hint}"
    assert {problem.file for problem in caught.value.problems} == {"request"}


def test_bursts_that_the_buffers_are_too_few_for():
    assert read_more_plans(FILE, {"a": {"camera": "top", "burst": 4}})
    with pytest.raises(InputError, match="needs 7 buffers, and camera top has 6"):
        read_more_plans(FILE, {"a": {"camera": "top", "burst": 5}})
    with pytest.raises(InputError, match=r"a burst of 3 frames .* needs 5 buffers, and camera left has 4"):
        read_more_plans(FILE, {"a": {"group": "g", "burst": 3}})
    assert read_more_plans(FILE, {"a": {"camera": "top", "burst": 30, "store": False}})


def test_no_json():
    with pytest.raises(InputError, match="no JSON"):
        read_more_plans(FILE, {"a": {1, 2}})
