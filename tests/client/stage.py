"""The agent's side of frames for clients, played message by message: it does what a test says, also what it may not."""

from __future__ import annotations

import socket
import time

from frames.pools import FACTS, GREY, Pool

from agent.client import connect
from agent.client.wanted import wanted
from agent.frames import wire
from agent.frames.marks import CommitToken, Marks
from agent.frames.values import Answer, Refused, State, Streaming

FLAGS = socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK
LIMIT_NS = 1_000_000_000


def wish(**changes):
    """A subscription to `top`, the simplest there is."""
    plain = {"kind": "camera", "every": False, "after_ns": None, "most": 1, "depth": 1, "lease_s": None}
    return wanted("top", **{**plain, **changes})


class Door:
    """The listening socket. Everything in one thread: a client's connect and its packet wait here until `accept`."""

    def __init__(self, folder):
        self.path = folder / "frames.sock"
        self._lenders = []
        self.listen()

    def listen(self):
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, FLAGS)
        self._listener.bind(str(self.path))
        self._listener.listen()

    def close(self):
        self._listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        for lender in self._lenders:
            lender.release()

    def connect(self, target="top", **options):
        """A client; by default one that does not wait long when a test is wrong."""
        return connect(target, socket=self.path, **{"timeout_s": 10, **options})

    def accept(self, *, opening=True):
        channel, _ = self._listener.accept()
        lender = PlayedLender(channel)
        self._lenders.append(lender)
        if opening:
            lender.open()
        return lender

    def serve(self, feed_target="top", **options):
        """A client and its lender, with the opening sent."""
        feed = self.connect(feed_target, **options)
        return feed, self.accept()


class PlayedLender:
    """One connection. `subscribe`: what the client sent first."""

    def __init__(self, channel):
        self.channel = channel
        channel.setblocking(False)
        self.subscribe = wire.unpack_subscribe(channel.recv(wire.ANSWER_BYTES))
        self._pools = []
        self._token = None
        self._next_pool = self._next_lease = 1

    def release(self):
        self.channel.close()
        if self._token is not None:
            self._token.release()
        while self._pools:
            self._pools.pop().release()

    def die(self):
        """As a process that is killed: its end of the connection closes, and its marks stay as they are."""
        self.channel.close()

    def send(self, message, fds=()):
        if fds:
            socket.send_fds(self.channel, [message], fds)
        else:
            self.channel.send(message)

    def open(self):
        self.send(wire.pack_opening(b""))

    def open_with_token(self):
        self._token = CommitToken.create()
        self.send(wire.pack_opening(b""), [self._token.fd])

    def pool(self, buffers=4, lengths=(2048,), *, form=GREY, camera="top", announced=True):
        pool = PlayedPool(self, self._next_pool, Pool(buffers, lengths), form, camera)
        self._next_pool += 1
        self._pools.append(pool)
        if announced:
            pool.announce()
        return pool

    def lend(self, pool, index=0, *, facts=FACTS, skipped=0, traces=b"", used=None, offsets=None, good=True):
        """Lend a buffer; its lease. `good` False: it is revoked before the message is sent."""
        lease, self._next_lease = self._next_lease, self._next_lease + 1
        pool.marks.words[index] = lease if good else 0
        used = used or pool.lengths
        offsets = offsets or (0,) * len(used)
        count = len(traces) // wire.TRACE_BYTES
        self.send(
            wire.pack_frame(
                pool.number, index, lease, lease, LIMIT_NS, facts, tuple(offsets), tuple(used), count, skipped
            )
            + traces
        )
        return lease

    def state(self, state, camera="top", cause="", hint=""):
        self.send(wire.pack_state(State(Streaming[state], camera, cause, hint)))

    def refuse(self, code, message="no", hint="do otherwise"):
        self.send(wire.pack_refused(Refused(code, message, hint)))
        self.channel.close()

    def returned(self):
        """Leases that came back since this was last asked."""
        found = []
        while True:
            try:
                packet = self.channel.recv(wire.ANSWER_BYTES)
            except BlockingIOError:
                return found
            if not packet:
                return [*found, "end"]
            answer = wire.unpack_for_lender(packet)
            assert isinstance(answer, Answer)
            assert (answer.code, answer.file, answer.told) == ("", "", "")
            assert 0 <= answer.took_ns < 60_000_000_000
            found.append(answer.lease)


class PlayedPool:
    """A pool of memfds. `planes`: writable views, by buffer and plane."""

    def __init__(self, lender, number, memory, form, camera):
        self.lender, self.number, self.form, self.camera = lender, number, form, camera
        self._memory = memory
        self.planes = memory.planes
        self.lengths = [plane.length for plane in memory.memory[0]]
        self.marks = Marks(len(memory.memory))

    def announce(self):
        buffers = self._memory.memory
        self.lender.send(wire.pack_pool(self.number, len(buffers), self.form, self.camera), [self.marks.fd])
        planes = [plane for buffer in buffers for plane in buffer]
        message = wire.pack_buffers(self.number, 0, len(buffers[0]), [plane.length for plane in planes])
        self.lender.send(message, [plane.fd for plane in planes])

    def revoke(self, index=0):
        self.marks.words[index] = 0

    def forget(self):
        for index in range(len(self.marks.words)):
            self.marks.words[index] = 0
        self.lender.send(wire.pack_forget(self.number))

    def release(self):
        self.marks.release()
        self._memory.release()


def wait_until(condition, timeout_s=10):
    """Until another process or thread has done it; looks again and again, as there is nothing to wait on."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.001)
    return found
