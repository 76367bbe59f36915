"""The viewer process: `python -m agent.viewing.process --camera NAME --socket PATH --channel N`, started by the agent.

It ends when its channel does. What it is for, and why it is a process: docs/decisions/0026.
"""

from __future__ import annotations

import argparse
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

import cv2

from agent.clock import monotonic_ns
from agent.viewing.subscribed import subscribe
from agent.viewing.viewer import Viewer


def main(arguments: Sequence[str] | None = None) -> int:
    """Be a viewer process; returns its exit status."""
    parser = argparse.ArgumentParser(prog="agent.viewing.process", description="Makes pictures. Started by the agent.")
    parser.add_argument("--camera", required=True, help="whose frames")
    parser.add_argument("--socket", type=Path, required=True, help="the agent's frame socket")
    parser.add_argument("--channel", type=int, required=True, help="the descriptor that the agent is behind")
    given = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C reaches us too: the channel's end is ours
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(1)  # several processors for one picture are taken from the captures
    with socket.socket(fileno=given.channel) as channel:
        Viewer(given.camera, channel, lambda: subscribe(given.camera, given.socket), monotonic_ns).run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
