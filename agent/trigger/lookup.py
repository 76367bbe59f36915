"""From a LineRef to a chip and an offset: by name, path, label, offset; never a guess between two.

Pure: works on the values of `agent.trigger.lines`, so every implementation of the seam finds lines alike.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.trigger.errors import ChipNotFound, LineNotFound
from agent.trigger.lines import ChipInfo, LineInfo, LineRef

_MOST_SUGGESTED = 8


def find_chip(wanted: str, chips: Sequence[ChipInfo], *, line: str = "") -> ChipInfo:
    """The chip with this name, path or label; a name or path goes before a label.

    A path may be a link (udev's by-path and the like). Raises ChipNotFound for none, and for several of one label.
    """
    real = str(Path(wanted).resolve()) if wanted.startswith("/") else wanted
    exact = [chip for chip in chips if real in (chip.name, chip.path)]
    labelled = [chip for chip in chips if chip.label == wanted]
    found = exact or labelled
    if len(found) == 1:
        return found[0]
    if found:
        names = [chip.name for chip in found]
        raise ChipNotFound(
            f"{len(found)} chips have the label {wanted!r}",
            hint=f"name one of {', '.join(names)}",
            device=wanted,
            line=line,
            suggestions=names,
        )
    names = _near(wanted, [word for chip in chips for word in (chip.name, chip.label) if word])
    raise ChipNotFound(
        f"there is no chip {wanted!r}",
        hint=f"there are {', '.join(names)}" if names else "no GPIO chip is there, or none may be opened",
        device=wanted,
        line=line,
        suggestions=names,
    )


def find_line(ref: LineRef, chips: Mapping[ChipInfo, Sequence[LineInfo]]) -> tuple[ChipInfo, LineInfo]:
    """The line `ref` means, among the lines of `chips`. A name goes before an offset.

    Raises LineNotFound for none, and for several of one name.
    """
    everything = [(chip, line) for chip, lines in chips.items() for line in lines]
    found = [(chip, line) for chip, line in everything if line.name == ref.line]
    if not found and ref.chip:
        found = [(chip, line) for chip, line in everything if line.offset == ref.offset]
    if len(found) == 1:
        return found[0]
    if found:
        names = [f"{chip.name}:{line.offset}" for chip, line in found]
        raise _not_found(ref, f"{len(found)} lines are named {ref.line!r}", f"name one of {', '.join(names)}", names)
    names = _near(ref.line, [line.name for _, line in everything if line.name])
    hint = f"named lines are {', '.join(names)}" if names else "its lines have no names: use an offset, as CHIP:OFFSET"
    where = f"the chip {ref.chip!r}" if ref.chip else "any chip"
    raise _not_found(ref, f"there is no line {ref.line!r} on {where}", hint, names)


def _not_found(ref: LineRef, message: str, hint: str, suggestions: Sequence[str]) -> LineNotFound:
    return LineNotFound(
        message, hint=hint, device=ref.chip, line=ref.line, request="GPIO_V2_GET_LINEINFO", suggestions=suggestions
    )


def _near(word: str, words: Sequence[str]) -> list[str]:
    """The words nearest to this one; all there are when none is near, as far as a person reads."""
    distinct = list(dict.fromkeys(words))
    return difflib.get_close_matches(word, distinct, n=_MOST_SUGGESTED) or distinct[:_MOST_SUGGESTED]
