"""A capture process that plays one part, for tests of the supervisor: `player.py PART --channel=N --page=M ...`."""

import os
import signal
import sys
from pathlib import Path

from agent.capture.board import Board, Head
from agent.capture.channel import attach
from agent.capture.messages import Ready
from agent.shared import Page


def main():
    part = sys.argv[1]
    fds = {name.lstrip("-"): int(value) for name, value in (option.split("=") for option in sys.argv[2:])}
    if part == "dies":
        sys.exit(3)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open_fds = sum(not str(fd.resolve()).startswith("/proc") for fd in Path("/proc/self/fd").iterdir())
    channel, page = attach(fds["channel"]), Page.attach_writer(fds["page"])
    Board(page.words).words[Head.BEATS] += 1
    channel.send(Ready(at_ns=0, cameras={"session": os.getsid(0), "pid": os.getpid(), "fds": open_fds}))
    while True:
        signal.pause()


main()
