"""A terminal while pictures are shown in it: what it can do, its size, its keys; always left as it was found."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import termios
import tty
from collections.abc import Mapping
from contextlib import ExitStack, suppress

from agent.units import NS_PER_MS

_WINDOW = struct.Struct("HHHH")
"""struct winsize of ioctl_tty(2): rows, columns, width and height in pixels."""
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"
"""The other screen, no cursor, empty."""
_LEAVE = "\x1b[?2026l\x1b[0m\x1b[?25h\x1b[?1049l"
_ASK = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c"
"""kitty's question whether it knows its protocol, then DA1, which every terminal answers: so the wait has an end."""
_DA1 = re.compile(rb"\x1b\[\?([0-9;]*)c")
_SIXEL = b"4"
"""Among the attributes of DA1 (xterm's ctlseqs)."""
_USUAL_CELL_PX = (10, 20)
_ITERM2 = ("iTerm.app", "WezTerm", "mintty")
_KEYS = 1024


class Terminal:
    """A terminal in cbreak mode, without echo, on its other screen. A context manager that restores all of it.

    `input_fd` and `output_fd` are of the same terminal. Ctrl-C is a signal as ever; Ctrl-Z and
    Ctrl-backslash are not, as nothing would restore the screen.
    """

    def __init__(self, input_fd: int, output_fd: int) -> None:
        self._input, self._output = input_fd, output_fd
        self._resources = ExitStack()

    def __enter__(self) -> Terminal:
        with ExitStack() as steps:
            before = termios.tcgetattr(self._input)
            steps.callback(termios.tcsetattr, self._input, termios.TCSAFLUSH, before)
            tty.setcbreak(self._input, termios.TCSAFLUSH)
            mode = termios.tcgetattr(self._input)
            mode[6][termios.VSUSP] = mode[6][termios.VQUIT] = b"\0"
            termios.tcsetattr(self._input, termios.TCSANOW, mode)
            steps.callback(self._leave)
            self.write(_ENTER)
            self._resources = steps.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def _leave(self) -> None:
        with suppress(OSError):  # it was closed: nobody sees it any more
            self.write(_LEAVE)

    def write(self, text: str) -> None:
        """All of it. Raises OSError: it is gone."""
        left = memoryview(text.encode("utf-8", "replace"))
        while left:
            left = left[os.write(self._output, left) :]

    def typed(self) -> bytes:
        """What was typed since; b"" for nothing, q when it is gone: nobody will type that any more."""
        ready, _, _ = select.select([self._input], [], [], 0)
        if not ready:
            return b""
        return os.read(self._input, _KEYS) or b"q"

    def size(self) -> tuple[int, int, tuple[int, int]]:
        """Columns, rows, and a cell's width and height in pixels, the usual ones where it does not tell."""
        rows, columns, width_px, height_px = _WINDOW.unpack(fcntl.ioctl(self._output, termios.TIOCGWINSZ, bytes(8)))
        rows, columns = rows or 24, columns or 80
        cell = (width_px // columns, height_px // rows)
        return columns, rows, cell if all(cell) else _USUAL_CELL_PX

    def graphics(self, environment: Mapping[str, str], limit_ns: int = 500 * NS_PER_MS) -> str:
        """The best of `agent.cli.graphics.DRAWS` that it knows: it is asked, and has this long to answer."""
        if environment.get("TERM_PROGRAM") in _ITERM2 or environment.get("LC_TERMINAL") == "iTerm2":
            return "iterm2"
        self.write(_ASK)
        return graphics_of(self._answer(limit_ns), environment)

    def _answer(self, limit_ns: int) -> bytes:
        heard = b""
        while not _DA1.search(heard):
            ready, _, _ = select.select([self._input], [], [], limit_ns / 1e9)
            found = os.read(self._input, _KEYS) if ready else b""
            if not found:
                break
            heard += found
        return heard


def graphics_of(answer: bytes, environment: Mapping[str, str]) -> str:
    """What a terminal that answered so can show."""
    if b"\x1b_Gi=31;OK" in answer:
        return "kitty"
    attributes = _DA1.search(answer)
    if attributes is not None and _SIXEL in attributes[1].split(b";"):
        return "sixel"
    all_colours = environment.get("COLORTERM") in ("truecolor", "24bit") or "direct" in environment.get("TERM", "")
    return "blocks" if all_colours else "blocks-256"
