# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guest's image is made of, and the key under which an image made of it is cached."""

from __future__ import annotations

import hashlib
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

SUITE = "trixie"
WORK_IN_CHROOT = "/rig-build"
#: Optional dependencies of the project that the guest has as well.
EXTRAS = ("service", "test")
KEY_CHARS = 16

HERE = Path(__file__).parent
FILES = HERE / "guest-image"


@dataclass(frozen=True)
class Ingredients:
    """Everything an image depends on that is in this checkout.

    Attributes:
        module: the folder with the recipe of gpio-sim.
        requirements: third-party Python packages, as the project names them.
        constraints: their exact versions, in the format of pip's constraints file.
    """

    module: Path
    requirements: tuple[str, ...]
    constraints: str

    @classmethod
    def of(cls, repository: Path) -> Ingredients:
        """Reads the ingredients out of a checkout."""
        return cls(
            module=repository / "hw-tests" / "module",
            requirements=requirements(repository / "pyproject.toml"),
            constraints=(repository / "constraints.txt").read_text(),
        )

    @property
    def packages(self) -> list[str]:
        """Debian packages of the guest."""
        return _words(FILES / "packages")

    @property
    def dpkg_options(self) -> list[str]:
        """Options for dpkg inside the image."""
        return _words(FILES / "dpkg-options")

    @property
    def key(self) -> str:
        """A hash over all ingredients and over the code that puts them together."""
        digest = hashlib.sha256()
        for root in (FILES, self.module):
            for path in sorted(root.rglob("*")):
                _add_file(digest, path.relative_to(root), path)
        for name in ("recipe.py", "bootstrap.py"):
            _add_file(digest, Path(name), HERE / name)
        digest.update("\n".join(self.requirements).encode() + b"\0" + self.constraints.encode())
        return digest.hexdigest()[:KEY_CHARS]

    def lay_out(self, work: Path) -> None:
        """Copies what the chroot needs to one folder."""
        shutil.copytree(FILES, work, symlinks=True)
        shutil.copytree(self.module, work / "module")
        (work / "requirements.txt").write_text("\n".join([*self.requirements, ""]))
        (work / "constraints.txt").write_text(self.constraints)


def requirements(pyproject: Path) -> tuple[str, ...]:
    """The project's dependencies and those of the extras the guest has, sorted."""
    project = tomllib.loads(pyproject.read_text())["project"]
    optional = project.get("optional-dependencies", {})
    wanted = [*project.get("dependencies", []), *(word for extra in EXTRAS for word in optional.get(extra, []))]
    return tuple(sorted(set(wanted)))


def _add_file(digest: hashlib._Hash, name: Path, path: Path) -> None:
    """Adds one file with its name, its executable bit and, for a link, where it points."""
    if path.is_symlink():
        content = str(path.readlink()).encode()
    elif path.is_file():
        content = path.read_bytes() + (b"x" if path.stat().st_mode & 0o100 else b"-")
    else:
        return
    digest.update(str(name).encode() + b"\0" + hashlib.sha256(content).digest())


def _words(path: Path) -> list[str]:
    """The lines of a list, without comments and empty lines."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]
