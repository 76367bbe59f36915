"""The rig's video nodes: finding the vivid ones, setting controls by hand."""

from __future__ import annotations

from agent.kernel import LinuxKernel
from agent.v4l2.controls import enumerate_controls
from agent.v4l2.device import query_capabilities
from agent.v4l2.ioctl import Node
from agent.v4l2.names import find_control
from agent.v4l2.snapshot import put_back
from agent.v4l2.transaction import set_controls
from agent.v4l2.uapi import BufType
from agent.v4l2.values import parse_value

KERNEL = LinuxKernel()


def find_vivid(buffer_type: BufType) -> str:
    """The vivid node with this kind of queue."""
    for path in KERNEL.video_nodes():
        with Node(KERNEL, path) as node:
            found = query_capabilities(node)
            if found.driver == "vivid" and found.buffer_type == buffer_type:
                return path
    raise LookupError(f"no vivid with {buffer_type.name}: modprobe vivid n_devs=2 node_types=0x1,0x1 multiplanar=1,2")


def set_by_name(path: str, name: str, value: str) -> None:
    """Set one control by its name and text."""
    with Node(KERNEL, path) as node:
        control = find_control(path, enumerate_controls(node), name)
        set_controls(node, {control: parse_value(control, value)})


def set_defaults(path: str) -> None:
    """Automatic modes off, every control at its default, then the modes at theirs."""
    with Node(KERNEL, path) as node:
        controls = [c for c in enumerate_controls(node) if c.readable and not c.read_only]
        put_back(node, controls, {c.id: c.default for c in controls})
