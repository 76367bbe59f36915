"""Cameras out of nodes: which nodes are one camera, and from which of them it captures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.discovery.identity import Identity
from agent.discovery.node import Node


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera that is there. `node`: the one it captures from. `nodes`: all of them, metadata and others too.

    `path`: today's path of the node, never a name for the camera.
    """

    node: Node
    nodes: tuple[Node, ...]

    @property
    def identity(self) -> Identity:
        """What it is."""
        return self.node.identity

    @property
    def path(self) -> str:
        """Today's capture node."""
        return self.node.path

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that leads to its capture node."""
        return (self.node.path, *self.node.links)


def cameras_of(nodes: Iterable[Node]) -> list[Camera]:
    """The cameras that these nodes make up, in the order of their capture nodes.

    Nodes of one device (the USB interface of its video control, or the platform device) are one camera; where a driver
    puts several cameras on one device, as vivid does, they are told apart by their bus info, or else by their index,
    which begins anew for each. Of several nodes that capture, the one with the lowest index is the camera's.
    """
    by_parent: dict[str, list[Node]] = {}
    for node in sorted(nodes, key=lambda node: node.order):
        by_parent.setdefault(node.parent, []).append(node)
    found = [_camera(group) for siblings in by_parent.values() for group in _split(siblings)]
    present = [camera for camera in found if camera is not None]
    return sorted(present, key=lambda camera: camera.node.order)


def _camera(nodes: list[Node]) -> Camera | None:
    captures = [node for node in nodes if node.captures]
    if not captures:
        return None
    return Camera(min(captures, key=lambda node: (node.index, node.order)), tuple(nodes))


def _split(siblings: list[Node]) -> list[list[Node]]:
    """The nodes of one device by camera."""
    groups: list[list[Node]] = []
    for node in siblings:
        fitting = (group for group in reversed(groups) if not any(_is_another(node, other) for other in group))
        same = next(fitting, None)
        if same is None:
            groups.append([node])
        else:
            same.append(node)
    return groups


def _is_another(node: Node, other: Node) -> bool:
    """Whether they cannot belong together: video_register_device() counts the index for each v4l2_device."""
    mine, theirs = node.identity.bus_info, other.identity.bus_info
    if node.asked and other.asked and mine and theirs:
        return mine != theirs
    return node.index == other.index
