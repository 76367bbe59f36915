"""How cameras are named in files. Apart from what writes them, which takes its libraries with it."""

from __future__ import annotations

import re

_NAME_MAX = 100


def file_name(camera: str) -> str:
    """A camera's name as the start of a file name: letters, digits, `.`, `_` and `-`; never hidden, never empty."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", camera)[:_NAME_MAX].strip(".-") or "camera"
