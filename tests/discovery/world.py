"""A machine whose cameras are plugged by hand: sysfs as it is now, and a socket with room for so many events."""

import os
from collections import deque
from dataclasses import replace

from discovery.sockets import nodes_of

from agent.discovery.source import EventsLost, Record


class World:
    """What there is, and the events about it. Also the `Source` of a `Watch`."""

    def __init__(self, room=1000):
        self.nodes = {}
        self.plugged = {}
        self.listening = False
        self.released = False
        self.before_list = lambda: None
        self._room = room
        self._queue = deque()
        self._overrun = False
        self._congested = False
        self._sequence = 0
        self._made_us = 0
        self._fd = os.eventfd(0, os.EFD_NONBLOCK)

    # -- what a person does

    def plug(self, socket, unit):
        """Plug a camera in; its nodes come one by one."""
        used = {node.devnum for node in self.nodes.values()}
        self.plugged[socket] = unit
        number = next(n for n in range(64) if not {81 << 8 | 2 * n, 81 << 8 | 2 * n + 1} & used)
        for node in nodes_of({socket: unit}, [socket]):
            self.make(_numbered(node, 2 * number + node.index))

    def unplug(self, socket):
        """Pull the cable: nodes go, then the driver lets go of the interface, then that goes."""
        below = f"/1-{socket}:1.0/"
        for sys_path in [path for path in self.nodes if below in path]:
            self.remove(sys_path)
        interface = f"/sys/devices/pci0000:00/0000:00:14.0/usb1/1-{socket}/1-{socket}:1.0"
        self.send("unbind", "usb", interface)
        self.send("remove", "usb", interface)
        del self.plugged[socket]

    # -- what the kernel and udev do

    def make(self, node):
        self._made_us += 1
        made = replace(node, made_us=self._made_us)
        self.nodes[node.sys_path] = made
        self.send("add", "video4linux", node.sys_path, made)

    def remove(self, sys_path):
        del self.nodes[sys_path]
        self.send("remove", "video4linux", sys_path)

    def send(self, action, subsystem, sys_path, node=None):
        self._sequence += 1
        if not self.listening:
            return
        if self._congested or len(self._queue) >= self._room:
            self._overrun = self._congested = True
            return
        record = Record(action=action, subsystem=subsystem, sys_path=sys_path, sequence=self._sequence, node=node)
        self._queue.append(record)

    # -- the source

    def start(self):
        self.listening = True

    def fileno(self):
        return self._fd

    def sequence(self):
        return self._sequence

    def list_nodes(self):
        self.before_list()
        return list(self.nodes.values())

    def look(self, sys_path):
        return self.nodes.get(sys_path)

    def receive(self):
        if self._overrun:
            self._overrun = False
            raise EventsLost
        if not self._queue:
            self._congested = False
            return None
        return self._queue.popleft()

    def release(self):
        if not self.released:
            self.released = True
            os.close(self._fd)


def _numbered(node, number):
    sys_path = f"{node.parent}/video4linux/video{number}"
    return replace(node, path=f"/dev/video{number}", sys_path=sys_path, devnum=81 << 8 | number)
