"""A camera's pictures, read by a thread so that somebody else can wait for keys: the newest, and why they ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from agent.cli.asked import opened
from agent.control.client import Client, Received
from agent.errors import AgentError

_FOREVER_S = 7 * 24 * 3600.0
"""A camera that is off has no pictures for as long as it likes."""
_MOMENT_S = 0.05


class NewestPicture:
    """A context manager; `fileno` is readable when there is a picture or an end. `take` and `error` from one thread."""

    def __init__(self, camera: str, query: Mapping[str, str | int], socket_path: Path | None) -> None:
        self._camera, self._query = camera, query
        self._client: Client = opened(socket_path, timeout_s=_FOREVER_S)
        self._thread = threading.Thread(target=self._read, name="pictures")
        self._lock = threading.Lock()
        self._newest: Received | None = None
        self._event = -1
        self.over = False
        self.error: AgentError | None = None

    def __enter__(self) -> NewestPicture:
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        while self._thread.is_alive():  # it may be about to connect: then it is told once more
            self._client.abort()
            self._thread.join(_MOMENT_S)
        self._client.release()
        os.close(self._event)

    def fileno(self) -> int:
        """An eventfd."""
        return self._event

    def take(self) -> Received | None:
        """The newest that was not taken yet."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._event)
        with self._lock:
            found, self._newest = self._newest, None
        return found

    def _read(self) -> None:
        try:
            for received in self._client.pictures(self._camera, **self._query):
                with self._lock:
                    self._newest = received
                os.eventfd_write(self._event, 1)
        except AgentError as error:
            self.error = error
        finally:
            self.over = True
            os.eventfd_write(self._event, 1)
