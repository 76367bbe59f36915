"""`config check`, `show`, `diff` and `schema`."""

import http.server
import json
import socketserver
import threading
from contextlib import contextmanager

import pytest
import yaml

GOOD = """\
cameras:
  top: {device: {serial: A1}, rate: 30}
plans:
  lapse: {camera: top, every: 10s}
quotas: {agent: 5/s}
"""
MORE = "cameras:\n  left: &left {device: /dev/video2}\n  right: {<<: *left, device: /dev/video4}\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    folder = tmp_path / "config.d"
    folder.mkdir()
    (folder / "more.yaml").write_text(MORE)
    return path


def test_check(cli, file):
    result = cli("config", "check", file)
    assert (result.code, result.err) == (0, "")
    for words in (
        "nothing is wrong",
        "serial A1",
        "path /dev/video2",
        "every 10s",
        "agent 5/s",
        "jpeg files in photos",
    ):
        assert words in result.out


def test_check_of_nothing(cli, tmp_path):
    empty = tmp_path / "empty.yaml"
    empty.touch()
    result = cli("config", "check", empty)
    assert (result.code, result.err) == (0, "")
    assert "there are no cameras: the service runs and waits" in result.out


def test_check_for_programs(cli, file):
    document = cli("config", "check", file, "--json").document
    assert document["problems"] == []
    assert document["groups"] == {"top": ["top"], "left": ["left"], "right": ["right"]}
    assert document["plans"]["lapse"]["every_ns"] == 10**10


def test_all_that_is_wrong_with_all_files(cli, file):
    file.write_text(GOOD.replace("rate", "rte"))
    (file.parent / "config.d" / "more.yaml").write_text("cameras:\n  top: {device: /dev/video0}\n")
    result = cli("config", "check", file)
    assert (result.code, result.out) == (2, "")
    assert "2 files: 2 problems" in result.err
    assert "config.yaml:2: cameras.top.rte: there is no such key; did you mean rate?" in result.err
    assert "more.yaml:2: cameras.top: written twice: here and on line 2 of " in result.err
    problems = cli("config", "check", file, "--json").error["problems"]
    assert [(problem["line"], problem["key"]) for problem in problems] == [(2, "cameras.top"), (2, "cameras.top.rte")]


def test_a_file_that_is_not_there(cli, tmp_path):
    result = cli("config", "check", tmp_path / "no.yaml")
    assert result.code == 2
    assert "cannot be read: No such file or directory" in result.err


def test_what_show_prints_can_be_used_as_a_file(cli, file, tmp_path):
    result = cli("config", "show", file)
    assert result.code == 0
    other = tmp_path / "other.yaml"
    other.write_text(result.out)
    assert cli("config", "diff", other, "--against", file).out == "nothing would change\n"
    assert yaml.safe_load(result.out) == cli("config", "show", file, "--json").document["document"]


def test_a_difference(cli, file, tmp_path):
    new = tmp_path / "new.yaml"
    new.write_text(GOOD.replace("rate: 30", "rate: 15").replace("10s", "20s"))
    result = cli("config", "diff", new, "--against", file)
    assert result.out == (
        "stops:\n  group left\n  group right\n  group top, to start it anew: cameras.top.rate\n"
        "starts:\n  group top with camera top\n"
        "changes in place:\n  plan lapse: every 20s\n"
    )
    document = cli("config", "diff", new, "--against", file, "--json").document
    assert document["changes"] == ["plan lapse: every 20s"]
    assert document["same"] == []


def test_a_file_without_another_one(cli, file):
    result = cli("config", "diff", file)
    assert result.code == 2
    assert "--against" in result.err


def test_the_schema(cli):
    document = cli("config", "schema").document
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "cameras" in document["properties"]


# -- the running agent ----------------------------------------------------------------------------------------------


@contextmanager
def answering(path, status, body):
    """Something that answers every request at a socket with this."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/v1/config/diff" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

        def address_string(self):
            return ""

    with socketserver.UnixStreamServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def asked(cli, tmp_path, status, document):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    path = tmp_path / "control.sock"
    with answering(path, status, body):
        return cli("config", "diff", "--socket", path)


def test_the_difference_that_the_agent_tells(cli, tmp_path):
    told = {"starts": ["group top"], "stops": [], "changes": [], "same": ["group left"]}
    result = asked(cli, tmp_path, 200, told)
    assert (result.code, result.out) == (0, "starts:\n  group top\ngoes on as it is:\n  group left\n")


def test_an_error_of_the_agent(cli, tmp_path):
    told = {"code": "bad_config", "message": "config.yaml:2: no", "hint": "look", "trace_id": "", "exit_code": 2}
    result = asked(cli, tmp_path, 422, told)
    assert (result.code, result.err) == (2, "camera-agent: config.yaml:2: no\n  look\n")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b"<html>"])
def test_something_else_that_answers(cli, tmp_path, body):
    result = asked(cli, tmp_path, 200, body)
    assert result.code == 3
    assert "is no agent" in result.err
    assert "--against" in result.err


def test_nobody_answers(cli, tmp_path):
    result = cli("config", "diff", "--socket", tmp_path / "control.sock")
    assert result.code == 3
    assert "No such file or directory" in result.err
    assert "--against" in result.err
