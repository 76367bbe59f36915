"""A camera that never stops, for programs that are tried against it: the agent's own lender, in a thread."""

import select
import socket
import threading
import time

import numpy as np
from frames.pools import FACTS, Pool

from agent.frames import wire
from agent.frames.lender import Lender
from agent.frames.pool import LentPool
from agent.frames.values import PoolFormat

YUYV = PoolFormat("YUYV", 64, 32, ((128, 4096),))
_BUFFERS = 8
_PERIOD_S = 0.002


class Camera:
    """`top`, YUYV 64x32, for whoever connects at `path`; numbers from 0 for each. A context manager."""

    def __init__(self, folder):
        self.path = folder / "frames.sock"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._ours, self._stop = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="camera")
        self._failed = None

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.close()
        self._thread.join()
        self._listener.close()
        self._ours.close()
        assert self._failed is None, self._failed

    def _run(self):
        clients = []
        try:
            while True:
                ready, _, _ = select.select([self._listener, self._ours], [], [], _PERIOD_S)
                if self._ours in ready:
                    return
                if self._listener in ready:
                    clients.append(_Client(self._listener.accept()[0]))
                for client in clients:
                    client.turn()
        except BaseException as error:
            self._failed = error
            raise
        finally:
            for client in clients:
                client.release()


class _Client:
    def __init__(self, channel):
        asked = wire.unpack_subscribe(channel.recv(wire.ANSWER_BYTES))
        self._after_ns = asked.after_ns or 0
        self._pool = Pool(_BUFFERS, (4096,))
        self._pool.lent = LentPool("top", YUYV, self._pool.memory)
        self._lender = Lender(channel, most=asked.most)
        self._number = self._lender.add_pool(self._pool.lent)
        self._sequence = 0
        self._free = list(range(_BUFFERS))

    def turn(self):
        while (settled := self._lender.receive()) is not None:
            self._free.append(settled[0].item)
        began_ns = time.monotonic_ns()
        if self._lender.closed or not self._free or began_ns < self._after_ns:
            return
        index = self._free.pop(0)
        self._pool.planes[index][0][:] = np.arange(4096) % 200
        facts = FACTS._replace(sequence=self._sequence, timestamp_ns=began_ns, began_ns=began_ns, pulse=self._sequence)
        lease = self._lender.lend(
            self._number, index, facts, self._pool.planes[index], (0,), [f"{7:032x}"], 10**9, index
        )
        if lease is None:
            self._free.append(index)
        else:
            self._sequence += 1

    def release(self):
        self._lender.release()
        self._pool.release()
