# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the guest's image once per recipe and keeps it: kernel, initrd, root file system."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rig import bootstrap, host, recipe
from rig.errors import ImageBuildFailed
from rig.progress import say

BUILD_LIMIT_S = 1800
UNMOUNTED_WITHIN_S = 60.0
KEPT_UNUSED_S = 30 * 86400
LOG_TAIL_CHARS = 3000


@dataclass(frozen=True)
class Image:
    """A finished image in the cache."""

    folder: Path

    @property
    def kernel(self) -> Path:
        """The compressed kernel."""
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """The initial file system that finds the root."""
        return self.folder / "initrd.img"

    @property
    def root(self) -> Path:
        """The root file system, as a raw disk."""
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
            os.utime(folder)
            return Image(folder)
        say("image", f"building {folder.name}; this takes some minutes, once")
        _build(ingredients, folder)
        _forget_unused(cache_folder())
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


def _forget_unused(cache: Path) -> None:
    """Removes images that no run has asked for in a long time: each takes about a gigabyte."""
    for root in cache.glob("*/root.ext4"):
        if time.time() - root.parent.stat().st_mtime > KEPT_UNUSED_S:
            say("image", f"removing {root.parent.name}, long unused")
            shutil.rmtree(root.parent)


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
            _run(bootstrap.root_archive(ingredients, work, archive, host.debian_mirror()), output)
            say("image", "packages, module and Python environment are ready; making the file system")
            finished = scratch / "finished"
            finished.mkdir()
            _run(bootstrap.file_system(work, archive, scratch / "tree", finished), output)
        finished.rename(folder)


def _write_pip_settings(work: Path) -> None:
    listing = host.pip_listing()
    lines = [f"{option} = {value}" for option, value in host.parse_pip_settings(listing).items()]
    bundle = host.certificate_bundle(listing)
    if bundle is not None:
        shutil.copyfile(bundle, work / "certificates.pem")
        lines.append(f"cert = {recipe.WORK_IN_CHROOT}/certificates.pem")
    (work / "pip.conf").write_text("\n".join(["[global]", *lines, ""]))


def _run(command: list[str], output: TextIO) -> None:
    """Runs one step of the build, its output into the log."""
    environment = host.environment_for_chroot()
    # A session of its own: mmdebstrap passes no signal on, so an interrupted build is ended as a group.
    step = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        status: int | None = step.wait(BUILD_LIMIT_S)
    except subprocess.TimeoutExpired:
        status = None
    finally:
        if step.poll() is None:
            _end_group(step)
    if status != 0:
        log = Path(output.name)
        tail = log.read_text(errors="replace")[-LOG_TAIL_CHARS:]
        what = f"did not end within {BUILD_LIMIT_S} s" if status is None else "failed"
        raise ImageBuildFailed(f"{command[0]} {what}; the last it said:\n{tail}", hint=f"the whole log is {log}")


def _end_group(step: subprocess.Popen[bytes]) -> None:
    """Lets mmdebstrap take its mounts and its folder away, and insists if it does not."""
    for number, seconds in ((signal.SIGTERM, UNMOUNTED_WITHIN_S), (signal.SIGKILL, None)):
        os.killpg(step.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            step.wait(seconds)
            return
