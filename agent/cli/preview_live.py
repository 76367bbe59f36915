"""Pictures in a terminal, one after another, until q is pressed."""

from __future__ import annotations

import os
import select
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import simplejpeg

from agent.cli.asked import opened
from agent.cli.graphics import DRAWS, KITTY_END, Draw, Pixels, Space
from agent.cli.interruption import Interruption
from agent.cli.newest_picture import NewestPicture
from agent.cli.options import printable
from agent.cli.terminal import Terminal
from agent.clock import monotonic_ns
from agent.control.client import Received, named
from agent.errors import AgentError
from agent.units import NS_PER_S, format_duration
from agent.viewing.errors import SizeUnsupported, ViewerFailed

_LOOK_MS = 1000
"""Without a picture for so long, the camera is asked how it stands."""
_MOST_PX = 960
_HOME, _CLEAR, _REST = "\x1b[H", "\x1b[2J", "\x1b[K"
_HOLD, _LET_GO = "\x1b[?2026h", "\x1b[?2026l"
"""Synchronized output: shown at once when all is there, or kitty shows nothing between two pictures."""
_ENDS = (b"q", b"Q", b"\x04")


class Preview:
    """One preview, in the main thread."""

    def __init__(self, camera: str, rate: int, graphics: str, socket_path: Path | None) -> None:
        self._camera, self._rate, self._graphics, self._socket = camera, rate, graphics, socket_path
        self._shown_ns: deque[int] = deque(maxlen=16)
        self._space: Space | None = None

    def run(self) -> None:
        """Until q. Raises Interrupted for a signal, and AgentError when there are no such pictures."""
        with opened(self._socket) as client:
            client.ask("GET", f"/v1/cameras/{named(self._camera)}")  # whether it is known, before the screen changes
        with Interruption() as interruption, Terminal(sys.stdin.fileno(), sys.stdout.fileno()) as terminal:
            name = terminal.graphics(os.environ) if self._graphics == "auto" else self._graphics
            try:
                self._follow(terminal, name, interruption)
            finally:
                if name == "kitty":
                    terminal.write(KITTY_END)

    def _follow(self, terminal: Terminal, name: str, interruption: Interruption) -> None:
        """Scaled by the agent to what the terminal has; a camera with smaller pictures than that as it is."""
        columns, _, (cell_px, _) = terminal.size()
        width_px = columns if name.startswith("blocks") else min(columns * cell_px, _MOST_PX)
        for more in ({"width": width_px}, {}):
            with NewestPicture(self._camera, {"rate": self._rate, **more}, self._socket) as newest:
                self._show_all(terminal, DRAWS[name], newest, interruption)
            if newest.error is None or newest.error.code != SizeUnsupported.code:
                break
        if newest.error is not None:
            raise newest.error

    def _show_all(self, terminal: Terminal, draw: Draw, newest: NewestPicture, interruption: Interruption) -> None:
        poll = select.poll()
        poll.register(sys.stdin.fileno(), select.POLLIN)
        poll.register(newest.fileno(), select.POLLIN)
        while True:
            with interruption.waiting():
                ready = poll.poll(_LOOK_MS)
            typed = terminal.typed()
            if any(key in typed for key in _ENDS):
                return
            received = newest.take()
            if received is not None:
                self._show(terminal, draw, received)
            elif newest.over:
                self._check_end(newest)
                return
            elif not ready:
                self._tell(terminal, self._standing())

    def _check_end(self, newest: NewestPicture) -> None:
        if newest.error is None:
            raise ViewerFailed(
                f"the agent ended the pictures of {self._camera}",
                hint="`camera-agent status` tells how it is, the journal why it did so",
                camera=self._camera,
            )

    def _show(self, terminal: Terminal, draw: Draw, received: Received) -> None:
        columns, rows, cell_px = terminal.size()
        space = Space(columns, max(rows - 1, 1), cell_px)
        clear = "" if space == self._space else _CLEAR
        self._space = space
        terminal.write(_HOLD + clear + _HOME + draw(_pixels(received.data), space) + _LET_GO)
        self._shown_ns.append(monotonic_ns())
        self._tell(terminal, self._caption(received.headers))

    def _caption(self, headers: Mapping[str, str]) -> str:
        parts = [f"{self._camera}  frame {headers['x-sequence']}"]
        if "x-exposure-ns" in headers:
            parts.append(f"exposed {format_duration(int(headers['x-exposure-ns']))}")
        if len(self._shown_ns) > 1:
            span_ns = self._shown_ns[-1] - self._shown_ns[0]
            parts.append(f"{(len(self._shown_ns) - 1) * NS_PER_S / max(span_ns, 1):.1f}/s")
        return "  ".join((*parts, "q ends"))

    def _standing(self) -> str:
        try:
            with opened(self._socket, timeout_s=1.0) as client:
                state = client.ask("GET", f"/v1/cameras/{named(self._camera)}")
        except AgentError as error:
            return f"{error.message}  q ends"
        cause = f": {state['cause']}" if state["cause"] else ""
        hint = f"  (camera-agent start {self._camera})" if state["state"] in ("idle", "prepared") else ""
        return f"{self._camera} is {state['state']}{cause}, no picture comes{hint}  q ends"

    def _tell(self, terminal: Terminal, text: str) -> None:
        """In the last line."""
        columns, rows, _ = terminal.size()
        terminal.write(f"\x1b[{rows};1H\x1b[7m{printable(text)[: columns - 1]}\x1b[0m{_REST}")


def _pixels(jpeg: bytes) -> Pixels:
    return np.asarray(simplejpeg.decode_jpeg(jpeg, "RGB"), np.uint8)
