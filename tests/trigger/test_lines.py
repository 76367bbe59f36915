"""Words for lines, how they are found, and how a loss is counted."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import InputError
from agent.trigger.errors import ChipNotFound, LineNotFound, typed_error
from agent.trigger.lines import ChipInfo, Edge, InputOrder, LineInfo, LineRef, OutputOrder
from agent.trigger.lookup import find_chip, find_line
from agent.trigger.numbering import Numbering

CHIPS = (
    ChipInfo("/dev/gpiochip0", "gpiochip0", "soc", 2),
    ChipInfo("/dev/gpiochip1", "gpiochip1", "card", 2),
    ChipInfo("/dev/gpiochip2", "gpiochip2", "card", 3),
)


def line(offset: int, name: str) -> LineInfo:
    return LineInfo(offset, name, "", used=False, output=False, active_low=False, bias=None)


LINES = {
    CHIPS[0]: (line(0, "trigger"), line(1, "1x")),
    CHIPS[1]: (line(0, "shutter"), line(1, "0")),
    CHIPS[2]: (line(0, "shutter"), line(1, "twice"), line(2, "twice")),
}


@pytest.mark.parametrize(
    ("text", "chip", "name"),
    [
        ("rig-lines:trigger", "rig-lines", "trigger"),
        ("gpiochip0:17", "gpiochip0", "17"),
        ("/dev/gpiochip0:17", "/dev/gpiochip0", "17"),
        ("0000:00:1f.0:edge", "0000:00:1f.0", "edge"),
        ("trigger", "", "trigger"),
        (" trigger ", "", "trigger"),
    ],
)
def test_a_line_is_read_from_text(text, chip, name):
    ref = LineRef.parse(text)
    assert (ref.chip, ref.line) == (chip, name)
    assert str(ref) == text.strip()


@pytest.mark.parametrize("text", ["", ":", "chip:", "17", ":17", "chip : line"])
def test_what_names_no_line_is_refused(text):
    with pytest.raises(InputError, match=r"line|offset"):
        LineRef.parse(text)


@given(chip=st.text(max_size=20), name=st.text(max_size=20))
def test_every_line_that_can_be_named_survives_text(chip, name):
    try:
        ref = LineRef(chip, name)
    except InputError:
        return
    assert LineRef.parse(str(ref)) == ref


@pytest.mark.parametrize("order", [OutputOrder, InputOrder])
@pytest.mark.parametrize("consumer", ["", "ä" * 16, "a\0b", "a\nb"])
def test_a_consumer_the_kernel_would_cut_is_refused(order, consumer):
    with pytest.raises(InputError):
        order(line=LineRef("", "x"), consumer=consumer)


def test_a_chip_is_found_by_name_path_or_label():
    assert [find_chip(word, CHIPS) for word in ("gpiochip1", "/dev/gpiochip1", "soc")] == [CHIPS[1], CHIPS[1], CHIPS[0]]


def test_a_link_to_a_chip_is_followed(tmp_path):
    (tmp_path / "by-path").symlink_to("/dev/gpiochip2")
    assert find_chip(str(tmp_path / "by-path"), CHIPS) == CHIPS[2]


def test_between_two_chips_of_one_label_nothing_is_guessed():
    with pytest.raises(ChipNotFound, match="2 chips") as caught:
        find_chip("card", CHIPS)
    assert caught.value.suggestions == ("gpiochip1", "gpiochip2")


def test_without_chips_the_hint_says_so():
    with pytest.raises(ChipNotFound) as caught:
        find_chip("soc", ())
    assert "no GPIO chip" in caught.value.hint


def test_a_name_goes_before_an_offset():
    one = {CHIPS[1]: LINES[CHIPS[1]]}
    assert find_line(LineRef("card", "0"), one)[1].name == "0"
    assert find_line(LineRef("card", "1"), one)[1].offset == 1


def test_a_name_alone_finds_its_chip():
    assert find_line(LineRef("", "trigger"), LINES) == (CHIPS[0], LINES[CHIPS[0]][0])


@pytest.mark.parametrize(("name", "suggestions"), [("shutter", 2), ("twice", 2)])
def test_between_two_lines_of_one_name_nothing_is_guessed(name, suggestions):
    with pytest.raises(LineNotFound, match="2 lines") as caught:
        find_line(LineRef("", name), LINES)
    assert len(caught.value.suggestions) == suggestions
    for suggested in caught.value.suggestions:  # and each of them would be found
        ref = LineRef.parse(suggested)
        assert find_line(ref, {find_chip(ref.chip, CHIPS): LINES[find_chip(ref.chip, CHIPS)]})


def test_a_line_that_is_not_there_brings_near_names():
    with pytest.raises(LineNotFound) as caught:
        find_line(LineRef("", "triger"), LINES)
    assert caught.value.suggestions == ("trigger",)
    assert "trigger" in caught.value.hint


@given(st.integers(1, 200))
def test_every_errno_has_a_typed_error_with_a_hint(code):
    error = typed_error(code, "GPIO_V2_GET_LINE", device="/dev/gpiochip0", line="trigger", consumer="somebody")
    assert error.errno == code
    assert error.hint
    assert error.as_dict()["line"] == "trigger"


# ---- numbers


@given(
    start=st.sampled_from([0, 2**32 - 5]),
    turns=st.lists(st.tuples(st.integers(0, 12), st.integers(1, 8)), max_size=30),
    size=st.integers(1, 6),
)
def test_what_was_read_and_what_was_lost_is_all_there_was(start, turns, size):
    """The kernel's fifo: numbered, bounded, the oldest goes. `start` lets the 32 bits run over."""
    fifo: deque[Edge] = deque(maxlen=size)
    numbering = Numbering()
    numbering.lost([Edge(0, True, start, start)])
    made = read = lost = 0
    for events, most in turns:
        for _ in range(events):
            made += 1
            number = (start + made) % 2**32
            fifo.append(Edge(made, True, number, number))
        taken = [fifo.popleft() for _ in range(min(most, len(fifo)))]
        read += len(taken)
        lost += numbering.lost(taken)
        newest = taken[-1].time_ns if taken else 0
        assert not taken or read + lost == newest
    rest = list(fifo)
    if rest:
        assert read + len(rest) + lost + numbering.lost(rest) == made


def test_a_loss_in_either_number_counts():
    for second in (Edge(2, True, 2, 5), Edge(2, True, 5, 2)):
        numbering = Numbering()
        assert numbering.lost([Edge(1, True, 1, 1), second]) == 3
