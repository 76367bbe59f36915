"""Control events: what changed on a camera, whoever changed it. Follows the kernel's VIDIOC_DQEVENT page.

The kernel keeps one event per control and merges newer ones into it: values are the latest, steps between them may be
missing. The sequence number counts them all, so what was merged away is known: `missed_before`.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass

from agent.units import NS_PER_S
from agent.v4l2.controls import Control
from agent.v4l2.ioctl import Node, typed_error
from agent.v4l2.uapi import (
    VIDIOC_DQEVENT,
    VIDIOC_SUBSCRIBE_EVENT,
    VIDIOC_UNSUBSCRIBE_EVENT,
    ControlFlag,
    CtrlType,
    EventControlChange,
    EventSubscriptionFlag,
    EventType,
    v4l2_event,
    v4l2_event_subscription,
)


@dataclass(frozen=True, slots=True)
class ControlEvent:
    """One change of a control. `changes`: VALUE, FLAGS, RANGE; the fields are the state after it.

    `timestamp_ns` is CLOCK_MONOTONIC. `pending`: events still waiting. `missed_before`: events the kernel merged
    away between the last one we read and this. `value` is meaningless for strings and buttons.
    """

    id: int
    changes: EventControlChange
    value: int
    flags: ControlFlag
    minimum: int
    maximum: int
    step: int
    default: int
    timestamp_ns: int
    sequence: int
    pending: int
    missed_before: int


@dataclass(frozen=True, slots=True)
class OtherEvent:
    """An event of another sort that somebody subscribed on the same descriptor; `type` as the kernel numbers it."""

    type: int
    id: int
    timestamp_ns: int
    sequence: int
    pending: int
    missed_before: int


class ControlEvents:
    """Control events of one open node. Owned by the loop that polls the node (EPOLLPRI says that events wait).

    One per open node: the numbers of a descriptor count for all who read it. Not locked. A context manager:
    `release()` unsubscribes and is idempotent. Our own changes on the same descriptor raise no event.
    `missed`: events merged away since the beginning.
    """

    def __init__(self, node: Node) -> None:
        self.missed = 0
        self._node = node
        self._last_sequence = 0xFFFF_FFFF  # the first event of a descriptor has the number 0 (v4l2_fh_init)
        self._ids: set[int] = set()

    def __enter__(self) -> ControlEvents:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def subscribe(self, control_id: int) -> None:
        """Follow one control. Raises DeviceError: EINVAL for an unknown one, ENOTTY when the driver has no events."""
        self._node.call(VIDIOC_SUBSCRIBE_EVENT, _subscription(control_id))
        self._ids.add(control_id)

    def subscribe_with_state(self, control_id: int) -> None:
        """Follow one control, its present state coming as a first event. Raises as `subscribe`."""
        self._node.call(VIDIOC_SUBSCRIBE_EVENT, _subscription(control_id, EventSubscriptionFlag.SEND_INITIAL))
        self._ids.add(control_id)

    def subscribe_all(self, controls: Iterable[Control]) -> tuple[Control, ...]:
        """Follow all of `controls`; those the driver has no events for are returned. Raises DeviceGone."""
        refused = []
        for control in controls:
            code = self._node.attempt(VIDIOC_SUBSCRIBE_EVENT, _subscription(control.id))
            if code in (errno.ENODEV, errno.ENXIO):
                raise typed_error(code, VIDIOC_SUBSCRIBE_EVENT.name, self._node.path)
            if code:
                refused.append(control)
            else:
                self._ids.add(control.id)
        return tuple(refused)

    def unsubscribe(self, control_id: int) -> None:
        """Follow this control no longer; waiting events of it are dropped. Raises DeviceError."""
        self._ids.discard(control_id)
        self._node.call(VIDIOC_UNSUBSCRIBE_EVENT, _subscription(control_id))

    def release(self) -> None:
        """Follow nothing any more. Goes through all even if the camera is gone, and raises nothing for it."""
        ids, self._ids = self._ids, set()
        for control_id in ids:
            self._node.attempt(VIDIOC_UNSUBSCRIBE_EVENT, _subscription(control_id))

    def drain(self) -> tuple[ControlEvent | OtherEvent, ...]:
        """Every event that waits, in order; empty when none does. Never blocks on a node opened O_NONBLOCK.

        Raises DeviceGone, DeviceError.
        """
        found = []
        while (event := self._next()) is not None:
            found.append(event)
            if not event.pending:  # the descriptor may be a blocking one: do not ask for one more
                break
        return tuple(found)

    def _next(self) -> ControlEvent | OtherEvent | None:
        answer = v4l2_event()
        code = self._node.attempt(VIDIOC_DQEVENT, answer)
        if code in (errno.ENOENT, errno.EAGAIN):
            return None
        if code:
            raise typed_error(code, VIDIOC_DQEVENT.name, self._node.path)
        return _event_of(answer, self._count_missed(answer.sequence))

    def _count_missed(self, sequence: int) -> int:
        """Events between the last one read and `sequence`, a 32-bit counter of the descriptor."""
        last, self._last_sequence = self._last_sequence, sequence
        missed = (sequence - last - 1) & 0xFFFF_FFFF
        if missed >= 1 << 31:  # an older number than the last: the kernel does not do that, so it is no loss
            missed = 0
        self.missed += missed
        return missed


def _subscription(control_id: int, flags: int = 0) -> v4l2_event_subscription:
    return v4l2_event_subscription(type=EventType.CTRL, id=control_id, flags=flags)


def _event_of(answer: v4l2_event, missed: int) -> ControlEvent | OtherEvent:
    timestamp_ns = answer.timestamp.secs * NS_PER_S + answer.timestamp.nsecs
    if answer.type != EventType.CTRL:
        return OtherEvent(answer.type, answer.id, timestamp_ns, answer.sequence, answer.pending, missed)
    control = answer.u.ctrl
    wide = control.type == CtrlType.INTEGER64
    unsigned = control.type == CtrlType.BITMASK
    value = control.value64 if wide else control.value
    return ControlEvent(
        id=answer.id,
        changes=EventControlChange(control.changes),
        value=value & 0xFFFF_FFFF if unsigned else value,
        flags=ControlFlag(control.flags),
        minimum=control.minimum,
        maximum=control.maximum & 0xFFFF_FFFF if unsigned else control.maximum,
        step=control.step,
        default=control.default_value,
        timestamp_ns=timestamp_ns,
        sequence=answer.sequence,
        pending=answer.pending,
        missed_before=missed,
    )
