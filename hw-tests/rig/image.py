# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the guest's image once per recipe and keeps it: kernel, initrd, root file system."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rig import host, recipe
from rig.errors import ImageBuildFailed
from rig.progress import say

#: A file of this length holds no more blocks than are used: the rest is room for the guest to write.
ROOT_BYTES = 4 * 2**30
BUILD_LIMIT_S = 1800
LOG_TAIL_CHARS = 3000


@dataclass(frozen=True)
class Image:
    """A finished image in the cache."""

    folder: Path

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd.img"

    @property
    def root(self) -> Path:
        return self.folder / "root.ext4"


def cache_folder() -> Path:
    """Where images and what is known about this machine are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "camera-agent" / "rig"


def cached_or_built(repository: Path) -> Image:
    """The image for this checkout's recipe, built first if there is none.

    Raises:
        ImageBuildFailed: with the end of the build's log.
    """
    ingredients = recipe.Ingredients.of(repository)
    folder = cache_folder() / ingredients.key
    with _locked(cache_folder()):
        if folder.is_dir():
            say("image", f"cached: {folder.name}")
            return Image(folder)
        say("image", f"building {folder.name}; this takes some minutes, once")
        _build(ingredients, folder)
    say("image", "built")
    return Image(folder)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One build at a time: a second run waits here and then finds the image."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("image", "waiting for another run that holds the image cache")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(ingredients: recipe.Ingredients, folder: Path) -> None:
    """Builds beside the final name and renames at the end, so that half an image is never found."""
    log = folder.parent / f"{folder.name}.log"
    with tempfile.TemporaryDirectory(prefix="partial-", dir=folder.parent) as scratch_name:
        scratch = Path(scratch_name)
        work = scratch / "work"
        ingredients.lay_out(work)
        _write_pip_settings(work)
        archive = scratch / "root.tar"
        with log.open("w") as output:
            _run(bootstrap_command(ingredients, work, archive), output)
            say("image", "packages, module and Python environment are ready; making the file system")
            finished = scratch / "finished"
            finished.mkdir()
            _make_file_system(archive, scratch / "tree", finished, output)
        finished.rename(folder)


def _write_pip_settings(work: Path) -> None:
    listing = host.pip_listing()
    lines = [f"{option} = {value}" for option, value in host.parse_pip_settings(listing).items()]
    bundle = host.certificate_bundle(listing)
    if bundle is not None:
        shutil.copyfile(bundle, work / "certificates.pem")
        lines.append(f"cert = {recipe.WORK_IN_CHROOT}/certificates.pem")
    (work / "pip.conf").write_text("\n".join(["[global]", *lines, ""]))


def bootstrap_command(ingredients: recipe.Ingredients, work: Path, archive: Path) -> list[str]:
    """The mmdebstrap call that makes the guest's files, as one tar archive."""
    inside = recipe.WORK_IN_CHROOT
    command = ["mmdebstrap", "--variant=apt", "--format=tar"]
    command += [f"--include={','.join(ingredients.packages)}"]
    command += [f"--dpkgopt={option}" for option in ingredients.dpkg_options]
    command += [
        f"--essential-hook=sync-in {shlex.quote(str(work / 'overlay'))} /",
        f'--customize-hook=mkdir "$1{inside}"',
        f"--customize-hook=sync-in {shlex.quote(str(work))} {inside}",
        f'--customize-hook=chroot "$1" {inside}/in-chroot {inside}',
        f'--customize-hook=rm -r "$1{inside}"',
        recipe.SUITE,
        str(archive),
    ]
    mirror = host.debian_mirror()
    return command if mirror is None else [*command, mirror]


def _make_file_system(archive: Path, tree: Path, finished: Path, output: object) -> None:
    """Unpacks the archive, takes kernel and initrd out, packs the rest as ext4.

    fakeroot lets an ordinary user do it with the right owners; device nodes come from devtmpfs.
    """
    root = finished / "root.ext4"
    script = f"""
        set -eu
        mkdir {shlex.quote(str(tree))}
        tar -C {shlex.quote(str(tree))} --exclude './dev/*' --numeric-owner -xf {shlex.quote(str(archive))}
        cp {shlex.quote(str(tree))}/boot/vmlinuz-* {shlex.quote(str(finished))}/vmlinuz
        cp {shlex.quote(str(tree))}/boot/initrd.img-* {shlex.quote(str(finished))}/initrd.img
        rm {shlex.quote(str(tree))}/boot/*
        truncate -s {ROOT_BYTES} {shlex.quote(str(root))}
        mke2fs -q -F -t ext4 -m 0 -O ^has_journal -d {shlex.quote(str(tree))} {shlex.quote(str(root))}
    """
    shell = ["sh", "-c", script]
    _run(shell if os.geteuid() == 0 else ["fakeroot", *shell], output)


def _run(command: list[str], output: object) -> None:
    """Runs one step of the build, its output into the log."""
    environment = host.environment_for_chroot()
    try:
        subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,  # type: ignore[call-overload]
            stderr=subprocess.STDOUT,
            timeout=BUILD_LIMIT_S,
            check=True,
        )
    except subprocess.SubprocessError as error:
        log = Path(getattr(output, "name", ""))
        tail = log.read_text(errors="replace")[-LOG_TAIL_CHARS:]
        raise ImageBuildFailed(f"{command[0]} failed; the last it said:\n{tail}", hint=f"the whole log is {log}") from error
