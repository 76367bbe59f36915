"""The frame socket's client as a source of frames."""

from __future__ import annotations

from pathlib import Path

from agent.viewing.source import Frames


def subscribe(camera: str, frame_socket: Path) -> Frames:
    """The newest frames of a camera. Raises AgentError."""
    raise NotImplementedError
