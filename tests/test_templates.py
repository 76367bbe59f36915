"""Names from templates: whatever is written in one and filled into it, the file stays below its folder."""

import re
from datetime import UTC
from pathlib import PurePosixPath

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from agent.errors import InputError, StorageError
from agent.pipeline.names import folder_of
from agent.templates import FIELDS, USUAL, NameFacts, NameTemplate

FACTS = NameFacts(
    camera="top", number=7, sequence=4711, realtime_ns=1_784_000_000_123_456_789, plan="lapse", trace="ab" * 16
)
TEXTS = st.text(max_size=40)
PIECES = st.lists(
    st.sampled_from(
        [*(f"{{{name}}}" for name in FIELDS), "{number:06d}", "{{", "}}", "/", "..", ".", "a", "-", "\\", " "]
    ),
    min_size=1,
    max_size=8,
).map("".join)


@st.composite
def facts(draw):
    number = st.integers(0, 2**63 - 1)
    return NameFacts(
        camera=draw(TEXTS), number=draw(number), sequence=draw(st.integers(0, 2**32 - 1)),
        realtime_ns=draw(st.integers(0, 4 * 10**18)), plan=draw(TEXTS), trace=draw(TEXTS),
    )  # fmt: skip


def made(text):
    try:
        return NameTemplate(text, zone=UTC)
    except InputError:
        assume(False)


@pytest.mark.parametrize(("text", "name"), [
    (USUAL, "top-000007"),
    ("{camera}/{date}/{number}", "top/2026-07-14/7"),
    ("{time}_{sequence:08d}", "03-33-20.123_00004711"),
    ("{realtime_ns}", "1784000000123456789"),
    ("{plan}-{trace}-{number:03d}", f"lapse-{'ab' * 16}-007"),
    ("{{{number}}}", "{7}"),
])  # fmt: skip
def test_what_is_filled_in(text, name):
    assert NameTemplate(text, zone=UTC).name(FACTS) == name


def test_what_is_not_there_has_a_word():
    facts = NameFacts(camera="", number=0, sequence=0, realtime_ns=0)
    assert NameTemplate("{camera}-{plan}-{trace}-{number}").name(facts) == "camera-none-none-0"


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(PIECES | TEXTS, facts())
def test_no_name_leaves_its_folder_is_hidden_or_empty(text, told):
    name = made(text).name(told)
    parts = name.split("/")
    assert all(part and not part.startswith(".") for part in parts)
    assert "\0" not in name
    assert PurePosixPath("/folder").joinpath(name).parts[:2] == ("/", "folder")


@given(PIECES, facts())
def test_a_number_is_found_again_in_the_name_it_was_put_into(text, told):
    template = made(text)
    found = template.number_in(template.name(told), told.camera)
    assume(found is not None or "{" in text)
    assert found is not None
    if re.fullmatch(r"[^{]*\{number(:06d)?\}[^{]*", text):
        assert found == told.number


@given(facts(), facts())
def test_frames_of_other_numbers_have_other_names(one, other):
    template = NameTemplate()
    assume(one.number != other.number)
    assert template.name(one) != template.name(other)


@pytest.mark.parametrize("text", [
    "../{number}", "/tmp/{number}", "a/../{number}", "{number}/..", "./{number}", "a//{number}", "{number}/",
    ".hidden-{number}", "a/.git/{number}", "x" * 300 + "{number}",
])  # fmt: skip
def test_what_would_leave_the_folder_is_refused_once(text):
    with pytest.raises(InputError) as caught:
        NameTemplate(text)
    assert text[:20] in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(("text", "told"), [
    ("{camra}-{number}", "did you mean {camera}"),
    ("{zzz}-{number}", "there is camera"),
    ("{camera}", "{number}"),
    ("{date}-{time}", "{number}"),
    ("{number", "double it"),
    ("number}", "double it"),
    ("{camera:06d}-{number}", "only numbers"),
    ("{number:6f}", "only numbers"),
    ("{number:099d}", "only numbers"),
    ("{}{number}", "there is camera"),
    ("", USUAL),
    ("a\nb{number}", USUAL),
])  # fmt: skip
def test_what_is_wrong_says_what_to_write(text, told):
    with pytest.raises(InputError) as caught:
        NameTemplate(text)
    assert told in caught.value.hint


def test_a_link_that_leads_out_is_refused_and_one_that_stays_is_not(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "real", outside):
        folder.mkdir(parents=True)
    (root / "out").symlink_to(outside)
    (root / "in").symlink_to(root / "real")
    with pytest.raises(StorageError, match="leads out"):
        folder_of(root, "out/a-0")
    assert folder_of(root, "in/a-0") == root / "in"
    assert folder_of(root, "new/deep/a-0").is_dir()
    assert folder_of(root, "a-0") == root
    assert list(outside.iterdir()) == []
