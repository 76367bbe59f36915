"""A writing process that is stuck at a file whose name ends as STUCK_AT says, in the call that names it.

Once only, when there is a file STUCK_ONCE, which is taken away.
"""

import argparse
import os
import signal
import socket
from pathlib import Path

from agent.pipeline.calls import LinuxFiles
from agent.recording.writer import Writer


class StuckFiles(LinuxFiles):
    def link_open(self, fd, path):
        once = os.environ.get("STUCK_ONCE")
        if path.endswith(os.environ["STUCK_AT"]) and (once is None or Path(once).exists()):
            if once is not None:
                Path(once).unlink()
            while True:
                signal.pause()
        super().link_open(fd, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--channel", type=int)
    with socket.socket(fileno=parser.parse_args().channel) as channel:
        Writer(channel, files=StuckFiles()).serve()
