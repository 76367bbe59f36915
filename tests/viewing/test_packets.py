"""What agent and viewer tell each other: read back as it was, and no nonsense of a viewer is believed."""

import array
import fcntl
import json
import os
import socket
from dataclasses import replace

import pytest
from control.pretend import picture
from hypothesis import given
from hypothesis import strategies as st

from agent.control.picture import MEDIA, TRACES_TOLD, Look
from agent.viewing.packets import (
    Alive,
    Drop,
    Made,
    Refused,
    Seen,
    Show,
    Take,
    ViewerProtocol,
    pack_order,
    read_told,
    send_told,
    unpack_order,
)

numbers = st.integers(0, 2**62)
sizes = st.none() | st.integers(1, 9000)
looks = st.builds(Look, kind=st.sampled_from(sorted(MEDIA)), width_px=sizes, height_px=sizes, quality=sizes)
orders = (
    st.builds(Show, st.dictionaries(numbers, st.tuples(looks, st.integers(1, 240)), max_size=5))
    | st.builds(Take, numbers, looks, numbers)
    | st.builds(Drop, numbers)
    | st.builds(Seen, numbers)
)


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


@given(order=orders)
def test_orders_are_read_back(order):
    assert unpack_order(pack_order(order)) == order


@given(data=st.binary(min_size=1, max_size=100_000), key=st.none() | numbers, ids=st.lists(numbers, max_size=9))
def test_pictures_are_read_back(data, key, ids):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        made = Made(picture(data=data), key, tuple(ids))
        send_told(theirs, made)
        assert read_told(ours) == made


def test_a_frame_that_served_thousands_of_plans_is_told(pair):
    ours, theirs = pair
    made = picture()
    many = tuple(f"{number:032x}" for number in range(5000))
    send_told(theirs, Made(replace(made, facts=replace(made.facts, trace_ids=many)), 1, ()))
    assert read_told(ours).picture.facts.trace_ids == many[:TRACES_TOLD]


def test_refusals_and_signs_of_life_are_read_back(pair):
    ours, theirs = pair
    error = {"code": "x", "message": "y", "hint": "z", "details": {"most": 3}}
    for told in (Refused(error, 3, (1, 2)), Alive(7)):
        send_told(theirs, told)
        assert read_told(ours) == told
    theirs.close()
    assert read_told(ours) is None


def memory(content, *, sealed=True):
    fd = os.memfd_create("x", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.write(fd, content)
    if sealed:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, 15)
    return fd


FACTS = {name: getattr(picture().facts, name) for name in picture().facts.__slots__}
WHOLE = {"told": "made", "key": 1, "ids": [], "bytes": 5, "facts": FACTS}


@pytest.mark.parametrize(
    ("document", "content", "sealed"),
    [
        ({**WHOLE, "bytes": 6}, b"12345", True),
        ({**WHOLE, "bytes": 0}, b"12345", True),
        ({**WHOLE, "bytes": 2**40}, b"12345", True),
        (WHOLE, b"12345", False),
        (WHOLE, None, True),
        ({**WHOLE, "key": "1"}, b"12345", True),
        ({**WHOLE, "ids": [True]}, b"12345", True),
        ({**WHOLE, "facts": {**FACTS, "sequence": "x"}}, b"12345", True),
        ({**WHOLE, "facts": {**FACTS, "began_ns": 0.5}}, b"12345", True),
        ({**WHOLE, "facts": {**FACTS, "kind": "exe"}}, b"12345", True),
        ({**WHOLE, "facts": {**FACTS, "more": 1}}, b"12345", True),
        ({**WHOLE, "facts": {**FACTS, "trace_ids": ["a\r\nset-cookie: b"]}}, b"12345", True),
        ({**WHOLE, "facts": {**FACTS, "trace_ids": ["ü"]}}, b"12345", True),
        ({**WHOLE, "facts": {**FACTS, "camera": "a\r\nset-cookie: b"}}, b"12345", True),
        ({"told": "refused", "key": None, "ids": [], "error": 5}, None, True),
        ({"told": "sung"}, None, True),
        ([], None, True),
    ],
)
def test_nonsense_is_refused_and_no_descriptor_is_left(pair, document, content, sealed):
    ours, theirs = pair
    fds = [] if content is None else [memory(content, sealed=sealed)]
    socket.send_fds(theirs, [json.dumps(document).encode()], fds)
    for fd in fds:
        os.close(fd)
    with pytest.raises(ViewerProtocol):
        read_told(ours)


@given(packet=st.binary(min_size=1, max_size=200))
def test_any_bytes_are_understood_or_refused(packet):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        theirs.send(packet)
        with pytest.raises(ViewerProtocol):
            read_told(ours)


def test_a_descriptor_that_is_no_memory_is_refused(pair):
    ours, theirs = pair
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs.fileno()]))]
    theirs.sendmsg([json.dumps(WHOLE).encode()], rights)
    with pytest.raises(ViewerProtocol):
        read_told(ours)
