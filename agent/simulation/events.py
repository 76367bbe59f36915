"""Events of one open file: subscriptions, and a queue that keeps one control event per subscription.

Follows drivers/media/v4l2-core/v4l2-event.c: control events have one element each; a newer one replaces the one
that waits, keeps its change bits, and moves to the end of the queue.
"""

from __future__ import annotations

import errno
from collections import OrderedDict
from dataclasses import dataclass, replace

from agent.simulation.control_spec import ControlSpec, Value
from agent.simulation.refusal import refusal
from agent.v4l2.uapi import ControlFlag, CtrlType, EventControlChange, EventSubscriptionFlag, EventType, v4l2_event


@dataclass(frozen=True)
class ControlEvent:
    """A V4L2_EVENT_CTRL that waits to be dequeued."""

    spec: ControlSpec
    value: Value
    changes: int
    stamp_ns: int
    sequence: int


class EventQueue:
    """Subscriptions and pending events of one open file. Not locked: the camera's lock guards it."""

    def __init__(self) -> None:
        self._subscribed: dict[int, int] = {}
        self._pending: OrderedDict[int, ControlEvent] = OrderedDict()
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._pending)

    def subscribed(self, control_id: int) -> bool:
        """True if this file wants events of control `id`."""
        return control_id in self._subscribed

    def wants_feedback(self, control_id: int) -> bool:
        """True if changes made through this very file are wanted too."""
        return bool(self._subscribed.get(control_id, 0) & EventSubscriptionFlag.ALLOW_FEEDBACK)

    def subscribe(self, control_id: int, flags: int) -> bool:
        """Subscribe to control `id`. False if that was so already, which changes nothing."""
        if control_id in self._subscribed:
            return False
        self._subscribed[control_id] = flags
        return True

    def unsubscribe(self, event_type: int, control_id: int) -> None:
        """End one subscription, or all with V4L2_EVENT_ALL; pending events of it are dropped."""
        ended = (
            list(self._subscribed)
            if event_type == EventType.ALL
            else [control_id]
            if event_type == EventType.CTRL
            else []
        )
        for control_id in ended:
            self._subscribed.pop(control_id, None)
            self._pending.pop(control_id, None)

    def post(self, spec: ControlSpec, value: Value, changes: int, stamp_ns: int) -> None:
        """Queue an event of a subscribed control."""
        self._sequence += 1
        event = ControlEvent(spec, value, changes, stamp_ns, self._sequence - 1)
        waiting = self._pending.pop(spec.id, None)
        if waiting is not None:
            event = replace(event, changes=event.changes | waiting.changes)
        self._pending[spec.id] = event

    def dequeue(self, into: v4l2_event) -> None:
        """Move the oldest event into the structure. Raises OSError ENOENT when none waits."""
        if not self._pending:
            raise refusal(errno.ENOENT)
        control_id, event = self._pending.popitem(last=False)
        into.type, into.id = EventType.CTRL, control_id
        into.sequence, into.pending = event.sequence, len(self._pending)
        into.timestamp.secs, into.timestamp.nsecs = divmod(event.stamp_ns, 1_000_000_000)
        _fill_change(into, event)


def initial_changes(spec: ControlSpec) -> EventControlChange:
    """The change bits of a SEND_INITIAL event."""
    hidden = spec.has(ControlFlag.WRITE_ONLY)
    return EventControlChange.FLAGS if hidden else EventControlChange.FLAGS | EventControlChange.VALUE


def _fill_change(into: v4l2_event, event: ControlEvent) -> None:
    change, spec = into.u.ctrl, event.spec
    change.changes, change.type, change.flags = event.changes, spec.type, spec.flags
    change.value64 = 0 if isinstance(event.value, str) else event.value
    change.minimum, change.maximum, change.step = spec.minimum, spec.maximum, spec.step
    change.default_value = spec.default if isinstance(spec.default, int) and spec.type != CtrlType.INTEGER64 else 0
