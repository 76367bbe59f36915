"""Clients of a capture loop's frames, over real sockets; they do what a test tells them."""

import socket
from collections import deque

from agent.errors import AgentError
from agent.frames import wire
from agent.frames.borrowed import Borrowed
from agent.frames.borrower import Borrower, RefusedByLender
from agent.frames.wire import Answer, State, Subscribe, Target


class Client:
    """One client of a LoopStage. `frames`: those it has heard of and has not given back; `taken`: all, as they were."""

    def __init__(self, stage, name="top", target=Target.CAMERA, *, packet=None, **wish):
        self.stage = stage
        self.frames, self.taken, self.states = deque(), [], []
        self.cameras = []
        """Whose the frames in `taken` are."""
        self.refused, self.ended = None, False
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel, self.borrower = ours, None
        packet = wire.pack_subscribe(Subscribe(target, name, **wish)) if packet is None else packet
        with theirs:
            assert stage.door.pass_on(packet, theirs)
        stage.settle()
        ours.setblocking(False)
        self.hear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def hear(self):
        """All that it was told; the frames that are new."""
        new = []
        while not self.ended:
            try:
                heard = self._next()
            except BlockingIOError:
                break
            except RefusedByLender as error:
                self.refused = error.code
                continue
            if heard is None:
                self.ended = True
            elif isinstance(heard, Borrowed):
                self.frames.append(heard)
                self.taken.append((heard.facts, heard.skipped, heard.revoked, heard.trace_ids))
                self.cameras.append(heard.camera)
                new.append(heard)
            elif isinstance(heard, State):
                self.states.append(heard.state.name.lower())
        return new

    def give_back(self, place=0):
        """The frame at `place` of those it has; the loop hears of it."""
        frame = self.frames[place]
        del self.frames[place]
        self.say(wire.pack_answer(Answer(frame.lease, False, 0)))
        return frame

    def say(self, *packets):
        for packet in packets:
            try:
                self.channel.send(packet)
            except (BrokenPipeError, ConnectionResetError):
                break
        self.stage.settle()

    def close(self):
        if self.borrower is not None:
            self.borrower.release()
        self.channel.close()
        self.ended = True

    def _next(self):
        if self.borrower is None:
            self.channel.recv(1, socket.MSG_PEEK)
            try:
                self.borrower = Borrower(self.channel)
            except RefusedByLender:
                raise
            except AgentError:
                return None
            finally:
                self.channel.setblocking(False)
        return self.borrower.hear()
