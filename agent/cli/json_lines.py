"""A file of JSON lines that grows while a run goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.errors import StorageError


class JsonLines:
    """One JSON object a line. A context manager; `release()` is idempotent, and leaves no empty file."""

    def __init__(self, path: Path) -> None:
        """Raises StorageError: the file exists already, or cannot be made."""
        self.path = path
        self.written = 0
        self._size = 0
        try:
            # a run's account is never written over another one's; no buffer, which would be written at a bad time
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise _storage(path, error) from error

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def write(self, lines: Sequence[str]) -> None:
        """Write them, each with its line break. Raises StorageError; no half line is left then."""
        data = "".join(lines).encode()
        try:
            while data:
                data = data[self._file.write(data) :]
            self._size = self._file.tell()
        except OSError as error:
            self._file.truncate(self._size)
            raise _storage(self.path, error) from error
        self.written += len(lines)

    def release(self) -> None:
        """Close the file; one without a line is taken away again."""
        if not self._file.closed and not self.written:
            self.path.unlink(missing_ok=True)
        self._file.close()


def _storage(path: Path, error: OSError) -> StorageError:
    hint = "name a file that does not exist yet" if isinstance(error, FileExistsError) else "name another file"
    return StorageError(f"{path}: {error.strerror or error}", hint=hint, path=str(path))
