"""Sinks that behave in one odd way each: `python odd_sink.py WAY --channel N`."""

import os
import signal
import socket
import sys

from agent.frames import wire
from agent.frames.borrower import Borrower
from agent.frames.wire import Answer


def good(borrower, _):
    while (borrowed := borrower.receive()) is not None:
        borrower.answer(Answer(borrowed.lease, True, 1, "", f"{borrowed.camera}-{borrowed.facts.sequence}"))


def hold(borrower, _):
    while borrower.receive() is not None:
        pass


def die(borrower, _):
    borrower.receive()
    os._exit(3)


def answer_and_die(borrower, _):
    borrower.answer(Answer(borrower.receive().lease, True, 1, "", "last"))


def die_at_the_second(borrower, _):
    first, second = borrower.receive(), borrower.receive()
    borrower.answer(Answer(first.lease, True, 1, "", "first"))
    os.kill(os.getpid(), signal.SIGSEGV if second else 0)


def peek(borrower, _):
    """Answers for each frame when the next one comes, with what its first bytes are by then."""
    earlier = None
    while (borrowed := borrower.receive()) is not None:
        if earlier is not None:
            with earlier:
                borrower.answer(Answer(earlier.lease, True, 1, "", bytes(earlier.planes[0][:4]).hex()))
        earlier = borrowed


def closes(borrower, channel):
    channel.close()
    signal.pause()


def _says(*packets):
    def way(borrower, channel):
        lease = borrower.receive().lease
        for packet in packets:
            channel.send(packet(lease))
        signal.pause()

    return way


wrong = _says(lambda lease: wire.pack_answer(Answer(lease + 1000, True, 0)))
twice = _says(*[lambda lease: wire.pack_answer(Answer(lease, True, 0, "", "file"))] * 2)
truncated = _says(lambda lease: wire.pack_answer(Answer(lease, True, 0))[:-3])
liar = _says(
    lambda lease: wire.pack_answer(Answer(lease + 1000, True, 0)),
    lambda lease: wire.pack_answer(Answer(lease, True, 0)),
)
noise = _says(lambda _: os.urandom(3000) + b"\xff" * 3000)

if __name__ == "__main__":
    way, number = sys.argv[1], int(sys.argv[3])
    if way == "quits":
        sys.exit(9)
    with socket.socket(fileno=number) as channel:
        if way == "silent":
            signal.pause()
        with Borrower(channel) as borrower:
            borrower.say_ready()
            globals()[way](borrower, channel)
