"""Every program of docs/python-client.md runs, and prints no error."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from examples.serving import Camera

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "python-client.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_a_snippet_runs(tmp_path, snippet):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CAMERA_AGENT_SOCKET": str(tmp_path / "control.sock")}
    with Camera(tmp_path):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", snippet],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")


def test_there_are_some():
    assert len(SNIPPETS) >= 7


def test_every_error_is_named():
    from agent import client

    errors = [
        name
        for name in client.__all__
        if isinstance(getattr(client, name), type) and "Error" in str(getattr(client, name).__mro__)
    ]
    assert len(errors) >= 9
    assert [name for name in errors if f"`{name}`" not in GUIDE] == []
