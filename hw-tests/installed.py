"""The project's own Debian package in the rig: made of wheels, installed, and asked through systemd and curl."""

from __future__ import annotations

import hashlib
import json
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

TREE = Path("/tree")
WHEELS = (Path("/opt/camera-agent-wheels"), TREE / "wheels")
"""Those the image keeps, and the one of the checkout: the guest has no network."""
BUILDING = Path("/tmp/camera-agent-package")
CONFIGURATION = Path("/etc/camera-agent/config.yaml")
STATE = Path("/var/lib/camera-agent")
SOCKET = Path("/run/camera-agent/control.sock")
SERVICE, DOOR = "camera-agent.service", "camera-agent.socket"
RECORDING = "camera-agent-record@.service"
LIMIT_S = 120
"""For anything that comes in its own time: under software emulation imports alone take many seconds."""
_BUILD_LIMIT_S = 800
Found = TypeVar("Found")


def shell(*command: object, limit_s: float = LIMIT_S) -> str:
    """What a program prints. Raises with its complaint when it fails."""
    done = attempt(*command, limit_s=limit_s)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def attempt(*command: object, limit_s: float = LIMIT_S) -> subprocess.CompletedProcess[str]:
    """A program from beginning to end, whatever that is."""
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=limit_s, check=False)


def wait_for(find: Callable[[], Found | None], what: str, limit_s: float = LIMIT_S) -> Found:
    """What `find` finds, asked again and again; for what has no event of its own. Bounded."""
    deadline = time.monotonic() + limit_s
    while (found := find()) is None:
        assert time.monotonic() < deadline, f"no {what} within {limit_s} s\n{journal()[-6000:]}"
        select.select([], [], [], 0.1)
    return found


def until(condition: Callable[[], bool], what: str, limit_s: float = LIMIT_S) -> None:
    """The same for what is true or not."""
    wait_for(lambda: condition() or None, what, limit_s)


def made_package() -> Path:
    """The .deb of this checkout, made by `make deb` as a person would; kept while the wheel is the same."""
    [wheel] = WHEELS[1].glob("camera_agent-*.whl")
    sources = [wheel, *sorted(path for path in (TREE / "packaging").rglob("*") if path.is_file())]
    sources += [TREE / "Makefile", *sorted((TREE / "systemd").iterdir()), *sorted((TREE / "udev-rules").iterdir())]
    key = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    folder = BUILDING / key
    made = list((folder / "dist").glob("*.deb"))
    if not made:
        shutil.rmtree(BUILDING, ignore_errors=True)
        shutil.copytree(TREE, folder / "tree", ignore=shutil.ignore_patterns("hw-tests", "tests", "docs", "wheels"))
        shell("make", "-C", folder / "tree", "deb", "PYTHON=/usr/bin/python3", f"BUILD={folder / 'build'}",
              f"DIST={folder / 'dist'}", f"WHEELS={' '.join(map(str, WHEELS))}", "DEB_COMPRESSION=none",
              limit_s=_BUILD_LIMIT_S)  # fmt: skip
        shutil.rmtree(folder / "build")
        made = list((folder / "dist").glob("*.deb"))
    [package] = made
    return package


def install(package: Path) -> None:
    """With dpkg, which resolves nothing: all it depends on is there. The disk is thrown away: nothing waits for it."""
    shell("dpkg", "--force-unsafe-io", "--install", package, limit_s=_BUILD_LIMIT_S)


def purge() -> None:
    """Program, configuration, pictures, user."""
    shell("dpkg", "--purge", "camera-agent", limit_s=_BUILD_LIMIT_S)


@dataclass(frozen=True)
class Answer:
    """What came over the socket."""

    status: int
    body: Any


def curl(path: str, method: str = "GET", body: object = None, under: Sequence[str] = ()) -> Answer:
    """One request by curl, `under` another program such as setpriv. Raises when there was no answer at all."""
    command = [*under, "curl", "--silent", "--show-error", "--max-time", "90", "--unix-socket", str(SOCKET)]
    command += ["--request", method, "--write-out", "\n%{http_code}"]
    if body is not None:
        command += ["--header", "Content-Type: application/json", "--data", json.dumps(body)]
    text, _, status = shell(*command, f"http://agent{path}").rpartition("\n")
    return Answer(int(status), json.loads(text) if text else None)


def get(path: str) -> Any:
    """The body of a request that is answered with 200."""
    answer = curl(path)
    assert answer.status == 200, (path, answer)
    return answer.body


def show(name: str, unit: str = SERVICE) -> str:
    """A property of a unit."""
    return shell("systemctl", "show", "--value", f"--property={name}", unit).strip()


def main_pid() -> int:
    """The agent's process; 0 when there is none."""
    return int(show("MainPID"))


def journal(*match: str) -> str:
    """What the agent and systemd said of it, since the guest started."""
    return shell("journalctl", "--no-pager", "--output=short-monotonic", f"--unit={SERVICE}", *match)


def journal_entries(*match: str) -> list[dict[str, Any]]:
    """Entries with all of their fields."""
    lines = shell("journalctl", "--no-pager", "--output=json", f"--unit={SERVICE}", *match).splitlines()
    return [json.loads(line) for line in lines]


def cursor() -> str:
    """Where the journal is now: `--after-cursor=` for what comes later."""
    last = shell("journalctl", "--lines=1", "--quiet", "--show-cursor", "--output=cat").strip().splitlines()[-1]
    return f"--after-cursor={last.removeprefix('-- cursor: ')}"
