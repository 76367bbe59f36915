"""The listening socket: its mode, what may be in its place, and that it is taken away again."""

import os
import socket
import stat

import pytest

from agent.control.listening import SocketTaken, inherited, listen
from agent.errors import InputError


def test_it_has_its_mode_and_is_taken_away(tmp_path):
    path = tmp_path / "s"
    with listen(path, mode=0o640, gid=os.getgid()) as listening:
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert path.stat().st_gid == os.getgid()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        listening.release()
        assert not path.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "folder", "link", "fifo"])
def test_what_is_no_socket_is_left_alone(tmp_path, kind):
    path = tmp_path / "s"
    {
        "file": lambda: path.write_text("precious"),
        "folder": path.mkdir,
        "link": lambda: path.symlink_to("/dev/null"),
        "fifo": lambda: os.mkfifo(path),
    }[kind]()
    with pytest.raises(SocketTaken, match="exists and is no socket") as caught:
        listen(path)
    assert caught.value.details == {"socket": str(path)}
    assert os.path.lexists(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["s"]


def test_a_socket_that_somebody_answers_at_is_left_alone(tmp_path):
    path = tmp_path / "s"
    with listen(path):
        with pytest.raises(SocketTaken, match="another program answers"):
            listen(path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_socket_left_behind_is_replaced(tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with listen(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_the_path_of_a_successor_is_not_taken_away(tmp_path):
    path = tmp_path / "s"
    first = listen(path)
    path.unlink()
    with listen(path):
        first.release()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    assert not path.exists()


def test_no_folder_and_too_long_a_path_are_told(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        listen(tmp_path / "none" / "s")
    with pytest.raises(InputError, match="longer than"):
        listen(tmp_path / ("s" * 120))


def test_an_inherited_socket_stays_at_its_path(tmp_path):
    path = tmp_path / "s"
    with listen(path) as first:
        with inherited(os.dup(first.socket.fileno())) as second:
            assert not second.socket.getblocking()
        assert path.exists()


def test_an_inherited_descriptor_must_listen():
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(InputError, match=r"not a unix socket .* that listens"):
        inherited(ours.fileno())


def test_sockets_for_packets_are_made_and_taken_over_alike(tmp_path):
    path = tmp_path / "s"
    with listen(path, kind=socket.SOCK_SEQPACKET), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(str(path))
        for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
            with pytest.raises(SocketTaken, match="another program answers"):
                listen(path, kind=kind)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as made:
        made.bind(str(path))
        made.listen()
        with inherited(os.dup(made.fileno())) as listening:
            assert listening.socket.type == socket.SOCK_SEQPACKET
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, pytest.raises(InputError):
        inherited(other.fileno())
