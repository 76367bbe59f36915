"""How files are named, and folders below a folder. Apart from what writes files, with all its libraries."""

from __future__ import annotations

from pathlib import Path

from agent.errors import StorageError
from agent.templates import file_name

__all__ = ["file_name", "folder_of"]


def folder_of(root: Path, relative: str) -> Path:
    """The folder for a file at `relative` below `root`, which exists; made if missing.

    Raises StorageError when a link on the way leads out of `root`; OSError when a folder cannot be made.
    """
    folder = (root / relative).parent
    place = root
    for part in folder.relative_to(root).parts:
        place /= part
        if place.is_symlink() and not place.resolve().is_relative_to(root.resolve()):
            raise StorageError(
                f"{place} is a link that leads out of {root}",
                hint="take the link away, or record into the folder that it leads to",
                path=str(place),
                errno=None,
                errno_name="ELOOP",
                free_bytes=None,
            )
        place.mkdir(exist_ok=True)
    return folder
