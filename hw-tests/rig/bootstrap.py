# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that make an image out of its ingredients. This file is part of the image's key: see recipe.py."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from rig.recipe import SUITE, WORK_IN_CHROOT, Ingredients


def root_archive(ingredients: Ingredients, work: Path, archive: Path, mirror: str | None) -> list[str]:
    """The mmdebstrap call that makes the guest's files, as one tar archive.

    Args:
        ingredients: what the image is made of.
        work: the folder that ``Ingredients.lay_out`` filled.
        archive: where the archive goes.
        mirror: address of a Debian mirror; None leaves the choice to mmdebstrap.
    """
    command = ["mmdebstrap", "--variant=apt", "--format=tar", f"--include={','.join(ingredients.packages)}"]
    command += [f"--dpkgopt={option}" for option in ingredients.dpkg_options]
    command += [
        f"--essential-hook=sync-in {shlex.quote(str(work / 'overlay'))} /",
        f'--customize-hook=mkdir "$1{WORK_IN_CHROOT}"',
        f"--customize-hook=sync-in {shlex.quote(str(work))} {WORK_IN_CHROOT}",
        f'--customize-hook=chroot "$1" {WORK_IN_CHROOT}/in-chroot {WORK_IN_CHROOT}',
        f'--customize-hook=rm -r "$1{WORK_IN_CHROOT}"',
        SUITE,
        str(archive),
    ]
    return command if mirror is None else [*command, mirror]


def file_system(work: Path, archive: Path, tree: Path, finished: Path) -> list[str]:
    """The call that turns the archive into kernel, initrd and a root file system in ``finished``."""
    command = [str(work / "make-root"), str(archive), str(tree), str(finished)]
    return command if os.geteuid() == 0 else ["fakeroot", *command]
