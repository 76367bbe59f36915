"""The udev rules, read as udev reads them. What they do to devices is in hw-tests/test_discovery.py."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

RULES = sorted((Path(__file__).parent.parent / "udev-rules").glob("*.rules"))
LINES = [line for rules in RULES for line in rules.read_text().splitlines() if line and not line.startswith("#")]
_ASSIGNMENT = re.compile(r'[A-Z]+(\{[^}]+\})?\s*(==|!=|\+=|-=|:=|=)\s*"[^"]*"')


def test_there_are_rules():
    assert [rules.name for rules in RULES] == ["60-camera-agent.rules"]


@pytest.mark.parametrize("line", LINES)
def test_each_line_is_a_list_of_keys_with_values(line):
    for part in line.split(", "):
        assert _ASSIGNMENT.fullmatch(part), part


def test_every_goto_has_its_label():
    goals = set(re.findall(r'GOTO="(\w+)"', "\n".join(LINES)))
    assert goals == set(re.findall(r'LABEL="(\w+)"', "\n".join(LINES)))


@pytest.mark.parametrize("rules", RULES, ids=lambda rules: rules.name)
def test_udevadm_finds_nothing_wrong(rules):
    """Groups are not looked up: camera-agent comes with the installation."""
    udevadm = shutil.which("udevadm")
    known = udevadm and subprocess.run([udevadm, "verify", "--help"], capture_output=True, check=False).returncode == 0
    if not known:
        pytest.skip("udevadm has no `verify` here (systemd 254 or newer has): `make rig` runs it in the rig")
    done = subprocess.run(
        [udevadm, "verify", "--resolve-names=never", str(rules)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
