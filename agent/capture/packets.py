"""Packets of the command socket as the kernel carries them: bytes, or a memfd beside one byte where they are many."""

from __future__ import annotations

import os
import socket
from typing import Any, NamedTuple

from agent.errors import AgentError

LARGEST_BYTES = 64 * 1024 * 1024
"""No message is larger, in a packet or beside it: some 200,000 plans."""


class ChannelBroken(AgentError):
    """The other end sent what is no message of ours."""

    code = "channel_broken"


class Packet(NamedTuple):
    """Bytes to send; `memory` is the memfd that holds them when a packet cannot, -1 for none."""

    data: bytes
    memory: int
    size_bytes: int


def in_memory(data: bytes) -> Packet:
    """A packet of the kind byte alone, and the message in a memfd that goes with it."""
    memory = os.memfd_create("message", os.MFD_CLOEXEC)
    with open(memory, "wb", closefd=False) as file:
        file.write(data)
    return Packet(data[:1], memory, len(data))


def read_memory(fds: list[int]) -> bytes:
    """The message in the memfd that came with a packet; closes what came."""
    try:
        size = os.fstat(fds[0]).st_size
        if not 0 < size <= LARGEST_BYTES:
            raise broken(f"a message of {size} bytes")
        return os.pread(fds[0], size, 0)
    finally:
        for fd in fds:
            os.close(fd)


def receive_into(end: socket.socket, buffer: bytearray) -> tuple[int, list[int], int, Any]:
    """socket.recv_fds without its copy of the bytes, and with descriptors that are not inherited by children."""
    size, ancillary, flags, address = end.recvmsg_into([buffer], socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    fds = [
        int.from_bytes(data[:4], "little", signed=True)
        for level, kind, data in ancillary
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS
    ]
    return size, fds, flags, address


def broken(what: str) -> ChannelBroken:
    """The error for `what` came."""
    return ChannelBroken(
        f"the other end of the command socket sent {what}",
        hint="both ends must be of the same version: restart the agent",
    )
