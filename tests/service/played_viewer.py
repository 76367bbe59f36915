"""Viewer processes that a test plays: what they were told, and what they say."""

import asyncio
import contextlib
import os
import socket

from control.pretend import picture

from agent.service.views import Views
from agent.viewing.packets import Alive, Made, Show, Take, send_told, unpack_order

LIMIT_S = 20


class PlayedViewer:
    """A `ViewerProcess`; `answers`: how it makes pictures by itself, in the order it was told."""

    def __init__(self, camera, *, stubborn=False):
        self.camera = camera
        self.channel, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._theirs.setblocking(False)
        self.pidfd = os.eventfd(0, os.EFD_NONBLOCK)
        self.ended = self.killed = False
        self.ending = "ended with status 0"
        self._stubborn = stubborn

    def kill(self):
        if not self.ended:
            self.killed = True
            self.die("was ended by SIGKILL")

    def die(self, how):
        self.ended, self.ending = True, how
        self._theirs.close()
        os.eventfd_write(self.pidfd, 1)

    def gone(self):
        return self.ended

    def release(self, wait_ns=0):
        if self.pidfd >= 0:
            self.kill()
            os.close(self.pidfd)
            self.pidfd = -1
        self.channel.close()

    # -- what the test does with it ---------------------------------------------------------------------------------

    def orders(self):
        """What it was told since the last look; it ends when its channel does."""
        found = []
        with contextlib.suppress(BlockingIOError):
            with contextlib.suppress(ConnectionResetError):  # it had said what nobody read
                while packet := self._theirs.recv(1 << 16):
                    found.append(unpack_order(packet))
            if not self._stubborn:
                self.die("ended with status 0")
        return found

    def say(self, *told):
        for one in told:
            send_told(self._theirs, one)

    def shown(self, orders):
        """Key by look, of the last that it was told to show."""
        shows = [one for one in orders if isinstance(one, Show)]
        return {look: key for key, (look, _) in shows[-1].wanted.items()}

    def show(self, key, number, look=None):
        self.say(Made(picture(number, look), key, ()))

    def takes(self, orders):
        return [one for one in orders if isinstance(one, Take)]

    def alive(self):
        self.say(Alive(0))


class Clock:
    def __init__(self):
        self.now_ns = 10**12

    def __call__(self):
        return self.now_ns


class Gallery:
    """Views, the viewers that were started for them, and a clock."""

    def __init__(self):
        self.clock = Clock()
        self.viewers, self.told, self.fails = [], [], None
        self.views = Views(self._spawn, lambda kind, data: self.told.append((kind, data)), self.clock)

    def _spawn(self, camera):
        if self.fails is not None:
            raise self.fails
        self.viewers.append(PlayedViewer(camera))
        return self.viewers[-1]

    @property
    def viewer(self):
        return self.viewers[-1]

    def pass_(self, ns):
        """Time passes, and somebody looks after the viewers."""
        self.clock.now_ns += ns
        self.views.sweep()

    async def until(self, condition):
        while not condition():
            await asyncio.sleep(0)


def in_gallery(scene):
    """Runs `scene(gallery)` in a loop of its own."""

    async def play():
        gallery = Gallery()
        async with asyncio.timeout(LIMIT_S):
            with gallery.views:
                await scene(gallery)

    asyncio.run(play())
