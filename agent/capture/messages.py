"""What is said on a capture process's command socket: commands with a number, answers to it, events.

One message is one packet of a SOCK_SEQPACKET pair: a byte that tells a cancel from everything else before anything
is decoded, then a pickle. Both ends are ours, parent and child (docs/decisions/0013).
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.capture.order import PlanOrder
from agent.errors import AgentError
from agent.schedule.quota import Limit
from agent.v4l2.gain import GainRequest

CANCEL = 0x21
"""The first byte of a cancel, `!`; of everything else it is `OTHER`."""
OTHER = 0x2E
PACKET_BYTES = 128 * 1024
"""No message is larger: half of what a socket buffer holds by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something asked. `id` is the asker's number, which the answer repeats; it grows from command to command.

    `deadline_ns`: a command that is not a cancel is not begun after it (CLOCK_MONOTONIC); None: it may wait.
    """

    id: int
    deadline_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping(Command):
    """Answered by Done and nothing else: the measure of a round trip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddPlans(Command):
    """Start these plans, all or none."""

    orders: tuple[PlanOrder, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(Command):
    """End something: `kind` is `plan`, `camera`, `client` or `all`; `by` says who asked, for people.

    A camera's cancel ends all of its plans and stops its stream. A plan's stops the stream when no other plan of its
    camera goes on. Answered when no frame can be delivered any more, and the stream (if it had to stop) is off:
    `Done` with the facts `asked_ns`, `entered_ns`, `returned_ns` of the STREAMOFF (see CancelReport).
    """

    kind: str
    name: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartCamera(Command):
    """Start a camera's stream again after a cancel or a fault; answered when it is armed."""

    camera: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Relocate(Command):
    """A camera is at another node now, or nowhere: then `path` is empty, and it is in fault until it is somewhere.

    Answered at once. A camera in fault that is wanted is started there without waiting for its next attempt; one that
    streams goes on until its stream breaks: an unplugged camera's does.
    """

    camera: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPeriod(Command):
    """Change a plan's period; the phase rule is that of `agent.schedule.instants`."""

    plan: str
    period_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPriority(Command):
    """Change a plan's priority, also of its ticks that wait."""

    plan: str
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetQuota(Command):
    """Change a limit without a jump; `bucket` is `agent`, `camera/NAME`, `plan/NAME` or `client/NAME`."""

    bucket: str
    limit: Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLimits(Command):
    """These named limits there are from now on, each with its bucket in the page of quotas; others limit nothing."""

    places: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expose(Command):
    """Change a camera's exposure, and its gain unless None, streaming or not."""

    camera: str
    exposure_ns: int
    gain: GainRequest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadControls(Command):
    """Read a camera's controls, streaming or not: see `agent.capture.control_jobs.controls_of`."""

    camera: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetControls(Command):
    """Set several controls of a camera as one, by name; answered with what was read back."""

    camera: str
    values: Mapping[str, int | bool | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseStop(Command):
    """Release the group's emergency stop: cameras and plans may be started again. Refused while its line is active."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quit(Command):
    """Cancel everything, answer, end."""

    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The command `re` was carried out at `at_ns`; `facts` depends on the command."""

    re: int
    at_ns: int
    facts: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The command `re` was not carried out and changed nothing; the error's own words."""

    re: int
    at_ns: int
    code: str
    exit_code: int
    message: str
    hint: str
    details: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The command `re` is not done yet: `told` says in words how it stands at `at_ns`. A final answer follows."""

    re: int
    at_ns: int
    step: str
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraReport:
    """How one camera came to rest. `was_on` False: its stream was off already, and no STREAMOFF was needed.

    `steps`: what had to be tried, in order: `streamoff`, `close`, `kill`, `usb reset`.
    """

    camera: str
    was_on: bool
    asked_ns: int
    entered_ns: int
    returned_ns: int
    steps: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelReport:
    """What a cancel did. `already`: it was over before. `still_on`: cameras that other plans keep on.

    `cause`: what ended and who did it, in words; of what was cancelled before, the first. `still_out`: frames that did
    not come back from the process that stores them within their limit, and may still be stored.
    """

    plans: int
    already: bool
    cameras: tuple[CameraReport, ...] = ()
    still_on: tuple[str, ...] = ()
    cause: str = ""
    still_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Event: all cameras of the group stream, are in fault or left off, and their frames can be stored."""

    at_ns: int
    cameras: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraChanged:
    """Event: a camera went from one state to another; `cause` and `hint` are empty where all is well."""

    at_ns: int
    camera: str
    state: str
    cause: str = ""
    hint: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmergencyStopped:
    """Event: the emergency stop was pressed, and everything is off; `facts` as for a cancel of all.

    `pressed_ns`: the edge's own time by the kernel, CLOCK_MONOTONIC; when a level or a fault was noticed otherwise.
    """

    at_ns: int
    pressed_ns: int
    why: str
    facts: CancelReport


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerTold:
    """Event of a group's lines. `camera` is empty where it concerns the group; `told` is for people.

    `code` is stable: `relocked`, `undecided`, `out_of_budget`, `back_in_budget`; that of the error which keeps a line
    from working, or `works` when it does again.
    """

    at_ns: int
    camera: str
    code: str
    told: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotStored:
    """Event: a frame was not stored; not told again while the same goes on. `code` is stable, `told` is for people."""

    at_ns: int
    camera: str
    code: str
    told: str


PlanEnd = tuple[str, str, str]
"""Name, state (`finished`, `cancelled`), and by whom in words, empty for one that finished.

A plain tuple: pickling ten thousand of anything better takes longer than cancelling their plans.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlansEnded:
    """Event: plans finished or were cancelled, each told once.

    `renewed`: ends of plans whose name another one had been given by then, which this does not concern.
    """

    at_ns: int
    ends: tuple[PlanEnd, ...] = ()
    renewed: tuple[PlanEnd, ...] = ()


def encode(message: Any) -> bytes:
    """One packet."""
    kind = CANCEL if isinstance(message, Cancel | Quit) else OTHER
    return bytes((kind,)) + pickle.dumps(message, protocol=5)


def decode(packet: bytes) -> Any:
    """The message of a packet from the process at the other end of our own socket pair."""
    return pickle.loads(memoryview(packet)[1:])  # noqa: S301 - the other end is our own child or parent


def refusal(re: int, at_ns: int, error: AgentError) -> Refused:
    """The answer that carries `error`."""
    return Refused(
        re=re,
        at_ns=at_ns,
        code=error.code,
        exit_code=error.exit_code,
        message=error.message,
        hint=error.hint,
        details=dict(error.details),
    )
