"""The software trigger: a button among a camera's controls, pressed by one system call."""

from __future__ import annotations

from agent.capture.trigger_mode import ProvenTriggerMode, identify
from agent.clock import ReadClock, monotonic_ns
from agent.trigger.lines import Written
from agent.trigger.mode_errors import TriggerOptionUnknown
from agent.trigger.modes import TriggerMode
from agent.v4l2.controls import query
from agent.v4l2.ioctl import Node, typed_error
from agent.v4l2.uapi import VIDIOC_S_EXT_CTRLS
from agent.v4l2.values import Batch


class SoftwareTrigger:
    """The button of a camera in SOFTWARE mode. One owner, who also owns the node."""

    def __init__(self, node: Node, entered: ProvenTriggerMode, now_ns: ReadClock = monotonic_ns) -> None:
        """Find the button. Raises TriggerOptionUnknown when there is none or the mode is another, DeviceError."""
        software = entered.entry.software
        camera = identify(node, entered.wish.sensor)
        found = None if software is None else software.control.find(camera.controls)
        if software is None or found is None or entered.wish.mode is not TriggerMode.SOFTWARE:
            raise TriggerOptionUnknown(
                f"{node.path} has no software trigger in mode {entered.wish.mode}",
                hint=f"{entered.entry.name} knows the modes {', '.join(entered.entry.modes)}",
                device=node.path,
                option="software",
                asked=entered.wish.mode.value,
            )
        control = query(node, found)
        self._node, self._now_ns = node, now_ns
        self._values = {control.id: software.value}
        self._batch = Batch([control], self._values)

    def fire(self) -> Written:
        """Press it; the clock before and after: the pulse lies between. Raises DeviceError, DeviceGone."""
        self._batch.fill(self._values)
        before_ns = self._now_ns()
        code = self._batch.issue(self._node, VIDIOC_S_EXT_CTRLS)
        after_ns = self._now_ns()
        if code:
            raise typed_error(code, VIDIOC_S_EXT_CTRLS.name, self._node.path)
        return Written(before_ns, after_ns)
