"""What a capture process is told to own: its cameras, limits, quotas and real-time wishes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.capture.settings import Settings
from agent.capture.sink_process import SinkOrder
from agent.capture.trigger_order import CameraTrigger, StopOrder, TriggerOrder
from agent.schedule.plan import Plan
from agent.schedule.quota import Limit
from agent.units import NS_PER_MS, NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLimits:
    """How long each stage may take, nanoseconds (mission row G2).

    `session`: opening, preparing and starting a camera. `focus`: one run of the camera's own autofocus. `frame`: from
    a tick to the frame it wants. `encode`: a frame to a file. `develop`: a raw frame to a picture. `stop`: STREAMOFF,
    before the escalation begins; `step`: each further step of it.
    """

    session_ns: int = 3 * NS_PER_S
    focus_ns: int = 3 * NS_PER_S
    frame_ns: int = 3 * NS_PER_S
    encode_ns: int = 800 * NS_PER_MS
    develop_ns: int = 1_500 * NS_PER_MS
    stop_ns: int = 3 * NS_PER_S
    step_ns: int = NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Realtime:
    """Real-time options of a capture process (mission row K4); None or False leaves a thing as the system has it.

    `cpus`: the processors its loop may run on. `fifo_priority`: SCHED_FIFO, 1 to 99. `lock_memory`: mlockall.
    `timer_slack_ns`: PR_SET_TIMERSLACK. `join_ns`: ticks that are due so close after another are fired in one wake, at
    the instant of the last of them; a tick on its own is never delayed (docs/decisions/0015).
    """

    cpus: tuple[int, ...] | None = None
    fifo_priority: int | None = None
    lock_memory: bool = False
    timer_slack_ns: int | None = None
    join_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraOrder:
    """One camera of a group. `path`: today's node. `focus_once`: run its autofocus before the first tick.

    `usb_reset`: reset its USB device when nothing else ends a hung stop. `trigger`: how its group's trigger fires it;
    None: it runs free, whatever its group does.
    """

    name: str
    path: str
    settings: Settings = field(default_factory=Settings)
    focus_once: bool = False
    usb_reset: bool = False
    trigger: CameraTrigger | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOrder:
    """A plan for the process to run; `quota`: its own limit, None for none. `store`: its frames go to the sink."""

    plan: Plan
    quota: Limit | None = None
    store: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupOrder:
    """Everything one capture process is told when it is started.

    `quotas`: limits by bucket, `agent`, `camera/NAME`, `client/NAME`. `run_id`: 64 bits that all trace ids of this
    run begin with. `plan_capacity`: how many plans it can hold at once. `ageing_ns`: a tick that has waited this long
    counts as one step of priority more. `sink`: where stored frames go; None: nothing is stored. `trigger`: what its
    triggered cameras are fired by, or its plans are started by. `emergency_stop`: the line that stops everything.
    """

    name: str
    cameras: tuple[CameraOrder, ...]
    limits: StageLimits = field(default_factory=StageLimits)
    quotas: Mapping[str, Limit] = field(default_factory=dict)
    realtime: Realtime = field(default_factory=Realtime)
    run_id: int = 0
    plan_capacity: int = 1024
    ageing_ns: int = NS_PER_S
    sink: SinkOrder | None = None
    trigger: TriggerOrder | None = None
    emergency_stop: StopOrder | None = None

    def cameras_of(self, plan: Plan) -> tuple[str, ...]:
        """The cameras whose frames a plan takes: its own, or all of the group."""
        names = tuple(camera.name for camera in self.cameras)
        return (plan.camera,) if plan.camera in names else names

    def needed_by(self, plan: Plan) -> tuple[str, ...]:
        """The cameras that must stream for it: those that are triggered are fired together, or not at all."""
        own, fired = set(self.cameras_of(plan)), self.triggered
        if not own.isdisjoint(fired):
            own |= fired
        return tuple(camera.name for camera in self.cameras if camera.name in own)

    @property
    def triggered(self) -> set[str]:
        """The cameras that the group's trigger fires."""
        if self.trigger is None or self.trigger.kind is None:
            return set()
        return {camera.name for camera in self.cameras if camera.trigger is not None}
