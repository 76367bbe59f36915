"""Who may do what, by what the kernel says of whoever connected."""

import os
import socket

import pytest
from control.desk import as_user

from agent.control.access import Access, Level, group_ids
from agent.control.peer import Peer, hung_up, read_peer
from agent.control.routes import ROUTES
from agent.errors import InputError

ACCESS = Access(look=frozenset({10}), control=frozenset({20}), administer=frozenset({30}), owners=frozenset({0}))


@pytest.mark.parametrize(
    ("uid", "gids", "level"),
    [
        (0, (), Level.ADMINISTER),
        (1, (), None),
        (1, (10,), Level.LOOK),
        (1, (20,), Level.CONTROL),
        (1, (10, 30), Level.ADMINISTER),
        (1, (40,), None),
    ],
)
def test_the_highest_level_of_its_groups_counts(uid, gids, level):
    assert ACCESS.level_of(Peer(1, uid, frozenset(gids), "x")) is level


def test_usually_everybody_who_may_connect_may_control_and_only_owners_administer():
    peer = Peer(1, 12345, frozenset({1}), "x")
    assert Access().level_of(peer) is Level.CONTROL
    assert Access().level_of(Peer(1, os.geteuid(), frozenset(), "x")) is Level.ADMINISTER


@pytest.mark.parametrize(("gid", "allowed"), [(10, Level.LOOK), (20, Level.CONTROL), (30, Level.ADMINISTER), (40, 0)])
def test_every_route_is_refused_below_its_level(with_desk, gid, allowed):
    bodies = {
        "/v1/cameras/{name}/exposure": {"exposure": "8ms"},
        "/v1/cameras/{name}/controls": {"gain": 1},
        "/v1/plans": {"plans": {"p": {}}},
        "/v1/plans/{name}": {"priority": 1},
        "/v1/cancel": {"kind": "all"},
        "/v1/quotas/{name}": {"limit": "1/s"},
    }

    async def scenario(desk):
        for route in ROUTES:
            if route.path == "/v1/events" and route.level <= allowed:
                continue
            body = bodies.get(route.path) if route.method in ("PUT", "POST", "PATCH") else None
            reply = await desk.ask(route.method, route.path.replace("{name}", "top"), body)
            assert (reply.status == 403) == (route.level > allowed), (route.path, reply.body)
            if reply.status == 403:
                assert reply.json["code"] == "not_allowed"
                assert reply.json["details"]["needed"] == route.level.word
        return desk.agent.asked

    asked = with_desk(scenario, access=ACCESS, peer_of=as_user(1, gid))
    assert bool(asked) is bool(allowed)


def test_rights_that_change_are_in_force_for_connections_that_are_there(with_desk):
    async def scenario(desk):
        client = await desk.connect()
        assert (await client.ask("GET", "/v1/health")).status == 403
        desk.server.set_access(Access(owners=frozenset()))
        assert (await client.ask("GET", "/v1/health")).status == 200
        await client.close()

    with_desk(scenario, access=ACCESS, peer_of=as_user(1, 40))


def test_whoever_cannot_be_told_is_not_served(with_desk):
    def nobody(_connection):
        raise OSError(22, "no credentials")

    async def scenario(desk):
        client = await desk.connect()
        assert await client.rest() == b""
        await client.close()
        assert desk.server.connections == 0

    with_desk(scenario, peer_of=nobody)


def test_the_kernel_tells_who_we_are():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = read_peer(ours)
    assert (peer.pid, peer.uid) == (os.getpid(), os.getuid())
    assert peer.gids >= {os.getgid(), *os.getgroups()}
    assert f"(pid {os.getpid()})" in str(peer)


def test_a_hang_up_is_told_from_a_half_close():
    ours, theirs = socket.socketpair()
    with ours:
        assert not hung_up(ours)
        theirs.shutdown(socket.SHUT_WR)
        assert not hung_up(ours)
        theirs.close()
        assert hung_up(ours)
    assert hung_up(ours)


def test_groups_that_do_not_exist_are_all_told():
    with pytest.raises(InputError, match="no-such, nor-this") as caught:
        group_ids(["root", "no-such", "nor-this"])
    assert caught.value.details["groups"] == ["no-such", "nor-this"]
    assert group_ids(["root"]) == {0}
