"""What is asked reaches the agent as it was meant, and what is wrong is answered in one shape."""

import pytest

from agent.control.request import parse_json, parse_request
from agent.errors import AgentError, DeviceBusy, StorageError

SHAPE = {"code", "message", "hint", "trace_id", "exit_code", "details"}


@pytest.mark.parametrize(
    ("method", "path", "body", "asked"),
    [
        ("GET", "/v1/cameras", None, ("cameras",)),
        ("GET", "/v1/cameras/top", None, ("camera", "top")),
        ("PUT", "/v1/cameras/top/stream", None, ("start", "top", "BY")),
        ("PUT", "/v1/cameras/top/stream", {"hold": False}, ("start", "top", "BY")),
        ("DELETE", "/v1/cameras/top/stream", None, ("stop", "top", "BY")),
        ("PATCH", "/v1/cameras/top/controls", {"gain": 3.0}, ("set_controls", "top", {"gain": 3}, "BY")),
        ("PUT", "/v1/cameras/top/exposure", {"exposure": "8ms"}, ("expose", "top", 8_000_000, None, "BY")),
        (
            "PUT",
            "/v1/cameras/top/exposure",
            {"exposure": "250us", "gain": "6dB"},
            ("expose", "top", 250_000, "6dB", "BY"),
        ),
        ("POST", "/v1/cameras/top/captures", {}, ("capture", "top", "BY", {})),
        (
            "POST",
            "/v1/cameras/top/captures",
            {"timeout": "1.5s", "gain": "16"},
            ("capture", "top", "BY", {"timeout_ns": 1_500_000_000, "gain": "16"}),
        ),
        ("POST", "/v1/plans", {"plans": {"a": {"every": "1s"}}}, ("add_plans", {"a": {"every": "1s"}}, "BY", "CLIENT")),
        ("POST", "/v1/plans", {"plans": {"a": {}}, "client": "lab"}, ("add_plans", {"a": {}}, "BY", "lab")),
        ("POST", "/v1/cancel", {"kind": "all"}, ("cancel", "all", "", "BY")),
        ("POST", "/v1/cancel", {"kind": "plan", "name": "a"}, ("cancel", "plan", "a", "BY")),
        ("DELETE", "/v1/groups/top/stop", None, ("release_stop", "top", "BY")),
        ("PUT", "/v1/quotas/camera%2Ftop", {"limit": "5/s burst 2"}, ("set_quota", "camera/top", "5/s burst 2", "BY")),
        ("POST", "/v1/config/reload", None, ("reload", "BY")),
        ("GET", "http://localhost/v1/health", None, ("health",)),
    ],
)
def test_a_request_reaches_the_agent(with_desk, method, path, body, asked):
    async def scenario(desk):
        reply = await desk.ask(method, path, body)
        assert reply.status in (200, 201), reply.body
        assert reply.headers["content-type"] == "application/json"
        assert desk.agent.traces == [reply.headers["x-trace-id"]]
        return desk.agent.asked

    (found,) = with_desk(scenario)
    by = next((word for word in found if str(word).startswith("user ")), None)
    client = next((word for word in found if str(word).startswith("user-")), None)
    assert found == tuple({"BY": by, "CLIENT": client}.get(str(word), word) for word in asked)


def test_every_part_of_a_plan_can_be_changed(with_desk):
    async def scenario(desk):
        await desk.ask("POST", "/v1/plans", {"plans": {"a": {}}})
        change = {"every": "2s", "priority": -3, "quota": "10/min"}
        assert (await desk.ask("PATCH", "/v1/plans/a", change)).json["priority"] == -3
        return desk.agent.asked[-1]

    method, name, _by, every_ns, priority, quota = with_desk(scenario)
    assert (method, name, every_ns, priority, quota) == ("change_plan", "a", 2_000_000_000, -3, "10/min")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "told"),
    [
        ("GET", "/", None, 404, "not_found", ""),
        ("GET", "/v1/nothing", None, 404, "not_found", "openapi"),
        ("GET", "/v1/cameras/", None, 404, "not_found", ""),
        ("GET", "/v1/cameras//controls", None, 404, "not_found", ""),
        ("GET", "/v1/cameras/none", None, 404, "not_found", "side, top"),
        ("GET", "/v1/cameras/..%2F..%2Fetc%2Fpasswd", None, 404, "not_found", "../../etc/passwd"),
        ("GET", "/v1/cameras/../config", None, 404, "not_found", ""),
        ("GET", "/v1/cameras/%ff", None, 400, "bad_request", "UTF-8"),
        ("GET", "/v1/cameras/%zz", None, 400, "bad_request", "%25"),
        ("GET", "/v1/cameras/a%00b", None, 400, "bad_request", "control characters"),
        ("GET", "/v1/cameras?x=1", None, 422, "bad_fields", "x"),
        ("GET", "/v1/cameras?x", None, 400, "bad_request", "name=value"),
        ("GET", "/v1/events?after=-1", None, 422, "bad_fields", "after"),
        ("GET", "/v1/events?after=1&after=2", None, 400, "bad_request", "twice"),
        ("OPTIONS", "*", None, 400, "bad_request", "path"),
        ("POST", "/v1/health", None, 405, "method_not_allowed", "GET"),
        ("BREW", "/v1/plans", None, 405, "method_not_allowed", "GET, POST"),
        ("PUT", "/v1/cameras/top/exposure", {}, 422, "bad_fields", "exposure: is missing"),
        ("PUT", "/v1/cameras/top/exposure", {"exposure": 8}, 422, "bad_fields", "a whole number, not a string"),
        ("PUT", "/v1/cameras/top/exposure", {"exposure": "8"}, 422, "bad_fields", "such as 8ms"),
        ("PUT", "/v1/cameras/top/exposure", {"exposure": "8ms\n"}, 422, "bad_fields", "such as 8ms"),
        ("PUT", "/v1/cameras/top/exposure", {"exposure": "8ms", "gian": "1"}, 422, "bad_fields", "mean gain"),
        ("PUT", "/v1/cameras/top/exposure", ["8ms"], 422, "bad_fields", "a list, not an object"),
        ("PUT", "/v1/cameras/top/exposure", b"{", 400, "bad_request", "not JSON"),
        ("PUT", "/v1/cameras/top/exposure", b"\xff", 400, "bad_request", "not JSON"),
        ("PUT", "/v1/cameras/top/exposure", b"[" * 100_000, 400, "bad_request", "nested"),
        ("PATCH", "/v1/cameras/top/controls", b'{"gain": 1, "gain": 2}', 400, "bad_request", "twice"),
        ("PATCH", "/v1/cameras/top/controls", b'{"gain": NaN}', 400, "bad_request", "NaN"),
        ("PATCH", "/v1/cameras/top/controls", b'{"gain": 1e999}', 400, "bad_request", "too large"),
        ("PATCH", "/v1/cameras/top/controls", b'{"\\ud800": 1}', 400, "bad_request", "not JSON"),
        ("PATCH", "/v1/cameras/top/controls", {}, 422, "bad_fields", "0 keys"),
        ("PATCH", "/v1/cameras/top/controls", {"gain": 1.5}, 422, "bad_fields", "a number"),
        ("PATCH", "/v1/cameras/top/controls", {"gain": [1]}, 422, "bad_fields", "a list"),
        ("PATCH", "/v1/cameras/top/controls", {"nix": 1}, 422, "control_unknown", "nix"),
        ("POST", "/v1/plans", {"plans": []}, 422, "bad_fields", "a list, not an object"),
        ("POST", "/v1/plans", {"plans": {"a": 1}}, 422, "bad_fields", "plans.a"),
        ("POST", "/v1/plans", {"plans": {"a": {}}, "client": "../x"}, 422, "bad_fields", "client"),
        ("POST", "/v1/cancel", {"kind": "everything"}, 422, "bad_fields", "plan, camera, client, all"),
        ("POST", "/v1/cancel", {"kind": "camera", "name": "none"}, 404, "not_found", "none"),
        ("DELETE", "/v1/plans/none", None, 404, "not_found", "none"),
        ("DELETE", "/v1/plans/none", {"now": True}, 422, "bad_fields", "there is no such key"),
    ],
)
def test_bad_requests_are_told_in_one_shape(with_desk, method, path, body, status, code, told):
    async def scenario(desk):
        reply = await desk.ask(method, path, body)
        assert (reply.status, reply.json["code"]) == (status, code)
        assert set(reply.json) == SHAPE
        assert reply.json["trace_id"] == reply.headers["x-trace-id"]
        assert told in str(reply.json)
        assert (await desk.ask("GET", "/v1/health")).status == 200

    with_desk(scenario)


def test_all_that_is_wrong_with_the_fields_is_told_at_once(with_desk):
    async def scenario(desk):
        body = {"plans": {}, "hold": 1, "client": "", "extra": None}
        return (await desk.ask("POST", "/v1/plans", body)).json["details"]["problems"]

    assert [one["where"] for one in with_desk(scenario)] == ["plans", "hold", "client", "extra"]


def test_a_body_that_is_not_json_is_refused(with_desk):
    async def scenario(desk):
        return await desk.ask("POST", "/v1/cancel", b"kind=all", content_type="application/x-www-form-urlencoded")

    reply = with_desk(scenario)
    assert (reply.status, reply.json["code"]) == (415, "unsupported_media")
    assert "curl --json" in reply.json["hint"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StorageError("full", hint="free some"), 507),
        (DeviceBusy("held", hint="ask", device="/dev/video0", request="VIDIOC_S_FMT", holders=["a (1)"]), 409),
        (AgentError("else", hint="?", where={1, 2}), 503),
    ],
)
def test_errors_of_the_agent_have_their_status(with_desk, error, status):
    async def scenario(desk):
        desk.agent.fails["capture"] = error
        return await desk.ask("POST", "/v1/cameras/top/captures")

    reply = with_desk(scenario)
    assert (reply.status, reply.json["code"], reply.json["exit_code"]) == (status, error.code, error.exit_code)
    assert reply.json["details"].keys() == error.details.keys()


@pytest.mark.parametrize("method", ["health", "stop"])
def test_a_fault_of_the_agent_is_500_and_hurts_nobody_else(with_desk, caplog, method):
    async def scenario(desk):
        desk.agent.fails[method] = KeyError("a bug")
        broken = ("GET", "/v1/health") if method == "health" else ("DELETE", "/v1/cameras/top/stream")
        reply = await desk.ask(*broken)
        assert (reply.status, reply.json["code"]) == (500, "internal")
        assert "a bug" not in str(reply.json)
        assert (await desk.ask("GET", "/v1/cameras")).status == 200

    with_desk(scenario)
    assert "a bug" in caplog.text


def test_head_is_get_without_a_body(with_desk):
    async def scenario(desk):
        client = await desk.connect()
        whole = await client.ask("GET", "/v1/cameras")
        client.send("HEAD", "/v1/cameras")
        head = await client.reply(is_head=True)
        assert head.headers["content-length"] == str(len(whole.body))
        assert (await client.ask("GET", "/v1/cameras")).json == whole.json
        client.send("HEAD", "/v1/events")
        assert (await client.reply(is_head=True)).headers["content-type"] == "text/event-stream"
        assert (await client.ask("GET", "/v1/cameras")).json == whole.json
        await client.close()

    with_desk(scenario)


def test_json_numbers_that_are_whole_are_integers():
    assert parse_json(b'{"a": 1.0, "b": 2e2, "c": 1.5}') == {"a": 1, "b": 200, "c": 1.5}
    assert isinstance(parse_json(b"[1.0]")[0], int)


def test_a_name_with_a_slash_is_one_segment():
    assert parse_request(b"GET", b"/v1/quotas/camera%2Ftop").segments == ("v1", "quotas", "camera/top")
