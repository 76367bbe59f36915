"""A fuzz target for the parser of each input: whatever comes, there is a value or an error of ours, and nothing else.

Others have theirs beside them: requests, targets, bodies and documents (control/test_fuzz, test_schemathesis), plan
files (config/test_fuzz), the service's files and plans that are asked for (config/test_service_fuzz), trigger modes
(config/test_trigger_modes), frames on the wire (frames/test_wire), kept plans (service/test_kept_plans), USB/IP.
"""

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.capture.channel import Channel
from agent.capture.messages import Cancel, Done, encode
from agent.capture.packets import ChannelBroken
from agent.config.plan_source import PlanSource
from agent.config.problems import ConfigError
from agent.control.client import Client
from agent.discovery.facts import read_node
from agent.errors import AgentError, InputError
from agent.service.one_shot import find_line
from agent.trigger.lines import LineRef
from agent.units import parse_decibel_mdb, parse_duration_ns, parse_rate, parse_size_bytes, parse_size_px
from agent.v4l2.gain import parse_gain

ALMOST = st.from_regex(
    r"[-+]?[0-9.,eE_ ]{0,12} ?(ns|us|µs|ms|s|min|h|d|dB|fps|Hz|x|KiB|MiB|/s)?[0-9]{0,3}", fullmatch=True
)
TEXTS = st.text(max_size=40) | ALMOST


@pytest.mark.parametrize(
    "parse", [parse_duration_ns, parse_size_bytes, parse_decibel_mdb, parse_rate, parse_size_px, parse_gain]
)
@given(text=TEXTS)
@example(text="9" * 5000)
@example(text="1e999999999s")
@example(text="٣s")
def test_any_quantity(parse, text):
    with suppress(InputError):
        parse(text)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_line_of_a_chip(chip, line):
    with suppress(InputError):
        assert str(LineRef(chip, line)).endswith(line)


# -- between processes ----------------------------------------------------------------------------------------------

WHOLE = st.sampled_from([encode(Done(re=1, at_ns=2)), encode(Cancel(id=3, kind="plan", name="a", by="b"))])
PACKETS = st.lists(st.binary(min_size=1, max_size=80) | WHOLE, max_size=6)


@st.composite
def damaged(draw):
    """A message of ours of which bytes were changed, cut off or added."""
    data = bytearray(draw(WHOLE))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(data)))
        data[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


@given(PACKETS | st.lists(damaged(), max_size=4))
def test_any_packets_on_the_command_socket(packets):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, Channel(ours) as channel:
        for packet in packets:
            theirs.send(packet or b"?")
        theirs.close()
        # one that cannot be read is the end of the process that sent it; those after it are not looked at
        with suppress(ChannelBroken):
            while not channel.closed:
                channel.drain(10)


# -- files ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=40) | st.just(b'{"trace_ids": ["abc-1"]}'), max_size=6))
@example([b'"abc-1"'])
@example([b'{"trace_ids": ["abc-1"'])
@example([b"[" * 3000 + b"abc-1"])
def test_any_log_of_frames(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("log") / "frames.jsonl"
    path.write_bytes(b"\n".join(lines))
    found = find_line(path, "abc-1")
    assert found is None or found["trace_ids"] == ["abc-1"]


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"plans: {text}".encode()))
def test_any_file_of_plans_that_are_added(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("plans") / "plans.yaml"
    path.write_bytes(data)
    with suppress(ConfigError):
        source = PlanSource(path)
        keys = [f"plans.{name}.every" for name in source.plans] or ["plans"]
        told = source.located({"key": key, "message": "no", "hint": ""} for key in [*keys, "", "plans.[", "..[0]"])
        assert {problem.file for problem in told.problems} == {str(path)}


# -- the machine ----------------------------------------------------------------------------------------------------

PROPERTIES = st.dictionaries(
    st.sampled_from(
        [
            *("ID_V4L_CAPABILITIES", "USEC_INITIALIZED", "ID_SERIAL_SHORT", "ID_USB_VENDOR_ID", "ID_VENDOR_ID"),
            *("ID_USB_MODEL_ID", "ID_MODEL_ID", "ID_PATH", "ID_PATH_WITH_USB_REVISION", "ID_V4L_PRODUCT"),
        ]
    ),
    st.text(max_size=30) | st.just("9" * 5000),
)


@given(PROPERTIES, st.text(max_size=30).filter(lambda text: "\0" not in text))
def test_any_properties_of_udev(tmp_path_factory, properties, name):
    place = tmp_path_factory.getbasetemp() / name.replace("/", "_") / "video4linux" / "video0"
    device = SimpleNamespace(
        sys_path=str(place),
        device_node="/dev/video0",
        device_number=os.makedev(81, 0),
        device_links=(),
        properties=properties,
        find_parent=lambda *_: None,
    )
    node = read_node(device)
    assert node.path == "/dev/video0"
    assert node.identity.serial == (properties.get("ID_SERIAL_SHORT") or None)


# -- what answers a client ------------------------------------------------------------------------------------------

EVENTS = st.lists(
    st.sampled_from(
        [
            b'data: {"id": 1, "kind": "a", "at_ns": 2, "data": {}}\n\n',
            *(
                b"data: []\n\n",
                b"data: {}\n\n",
                b": alive\n\n",
                b"data:\n",
                b"data: {",
                b"\xff\xfe\n",
                b"\r\n",
                b"id: 7\n",
            ),
        ]
    )
    | st.binary(max_size=30),
    max_size=5,
).map(b"".join)
HEADS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 500 no\r\n\r\n",
        b'HTTP/1.1 404 no\r\n\r\n{"code": 7, "exit_code": "x", "details": []}',
        b"HTTP/9\r\n",
        b"",
    ]
)


class Answering:
    """A server that answers one connection with bytes, whatever it is asked."""

    def __init__(self, folder, data):
        self.path, self._data = Path(folder) / "s", data
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self.path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._socket.close()
        self._thread.join()

    def _serve(self):
        connection, _ = self._socket.accept()
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(self._data)


@given(HEADS, EVENTS | st.binary(max_size=60), st.sampled_from(["events", "ask", "listed"]))
def test_any_answer_to_a_client(tmp_path_factory, head, body, verb):
    folder = tmp_path_factory.mktemp("s")
    with Answering(folder, head + body) as server, Client(server.path, timeout_s=10) as client:
        ask = {"events": lambda: list(client.events()), "ask": client.health, "listed": client.plans}[verb]
        with suppress(AgentError):
            ask()
