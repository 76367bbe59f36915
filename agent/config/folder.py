"""Which files a service's configuration is made of: one file, and the folder beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from agent.config.files import read_text
from agent.config.joined import Text
from agent.config.problems import ConfigError, Problem, Problems

USUAL_FILE = Path("/etc/camera-agent/config.yaml")
MOST_FILES = 256
"""As many may be in the folder."""
_SUFFIX = ".yaml"


def folder_of(file: Path) -> Path:
    """The folder whose files are read with it: `config.d` beside `config.yaml`."""
    return file.with_name(f"{file.name.removesuffix(_SUFFIX)}.d")


def read_texts(file: Path) -> Sequence[Text]:
    """The file, which has to be there, and those of its folder that end in `.yaml`, by name.

    Hidden ones and others, such as an editor's copies, are passed over; one that ends in `.yml` is a problem, because
    somebody meant it to be read. Raises ConfigError with all that cannot be read.
    """
    found: list[Problem] = []
    texts = []
    for path in (file, *_in_folder(folder_of(file), found)):
        try:
            texts.append(Text(str(path), read_text(path)))
        except ConfigError as error:
            found += error.problems
    if found:
        raise ConfigError(found)
    return texts


def _in_folder(folder: Path, found: list[Problem]) -> list[Path]:
    problems = Problems(str(folder))
    try:
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        problems.add(None, "", f"cannot be read: {reason}", "look at what it is, and whether you may read it")
        found += problems.error().problems
        return []
    read = [name for name in names if name.endswith(_SUFFIX)]
    for name in names:
        if name.endswith(".yml"):
            of = problems.of(str(folder / name))
            of.add(None, "", "is not read, because of its name", f"name it {name.removesuffix('.yml')}{_SUFFIX}")
    if len(read) > MOST_FILES:
        problems.add(None, "", f"has {len(read):,} files", f"make at most {MOST_FILES} of them")
        read = read[:MOST_FILES]
    if problems:
        found += problems.error().problems
    return [folder / name for name in read]
