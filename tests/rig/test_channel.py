# SPDX-License-Identifier: GPL-3.0-or-later
"""The host end of the command channel against a guest that is a thread with a socket."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rig.channel import Channel
from rig.errors import GuestLost, TimeLimitExceeded

Answer = Callable[[dict[str, object]], list[dict[str, object]]]


class Guest:
    """Answers every message with what ``answer`` says; closes the line on an empty list."""

    def __init__(self, path: Path, answer: Answer) -> None:
        self.messages: list[dict[str, object]] = []
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rwb") as lines:
            for line in lines:
                message = json.loads(line)
                self.messages.append(message)
                answers = self._answer(message)
                if not answers:
                    return
                for answer in answers:
                    lines.write(json.dumps(answer).encode() + b"\n")
                lines.flush()

    def close(self) -> None:
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Callable[[Answer], tuple[Guest, Channel]]]:
    opened: list[Guest | Channel] = []

    def connect(answer: Answer) -> tuple[Guest, Channel]:
        guest = Guest(tmp_path / "channel", answer)
        channel = Channel(tmp_path / "channel", check=lambda: None)
        opened.extend((guest, channel))
        return guest, channel

    yield connect
    for end in reversed(opened):
        end.close()


def soon() -> float:
    return time.monotonic() + 5


def test_output_in_pieces_and_the_exit_status(connect: Callable[[Answer], tuple[Guest, Channel]]) -> None:
    def answer(message: dict[str, object]) -> list[dict[str, object]]:
        number = message["id"]
        stale = {"id": 1, "out": "of an earlier connection"}
        return [stale, {"id": number, "out": "a"}, {"id": number, "out": "b"}, {"id": number, "exit": 3}]

    guest, channel = connect(answer)
    pieces: list[str] = []
    assert channel.run("false", soon(), pieces.append) == 3
    assert pieces == ["a", "b"]
    assert guest.messages[0]["command"] == "false"


def test_a_guest_that_answers_is_ready(connect: Callable[[Answer], tuple[Guest, Channel]]) -> None:
    guest, channel = connect(lambda _message: [{"ready": True}])
    channel.wait_ready(soon())
    assert guest.messages == [{"hello": True}]


def test_a_guest_that_goes_away(connect: Callable[[Answer], tuple[Guest, Channel]]) -> None:
    _guest, channel = connect(lambda _message: [])
    with pytest.raises(GuestLost):
        channel.run("panic", soon(), lambda _text: None)


def test_a_command_past_its_time_is_cancelled(connect: Callable[[Answer], tuple[Guest, Channel]]) -> None:
    def answer(message: dict[str, object]) -> list[dict[str, object]]:
        if "cancel" in message:
            return [{"id": message["cancel"], "exit": -9}]
        return [{"id": message["id"], "out": "."}]

    guest, channel = connect(answer)
    with pytest.raises(TimeLimitExceeded):
        channel.run("sleep inf", time.monotonic(), lambda _text: None)
    assert "cancel" in guest.messages[-1]
