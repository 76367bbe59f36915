"""The installation laid out in a folder, and a package of it: no root, no network, and a wheel of one module."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import agent
from agent.cli.main import main
from agent.config.service_file import ServiceFile, load_service_file
from agent.frames.wire import SOCKET_NAME

ROOT = Path(__file__).parent.parent
UNITS = ROOT / "systemd"
PROGRAM = "usr/lib/camera-agent/bin/camera-agent"
SYSTEM_FILES = {
    "usr/lib/systemd/system/camera-agent.service",
    "usr/lib/systemd/system/camera-agent.socket",
    "usr/lib/systemd/system-preset/50-camera-agent.preset",
    "usr/lib/sysusers.d/camera-agent.conf",
    "usr/lib/tmpfiles.d/camera-agent.conf",
    "usr/lib/udev/rules.d/60-camera-agent.rules",
    "usr/share/bash-completion/completions/camera-agent",
}
CONFIGURATION = "etc/camera-agent/config.yaml"
LEAST_SYSTEMD = 254
"""RestartSteps; `notify-reload` came with 253."""

pytestmark = pytest.mark.timeout(180)


def make(target, folder, **values):
    given = {"PYTHON": sys.executable, "WHEELS": folder / "wheels", "BUILD": folder / "build", "DIST": folder / "dist"}
    words = [f"{name}={value}" for name, value in (given | values).items()]
    done = subprocess.run(["make", "-s", target, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def add_wheel(folder):
    """A wheel called as ours is, with nothing behind it: what is in the real one is no matter of the installation."""
    folder.mkdir()
    info = "camera_agent-0.1.0.dist-info"
    files = {
        "agent_stand_in.py": "def main():\n    print('stand-in')\n\ndef fail():\n    raise RuntimeError('failed')\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: camera-agent\nVersion: 0.1.0\nSummary: A stand-in.\n"
        "Provides-Extra: service\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ncamera-agent = agent_stand_in:main\n",
    }
    with zipfile.ZipFile(folder / "camera_agent-0.1.0-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
        wheel.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"]))


def present(root):
    paths = (path.relative_to(root) for path in root.rglob("*") if not path.is_dir() or path.is_symlink())
    return {str(path) for path in paths}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with wheels, and an installation in `root` with the prefix of a distribution."""
    folder = tmp_path_factory.mktemp("install")
    add_wheel(folder / "wheels")
    make("install", folder, DESTDIR=folder / "root", PREFIX="/usr")
    return folder


def test_everything_is_where_systemd_udev_and_shells_look_for_it(place):
    found = present(place / "root")
    outside = {path for path in found if not path.startswith("usr/lib/camera-agent/")}
    expected = SYSTEM_FILES | {CONFIGURATION, "usr/bin/camera-agent", "usr/share/zsh/site-functions/_camera-agent"}
    assert outside == expected
    assert (place / "root/etc/camera-agent/config.d").is_dir()
    assert str((place / "root/usr/bin/camera-agent").readlink()) == "../lib/camera-agent/bin/camera-agent"


def test_the_place_it_was_laid_out_in_is_nowhere_in_it(place):
    """It is moved to / later: in scripts, in the settings of the environment, in what was compiled."""
    root = place / "root"
    needle = str(root).encode()
    for path in sorted(present(root)):
        whole = root / path
        if not whole.is_symlink():
            assert needle not in whole.read_bytes(), path
    assert (root / PROGRAM).read_text().startswith("#!/usr/lib/camera-agent/bin/python")


def test_the_environment_works_has_the_program_and_nothing_that_only_filled_it(place):
    home = place / "root/usr/lib/camera-agent"
    python = home / "bin/python3"
    said = subprocess.run(
        [python, "-I", "-c", "import agent_stand_in; agent_stand_in.main()"], capture_output=True, check=True
    )
    assert said.stdout == b"stand-in\n"
    assert {path.name for path in (home / "bin").iterdir()} >= {"python3", "camera-agent"}
    assert not [path for path in (home / "bin").iterdir() if "pip" in path.name or "ctivate" in path.name]
    assert not list(home.glob("lib/python3*/site-packages/pip"))
    assert python.is_symlink(), "the system's own interpreter, so that its updates reach the agent"


def test_a_traceback_names_files_where_they_will_be(place):
    python = place / "root/usr/lib/camera-agent/bin/python3"
    code = "import agent_stand_in as m; print(m.fail.__code__.co_filename)"
    said = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    # pyc files name the final place; the import system puts today's in when it reads one
    compiled = next(place.glob("root/usr/lib/camera-agent/lib/**/agent_stand_in.*.pyc")).read_bytes()
    assert b"/usr/lib/camera-agent/lib/python3" in compiled
    assert said.strip().endswith("site-packages/agent_stand_in.py")


def test_another_prefix_is_written_into_units_and_rules(tmp_path, place):
    make("install", place, DESTDIR=tmp_path, PREFIX="/opt/camera", SYSCONFDIR="/etc/opt")
    unit = (tmp_path / "usr/local/lib/systemd/system/camera-agent.service").read_text()
    assert "ExecStart=/opt/camera/lib/camera-agent/bin/camera-agent serve --config /etc/opt/camera-agent/" in unit
    assert "/usr/lib/camera-agent" not in unit
    assert (tmp_path / "etc/opt/camera-agent/config.yaml").exists()
    assert (
        tmp_path / "opt/camera/bin/camera-agent"
    ).resolve() == tmp_path / "opt/camera/lib/camera-agent/bin/camera-agent"


def test_the_configuration_that_is_installed_is_a_good_one_that_asks_for_nothing(place):
    assert load_service_file(place / "root" / CONFIGURATION) == ServiceFile()


def test_installing_again_keeps_a_configuration_and_uninstalling_leaves_only_that(tmp_path, place):
    ours = {"DESTDIR": tmp_path, "PREFIX": "/usr"}
    neighbour = tmp_path / "usr/lib/udev/rules.d/70-other.rules"
    make("install", place, **ours)
    neighbour.write_text("")
    configuration = tmp_path / CONFIGURATION
    configuration.write_text("mine")
    make("install", place, **ours)
    assert configuration.read_text() == "mine"
    told = make("uninstall", place, **ours).stderr
    assert present(tmp_path) == {CONFIGURATION, str(neighbour.relative_to(tmp_path))}
    assert "PURGE=1" in told
    make("uninstall", place, PURGE=1, **ours)
    assert present(tmp_path) == {str(neighbour.relative_to(tmp_path))}
    assert not list(tmp_path.rglob("*camera*")), "no folder of ours either"


@pytest.fixture(scope="module")
def package(place):
    if shutil.which("dpkg-deb") is None:
        pytest.skip("no dpkg-deb here: `make rig` builds the package in the rig")
    make("deb", place, DEB_COMPRESSION="none")
    [package] = (place / "dist").glob("*.deb")
    return package


def dpkg_deb(*arguments):
    return subprocess.run(["dpkg-deb", *map(str, arguments)], capture_output=True, text=True, check=True).stdout


def test_the_package_depends_on_the_python_it_was_made_for(package):
    minor = sys.version_info[1]
    depends = dpkg_deb("--field", package, "Depends")
    assert f"python3 (>= 3.{minor}~), python3 (<< 3.{minor + 1}~)" in depends
    assert f"systemd (>= {LEAST_SYSTEMD})" in depends
    assert dpkg_deb("--field", package, "Version").strip() == agent.__version__
    assert (
        package.name == f"camera-agent_{agent.__version__}_{dpkg_deb('--field', package, 'Architecture').strip()}.deb"
    )


def test_all_files_of_the_package_are_roots_and_told_to_dpkg(package, tmp_path):
    lines = dpkg_deb("--contents", package).splitlines()
    assert {line.split()[1] for line in lines} == {"root/root"}
    dpkg_deb("--raw-extract", package, tmp_path)
    assert (tmp_path / "DEBIAN/conffiles").read_text() == f"/{CONFIGURATION}\n"
    sums = dict(reversed(line.split("  ", 1)) for line in (tmp_path / "DEBIAN/md5sums").read_text().splitlines())
    files = {path for path in present(tmp_path) if not path.startswith("DEBIAN/")}
    assert set(sums) == {path for path in files if not (tmp_path / path).is_symlink()} - {CONFIGURATION}
    for path, expected in sums.items():
        assert hashlib.md5((tmp_path / path).read_bytes()).hexdigest() == expected
    assert files >= SYSTEM_FILES | {
        "usr/share/zsh/vendor-completions/_camera-agent",
        "usr/share/doc/camera-agent/copyright",
    }


SCRIPTS = sorted(path for path in (ROOT / "packaging").rglob("*") if path.is_file() and path.suffix == "")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_read_by_a_plain_shell(script):
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n", script], check=True)


# ---- completions


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completions_are_those_that_the_program_gives(shell):
    done = subprocess.run(
        [sys.executable, "-c", f"from {main.__module__} import main; main()"],
        env=os.environ | {"_CAMERA_AGENT_COMPLETE": f"{shell}_source", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.rstrip() == (ROOT / "completions" / f"camera-agent.{shell}").read_text().rstrip()


def test_bash_completes_a_verb(tmp_path):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    program = tmp_path / "camera-agent"
    program.write_text(
        f"#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -c 'from {main.__module__} import main; main()' \"$@\"\n"
    )
    program.chmod(0o755)
    script = (
        f". {ROOT}/completions/camera-agent.bash; COMP_WORDS=(camera-agent cap); COMP_CWORD=1; "
        "_camera_agent_completion camera-agent; echo ${COMPREPLY[@]}"
    )
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([bash, "-c", script], env=os.environ | path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["capture"]


# ---- units


def settings(unit):
    """`(key, value)` of each line, in order."""
    lines = (UNITS / unit).read_text().splitlines()
    return [tuple(line.split("=", 1)) for line in lines if re.match(r"[A-Za-z]+=", line)]


def systemd_version():
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here: `make rig` does this in the rig")
    return int(subprocess.run([analyze, "--version"], capture_output=True, text=True, check=True).stdout.split()[1])


def test_exposure_is_at_most_two():
    if systemd_version() < 250:
        pytest.skip("systemd-analyze looks at files since systemd 250: `make rig` does this in the rig")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=20",
         UNITS / "camera-agent.service"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Overall exposure level" in done.stdout


def test_units_are_understood(tmp_path):
    """With a program that is there: `verify` looks for it."""
    if systemd_version() < LEAST_SYSTEMD:
        pytest.skip(f"the units need systemd {LEAST_SYSTEMD}: `make rig` verifies them in the rig")
    for name in ("camera-agent.service", "camera-agent.socket"):
        text = (UNITS / name).read_text().replace(f"/{PROGRAM}", "/bin/true")
        (tmp_path / name).write_text(text)
    units = [tmp_path / "camera-agent.service", tmp_path / "camera-agent.socket"]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_service_and_socket_agree():
    service, socket = dict(settings("camera-agent.service")), dict(settings("camera-agent.socket"))
    assert socket["ListenStream"] == str(ServiceFile().socket.path), "the usual one of the configuration"
    assert socket["ListenStream"] == f"/run/{service['RuntimeDirectory']}/control.sock"
    assert socket["ListenSequentialPacket"] == f"/run/{service['RuntimeDirectory']}/{SOCKET_NAME}"
    assert service["RuntimeDirectoryPreserve"] == "yes", "the folder of an open socket"
    assert socket["SocketMode"] == "0660"
    assert socket["SocketGroup"] == service["Group"]


def test_folders_have_one_mode_whoever_makes_them():
    service = dict(settings("camera-agent.service"))
    for line in (UNITS / "camera-agent.tmpfiles").read_text().splitlines():
        if line.startswith("d "):
            _, path, mode, user, group, _ = line.split()
            kind = {"run": "Runtime", "lib": "State", "log": "Logs"}[path.split("/")[-2]]
            assert (service[f"{kind}Directory"], service[f"{kind}DirectoryMode"]) == (path.split("/")[-1], mode)
            assert (user, group) == (service["User"], service["Group"])


def test_the_kernel_gives_video_devices_the_number_that_is_allowed():
    """VIDEO_MAJOR and USB_DEVICE_MAJOR: Documentation/admin-guide/devices.txt of the kernel."""
    allowed = [value for key, value in settings("camera-agent.service") if key == "DeviceAllow"]
    assert {"char-81 rw", "char-189 rw"} <= set(allowed)
