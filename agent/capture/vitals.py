"""What the shared page tells of a capture process: whether its loop turns, how its cameras stand."""

from __future__ import annotations

from collections.abc import Sequence

from agent.capture.board import Board, Head, Of
from agent.capture.state_word import Phase, describe, read_word


class Vitals:
    """Watches one process in its page; a new one for each process, since the page keeps what the last one wrote.

    Silence is what the watcher saw: the time since it first looked at a number of beats that has not grown. A watcher
    that was held up itself, or a machine that stood still, makes nobody look dead.
    """

    def __init__(self, board: Board, cameras: Sequence[str], now_ns: int) -> None:
        """The process to watch was started at `now_ns`."""
        self._board = board
        self._cameras = tuple(cameras)
        self._beats = board.words[Head.BEATS]
        self._seen_ns = now_ns
        self.beaten = False
        """Its loop has turned at least once."""

    def look(self, now_ns: int) -> int:
        """Look at the beats; the silence so far."""
        beats = self._board.words[Head.BEATS]
        if beats != self._beats:
            self._beats, self._seen_ns, self.beaten = beats, now_ns, True
        return now_ns - self._seen_ns

    def stopping(self) -> dict[str, tuple[str, int]]:
        """Cameras that should come to rest: how each stands, in words, and since when."""
        found = {}
        for name, words in zip(self._cameras, self._board.all_cameras(), strict=True):
            if self.beaten and read_word(words[Of.WORD])[0] is Phase.STOPPING:
                found[name] = "hung in STREAMOFF", words[Of.ENTERED_NS] or words[Of.SINCE_NS]
            elif self.beaten and words[Of.DUE_NS]:  # asked to stop while it is being started, which has not ended yet
                found[name] = "not come to rest", words[Of.ASKED_NS]
        return found

    def streaming(self) -> frozenset[str]:
        """Cameras whose stream is on, in STREAMOFF, or may be on: a STREAMON that was told to stop has not ended."""
        on = (Phase.ARMED, Phase.STOPPING)
        pairs = zip(self._cameras, self._board.all_cameras(), strict=True)
        return frozenset(
            name for name, words in pairs if self.beaten and (words[Of.DUE_NS] or read_word(words[Of.WORD])[0] in on)
        )

    def in_streamoff(self) -> frozenset[str]:
        """Cameras whose STREAMOFF was begun and has not returned."""
        pairs = zip(self._cameras, self._board.all_cameras(), strict=True)
        is_stopping = {name: read_word(words[Of.WORD])[0] is Phase.STOPPING for name, words in pairs}
        return frozenset(name for name, stopping in is_stopping.items() if stopping and self.beaten)

    def in_words(self) -> str:
        """The cameras' states: `camera top was armed, busy; camera side was prepared`."""
        if not self.beaten:
            return "it was starting"
        pairs = zip(self._cameras, self._board.all_cameras(), strict=True)
        return "; ".join(f"camera {name} was {describe(words[Of.WORD])}" for name, words in pairs)
