"""docs/frame-protocol.md says what agent/frames/wire.py does, and examples/frames.c what both say."""

import re
import struct
import subprocess
from pathlib import Path

import pytest
from examples.compiled import SOURCE, compiled

from agent.frames import values, wire
from agent.frames.values import Kind, Streaming, Target

TEXT = (Path(__file__).parents[2] / "docs" / "frame-protocol.md").read_text()
FIXED = {
    "SUBSCRIBE": wire._HEAD.format + wire._SUBSCRIBE.format[1:],
    "OPENING": wire._HEAD.format,
    "POOL": wire._HEAD.format + wire._POOL.format[1:],
    "BUFFERS": wire._HEAD.format + wire._BUFFERS.format[1:],
    "FRAME": wire._FRAME.format,
    "FORGET": wire._HEAD.format,
    "STATE": wire._HEAD.format,
    "REFUSED": wire._HEAD.format,
    "RETURNED": wire._HEAD.format + wire._RETURNED.format[1:],
}
CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i64": "q", "char[8]": "8s", "u32[8]": "8I"}
STRUCTS = {"SUBSCRIBE": "subscribe", "POOL": "pool", "BUFFERS": "buffers", "FRAME": "frame", "RETURNED": "returned"}


def section(name):
    return re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL).group(1)


def rows(text):
    """The cells of tables, without their heads."""
    found = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return [row for row in found if row[0] != "offset" and not set(row[0]) <= {"-"}]


def fields(name):
    """(offset, type, name) of what has a fixed place."""
    return [(int(row[0]), row[1], row[2]) for row in rows(section(name)) if row[0].isdigit() and row[1] != "text"]


def places(form):
    """(offset, code) of each item of a struct's format, padding left out."""
    items = re.findall(r"\d*[a-zA-Z]", form)
    found, so_far = [], "="
    for item in items:
        if not item.endswith("x"):
            found.append((struct.calcsize(so_far), item))
        so_far += item
    return found


def test_all_messages_of_clients_are_described():
    assert set(re.findall(r"^### (\w+)$", TEXT, re.MULTILINE)) == set(FIXED) == {kind.name for kind in Kind} - {"READY"}


@pytest.mark.parametrize("name", FIXED)
def test_offsets_and_types_are_those_of_the_wire(name):
    described = [(offset, CODES[kind]) for offset, kind, _ in fields(name) if kind != "pad"]
    assert described == places(FIXED[name])


@pytest.mark.parametrize("name", FIXED)
def test_what_follows_comes_right_after(name):
    following = [row for row in rows(section(name)) if row[1] == "text" or not row[0].isdigit()]
    if following:
        assert int(re.match(r"\d+", following[0][0]).group()) == struct.calcsize(FIXED[name])
    if name == "POOL":
        assert [row[0] for row in following] == ["32 + 8 × plane", "36 + 8 × plane", "32 + 8 × planes"]
        assert wire._PLANE.format == "=II"


def test_kinds_have_their_numbers():
    table = TEXT[TEXT.index("| kind | message |") : TEXT.index("Kind 16, READY")]
    named = {row[1]: int(row[0]) for row in rows(table) if row[0].isdigit()}
    assert named == {kind.name: kind.value for kind in Kind if kind is not Kind.READY}
    assert Kind.READY == 16
    for name, number in named.items():
        first = next(row for row in rows(section(name)) if row[0] == "0")
        assert first[3] == str(number)


def test_numbers_in_words_are_those_of_the_code():
    assert f"Version **{values.VERSION}**" in TEXT
    for name in ("SUBSCRIBE", "OPENING"):
        assert f"the version, {values.VERSION}" in section(name)
    bounds = TEXT[TEXT.index("## Bounds") :]
    for number in (
        values.PACKET_BYTES,
        values.ANSWER_BYTES,
        values.MOST,
        values.DEPTH,
        values.MAX_PLANES,
        values.FDS_AT_ONCE,
        values.TRACES_INLINE,
    ):
        assert f"{number:,}" in bounds
    assert f"at most {values.LONGEST_LEASE_NS:,}; 0: {values.LEASE_NS:,}" in section("SUBSCRIBE")
    assert f"1 to {values.MOST}" in section("SUBSCRIBE")
    assert f"1 to {values.DEPTH}" in section("SUBSCRIBE")
    assert f"1 to {values.NAME_BYTES} bytes" in section("SUBSCRIBE")
    assert "0 a camera, 1 a group, 2 a plan" in section("SUBSCRIBE")
    assert [target.value for target in (Target.CAMERA, Target.GROUP, Target.PLAN)] == [0, 1, 2]
    assert ", ".join(f"{state.value} {state.name.lower()}" for state in Streaming) in section("STATE")
    assert values.CLOCKS == ("monotonic", "copy", "unknown")
    assert values.SOURCES == ("soe", "eof", "dequeue")
    assert (wire._UNKNOWN, wire._NO_PULSE, wire._EVERY, wire._INTERLACED) == (-(2**63), -1, 1, 1)


def test_bounds_and_codes_of_the_capture_process():
    from agent.capture import subscriber, subscribers

    bounds = TEXT[TEXT.index("## Bounds") :]
    assert f"| {subscribers.MOST_CLIENTS}, {subscribers.MOST_OF_ONE} |" in bounds
    assert f"{subscriber.STUCK_NS // 10**9} s" in bounds
    from agent.capture.lending import MemoryShort
    from agent.control.errors import NotAllowed, NotFound
    from agent.errors import StateError
    from agent.frames.ledger import PoolTooSmall
    from agent.service import frame_door

    assert f"| {frame_door.MOST_WAITING}, {frame_door.MOST_OF_ONE} |" in bounds
    for error in (
        NotAllowed,
        NotFound,
        StateError,
        subscriber.Stuck,
        subscribers.TooManyClients,
        subscribers.TargetUnknown,
        MemoryShort,
        PoolTooSmall,
        values.ProtocolError,
    ):
        assert f"`{error.code}`" in TEXT[TEXT.index("## Refusals") :]


def test_the_c_example_has_the_same_structures(tmp_path):
    """Every field of its structures that the text names is where the text says, and as long."""
    lines, expected = [], []
    for name, of in STRUCTS.items():
        for offset, kind, field in fields(name):
            if field == "pad" and offset != 30:
                continue
            nested = f"head.{field}" if name != "FRAME" and field in ("kind", "count", "number") else field
            size = 2 if kind == "pad" else struct.calcsize("=" + CODES[kind])
            expected.append(f"{of}.{nested} {offset} {size}")
            length = f"sizeof ((struct {of} *)0)->{nested}"
            lines.append(f'printf("{of}.{nested} %zu %zu\\n", offsetof(struct {of}, {nested}), {length});')
        expected.append(f"{of} {struct.calcsize(FIXED[name])}")
        lines.append(f'printf("{of} %zu\\n", sizeof(struct {of}));')
    for kind in Kind:
        if kind is not Kind.READY:
            expected.append(f"{kind.name} {kind.value}")
            lines.append(f'printf("{kind.name} %d\\n", {kind.name});')
    expected.append(f"VERSION {values.VERSION} PACKET {values.PACKET_BYTES} PLANES {values.MAX_PLANES}")
    lines.append('printf("VERSION %d PACKET %d PLANES %d\\n", VERSION, PACKET, PLANES);')
    program = tmp_path / "layout.c"
    program.write_text(
        f'#include <stddef.h>\n#define main example\n#include "{SOURCE}"\n#undef main\n'
        f"int main(void) {{ {' '.join(lines)} return example == 0; }}\n"
    )
    printed = subprocess.run([compiled(program, "-Wno-address")], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == expected
