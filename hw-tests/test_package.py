"""The Debian package on a fresh Debian: installed, looked at, its sandbox lived in, and taken away without a trace."""

import grp
import json
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest
from installed import (
    CONFIGURATION,
    DOOR,
    RECORDING,
    SERVICE,
    SOCKET,
    STATE,
    attempt,
    install,
    journal,
    made_package,
    purge,
    shell,
    show,
)

pytestmark = pytest.mark.timeout(900)

PROGRAM = "/usr/lib/camera-agent/bin/camera-agent"
UNITS = Path("/usr/lib/systemd/system")
DROP_IN = Path(f"/run/systemd/system/{SERVICE}.d/test.conf")
LOOKED_AT = ("/etc", "/usr", "/opt", "/var", "/run", "/srv", "/home")
NOT_OURS = (
    *("/var/lib/dpkg/", "/var/log/", "/var/cache/", "/run/systemd/", "/run/log/", "/run/udev/", "/run/uvc-camera-"),
    *("/var/lib/systemd/", "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid"),
    *("/etc/.pwd.lock", "/run/lock/", "/run/credentials"),
)
"""Where dpkg, systemd and the tools for users keep their own accounts."""


@dataclass(frozen=True)
class Installation:
    """`before`: every file there was when it was not installed yet."""

    package: Path
    before: frozenset[str]


@pytest.fixture(scope="module")
def installed(pytestconfig):
    """Once for all; the last test takes it away."""
    if not pytestconfig.getoption("--rig") or not Path("/tree/wheels").is_dir():
        pytest.skip("no virtual rig: to run this, `make rig`")
    package = made_package()
    before = frozenset(files())
    install(package)
    try:
        yield Installation(package, before)
    finally:
        DROP_IN.unlink(missing_ok=True)
        purge()


def files():
    found = set()
    for top in LOOKED_AT:
        for folder, folders, names in os.walk(top):
            found |= {f"{folder}/{name}" for name in (*folders, *names)}
    return {path for path in found if not path.startswith(NOT_OURS)}


def owner(path):
    about = os.stat(path)
    return pwd.getpwuid(about.st_uid).pw_name, grp.getgrgid(about.st_gid).gr_name, oct(stat.S_IMODE(about.st_mode))


def test_what_is_installed_is_what_systemd_and_udev_understand(installed):
    shell("systemd-analyze", "verify", "--man=no", UNITS / SERVICE, UNITS / DOOR, UNITS / RECORDING)
    for unit in (SERVICE, RECORDING):
        said = shell("systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=20", UNITS / unit)
        print(said.splitlines()[-1])
    shell("udevadm", "verify", "/usr/lib/udev/rules.d/60-camera-agent.rules")
    assert "camera-agent" in shell("systemd-analyze", "cat-config", "sysusers.d")
    assert attempt("systemctl", "is-enabled", SERVICE).stdout.strip() == "disabled"
    assert "OK" in shell("dpkg", "--verify", "camera-agent") + "OK"


def test_user_groups_folders_and_nodes(installed, uvc_camera):
    user = pwd.getpwnam("camera-agent")
    assert (user.pw_shell, grp.getgrgid(user.pw_gid).gr_name) == ("/usr/sbin/nologin", "camera-agent")
    assert "camera-agent" in grp.getgrnam("video").gr_mem
    assert owner(STATE) == ("camera-agent", "camera-agent", "0o750")
    assert owner(SOCKET.parent) == ("camera-agent", "camera-agent", "0o755")
    shell("udevadm", "settle")
    assert owner(uvc_camera.node)[1:] == ("video", "0o660")
    assert owner("/dev/gpiochip0")[1:] == ("camera-agent", "0o660")
    assert any("RIG0001" in link.name for link in Path("/dev/camera-agent/by-id").iterdir())


def test_it_is_installed_again_over_itself_and_keeps_the_configuration(installed):
    CONFIGURATION.write_text(CONFIGURATION.read_text() + "# mine\n")
    install(installed.package)
    assert CONFIGURATION.read_text().endswith("# mine\n")
    shell("/var/lib/dpkg/info/camera-agent.postinst", "configure")
    shell("/var/lib/dpkg/info/camera-agent.postinst", "configure")


def in_the_sandbox(*words):
    """The verb in place of the service, with all of the unit's hardening; what it printed, and how it ended."""
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    DROP_IN.write_text(
        f"[Unit]\nWants=\n[Service]\nType=oneshot\nRestart=no\nWatchdogSec=0\nExecStart=\nExecStopPost=\n"
        f"ExecStart={PROGRAM} {' '.join(map(str, words))}\nStandardOutput=file:/run/sandbox-output\n"
    )
    shell("systemctl", "stop", DOOR, SERVICE)
    shell("systemctl", "daemon-reload")
    done = attempt("systemctl", "start", SERVICE)
    output = Path("/run/sandbox-output")
    text = output.read_text() if output.exists() else ""
    output.unlink(missing_ok=True)
    assert done.returncode == 0, journal()[-4000:] + text
    return text


def test_cameras_lines_and_real_time_work_under_the_hardening(installed, uvc_camera):
    listed = json.loads(in_the_sandbox("devices", "--json"))
    assert str(uvc_camera.node) in json.dumps(listed)
    in_the_sandbox("capture", "--device", uvc_camera.node, "--count", 3, "--exposure", "8ms", "--output", "hardened")
    assert len(list((STATE / "hardened").glob("*.jpg"))) == 3
    fired = in_the_sandbox("trigger", "fire", "rig-spare:spare0", "--count", 3, "--every", "20ms", "--json")
    assert json.loads(fired)["sent"] == 3
    plans = STATE / "plans.yaml"
    plans.write_text(
        "output: none\nrealtime: {fifo: 10, lock_memory: true}\n"
        "cameras: {top: {device: {serial: RIG0001}, size: 320x240}}\n"
        "plans: {a: {camera: top, every: 200ms, count: 5}}\n"
    )
    ran = in_the_sandbox("plan", "run", plans, "--json")
    assert json.loads(ran)["cameras"]


def test_a_camera_class_unknown_at_the_start_is_allowed_by_its_number(installed):
    """systemd leaves a class out that /proc/devices does not have yet; 81 is video4linux whoever asks."""
    majors = dict(
        line.split()[::-1] for line in Path("/proc/devices").read_text().splitlines() if len(line.split()) == 2
    )
    assert (majors["video4linux"], majors["usb_device"]) == ("81", "189")
    assert "char-81 rw" in shell("systemctl", "show", "--property=DeviceAllow", SERVICE)


def test_removed_it_keeps_configuration_and_pictures_and_purged_it_leaves_nothing(installed, uvc_camera):
    DROP_IN.unlink(missing_ok=True)
    shell("systemctl", "daemon-reload")
    (STATE / "picture.jpg").write_text("x")
    (CONFIGURATION.parent / "config.d" / "more.yaml").write_text("")
    shell("systemctl", "enable", SERVICE)
    shell("dpkg", "--remove", "camera-agent")
    assert CONFIGURATION.exists()
    assert (STATE / "picture.jpg").exists()
    assert not Path(PROGRAM).exists()
    purge()
    assert files() - installed.before == set()
    for database, key in (("passwd", "camera-agent"), ("group", "camera-agent")):
        assert attempt("getent", database, key).returncode != 0
    assert "camera-agent" not in grp.getgrnam("video").gr_mem
    assert not Path("/dev/camera-agent").exists()
    assert owner("/dev/gpiochip0")[1] == "root"
    assert show("LoadState") == "not-found"
    assert not any("camera-agent" in line for line in shell("systemctl", "list-unit-files", "--no-legend").splitlines())
