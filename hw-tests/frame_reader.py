"""A client of the installed agent, a program of its own: a line of JSON for every frame it gets.

python frame_reader.py WANTED, a JSON object of what `agent.client.connect` takes; `hold`: keep the first one for ever.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

from agent.client import Feed, Frame, Revoked, connect
from agent.errors import AgentError
from agent.simulation.mark import read_mark


def main() -> int:
    """Until it is ended, or refused: then the last line is why."""
    wanted = json.loads(sys.argv[1])
    is_holding = wanted.pop("hold", False)
    try:
        with connect(**wanted) as feed:
            for frame in feed:
                say(**seen(feed, frame))
                if is_holding:
                    signal.pause()
    except AgentError as error:
        say(code=error.code, message=error.message, hint=error.hint)
        return 1
    return 0


def seen(feed: Feed, frame: Frame) -> dict[str, Any]:
    """What is to be told of a frame."""
    told = {"sequence": frame.sequence, "reconnects": feed.reconnects, "skipped": frame.skipped}
    try:
        luma = frame.image[..., 0]
        mark = read_mark(luma)
        frame.check()
    except Revoked:
        return {**told, "revoked": True}
    return {
        **told,
        "size": [frame.width_px, frame.height_px],
        "timestamp_ns": frame.timestamp_ns,
        "began_ns": frame.began_ns,
        "exposure_ns": frame.exposure_ns,
        "mark": [mark.sequence, mark.exposure_ns, mark.gain] if mark is not None else None,
    }


def say(**words: Any) -> None:
    """One line."""
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    sys.exit(main())
