"""The folder of a recording: names for files, the index, and room, which older files make."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from agent.errors import StorageError
from agent.pipeline.calls import LINUX, Files
from agent.pipeline.files import prepare_folder, storage_error
from agent.pipeline.frame_log import FrameLog
from agent.pipeline.names import file_name, folder_of
from agent.pipeline.record import FrameRecord
from agent.pipeline.video_file import is_full
from agent.recording.keeper import Keeper, KeptFile
from agent.recording.order import RecordOrder
from agent.templates import NameFacts, NameTemplate
from agent.units import NS_PER_S

Surround = Callable[[], contextlib.AbstractContextManager[None]]
Made = TypeVar("Made")
_SET_NS = NS_PER_S
"""The realtime clock was set when it is so far from where it was; less is its rate being steered."""
_NUMBERS_TRIED = 8
"""Somebody else may write into the folder, too."""


class RecordFolder:
    """Owns the index while it is open: one recording a folder. A context manager; `release()` is idempotent.

    The index names no file that is not there; where a power cut or a full disk broke that, it is mended as soon as can
    be. `removed` counts files that went to make room, `lines` those that were written to the index.
    """

    def __init__(
        self,
        order: RecordOrder,
        *,
        files: Files = LINUX,
        surround: Surround = contextlib.nullcontext,
        epoch_ns: int = 0,
    ) -> None:
        """`surround`: entered around work that may take longer than a frame. `epoch_ns`: as of `make_room`.

        Raises StorageError, InputError.
        """
        self._template = NameTemplate(order.template)
        self._is_new = not order.folder.expanduser().exists()
        self.root = prepare_folder(order.folder, files)
        self.keeper = Keeper(order.limit_bytes, order.keep_ns)
        self.removed = 0
        self.lines = 0
        self.files = files
        self._surround = surround
        self._epoch_ns = epoch_ns
        self._numbers: dict[str, int] = {}
        self._still_named: set[str] = set()
        self._durability = order.durability
        self._log = FrameLog(self.root, durability=order.durability, files=files)
        try:
            if order.limit_bytes is not None or order.keep_ns is not None:
                self._take_stock()
        except BaseException:
            self.release()
            raise

    def __enter__(self) -> RecordFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Close the index; a folder that was made for nothing is taken away again. Raises StorageError."""
        try:
            self._mend()
            self._take_back()
        finally:
            try:
                self._log.release()
            except OSError as error:
                raise storage_error(error, self._log.path) from error

    def _take_back(self) -> None:
        """While the index is still ours: another recording may begin here at any moment."""
        if self._is_new and not self.lines:
            self._is_new = False
            with contextlib.suppress(OSError):  # somebody else put something there
                self._log.path.unlink()
                self.root.rmdir()

    def new_file(self, record: FrameRecord, suffix: str, make: Callable[[Path], Made]) -> tuple[str, Made]:
        """A new file that begins with this frame: its name below the folder, and what `make` made at its path.

        Under the next number whose name is not taken; folders are made. Raises StorageError.
        """
        owner = file_name(record.camera) if self._template.names_camera else ""
        if owner not in self._numbers:
            with self._surround():
                self._numbers[owner] = self._next_number(record.camera)
        for _ in range(_NUMBERS_TRIED):
            name, path = self._new_path(record, self._numbers[owner], suffix)
            try:
                made = make(path)
            except StorageError as error:
                if error.details.get("errno_name") != "EEXIST":
                    raise
                taken = error
                self._numbers[owner] += 1
            else:
                self._numbers[owner] += 1
                return name, made
        raise taken

    def _new_path(self, record: FrameRecord, number: int, suffix: str) -> tuple[str, Path]:
        facts = NameFacts(
            camera=record.camera,
            number=number,
            sequence=record.sequence,
            realtime_ns=record.realtime_ns,
            plan=record.plan,
            trace=record.trace_ids[0] if record.trace_ids else "",
        )
        name = f"{self._template.name(facts)}.{suffix}"
        path = self.root / name
        try:
            folder_of(self.root, name)
        except OSError as error:
            raise storage_error(error, path.parent) from error
        return name, path

    def append(self, record: FrameRecord) -> None:
        """A line of the index. Raises StorageError."""
        self._mend()
        self._index().append(record)
        self.lines += 1

    def _index(self) -> FrameLog:
        """Opened again after a line that could not even be cut away, which mends it. Raises StorageError."""
        if self._log.released:
            self._log = FrameLog(self.root, durability=self._durability, files=self.files)
        return self._log

    def make_room(self, now_ns: int, coming_bytes: int, epoch_ns: int = 0) -> None:
        """Take away what is too old or too much. `now_ns`: CLOCK_MONOTONIC; `epoch_ns`: where that began on REALTIME.

        So a clock that is set makes no frame of this run old. Raises StorageError when there is no room even then, or
        a file cannot be removed.
        """
        if abs(epoch_ns - self._epoch_ns) > _SET_NS:
            self.keeper.shift_earlier(self._epoch_ns - epoch_ns)
            self._epoch_ns = epoch_ns
        victims = self.keeper.victims(now_ns, coming_bytes)
        if victims:
            with self._surround():
                self._remove(victims)
        if not self.keeper.fits(coming_bytes):
            over = OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
            error = storage_error(over, self.root)
            error.hint = "the limit of this recording is less than what is written at once: give it a larger one"
            raise error

    def drop_oldest(self, size_bytes: int) -> bool:
        """Take away the oldest files that take at least so much; False when there are none."""
        victims = self.keeper.oldest(size_bytes)
        if victims:
            with self._surround():
                self._remove(victims)
        return bool(victims)

    def _remove(self, names: Sequence[str]) -> None:
        """The lines go first; where there is no room for the new index, files do, and their lines when there is.

        What a link leads to outside of the folder is not ours to take away, nor to keep account of.
        """
        places = _Places(self.root)
        for name in names:
            if not places.is_inside(name):
                self.keeper.remove(name)
        names = [name for name in names if places.is_inside(name)]
        try:
            self._index().drop(names)
        except StorageError as error:
            if not is_full(error):
                raise
            self._still_named |= set(names)
        self._unlink(names)
        self._mend()

    def _mend(self) -> None:
        """Take lines out whose files are gone; when that cannot be, the next time."""
        if self._still_named:
            with contextlib.suppress(StorageError):
                self._index().drop(self._still_named)
                self._still_named.clear()

    def _unlink(self, names: Sequence[str]) -> None:
        for name in names:
            path = self.root / name
            try:
                self.files.unlink(str(path))
            except FileNotFoundError:
                pass  # somebody else took it away
            except OSError as error:
                raise storage_error(error, path) from error
            self.keeper.remove(name)
            self.removed += 1
            _remove_empty(path.parent, self.root)

    def _take_stock(self) -> None:
        """Know all files of the index with their age; lines of files that are gone are taken out."""
        found: dict[str, KeptFile] = {}
        gone = set()
        places = _Places(self.root)
        for name, at_ns in _indexed(self._log.path):
            known = found.get(name)
            if known is not None:
                known.at_ns = max(known.at_ns, at_ns)
            elif name not in gone and places.is_inside(name):
                try:
                    found[name] = KeptFile(name, (self.root / name).stat().st_size, at_ns)
                except OSError:
                    gone.add(name)
        if gone:
            self._log.drop(gone)
        for file in sorted(found.values(), key=lambda each: each.at_ns):
            self.keeper.add(file.name, file.size_bytes, file.at_ns - self._epoch_ns, is_earlier=True)

    def _next_number(self, camera: str) -> int:
        """One more than the highest of what is there."""
        highest = -1
        for folder, _, names in os.walk(self.root):
            below = Path(folder).relative_to(self.root).as_posix()
            for name in names:
                stem = name.rpartition(".")[0]
                number = self._template.number_in(stem if below == "." else f"{below}/{stem}", camera)
                highest = max(highest, -1 if number is None else number)
        return highest + 1


def _indexed(log: Path) -> Iterator[tuple[str, int]]:
    """File and CLOCK_REALTIME of each line; a name that leads out of the folder is nobody's of ours."""
    with log.open("rb") as lines:
        for line in lines:
            try:
                found = json.loads(line)
                name, at_ns = found["file"], found["realtime_ns"]
            except (ValueError, KeyError, TypeError):
                continue
            if isinstance(name, str) and isinstance(at_ns, int) and name and not _leads_out(name):
                yield name, at_ns


class _Places:
    """Which names below a folder are in it, whatever links there are: asked once for each folder."""

    def __init__(self, root: Path) -> None:
        self._root, self._real = root, root.resolve()
        self._inside: dict[str, bool] = {}

    def is_inside(self, name: str) -> bool:
        folder = name.rpartition("/")[0]
        inside = self._inside.get(folder)
        if inside is None:
            inside = self._inside[folder] = (self._root / folder).resolve().is_relative_to(self._real)
        return inside


def _leads_out(name: str) -> bool:
    return name.startswith("/") or ".." in name.split("/")


def _remove_empty(folder: Path, root: Path) -> None:
    """A folder that nothing is left in goes with its last file."""
    while folder != root:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
