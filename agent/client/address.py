"""Where frames are to be had: the socket beside the control socket, and a connection to it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agent.client.errors import AgentUnreachable, NotAllowed
from agent.frames.values import SOCKET_NAME

DEFAULT_SOCKET = Path("/run/camera-agent") / SOCKET_NAME
CONTROL_VARIABLE = "CAMERA_AGENT_SOCKET"
"""Names the control socket, for the command line as well; frames are beside it."""

MakeSocket = Callable[[int, int], socket.socket]
"""Makes a socket of a family and a type."""


def frames_socket(path: str | os.PathLike[str] | None) -> Path:
    """The socket at `path`; None: the one beside that of CAMERA_AGENT_SOCKET, else of an installed agent."""
    if path is not None:
        return Path(path)
    control = os.environ.get(CONTROL_VARIABLE)
    return Path(control).parent / SOCKET_NAME if control else DEFAULT_SOCKET


def open_channel(path: Path, first: bytes, make: MakeSocket = socket.socket) -> socket.socket:
    """A connection that does not block, with its first packet sent. Raises AgentUnreachable, NotAllowed.

    Whoever is refused before he has said a word is told why by what he hears.
    """
    channel = make(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        channel.connect(str(path))
        with suppress(BrokenPipeError):
            channel.send(first)
    except PermissionError as error:
        channel.close()
        raise NotAllowed(
            f"no permission to connect to {path}", hint="be a member of the socket's group", socket=str(path)
        ) from error
    except OSError as error:  # also EAGAIN: more wait there already than it listens for
        channel.close()
        raise AgentUnreachable(
            f"nobody gives frames at {path}: {error.strerror or error}",
            hint="start the agent, or name its socket: connect(..., socket=PATH)",
            socket=str(path),
        ) from error
    except BaseException:
        channel.close()
        raise
    return channel
