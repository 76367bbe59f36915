"""The client against a real server, which runs in a thread of its own."""

import socket

import pytest
from control.desk import as_user
from control.thread_desk import serving_in_a_thread

from agent.control.access import Access
from agent.control.client import SOCKET_VARIABLE, Client, Refused
from agent.control.errors import AgentUnreachable, NotAllowed


@pytest.fixture
def client(thread_desk):
    with Client(thread_desk.path, timeout_s=5) as made:
        yield made


def test_verbs_reach_the_agent_over_one_connection(client, thread_desk):
    assert client.health()["healthy"] is True
    assert [camera["name"] for camera in client.cameras()] == ["side", "top"]
    assert client.start("top")["was_on"] is False
    assert client.capture("top", exposure="8ms")["camera"] == "top"
    assert client.stop("top")["was_on"] is True
    assert client.add_plans({"a": {"every": "1s"}})[0]["name"] == "a"
    assert client.cancel("plan", "a")["plans"] == 1
    assert client.plans()[0]["name"] == "a"
    assert thread_desk.server.connections == 1


def test_errors_of_the_agent_are_raised_as_they_are(client):
    with pytest.raises(Refused, match="there is no camera a/b") as caught:
        client.stop("a/b")
    assert (caught.value.code, caught.value.exit_code) == ("not_found", 3)
    assert caught.value.details["known"] == ["side", "top"]
    assert caught.value.details["trace_id"]
    assert "side, top" in caught.value.hint
    assert client.health()["healthy"] is True


def test_events_are_read_as_they_come(client, thread_desk):
    for number in range(3):
        thread_desk.call(thread_desk.agent.broadcast.publish, "a", number, {"number": number})
    events = client.events(after=1)
    found = [next(events) for _ in range(2)]
    assert [(event.id, event.kind, event.data["number"]) for event in found] == [(2, "a", 1), (3, "a", 2)]
    events.close()
    assert client.health()["healthy"] is True


def test_an_idle_connection_that_was_closed_is_opened_again(client, thread_desk):
    client.health()
    thread_desk.call(lambda: [one.close() for one in list(thread_desk.server._connections.values())])
    assert client.health()["healthy"] is True


def test_what_is_held_ends_with_the_client(thread_desk):
    with Client(thread_desk.path) as client:
        client.start("top", hold=True)
    thread_desk.wait(lambda: thread_desk.agent.asked[-1][:3] == ("cancel", "camera", "top"))


def test_nobody_there_is_told_with_what_to_do(tmp_path, monkeypatch):
    with Client(tmp_path / "none") as client, pytest.raises(AgentUnreachable, match="No such file") as caught:
        client.health()
    assert "systemctl start camera-agent" in caught.value.hint
    assert caught.value.exit_code == 3
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    monkeypatch.setenv(SOCKET_VARIABLE, str(tmp_path / "dead"))
    with Client() as client, pytest.raises(AgentUnreachable, match="refused"):
        client.health()


def test_one_that_never_answers_is_given_up(tmp_path):
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "mute"))
        mute.listen()
        with (
            Client(tmp_path / "mute", timeout_s=0.05) as client,
            pytest.raises(AgentUnreachable, match=r"did not answer within 0\.05 s"),
        ):
            client.health()


def test_a_refusal_by_rights_keeps_its_exit_code(tmp_path):
    wishes = {"access": Access(look=frozenset({1}), control=frozenset(), owners=frozenset()), "peer_of": as_user(5, 6)}
    with serving_in_a_thread(tmp_path, **wishes) as desk, Client(desk.path) as client:
        with pytest.raises(Refused) as caught:
            client.health()
        assert (caught.value.code, caught.value.exit_code) == (NotAllowed.code, NotAllowed.exit_code)
