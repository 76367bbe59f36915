"""Frames of one camera, as lines: python frames.py CAMERA [FRAMES]."""

import sys
from itertools import islice

from agent.client import Revoked, connect


def main(camera: str, frames: str = "10") -> None:
    """Print what each frame is, and how bright."""
    with connect(camera, timeout_s=10) as feed:
        for frame in islice(feed, int(frames)):
            try:
                with frame:
                    mean = sum(float(plane.mean()) for plane in frame.planes) / len(frame.planes)
            except Revoked as error:  # the camera was stopped while it was read
                print(error.message, file=sys.stderr)
                continue
            shape = f"{frame.pixel_format} {frame.width_px}x{frame.height_px}"
            print(
                frame.camera, frame.sequence, frame.timestamp_ns, shape, f"mean {mean:.1f}", f"skipped {frame.skipped}"
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
