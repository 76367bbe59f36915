"""One camera's session: a state machine from settings to frames and back, with the stream off at every end."""

from __future__ import annotations

import enum
import select
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import NamedTuple

from agent.capture.camera_trigger import CameraTrigger
from agent.capture.in_force import InForce, Light
from agent.capture.preparation import Camera, find_gain, prepare
from agent.capture.settings import Prepared, Settings
from agent.capture.shot import Shot, earliest_ns
from agent.capture.trigger_mode import TriggerWish
from agent.clock import Clock, Correlation, ReadClock, monotonic_ns
from agent.errors import AgentError, DeviceError, DeviceGone, StateError, StreamFault, without_frames
from agent.kernel import Kernel
from agent.trigger.lines import Written
from agent.trigger.registry import Registry
from agent.units import NS_PER_MS, NS_PER_S, format_duration
from agent.v4l2.buffers import BufferPool
from agent.v4l2.device import query_capabilities, require_capture
from agent.v4l2.effect import Verdict, bound_frames
from agent.v4l2.exposure import ExposureReport, lock_exposure, prove_exposure
from agent.v4l2.frame import Frame
from agent.v4l2.gain import GainRequest
from agent.v4l2.ioctl import Node
from agent.v4l2.ledger import LossLedger
from agent.v4l2.snapshot import restore, snapshot
from agent.v4l2.stamps import StampJudge
from agent.v4l2.stream import Stopped, Stream
from agent.v4l2.values import ControlValues


class State(enum.Enum):
    """Where a session stands."""

    IDLE = "idle"
    PREPARED = "prepared"
    ARMED = "armed"
    FAULT = "fault"
    RELEASED = "released"


ALLOWED: Mapping[str, tuple[State, ...]] = {
    "prepare": (State.IDLE, State.PREPARED),
    "trigger": (State.PREPARED,),
    "arm": (State.PREPARED,),
    "take": (State.ARMED,),
    "give back": (State.PREPARED, State.ARMED, State.FAULT),
    "expose": (State.PREPARED, State.ARMED),
    "disarm": (State.PREPARED, State.ARMED, State.FAULT),
}
"""The states in which each verb may be called; in any other it raises StateError."""


_DEFAULT_INTERVAL_NS = 100 * NS_PER_MS
"""Taken for the frame interval where a driver does not state one."""


class Exposed(NamedTuple):
    """A change of exposure the camera was told, and when."""

    report: ExposureReport
    light: Light
    started_ns: int
    done_ns: int


def _nothing() -> None:
    """What `arm` calls before STREAMON unless told otherwise."""


class Session:
    """Owns one camera from open to release. A context manager; not for sharing between threads.

    The stream is off after `release()`, whatever happened before. A fault keeps its first cause in `fault` until the
    next start; `disarm` is the way back from it.
    """

    def __init__(self, kernel: Kernel, path: str, *, read_monotonic_ns: ReadClock = monotonic_ns) -> None:
        """Open the camera. Raises DeviceNotFound, DevicePermission, NotACaptureDevice, DeviceError."""
        self._now_ns = read_monotonic_ns
        self.state = State.IDLE
        self.fault: AgentError | None = None
        self.ledger = LossLedger()
        self.prepared: Prepared | None = None
        self.judge: StampJudge | None = None
        self._stream: Stream | None = None
        self._in_force = InForce()
        self._locked: ExposureReport | None = None
        self._to_settle = 0
        self._settling = 0
        self._poll = select.poll()
        self._correlation = Correlation(Clock.REALTIME)
        self._queue = ExitStack()
        self._resources = ExitStack()
        with ExitStack() as opening:
            node = opening.enter_context(Node(kernel, path))
            self.capabilities = query_capabilities(node)
            buffer_type = require_capture(node, self.capabilities)
            self.camera = Camera(node, buffer_type, self.capabilities.driver, self.capabilities.card)
            self._trigger = CameraTrigger(node, self._now_ns)
            self._resources = opening.pop_all()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def pool(self) -> BufferPool:
        """The buffers, from `prepare` to `release`. Raises StateError."""
        return self._parts()[1].pool

    @property
    def interval_ns(self) -> int:
        """Between two frames, as granted; a guess where the driver does not state it."""
        return (self.prepared.interval_ns if self.prepared is not None else None) or _DEFAULT_INTERVAL_NS

    @property
    def verdict(self) -> Verdict | None:
        """What is known of the last change of exposure while streaming; None when there was none."""
        return self._in_force.verdict

    def restore_on_release(self) -> None:
        """Remember all controls as they are now; they are put back when the session is released (mission row B6)."""
        self._resources.callback(self._restore, snapshot(self.camera.node))

    def prepare(self, settings: Settings) -> Prepared:
        """Set format, rate, controls and exposure, prove them, and map the buffers.

        Raises StateError, and what `agent.capture.preparation.prepare` raises; the session is then IDLE.
        """
        self._require("prepare")
        self.state, self.prepared, self._stream = State.IDLE, None, None
        self._queue.close()
        pool, self.prepared = prepare(self.camera, settings)
        self._queue.callback(pool.release)
        self.judge = StampJudge(self.capabilities.driver, self.interval_ns)
        self._stream = Stream(self.camera.node, pool, self.judge, ledger=self.ledger, read_monotonic_ns=self._now_ns)
        self._queue.callback(self._stream.release)
        self._in_force = InForce(Light(self.prepared.exposure_ns, self._gain_value()))
        self._locked = self.prepared.exposure
        self._to_settle = self.prepared.settle_frames
        self.state = State.PREPARED
        return self.prepared

    def enter_trigger_mode(self, wish: TriggerWish, registry: Registry) -> None:
        """Put the camera into a trigger mode, proven; `arm` proves it again, `release` puts it back as it was found.

        Frames left out after the start would be pulses lost: none are, unless the settings asked for some.
        Raises StateError, and what `agent.capture.trigger_mode.enter_trigger_mode` raises.
        """
        self._require("trigger")
        self._trigger.enter(wish, registry, self._resources)

    def trigger(self) -> Written:
        """Tell the camera's software trigger; the clock before and after. May be called by another thread.

        Raises StateError also when it was not put into the mode SOFTWARE, DeviceError.
        """
        self._require("take")
        return self._trigger.fire()

    def arm(self, enter: Callable[[], None] = _nothing) -> None:
        """Prove the exposure once more, queue the buffers and start streaming.

        `enter` is called right before STREAMON; where it raises, the stream is not started.
        Raises StateError, ExposureNotProven (the stream is not started), UsbBandwidth, DeviceBusy, DeviceError.
        """
        self._require("arm")
        _, stream = self._parts()
        if self._locked is not None:
            prove_exposure(self.camera.node, self._locked)
        self._trigger.prove()
        enter()
        stream.start()
        self._poll.register(stream.fileno(), select.POLLIN)
        self._settling = self._to_settle
        self.fault = None
        self.state = State.ARMED

    def fileno(self) -> int:
        """The descriptor to poll while ARMED: readable when a frame waits."""
        return self.camera.node.fd

    def take_waiting(self, after_ns: int = 0) -> Shot | None:
        """The next good frame of those that wait, or None; never blocks.

        Raises StateError, StreamFault when the queue breaks, DeviceGone. The stream is then left as it is: `halt` and
        `halted` are the caller's, since a STREAMOFF may take its time.
        """
        self._require("take")
        return self._next(self._parts()[1], after_ns)

    def take(self, *, limit_ns: int, after_ns: int = 0) -> Shot:
        """Wait for the next good frame, no longer than `limit_ns`; give it back by `give_back`.

        `after_ns`: only a frame whose exposure began then or later; older ones are left out and accounted for.
        Raises StateError, StreamFault when no frame comes in time or the queue breaks, DeviceGone; the state is then
        FAULT.
        """
        self._require("take")
        try:
            return self._wait(self._now_ns() + limit_ns, limit_ns, after_ns)
        except AgentError as error:
            self._fail(error)
            raise

    def give_back(self, shot: Shot) -> None:
        """The caller is done with the frame; its planes must not be read any more.

        Raises StateError, DeviceError when the driver does not take the buffer back; the state is then FAULT.
        """
        self._require("give back")
        _, stream = self._parts()
        try:
            stream.give_back(shot.frame)
        except DeviceError as error:
            self._fail(error)
            raise

    def put_back(self, shot: Shot) -> None:
        """As `give_back`, for callers of `take_waiting`: where it raises, the stream is left as it is."""
        self._require("give back")
        self._parts()[1].give_back(shot.frame)

    def expose(self, exposure_ns: int, gain: GainRequest | None = None) -> ExposureReport:
        """Change the exposure, streaming or not; `verdict` then tells the first frame it took effect on (row B5).

        Raises StateError and what `lock_exposure` raises; a refused change leaves everything as it was.
        """
        exposed = self.lock(exposure_ns, gain)
        self.locked(exposed)
        return exposed.report

    def lock(self, exposure_ns: int, gain: GainRequest | None = None) -> Exposed:
        """The slow half of `expose`: talks to the camera and changes nothing here, so another thread may run it.

        Raises StateError and what `lock_exposure` raises. `locked` must be told the result.
        """
        self._require("expose")
        started_ns = self._now_ns()
        report = lock_exposure(self.camera.node, exposure_ns, gain, self.camera.sensor)
        return Exposed(report, Light(report.granted_ns, self._gain_value()), started_ns, self._now_ns())

    def locked(self, exposed: Exposed) -> None:
        """The other half of `expose`: from now on the frames are looked at for the new exposure."""
        self._locked = exposed.report
        bound = bound_frames(self.camera.sensor)
        if self.state is State.ARMED:
            self._in_force.change(
                exposed.light, set_started_ns=exposed.started_ns, set_done_ns=exposed.done_ns, bound_frames=bound
            )
        else:
            self._in_force.change_while_off(exposed.light)
            self._to_settle = max(self._to_settle, bound)

    def disarm(self) -> Stopped | None:
        """STREAMOFF; idempotent. Buffers stay mapped: `arm` starts again. None when the stream was off already.

        Raises StateError, DeviceError when the driver refuses to stop.
        """
        self._require("disarm")
        stopped = self._stop()
        self.halted()
        return stopped

    def halt(self) -> Stopped:
        """STREAMOFF and nothing else: may be called by another thread while the owner keeps its hands off.

        `halted` must follow once it returned. Raises DeviceError when the driver refuses to stop.
        """
        return self._parts()[1].stop()

    def halted(self) -> None:
        """What `disarm` does once the stream is off."""
        _, stream = self._parts()
        with suppress(KeyError):
            self._poll.unregister(stream.fileno())
        self.state = State.PREPARED
        if self._in_force.stream_stopped():
            self._to_settle = max(self._to_settle, bound_frames(self.camera.sensor))

    def release(self) -> None:
        """Stop, unmap, put controls back if asked, close; idempotent. A step that fails does not keep the others."""
        self.state = State.RELEASED
        if self.fault is not None:
            without_frames(self.fault)
        with ExitStack() as steps:
            steps.callback(self._resources.close)
            steps.callback(self._queue.close)

    def _wait(self, deadline_ns: int, limit_ns: int, after_ns: int) -> Shot:
        _, stream = self._parts()
        while True:
            remaining_ns = deadline_ns - self._now_ns()
            # rounded up: a wait that ends early would spin through its last millisecond
            found = self._poll.poll(max(-(-remaining_ns // NS_PER_MS), 0))
            shot = self._next(stream, after_ns)
            if shot is not None:
                return shot
            if found and found[0][1] & ~select.POLLIN:
                raise self.broken()
            if remaining_ns <= 0:
                raise self.silent(limit_ns)

    def _next(self, stream: Stream, after_ns: int) -> Shot | None:
        while True:
            frame = stream.dequeue()
            if frame is None:
                return None
            shot = self._look_at(stream, frame, after_ns)
            if shot is not None:
                return shot

    def _look_at(self, stream: Stream, frame: Frame, after_ns: int) -> Shot | None:
        """The frame with what was in force on it; None when it is left out."""
        exposure_ns, gain = self._in_force.of(frame)
        if self._settling > 0 or earliest_ns(frame, exposure_ns, self.interval_ns) < after_ns:
            self._settling = max(self._settling - 1, 0)
            stream.skip(frame)
            return None
        return Shot(frame, exposure_ns, gain, self._realtime_ns(frame.timestamp_ns))

    def _realtime_ns(self, at_ns: int) -> int:
        if at_ns - self._correlation.offset.monotonic_ns > NS_PER_S:
            self._correlation.update()
        return self._correlation.convert_ns(at_ns)

    def _gain_value(self) -> int | None:
        gain = find_gain(self.camera)
        return None if gain is None else gain.value

    def _restore(self, found: ControlValues) -> None:
        # a camera that is gone has nothing to be put back
        with suppress(DeviceGone):
            restore(self.camera.node, found)

    def _fail(self, cause: AgentError) -> None:
        """The stream off, the first cause kept."""
        self.state = State.FAULT
        self.fault = self.fault or cause
        with suppress(AgentError):
            self._stop()

    def _stop(self) -> Stopped | None:
        _, stream = self._parts()
        if not stream.streaming:
            return None
        with suppress(KeyError):  # interrupted between the start and the registration
            self._poll.unregister(stream.fileno())
        return stream.stop()

    def _parts(self) -> tuple[Prepared, Stream]:
        if self.prepared is None or self._stream is None:
            raise self._refusal("take")
        return self.prepared, self._stream

    def _require(self, verb: str) -> None:
        if self.state not in ALLOWED[verb]:
            raise self._refusal(verb)

    def _refusal(self, verb: str) -> StateError:
        verbs = sorted(allowed for allowed, states in ALLOWED.items() if self.state in states)
        return StateError(
            f"cannot {verb} while the session is {self.state.value}",
            hint=f"possible now: {', '.join(verbs) or 'nothing: open the camera again'}",
            state=self.state.value,
            verb=verb,
            allowed=verbs,
        )

    def broken(self) -> StreamFault:
        """The error for a queue that polls as broken while no frame waits."""
        return self._fault_error(f"the queue of {self.camera.node.path} broke")

    def silent(self, limit_ns: int) -> StreamFault:
        """The error for a camera that gave no frame within `limit_ns`."""
        return self._fault_error(f"{self.camera.node.path} gave no frame within {format_duration(limit_ns)}")

    def _fault_error(self, problem: str) -> StreamFault:
        return StreamFault(
            problem,
            hint="start the stream again; if it comes back, unplug the camera and look into journalctl -k",
            device=self.camera.node.path,
        )
