"""SIGINT, SIGTERM and SIGHUP: taken while waiting for a frame, held back while something is being finished."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asked to stop. Not an Exception: nothing on its way to the end of the program may swallow it.

    `told` is what a person should know of the work done until then.
    """

    def __init__(self, number: int, told: str = "") -> None:
        super().__init__(number)
        self.number = number
        self.told = told

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells have it."""
        return 128 + self.number

    @property
    def message(self) -> str:
        """One line for people."""
        name = "Ctrl-C" if self.number == signal.SIGINT else signal.Signals(self.number).name
        return f"stopped by {name}: {self.told}" if self.told else f"stopped by {name}"


class Interruption:
    """Owns the signal handlers while entered; to be entered in the main thread, `check` may be called in any.

    The first signal raises Interrupted inside `waiting()`, else it is remembered for the next `check`. A second one
    raises wherever it finds the program.
    """

    def __init__(self) -> None:
        self.again = False
        """More than one signal came: whoever stops in good order may leave that."""
        self._asked: int | None = None
        self._waiting = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Interruption:
        for number in _SIGNALS:
            # a shell starts jobs in the background with SIGINT ignored, nohup ignores SIGHUP: that stays so
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()

    def check(self) -> None:
        """Raises Interrupted when a signal came."""
        if self._asked is not None:
            raise Interrupted(self._asked)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside, a signal raises Interrupted at once; also one that came before."""
        self._waiting = True
        try:
            self.check()
            yield
        finally:
            self._waiting = False

    @contextmanager
    def checked(self) -> Iterator[None]:
        """`waiting` for threads that signals do not reach: they stop before the next wait."""
        self.check()
        yield

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.again = self._asked is not None
        self._asked = self._asked or number
        if self._waiting or self.again:
            raise Interrupted(self._asked)
