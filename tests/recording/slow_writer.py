"""A writing process on a slow disk: each call that names a file takes SLOW_MS milliseconds."""

import argparse
import os
import socket
import time

from agent.pipeline.calls import LinuxFiles
from agent.recording.writer import Writer


class SlowFiles(LinuxFiles):
    def link_open(self, fd, path):
        time.sleep(int(os.environ["SLOW_MS"]) / 1000)
        super().link_open(fd, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--channel", type=int)
    with socket.socket(fileno=parser.parse_args().channel) as channel:
        Writer(channel, files=SlowFiles()).serve()
