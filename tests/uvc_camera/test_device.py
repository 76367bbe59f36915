# SPDX-License-Identifier: GPL-3.0-or-later
import errno
import json
import os
import selectors
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvc_camera import UvcCamera
from uvc_camera.descriptors import Speed
from uvc_camera.errors import AttachError, OrderError, UvcCameraError
from uvc_camera.faults import NAMES, Faults, parse
from uvc_camera.link import Link
from uvc_camera.orders import OrderServer, carry_out
from uvc_camera.record import RecordFile, next_number, read_entries
from uvc_camera.vhci import VHCI, Vhci, parse_status

STATUS = """hub port sta spd dev      sockfd local_busid
hs  0000 006 003 00010002 000005 1-1
hs  0001 004 000 00000000 000000 0-0
ss  0015 004 000 00000000 000000 0-0
"""


def test_the_status_file_tells_ports_and_their_devices():
    used, free, fast = parse_status(STATUS)
    assert (used.number, used.speed, used.free, used.bus_id) == (0, Speed.HIGH, False, "1-1")
    assert (free.number, free.free, free.bus_id) == (1, True, None)
    assert fast.speed is Speed.SUPER


@pytest.mark.parametrize(
    ("speed", "port", "taken"), [(Speed.HIGH, None, 1), (Speed.SUPER, None, 15), (Speed.HIGH, 1, 1)]
)
def test_a_camera_takes_the_first_free_port_of_its_speed(tmp_path, speed, port, taken):
    (tmp_path / "status").write_text(STATUS)
    near, far = socket.socketpair()
    with near, far:
        assert Vhci(speed, port, tmp_path).attach(near) == taken
        words = (tmp_path / "attach").read_text().split()
        assert [int(word) for word in words] == [taken, near.fileno(), 0x10002, int(speed)]


def test_no_free_port_and_no_module_are_told_apart(tmp_path):
    near, far = socket.socketpair()
    with near, far:
        with pytest.raises(AttachError, match="modprobe"):
            Vhci(Speed.HIGH, None, tmp_path / "absent").attach(near)
        (tmp_path / "status").write_text(STATUS.splitlines()[1])
        with pytest.raises(AttachError, match="no free high-speed port"):
            Vhci(Speed.HIGH, None, tmp_path).attach(near)


def test_a_refusal_of_the_kernel_is_passed_on_and_leaves_nothing_open(tmp_path):
    (tmp_path / "status").write_text(STATUS)
    (tmp_path / "attach").symlink_to("/dev/full")
    near, far = socket.socketpair()
    with near, far, pytest.raises(AttachError, match=os.strerror(errno.ENOSPC)):
        Vhci(Speed.HIGH, None, tmp_path).attach(near)


def test_a_camera_can_be_unplugged_twice_and_plugged_once(bench):
    with pytest.raises(OrderError):
        bench.device.plug()
    bench.device.unplug()
    bench.device.unplug()
    assert bench.kernel.detached == [3]
    assert [note["kind"] for note in bench.notes] == ["attach", "detach"]


def test_a_host_that_hangs_up_unplugs_the_camera(bench):
    bench.kernel.hang_up()
    bench.loop.turn(block=True)
    assert bench.notes[-1] == {"kind": "detach", "cause": "host"}
    assert bench.device.port is None


@given(st.lists(st.binary(max_size=3000), max_size=20), st.lists(st.integers(1, 5000), max_size=40))
def test_a_link_sends_everything_in_order_however_slowly_it_is_read(buffers, reads):
    near, far = socket.socketpair()
    with far:
        link = Link(near)
        link.send(*buffers)
        got = b""
        for size in [*reads, 1 << 17]:
            link.flush()
            got += far.recv(size, socket.MSG_DONTWAIT) if got != b"".join(buffers) else b""
        link.close()
    assert b"".join(buffers).startswith(got)


def test_a_link_keeps_what_the_socket_has_no_room_for():
    near, far = socket.socketpair()
    data = os.urandom(8 << 20)
    with far:
        link = Link(near)
        link.send(data)
        link.flush()
        assert link.waiting
        got = bytearray()
        while len(got) < len(data):
            got += far.recv(1 << 20)
            link.flush()
        assert bytes(got) == data
        assert not link.waiting
        link.close()
        link.close()


@pytest.mark.parametrize("name", NAMES)
def test_every_fault_can_be_ordered_without_arguments(name):
    assert parse(name, {}).name == name


NONSENSE = [
    ("none", {}),
    ("freeze", {"count": 1}),
    ("error_bit", {"count": -1}),
    ("error_bit", {"count": True}),
    ("stall_control", {"control": 3}),
]


@pytest.mark.parametrize(("name", "arguments"), NONSENSE)
def test_a_fault_that_makes_no_sense_is_refused(name, arguments):
    with pytest.raises(OrderError):
        parse(name, arguments)


@given(st.integers(0, 5), st.integers(0, 8))
def test_a_fault_is_used_as_often_as_ordered(count, uses):
    faults = Faults()
    faults.order(parse("error_bit", {"count": count}))
    assert sum(faults.take("error_bit") is not None for _ in range(uses)) == min(count, uses)


def test_orders_are_carried_out_and_failures_are_answers(bench):
    def order(**words):
        return carry_out(bench.device, json.dumps(words).encode())

    assert order(do="state") == {"ok": True, "port": 3}
    assert order(do="unplug") == {"ok": True}
    assert order(do="plug") == {"ok": True, "port": 3}
    assert order(do="plug")["code"] == "order"
    assert order(do="fault", name="error_bit", count=2) == {"ok": True}
    assert bench.device.faults.active("error_bit").count == 2
    assert order(do="clear") == {"ok": True}
    assert bench.device.faults.active("error_bit") is None
    assert not order(do="dance")["ok"]
    assert not carry_out(bench.device, b"{")["ok"]
    assert not carry_out(bench.device, b"[]")["ok"]


def test_the_order_server_answers_line_by_line_and_survives_its_clients(tmp_path):
    with selectors.SelectSelector() as selector:
        server = OrderServer(tmp_path / "orders", selector, lambda line: {"ok": True, "said": line.decode()})

        def turn():
            for key, _ in selector.select(5):
                key.data()

        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "orders"))
            turn()
            client.sendall(b"one\ntw")
            turn()
            client.sendall(b"o\n")
            turn()
            answers = client.recv(4096).splitlines()
            assert [json.loads(line)["said"] for line in answers] == ["one", "two"]
        turn()
        server.close()
        server.close()
    assert not (tmp_path / "orders").exists()


def test_a_record_is_read_back_without_its_unfinished_line(tmp_path):
    record = RecordFile(tmp_path / "log", lambda: 5)
    record.write("frame", number=1)
    record.close()
    record.close()
    with (tmp_path / "log").open("ab") as file:
        file.write(b'{"kind": "fr')
    assert read_entries(tmp_path / "log") == [{"kind": "frame", "time_ns": 5, "number": 1}]


def test_a_camera_started_anew_counts_on():
    assert next_number([]) == 0
    assert (
        next_number([{"kind": "frame", "number": 4}, {"kind": "stop"}, {"kind": "missed", "number": 5, "count": 3}])
        == 8
    )


def program(*words):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-m", "uvc_camera", *words], env=environment, text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip


def test_the_program_says_when_it_listens_and_ends_with_its_leash(tmp_path):
    with program("--unplugged", "--leash", f"--control={tmp_path / 'orders'}", f"--log={tmp_path / 'log'}") as process:
        assert json.loads(process.stdout.readline()) == {"ready": True, "port": None}
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "orders"))
            client.sendall(b'{"do": "state"}\n')
            assert json.loads(client.recv(4096)) == {"ok": True, "port": None}
        process.stdin.close()
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("words", [["--formats=x"], ["--sizes=1x1"], ["--latency-frames=-1"], ["--speed=low"]])
def test_the_program_refuses_what_it_does_not_know(words):
    with program(*words) as process:
        _, said = process.communicate(timeout=30)
        assert process.returncode == 2
        assert words[0].split("=")[0] in said


@pytest.mark.skipif(VHCI.exists(), reason="needs a machine without vhci-hcd")
def test_a_handle_without_the_kernel_module_says_so_and_leaves_nothing_behind(tmp_path):
    camera = UvcCamera("S1", log=tmp_path / "log")
    with pytest.raises(UvcCameraError, match="modprobe vhci-hcd"):
        camera.open()
    camera.close()
    with pytest.raises(OrderError):
        print(camera.node)
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    assert not children.exists() or not children.read_text().split()
