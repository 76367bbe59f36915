#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual rig's command: boots the guest and runs hw-tests, one command, or a shell in it."""

import sys
from pathlib import Path

# Started as a file, Python puts this folder first; the package `rig` is in the one above.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from rig.cli import main  # noqa: E402  (after the path is set)

if __name__ == "__main__":
    sys.exit(main())
