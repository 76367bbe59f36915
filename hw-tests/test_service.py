"""The service as a user has it: the package installed, enabled, a camera plugged in, and all that goes wrong then.

All of it is looked at from outside: systemctl, journalctl, curl, and the record that the camera itself keeps.
"""

import os
import signal
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
from installed import (
    CONFIGURATION,
    DOOR,
    SERVICE,
    SOCKET,
    STATE,
    attempt,
    curl,
    cursor,
    get,
    install,
    journal,
    journal_entries,
    made_package,
    main_pid,
    purge,
    shell,
    show,
    until,
)
from uvc_camera import UvcCamera
from witness import Witness

pytestmark = pytest.mark.timeout(900)

PHOTOS = STATE / "photos"
REQUESTS = 10_000
TWIN_PORTS = (4, 5)
TOP = "top: {device: {serial: RIG0001}, size: 320x240}"
LAPSE = "lapse: {camera: top, every: 500ms}"


def configured(*cameras, plans=(), more=""):
    lines = ["cameras:", *(f"  {camera}" for camera in cameras)] if cameras else []
    lines += ["plans:", *(f"  {plan}" for plan in plans)] if plans else []
    CONFIGURATION.write_text("\n".join([more, *lines, ""]))


@pytest.fixture(scope="module")
def installed(pytestconfig):
    if not pytestconfig.getoption("--rig") or not Path("/tree/wheels").is_dir():
        pytest.skip("no virtual rig: to run this, `make rig`")
    install(made_package())
    try:
        yield
    finally:
        (Path(os.environ.get("RIG_RESULTS", "/tmp")) / "service-journal.txt").write_text(journal())
        purge()


@pytest.fixture
def service(installed, uvc_camera):
    """Enabled and running, with one camera whose plan runs. It goes on from test to test where nothing ended it."""
    configured(TOP, plans=[LAPSE])
    if show("ActiveState") != "active":
        shell("systemctl", "enable", "--now", SERVICE)
    else:
        shell("systemctl", "reload", SERVICE)
        if plan()["state"] not in ("waiting", "running"):
            shell("systemctl", "restart", SERVICE)


def pictures():
    return len(list(PHOTOS.rglob("*.jpg")))


def more_pictures(count=2):
    wanted = pictures() + count
    until(lambda: pictures() >= wanted, f"{count} more pictures")


def state(camera="top"):
    return get(f"/v1/cameras/{camera}")["state"]


def plan(name="lapse"):
    return get(f"/v1/plans/{name}")


def group_pid():
    [group] = get("/v1/groups")["groups"]
    return group["pid"]


def is_streaming(camera):
    """By the camera's whole record: the stream may have been on before the test began."""
    kinds = [entry["kind"] for entry in camera.log_entries("start", "stop")]
    return bool(kinds) and kinds[-1] == "start"


# ---- a user's first minute


def test_enabled_it_serves_and_says_so_to_systemd(service):
    assert (show("Type"), show("ActiveState"), show("UnitFileState")) == ("notify-reload", "active", "enabled")
    assert (show("UnitFileState", DOOR), show("ActiveState", DOOR)) == ("enabled", "active")
    assert show("StatusText")
    assert get("/v1/health")["pid"] == main_pid()
    assert get("/v1/openapi.json")["openapi"].startswith("3.")
    about = SOCKET.stat()
    assert (SOCKET.owner(), SOCKET.group(), oct(about.st_mode & 0o777)) == ("camera-agent", "camera-agent", "0o660")
    status = Path(f"/proc/{main_pid()}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert (int(fields["CapBnd"], 16), fields["NoNewPrivs"].strip(), fields["Seccomp"].strip()) == (0, "1", "2")
    assert "Traceback" not in journal()


def test_its_plan_runs_and_the_journal_names_camera_and_plan(service, uvc_camera):
    since = cursor()
    more_pictures()
    assert plan()["state"] == "running"
    shell("systemctl", "reload", SERVICE)
    fields = [set(entry) for entry in journal_entries("--boot")]
    assert any("CAMERA" in entry for entry in fields), journal(since)
    assert any("MESSAGE_ID" in entry for entry in fields)


def test_who_is_not_in_the_group_does_not_come_in_and_a_member_may_look(service):
    stranger = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    done = attempt(*stranger, "curl", "--silent", "--show-error", "--unix-socket", SOCKET, "http://agent/v1/health")
    assert done.returncode != 0
    assert "denied" in done.stderr or "connect" in done.stderr
    member = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--groups=camera-agent")
    assert curl("/v1/health", under=member).status == 200
    assert curl("/v1/config/reload", method="POST", under=member).status == 403


def test_one_request_takes_one_picture(service, uvc_camera):
    answer = curl("/v1/cameras/top/captures", method="POST", body={})
    assert answer.status == 201, answer
    assert answer.body["exposed_ns"] >= answer.body["asked_ns"]
    assert Path(answer.body["path"]).stat().st_size > 0


# ---- cameras that come and go


def test_a_camera_that_is_plugged_in_starts_the_agent(service, uvc_camera):
    uvc_camera.unplug()
    shell("systemctl", "stop", DOOR, SERVICE)
    before = pictures()
    uvc_camera.plug()
    until(lambda: show("ActiveState") == "active", "start by udev")
    until(lambda: pictures() > before, "picture after it")


def test_pain_10_unplugged_in_mid_capture_its_plan_waits_and_goes_on(service, uvc_camera):
    more_pictures()
    agent, before = main_pid(), plan()
    uvc_camera.unplug()
    until(lambda: state() in ("gone", "absent"), "camera gone")
    assert plan()["state"] in ("waiting", "running"), "it is kept"
    uvc_camera.plug()
    until(lambda: state() == "armed", "camera armed")
    more_pictures()
    after = plan()
    assert (main_pid(), after["state"]) == (agent, "running")
    assert after["account"]["fired"] > before["account"]["fired"]


@contextmanager
def twins(serials, ports):
    with ExitStack() as stack:
        yield [
            stack.enter_context(UvcCamera(serial=serial, port=port, product="Twin", formats=["yuyv"]))
            for serial, port in zip(serials, ports, strict=True)
        ]


def test_pain_11_two_alike_that_are_swapped_keep_their_names(service):
    configured(
        *(f"{name}: {{device: {{serial: {name.upper()}}}, size: 320x240}}" for name in ("left", "right")),
        plans=[f"{name}-lapse: {{camera: {name}, every: 1s}}" for name in ("left", "right")],
    )
    shell("systemctl", "reload", SERVICE)
    for ports in (TWIN_PORTS, tuple(reversed(TWIN_PORTS))):
        with twins(("LEFT", "RIGHT"), ports) as plugged:
            for name, camera in zip(("left", "right"), plugged, strict=True):
                until(lambda name=name: state(name) == "armed", f"{name} armed")
                assert get(f"/v1/cameras/{name}")["device"] == str(camera.node)
                until(lambda camera=camera: bool(camera.log_entries("frame")), "a frame of it")
        for name in ("left", "right"):
            until(lambda name=name: state(name) in ("gone", "absent"), f"{name} gone")


# ---- reload


def test_a_reload_keeps_what_did_not_change(service, uvc_camera):
    more_pictures()
    witness, agent, group = Witness(uvc_camera), main_pid(), group_pid()
    configured(TOP, plans=[LAPSE, "slow: {camera: top, every: 2s}"])
    shell("systemctl", "reload", SERVICE)
    assert plan("slow")["state"] in ("waiting", "running")
    assert (main_pid(), group_pid()) == (agent, group)
    more_pictures()
    assert witness.kinds("start", "stop") == [], "the stream was left alone"


def test_a_bad_file_changes_nothing_and_says_where_it_is_bad(service, uvc_camera):
    more_pictures()
    witness, agent, group, since = Witness(uvc_camera), main_pid(), group_pid(), cursor()
    CONFIGURATION.write_text("cameras:\n  top: {device: {serial: RIG0001}, siez: 320x240}\nplans: {}\n")
    answer = curl("/v1/config/reload", method="POST")
    assert 400 <= answer.status < 500, answer
    assert f"{CONFIGURATION}:2" in answer.body["message"]
    assert "siez" in answer.body["message"]
    attempt("systemctl", "reload", SERVICE)
    until(lambda: f"{CONFIGURATION}:2" in journal(since), "word of it in the journal")
    more_pictures()
    assert (main_pid(), group_pid(), plan()["state"], show("ActiveState")) == (agent, group, "running", "active")
    assert witness.kinds("start", "stop") == []


# ---- ends


def test_g3_when_stop_returns_the_stream_is_off(service, uvc_camera):
    more_pictures()
    until(lambda: is_streaming(uvc_camera), "stream")
    shell("systemctl", "stop", SERVICE)
    assert not is_streaming(uvc_camera)
    assert (show("Result"), show("ExecMainStatus")) == ("success", "0")
    assert show("ActiveState", DOOR) == "active"
    assert get("/v1/health")["healthy"] in (True, False), "a request starts it again"


def test_g3_a_deleted_stream_is_off_when_it_is_answered(service, uvc_camera):
    more_pictures()
    until(lambda: is_streaming(uvc_camera), "stream")
    answer = curl("/v1/cameras/top/stream", method="DELETE")
    assert answer.status == 200, answer
    assert not is_streaming(uvc_camera)
    assert answer.body["asked_ns"] <= answer.body["entered_ns"] <= answer.body["returned_ns"]


def test_killed_it_is_started_again_and_a_request_in_between_is_answered(service, uvc_camera):
    more_pictures()
    witness, agent, group = Witness(uvc_camera), main_pid(), group_pid()
    os.kill(agent, signal.SIGKILL)
    assert get("/v1/health")["pid"] != agent, "the socket stayed open"
    assert not Path(f"/proc/{group}").exists()
    more_pictures()
    assert witness.kinds("start", "stop")[:2] == ["stop", "start"]
    assert int(show("NRestarts")) >= 1


def test_a_capture_process_that_is_killed_is_replaced(service, uvc_camera):
    more_pictures()
    agent, group = main_pid(), group_pid()
    os.kill(group, signal.SIGKILL)
    until(lambda: group_pid() not in (None, group), "a successor")
    more_pictures()
    assert (main_pid(), plan()["state"]) == (agent, "running")


def test_stopped_without_progress_it_is_ended_by_the_watchdog(service, uvc_camera):
    more_pictures()
    agent, since = main_pid(), cursor()
    os.kill(agent, signal.SIGSTOP)
    until(lambda: main_pid() not in (0, agent), "an agent started anew")
    assert "watchdog" in journal(since).lower()
    more_pictures()


# ---- what others do to it


def test_a_full_disk_is_told_and_got_over(service, uvc_camera):
    shell("systemctl", "stop", DOOR, SERVICE)
    PHOTOS.mkdir(exist_ok=True)
    shell("mount", "-t", "tmpfs", "-o", "size=64k,mode=0777", "tmpfs", PHOTOS)
    try:
        shell("systemctl", "start", DOOR, SERVICE)
        agent = main_pid()
        until(lambda: plan()["account"]["failed"] > 0, "pictures that could not be stored")
        assert (main_pid(), state()) == (agent, "armed"), "the camera goes on"
        assert not [path for path in PHOTOS.rglob("*.jpg") if path.stat().st_size == 0]
        shell("mount", "-o", "remount,size=64m", PHOTOS)
        more_pictures()
        assert main_pid() == agent
        shell("systemctl", "stop", DOOR, SERVICE)
    finally:
        shell("umount", "--lazy", PHOTOS)


def test_a_client_that_never_reads_holds_nobody(service, uvc_camera):
    more_pictures()
    with ExitStack() as stack:
        for _ in range(5):
            silent = stack.enter_context(socket.socket(socket.AF_UNIX))
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            silent.connect(str(SOCKET))
            silent.sendall(
                b"GET /v1/events HTTP/1.1\r\nHost: agent\r\n\r\n"
                + b"GET /v1/stats HTTP/1.1\r\nHost: agent\r\n\r\n" * 50
            )
        agent = main_pid()
        more_pictures()
        assert curl("/v1/cameras/top/stream", method="DELETE").status == 200
        assert main_pid() == agent


class OverSocket(HTTPConnection):
    """HTTP over the control socket."""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(str(SOCKET))


def descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_ten_thousand_requests_leave_nothing_behind(service, uvc_camera):
    more_pictures()
    get("/v1/health")
    agent = main_pid()
    before, answered = descriptors(agent), {}
    for start in range(0, REQUESTS, 50):
        connection = OverSocket("agent")
        for number in range(start, start + 50):
            path = ("/v1/health", "/v1/cameras", "/v1/plans", "/v1/nothing")[number % 4]
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            answered[response.status] = answered.get(response.status, 0) + 1
        connection.close()
    assert set(answered) - {429} == {200, 404}, answered
    until(lambda: descriptors(agent) <= before + 2, "descriptors closed")
    more_pictures()
    assert main_pid() == agent


def test_the_service_and_what_it_started_are_gone_when_it_is_taken_away(service, uvc_camera):
    more_pictures()
    agent = main_pid()
    shell("dpkg", "--remove", "camera-agent")
    try:
        assert not Path(f"/proc/{agent}").exists()
        assert not is_streaming(uvc_camera)
        assert not SOCKET.exists()
        left = subprocess.run(["pgrep", "--uid", "camera-agent"], capture_output=True, text=True, check=False)
        assert left.stdout == ""
    finally:
        install(made_package())
