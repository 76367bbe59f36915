"""What a command line came to: its code and output, the files it left, the cameras it let go."""

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from PIL import Image


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def document(self):
        return json.loads(self.out)

    @property
    def error(self):
        return json.loads(self.err)


def written(folder: Path) -> tuple[list[str], list[dict]]:
    """Names of the files in a folder beside the log, and the lines of the log."""
    if not folder.is_dir():
        return [], []
    names = sorted(entry.name for entry in folder.iterdir())
    log = folder / "frames.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [name for name in names if name != "frames.jsonl"], lines


def assert_all_is_whole(folder: Path) -> int:
    """Each picture is whole and has its line and the other way round, nothing else is there; how many there are."""
    names, lines = written(folder)
    assert [line["file"] for line in lines] == names
    for name in names:
        with Image.open(folder / name) as picture:
            picture.load()
    return len(names)


def assert_let_go(kernel) -> None:
    """No camera streams, none is held open."""
    for camera in kernel.cameras:
        assert camera.stream is None
        assert camera.owner is None
        assert not camera.files


class SignalAt:
    """A kernel on which this process gets a signal at the n-th call of a request, before the call is made."""

    def __init__(self, kernel, request, *, on_call=1, number=signal.SIGINT, times=1):
        self._kernel = kernel
        self._request = request.number
        self._calls_left = on_call
        self._number = number
        self._times = times
        self.requests = []

    def __getattr__(self, name):
        return getattr(self._kernel, name)

    def ioctl(self, fd, request, argument):
        self.requests.append(request)
        if request == self._request:
            self._calls_left -= 1
            if self._calls_left == 0:
                for _ in range(self._times):
                    os.kill(os.getpid(), self._number)
        return self._kernel.ioctl(fd, request, argument)
