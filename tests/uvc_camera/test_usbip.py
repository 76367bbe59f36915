# SPDX-License-Identifier: GPL-3.0-or-later
import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvc_camera.errors import ProtocolError
from uvc_camera.usbip import HEADER_BYTES, Parser, Submit, Unlink, ret_submit, ret_unlink

SEQNUMS = st.integers(0, 2**32 - 1)
ENDPOINTS = st.integers(0, 15)
SETUPS = st.binary(min_size=8, max_size=8)
INWARDS = st.builds(Submit, SEQNUMS, ENDPOINTS, st.just(True), st.integers(0, 2**31 - 1), SETUPS)
OUTWARDS = st.binary(max_size=200).flatmap(
    lambda data: st.builds(Submit, SEQNUMS, ENDPOINTS, st.just(False), st.just(len(data)), SETUPS, st.just(data))
)
COMMANDS = st.one_of(INWARDS, OUTWARDS, st.builds(Unlink, SEQNUMS, SEQNUMS))


def encode(command):
    if isinstance(command, Unlink):
        return struct.pack(">6I24x", 2, command.seqnum, 7, 0, 0, command.victim)
    head = struct.pack(">6I4i", 1, command.seqnum, 7, command.inwards, command.endpoint, 0, command.length, 0, -1, 0)
    return head + command.setup + command.data


@given(st.lists(COMMANDS, max_size=8), st.data())
def test_commands_survive_any_cut_of_the_stream(commands, data):
    stream = b"".join(map(encode, commands))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    parser = Parser()
    parsed = [
        command
        for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for command in parser.feed(stream[begin:end])
    ]
    assert parsed == commands


@given(st.binary(max_size=400))
def test_garbage_is_parsed_or_named_but_never_anything_else(garbage):
    with contextlib.suppress(ProtocolError):
        list(Parser().feed(garbage))


@pytest.mark.parametrize("packets", [1, 32])
def test_isochronous_urbs_are_refused(packets):
    with pytest.raises(ProtocolError, match="isochronous"):
        list(Parser().feed(struct.pack(">6I4i8x", 1, 1, 7, 1, 1, 0, 100, 0, packets, 0)))


def test_answers_are_48_bytes_and_carry_their_status_at_offset_20():
    submitted, unlinked = ret_submit(9, -32, 5), ret_unlink(10, -104)
    assert len(submitted) == len(unlinked) == HEADER_BYTES
    assert struct.unpack_from(">5Iii", submitted) == (3, 9, 0, 0, 0, -32, 5)
    assert struct.unpack_from(">5Ii", unlinked) == (4, 10, 0, 0, 0, -104)
