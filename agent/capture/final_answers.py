"""Answers that a parent gives in the place of a capture process that cannot give them any more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.capture.messages import CameraReport, Cancel, CancelReport, Command, Done, Quit, Refused, TriggerTold
from agent.capture.process_messages import Failed
from agent.errors import AgentError

_DEVICE_EXIT = 6
_STEPS = ("streamoff", "close", "kill", "usb reset")
_LOOK = "see what the agent's log says before; `journalctl -k` tells what the kernel thinks of the camera"


@dataclass(slots=True)
class Asked:
    """A command that waits for its answer: when it was asked, and the steps its process has reported."""

    command: Command
    at_ns: int
    steps: list[str] = field(default_factory=list)


def is_cancel(command: Command) -> bool:
    """Whether the end of the process carries it out."""
    return isinstance(command, Cancel | Quit)


def as_cancel(command: Command) -> Cancel:
    """A Quit cancels everything."""
    if isinstance(command, Cancel):
        return command
    return Cancel(id=command.id, kind="all", name="", by=command.by if isinstance(command, Quit) else "")


class End(NamedTuple):
    """How a process ended. `on`: cameras that streamed then; `in_streamoff`: those of them that were being stopped.

    `tried`: steps from outside, as in CameraReport.
    """

    at_ns: int
    cause: str = ""
    on: frozenset[str] = frozenset()
    tried: tuple[str, ...] = ()
    in_streamoff: frozenset[str] = frozenset()


def in_order(*steps: Iterable[str]) -> tuple[str, ...]:
    """Steps that are known from several sides, each once, in the order in which they are tried."""
    found = {step for some in steps for step in some}
    return tuple(step for step in _STEPS if step in found)


def stopped(asked: Asked, plans: int, cameras: Iterable[str], end: End) -> Done:
    """A cancel is done: the process has gone, and its last close of a camera was a STREAMOFF."""
    on, tried, gone_ns, cause = end.on, end.tried, end.at_ns, end.cause
    reports = tuple(
        CameraReport(
            camera=camera,
            was_on=camera in on,
            asked_ns=asked.at_ns,
            # whether it entered a STREAMOFF of its own is not known; the kernel's came with the end
            entered_ns=0,
            returned_ns=gone_ns if camera in on else 0,
            steps=in_order(asked.steps, tried, _inside(camera in end.in_streamoff)) if camera in on else (),
            error=cause if camera in on else "",
        )
        for camera in cameras
    )
    return Done(re=asked.command.id, at_ns=gone_ns, facts=CancelReport(plans=plans, already=not plans, cameras=reports))


def _inside(is_in_streamoff: bool) -> tuple[str, ...]:
    return ("streamoff",) if is_in_streamoff else ()


def died(command: Command, now_ns: int, cause: str, next_start_ns: int | None) -> Refused:
    """The process died with the command unanswered: it is given up, and its successor does not know of it."""
    when = "it is not started again" if next_start_ns is None else "ask again: it is being replaced"
    return _refused(command, now_ns, "process_died", cause, f"{when}; {_LOOK}")


def down(command: Command, now_ns: int, cause: str, next_start_ns: int | None) -> Refused:
    """No process is there to carry it out."""
    if next_start_ns is None:
        return _refused(command, now_ns, "process_down", f"no capture process is there: {cause}", _LOOK)
    seconds = max(next_start_ns - now_ns, 0) / 1e9
    hint = f"ask again: its successor starts in {seconds:.1f} s"
    return _refused(command, now_ns, "process_down", f"no capture process is there just now: {cause}", hint)


def gave_up(command: Command, now_ns: int, failed: Failed) -> Refused:
    """The process said that it cannot do its work, and that another one could not either: in its own words."""
    return Refused(
        re=command.id,
        at_ns=now_ns,
        code=failed.code,
        exit_code=failed.exit_code,
        message=failed.message,
        hint=failed.hint,
        details=dict(failed.details),
    )


def unknown(cancel: Cancel, now_ns: int) -> Refused:
    """A cancel for what never was."""
    return Refused(
        re=cancel.id,
        at_ns=now_ns,
        code=f"{cancel.kind}_unknown",
        exit_code=2,
        message=f"there is no {cancel.kind} {cancel.name}",
        hint="names are those of the plan file",
        details={"kind": cancel.kind, "name": cancel.name},
    )


def hangs(asked: Asked, now_ns: int, end: End, standing: str) -> Refused:
    """Nothing ended a process that hangs in the kernel: its cameras may be on."""
    command = asked.command
    steps = ", ".join(in_order(asked.steps, end.tried, _inside(bool(end.in_streamoff))))
    return _refused(
        command,
        now_ns,
        "stop_hangs",
        f"the capture process hangs in its driver and cannot be ended (tried: {steps}; {standing}): "
        "no frame is delivered any more, but its camera may be on",
        "unplug the camera: the driver then lets go, and the process is replaced; if it does not, restart the machine",
    )


def unsafe(error: AgentError, now_ns: int) -> TriggerTold:
    """A line of a process that has gone could not be driven to its safe level."""
    told = f"not made safe after the capture process had gone: {error.message}"
    return TriggerTold(at_ns=now_ns, camera="", code=error.code, told=told, hint=error.hint)


def _refused(command: Command, now_ns: int, code: str, message: str, hint: str) -> Refused:
    return Refused(re=command.id, at_ns=now_ns, code=code, exit_code=_DEVICE_EXIT, message=message, hint=hint)
