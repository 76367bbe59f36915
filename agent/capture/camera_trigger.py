"""A camera's own trigger: the mode it was put into, proven at each start, and put back at the end."""

from __future__ import annotations

from contextlib import ExitStack, suppress

from agent.capture.software_trigger import SoftwareTrigger
from agent.capture.trigger_mode import (
    ProvenTriggerMode,
    TriggerWish,
    enter_trigger_mode,
    leave_trigger_mode,
    prove_trigger_mode,
)
from agent.clock import ReadClock
from agent.errors import DeviceGone, StateError
from agent.trigger.lines import Written
from agent.trigger.modes import TriggerMode
from agent.trigger.registry import Registry
from agent.v4l2.ioctl import Node


class CameraTrigger:
    """Of one open camera, whose session owns the node. In no mode until `enter`."""

    def __init__(self, node: Node, now_ns: ReadClock) -> None:
        self._node, self._now_ns = node, now_ns
        self._entered: ProvenTriggerMode | None = None
        self._button: SoftwareTrigger | None = None

    def enter(self, wish: TriggerWish, registry: Registry, left: ExitStack) -> None:
        """Put the camera into a mode, proven; `left` puts it back. Raises what `enter_trigger_mode` raises."""
        self._entered = entered = enter_trigger_mode(self._node, wish, registry=registry)
        left.callback(self._leave, entered)
        is_software = wish.mode is TriggerMode.SOFTWARE
        self._button = SoftwareTrigger(self._node, entered, self._now_ns) if is_software else None

    def prove(self) -> None:
        """It is still in that mode, if in any. Raises what `prove_trigger_mode` raises."""
        if self._entered is not None:
            prove_trigger_mode(self._node, self._entered)

    def fire(self) -> Written:
        """Tell the software trigger; the clock before and after. May be called by another thread.

        Raises StateError when it was not put into the mode SOFTWARE, DeviceError.
        """
        if self._button is None:
            raise StateError(
                f"{self._node.path} was not put into the mode software",
                hint="enter_trigger_mode with that mode first",
                state="without",
                verb="trigger",
            )
        return self._button.fire()

    def _leave(self, entered: ProvenTriggerMode) -> None:
        self._entered = None
        with suppress(DeviceGone):  # a camera that is gone has nothing to be put back
            leave_trigger_mode(self._node, entered)
