"""What a node is: driver, card, bus, and whether frames can be captured from it."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from agent.errors import DeviceError, NotACaptureDevice
from agent.v4l2.ioctl import Node, typed_error
from agent.v4l2.uapi import VIDIOC_QUERYCAP, BufType, Capability, v4l2_capability


@dataclass(frozen=True, slots=True)
class Capabilities:
    """VIDIOC_QUERYCAP of one node. `driver_version` is the kernel's (major, minor, patch)."""

    driver: str
    card: str
    bus_info: str
    driver_version: tuple[int, int, int]
    device: Capability
    node: Capability

    @property
    def buffer_type(self) -> BufType | None:
        """The queue frames are captured from, or None when this node captures no video by streaming."""
        if not self.node & Capability.STREAMING:
            return None
        if self.node & Capability.VIDEO_CAPTURE:
            return BufType.VIDEO_CAPTURE
        if self.node & Capability.VIDEO_CAPTURE_MPLANE:
            return BufType.VIDEO_CAPTURE_MPLANE
        return None

    @property
    def kind(self) -> str:
        """What the node is for, in the words of people: `capture`, `metadata`, `output`, ..., `other`."""
        if self.buffer_type is BufType.VIDEO_CAPTURE:
            return "capture"
        if self.buffer_type is BufType.VIDEO_CAPTURE_MPLANE:
            return "capture (multi-planar)"
        for capability, word in _KINDS:
            if self.node & capability:
                return word
        return "other"


_KINDS = (
    (Capability.META_CAPTURE, "metadata"),
    (Capability.VIDEO_M2M | Capability.VIDEO_M2M_MPLANE, "memory-to-memory"),
    (Capability.VIDEO_OUTPUT | Capability.VIDEO_OUTPUT_MPLANE, "output"),
    (Capability.VBI_CAPTURE | Capability.SLICED_VBI_CAPTURE, "vbi"),
    (Capability.TOUCH, "touch"),
    (Capability.RADIO | Capability.SDR_CAPTURE, "radio"),
)


def query_capabilities(node: Node) -> Capabilities:
    """What the node says of itself. Raises NotACaptureDevice when it is no V4L2 node at all, else DeviceError."""
    answer = v4l2_capability()
    code = node.attempt(VIDIOC_QUERYCAP, answer)
    if code == errno.ENOTTY:
        raise _not_capture(node.path, "is no V4L2 device", code)
    if code:
        raise typed_error(code, VIDIOC_QUERYCAP.name, node.path)
    device = Capability(answer.capabilities)
    version = answer.version
    return Capabilities(
        driver=answer.driver.decode("utf-8", "replace"),
        card=answer.card.decode("utf-8", "replace"),
        bus_info=answer.bus_info.decode("utf-8", "replace"),
        driver_version=(version >> 16, version >> 8 & 0xFF, version & 0xFF),
        device=device,
        # without DEVICE_CAPS (before 3.4) `capabilities` is the node's own
        node=Capability(answer.device_caps) if device & Capability.DEVICE_CAPS else device,
    )


def require_capture(node: Node, capabilities: Capabilities) -> BufType:
    """The node's capture queue. Raises NotACaptureDevice, naming what the node is instead."""
    if capabilities.buffer_type is None:
        raise _not_capture(
            node.path, f"captures no video: {capabilities.card} offers {capabilities.kind} here", errno.EINVAL
        )
    return capabilities.buffer_type


def _not_capture(path: str, problem: str, code: int) -> DeviceError:
    return NotACaptureDevice(
        f"{path} {problem}",
        hint="`camera-agent devices` lists the nodes that capture video",
        device=path,
        request=VIDIOC_QUERYCAP.name,
        errno=code,
    )
