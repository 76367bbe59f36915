"""The house rules, as tests: ruff, mypy --strict, import-linter, and what they do not look for."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OUR_PYTHON = sorted(ROOT.glob("agent/**/*.py"))


def run(*command: str) -> None:
    result = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}{result.stderr}"


@pytest.mark.timeout(120)
def test_ruff_finds_nothing():
    run("ruff", "check", "--quiet", ".")
    run("ruff", "format", "--quiet", "--check", ".")


@pytest.mark.timeout(300)
def test_mypy_strict_finds_nothing():
    run("mypy")


@pytest.mark.timeout(120)
def test_imports_point_one_way():
    lint_imports = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"
    result = subprocess.run([sys.executable, "-c", lint_imports], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_simulation_is_chosen_in_one_place():
    imports = re.compile(r"^\s*(from|import) agent\.simulation", re.MULTILINE)
    users = {path.relative_to(ROOT).as_posix() for path in OUR_PYTHON if imports.search(path.read_text())}
    assert {user for user in users if not user.startswith("agent/simulation/")} == {"agent/cli/bench.py"}


def test_no_assert_and_no_broad_except_at_run_time():
    found = []
    for path in OUR_PYTHON:
        for node in ast.walk(ast.parse(path.read_text())):
            broad = isinstance(node, ast.ExceptHandler) and (
                node.type is None or getattr(node.type, "id", "") in ("Exception", "BaseException")
            )
            reraises = broad and isinstance(node.body[-1], ast.Raise)
            if isinstance(node, ast.Assert) or (broad and not reraises):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not found


def test_pins_are_exact_and_cover_what_is_installed():
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all("==" in pin for pin in pins)


def test_the_extra_service_is_installed():
    if not os.environ.get("CAMERA_AGENT_EXPECT_SERVICE"):
        pytest.skip("the extra `service` is optional: `make service`, then CAMERA_AGENT_EXPECT_SERVICE=1 make test")
    assert importlib.util.find_spec("systemd.journal") is not None
    from systemd import daemon

    assert daemon.notify("READY=1") is False  # no notify socket here: answered, not crashed
