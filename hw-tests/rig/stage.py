# SPDX-License-Identifier: GPL-3.0-or-later
"""Lays out the folder the guest sees as /tree: tests, benchmarks, and the project as a wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rig.errors import RigError
from rig.progress import say

#: Left out of /tree, so that the guest can only import what the wheel installed.
PACKAGE = "agent"
WHEELS = "wheels"
#: Peers in C for the benchmarks, clients in C: each source becomes a program beside it, as the guest has no compiler.
PROGRAMS = ("benchmarks/c", "examples")
#: Statically, as the guest's C library may be older than this machine's.
COMPILE = ("cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-static")


def lay_out(repository: Path, tree: Path, *, with_project: bool) -> None:
    """Fills ``tree`` anew with the files of the checkout as they are now.

    The folder itself stays the same one: a live guest has it mounted.

    Raises:
        RigError: git, pip or the compiler failed.
    """
    tree.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rig-") as scratch_name:
        copy = Path(scratch_name) / "tree"
        _copy_checkout(repository, copy)
        if with_project:
            _build_wheel(copy)
        shutil.rmtree(copy / PACKAGE, ignore_errors=True)
        _compile([source for folder in PROGRAMS for source in sorted((copy / folder).glob("*.c"))])
        _empty(tree)
        for path in copy.iterdir():
            shutil.move(path, tree / path.name)


def _copy_checkout(repository: Path, copy: Path) -> None:
    """Copies the files git knows or would add: no caches, no build output."""
    listed = _output(["git", "-C", str(repository), "ls-files", "-co", "--exclude-standard", "-z"])
    for name in filter(None, listed.split("\0")):
        source, target = repository / name, copy / name
        if not os.path.lexists(source):  # deleted, not yet committed
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)


def _build_wheel(copy: Path) -> None:
    """Builds the project's wheel with the versions the constraints name."""
    pip_wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    _output([*pip_wheel, "--wheel-dir", str(copy / WHEELS), str(copy)], PIP_CONSTRAINT=str(copy / "constraints.txt"))


def _compile(sources: Sequence[Path]) -> None:
    """Without a compiler there are no programs, and whatever misses one says so."""
    if shutil.which(COMPILE[0]) is None:
        say("tree", "no C compiler here: what has a peer in C will miss it (apt-get install gcc libc6-dev)")
        return
    for source in sources:
        _output([*COMPILE, "-o", str(source.with_suffix("")), str(source)])


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _output(command: list[str], **environment: str) -> str:
    done = subprocess.run(command, check=False, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise RigError(f"{' '.join(command)} failed: {done.stderr.strip()[-1500:]}")
    return done.stdout
