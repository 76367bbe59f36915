"""What a program loads by importing the client: the standard library and numpy."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = ("asyncio", "click", "cv2", "gpiod", "h11", "linuxpy", "PIL", "pyudev", "rich", "simplejpeg", "yaml")
PROGRAM = """
import json, sys
import agent.client
from agent.client import connect, connect_async
{more}
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""


def loaded(more=""):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM.format(more=more)]
    return set(json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout))


def test_importing_it_loads_the_standard_library_and_numpy():
    found = loaded()
    assert not found & set(HEAVY)
    others = {name for name in found - sys.stdlib_module_names if not name.startswith("_")}
    assert others == {"agent", "numpy"}


def test_views_load_nothing_more():
    more = """
import numpy as np
from agent.client.images import image_of
from agent.v4l2.format import Format, PlaneLayout
from agent.v4l2.frame import Frame
form = Format("YUYV", 4, 2, (PlaneLayout(8, 16),))
frame = Frame(0, form, (np.zeros(16, np.uint8),), 0, 0, "monotonic", "soe", 0, 0, 0)
assert image_of(frame).shape == (2, 4, 2)
from agent.client.conversions import converted
assert converted(frame, "luma", "limited").shape == (2, 4)
"""
    assert not loaded(more) & set(HEAVY)


def test_only_the_asynchronous_client_loads_asyncio():
    more = "import agent.client.async_feed"
    assert loaded(more) & set(HEAVY) == {"asyncio"}
