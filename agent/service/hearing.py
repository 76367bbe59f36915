"""What the capture processes tell, for the books, the subscribers and the journal."""

from __future__ import annotations

from dataclasses import asdict, replace

from agent.capture import messages as m
from agent.capture.process_messages import ProcessEnded, ProcessHangs, ProcessStarted
from agent.capture.supervisor import Told
from agent.control.facade import Document
from agent.service.parts import Parts


class Hearing:
    """Takes every event once, in the order of their coming."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def hear(self, told: Told) -> None:
        """Keep what matters, pass it on."""
        match told.message:
            case m.PlansEnded():
                self._plans_ended(told.group, told.message)
            case m.CameraChanged():
                self._camera_changed(told.group, told.message)
            case ProcessStarted() | ProcessEnded() | ProcessHangs():
                self._process(told.message)
            case _:
                self._rest(told)
        self._parts.fleet.hear(told)

    def _plans_ended(self, group: str, message: m.PlansEnded) -> None:
        ended = (self._parts.book.ended(group, name, state, cause) for name, state, cause in message.ends)
        self._parts.over([plan for plan in ended if plan is not None])

    def _camera_changed(self, group: str, change: m.CameraChanged) -> None:
        parts = self._parts
        if change.state == "fault" and change.camera not in parts.fleet.located.cameras:
            # the process sees a node that breaks; what is known here is that the camera was unplugged
            change = replace(change, state="gone" if change.camera in parts.fleet.seen else "absent")
        parts.changes[change.camera] = change
        fields = asdict(change)
        del fields["at_ns"]
        parts.tell("camera.changed", {**fields, "group": group})

    def _process(self, message: ProcessStarted | ProcessEnded | ProcessHangs) -> None:
        parts = self._parts
        fields = asdict(message)
        del fields["at_ns"]
        match message:
            case ProcessStarted():
                parts.tell("group.started", fields)
            case ProcessEnded():
                parts.hanging.pop(message.group, None)
                parts.tell("group.ended", fields)
            case ProcessHangs():
                parts.hanging[message.group] = message.told
                parts.tell("group.hangs", fields)

    def _rest(self, told: Told) -> None:
        kind, fields = "", {}
        match told.message:
            case m.Ready():
                kind = "group.ready"
            case m.EmergencyStopped():
                kind, fields = "group.stopped", _stopped(told.message)
            case m.TriggerTold():
                kind, fields = "trigger.told", _fields(told.message)
            case m.NotStored():
                kind, fields = "frame.not_stored", _fields(told.message)
            case m.Progress():
                kind, fields = "group.progress", _fields(told.message)
            case m.Done():  # somebody sent the process SIGTERM, and it cancelled everything
                kind, fields = "group.cancelled", {"cause": "its process got SIGTERM"}
            case _:
                return
        self._parts.tell(kind, {**fields, "group": told.group})


def _fields(message: m.TriggerTold | m.NotStored | m.Progress) -> Document:
    fields = asdict(message)
    del fields["at_ns"]
    return fields


def _stopped(message: m.EmergencyStopped) -> Document:
    return {
        "pressed_ns": message.pressed_ns,
        "why": message.why,
        "plans": message.facts.plans,
        "cameras": [asdict(camera) for camera in message.facts.cameras],
    }
