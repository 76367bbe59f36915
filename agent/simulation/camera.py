"""One simulated camera: its state, its stream, and being plugged and unplugged. The ioctls are in `ioctl_*`."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from agent.kernel import PROT_READ, Mapping
from agent.simulation.autofocus import Autofocus
from agent.simulation.clock import Clock
from agent.simulation.control_spec import ControlSpec, Value
from agent.simulation.controls import ControlSet
from agent.simulation.delivery import Delivery
from agent.simulation.faults import Faults
from agent.simulation.formats import LAYOUTS, Picture
from agent.simulation.memory import SharedMemory, page_align
from agent.simulation.nodes import NodeTable
from agent.simulation.open_file import NodeKind, OpenFile
from agent.simulation.pacer import Deadlines
from agent.simulation.profiles import CameraProfile
from agent.simulation.queue import BufferQueue
from agent.simulation.refusal import refusal
from agent.simulation.scene import Scene
from agent.simulation.sensor import Sensor
from agent.simulation.stream import Stream
from agent.simulation.strobe import StrobeOutput
from agent.simulation.trigger_input import TriggerInput
from agent.simulation.triggered_stream import TriggeredStream
from agent.v4l2.uapi import ControlFlag, ControlID

Rect = tuple[int, int, int, int]
"""Left, top, width, height in pixels."""


class SimulatedCamera:
    """A camera that can be opened, driven by ioctls, broken (`faults`) and pulled out.

    Shared between threads: `lock` guards all state, and no call waits under it, except as the condition it is.
    """

    queue: BufferQueue
    owner: OpenFile | None
    stream: Stream | TriggeredStream | None
    picture: Picture
    interval_s: Fraction
    crop: Rect
    controls: ControlSet
    autofocus: Autofocus
    sensor: Sensor

    def __init__(
        self,
        profile: CameraProfile,
        clock: Clock,
        deadlines: Deadlines,
        nodes: NodeTable[SimulatedCamera],
        faults: Faults,
    ) -> None:
        self.profile = profile
        self.faults = faults
        self.lock = threading.Condition()
        self.files: list[OpenFile] = []
        self.numbers: list[int] = []
        self.clock = clock
        self._deadlines = deadlines
        self._nodes = nodes
        self._turn = 0
        self._scene: Scene | None = None
        strobe = StrobeOutput(clock, deadlines)
        self.trigger = TriggerInput(profile.trigger, faults, self.lock, strobe, self._call_at)
        self._power_up()
        self.plug()

    @property
    def plugged(self) -> bool:
        """True while its nodes exist."""
        return bool(self.numbers)

    @property
    def path(self) -> str:
        """The path of its capture node. Raises OSError ENODEV while unplugged."""
        if not self.numbers:
            raise refusal(errno.ENODEV)
        return f"/dev/video{self.numbers[0]}"

    @property
    def metadata_path(self) -> str:
        """The path of its metadata node. Raises OSError ENODEV where there is none."""
        if len(self.numbers) < 2:
            raise refusal(errno.ENODEV)
        return f"/dev/video{self.numbers[1]}"

    def plug(self) -> None:
        """Connect it: nodes with the lowest free numbers, settings as from the factory. Nothing if plugged."""
        with self.lock:
            if self.numbers:
                return
            self._power_up()
            kinds = [NodeKind.CAPTURE, NodeKind.METADATA] if self.profile.metadata_node else [NodeKind.CAPTURE]
            self.numbers = self._nodes.attach(self, kinds)

    def unplug(self) -> None:
        """Pull it out: all open files are dead, whoever polls or hangs in a call wakes. Nothing if unplugged."""
        with self.lock:
            self.unplug_locked()
        self._deadlines.settle()

    def unplug_locked(self) -> None:
        """`unplug` for those who hold the lock."""
        if not self.numbers:
            return
        self.stop_stream()
        self.queue.release()
        for file in self.files:
            file.gone = True
            file.descriptor.hang_up()
        self._nodes.detach(self.numbers, {file.number for file in self.files})
        self.numbers = []
        self.faults.release_gates()
        self.lock.notify_all()

    def open(self, number: int, kind: NodeKind, *, nonblocking: bool) -> OpenFile:
        """Open one of its nodes. Raises OSError ENODEV."""
        with self.lock:
            if number not in self.numbers:
                raise refusal(errno.ENODEV)
            code = self.faults.refusal_of("open")
            if code:
                raise refusal(code)
            file = OpenFile(kind, number, nonblocking=nonblocking)
            self.files.append(file)
            return file

    def close(self, file: OpenFile) -> None:
        """Close an open file; if it owns the queue, that stops the stream and frees the buffers."""
        with self.lock:
            self.files.remove(file)
            was_gone, file.gone = file.gone, True
            if self.owner is file:
                self.stop_stream()
                self.queue.release()
                self.owner = None
            if was_gone and all(other.number != file.number for other in self.files):
                self._nodes.forget(file.number)
            file.descriptor.close()
            self.lock.notify_all()
        self._deadlines.settle()

    def mmap(self, file: OpenFile, length: int, offset: int, protection: int) -> Mapping:
        """Map a plane. Raises OSError: ENODEV, EINVAL (offset, length, no PROT_READ), ENOMEM and others by fault."""
        with self.lock:
            self.check_present(file)
            code = self.faults.refusal_of("mmap")
            if code:
                raise refusal(code)
            plane = self.queue.plane_at(offset)
            if not protection & PROT_READ or not 0 < length <= page_align(plane.length):
                raise refusal(errno.EINVAL)
            if not isinstance(plane.memory, SharedMemory):
                raise refusal(errno.EINVAL)
            return plane.memory.map(length, protection)

    def check_present(self, file: OpenFile) -> None:
        """Raises OSError ENODEV when the camera was unplugged since this open."""
        if file.gone:
            raise refusal(errno.ENODEV)

    def check_queue_free(self, file: OpenFile) -> None:
        """`vb2_queue_is_busy`: raises OSError EBUSY when another open file owns the queue."""
        if self.owner is not None and self.owner is not file:
            raise refusal(errno.EBUSY)

    def start_stream(self) -> None:
        """STREAMON, once the queue allows it."""
        bounds = self.profile.crop_bounds_px or (self.picture.width_px, self.picture.height_px)
        left, top, width, height = self.crop
        share = (left / bounds[0], top / bounds[1], width / bounds[0], height / bounds[1])
        if self._scene is None or self._scene.shows != (self.picture, share):
            self._scene = Scene(self.picture, f"camera {self.profile.label}", share)
        self._turn += 1
        delivery = Delivery(self.queue, self._scene, self.faults, self.clock, self.profile.stamp_flags)
        self.stream = self.trigger.start(delivery, self.sensor, self.controls)
        if self.stream is not None:
            self._deadlines.hold(self)
            return
        self.stream = Stream(delivery, self.sensor, self.clock, self.interval_s)
        self._deadlines.add(self, self.stream.exposure.end_ns, self._turn)

    def stop_stream(self) -> None:
        """STREAMOFF: no frame any more, all buffers back with the program, waiters woken."""
        self._turn += 1
        self.stream = None
        self._deadlines.remove(self)
        self.trigger.stop(self.controls)
        self.queue.stop()
        self.refresh()
        self.lock.notify_all()

    def settle(self) -> None:
        """After the lock was given up: wait for the pacer, if this was the last stream."""
        self._deadlines.settle()

    def halt(self) -> None:
        """No frames while the driver hangs in STREAMOFF."""
        with self.lock:
            if self.stream is not None:
                self.stream.halted = True

    def expire(self, turn: int) -> int | None:
        """A frame's time is over: deliver it. The end of the next one, or None when this stream is over."""
        with self.lock:
            if self.stream is None or turn != self._turn:
                return None
            if isinstance(self.stream, TriggeredStream):
                self._finish_triggered(self.stream)
                return None
            if self._is_last(self.stream.sequence):
                return None
            if self.stream.halted or self.faults.frozen:
                self.stream.postpone()
            elif self.stream.finish_frame():
                self.refresh()
                self.lock.notify_all()
            self.stream.skip_late()
            return self.stream.exposure.end_ns

    def level(self, active: bool, at_ns: int) -> None:
        """The line at its trigger input stands at this level since `at_ns` (CLOCK_MONOTONIC ns, in order of time).

        Never waits for a frame. Raises ValueError when `at_ns` lies before the last one told.
        """
        self.trigger.level(active, at_ns)

    def pulse(self, at_ns: int, width_ns: int = 0) -> None:
        """A whole pulse at its trigger input, from `at_ns` on. Raises ValueError as `level` does."""
        self.trigger.pulse(at_ns, width_ns)

    def refresh(self) -> None:
        """Let every descriptor poll as the state says: a failed queue is readable, and DQBUF tells."""
        frames = self.queue.finished or int(self.queue.failed)
        for file in self.files:
            file.show(frames if file.kind is NodeKind.CAPTURE else 0)

    def follow_controls(self, written: Iterable[int]) -> None:
        """The hardware follows controls that were written, except the dead ones."""
        live = {control_id for control_id in written if control_id not in self.faults.dead_controls}
        timing = self.profile.timing
        if timing is not None and ControlID.VBLANK in live:
            self._set_interval(timing.interval_s(self.controls.number(ControlID.VBLANK)))
            live.add(self.profile.optics.exposure_id)
        self.autofocus.follow(live)
        numbers = {control_id: self.controls.number(control_id) for control_id in live if control_id in self._light_ids}
        self.sensor.follow(numbers, None if self.stream is None else self.stream.sequence)
        self.trigger.follow(live, self.clock.now_ns())

    def set_interval(self, interval_s: Fraction) -> None:
        """S_PARM: a new frame interval; on a sensor VBLANK moves with it."""
        timing = self.profile.timing
        if timing is None:
            self._set_interval(interval_s)
            return
        self.controls.store(ControlID.VBLANK, timing.vblank_lines(interval_s))
        self.follow_controls([ControlID.VBLANK])

    def set_grabbed(self, control_id: int, *, grabbed: bool) -> None:
        """Let somebody else hold a control (V4L2_CTRL_FLAG_GRABBED): EBUSY for whoever sets it."""
        self._flag(control_id, ControlFlag.GRABBED, on=grabbed)

    def set_disabled(self, control_id: int, *, disabled: bool) -> None:
        """Take a control out of service (V4L2_CTRL_FLAG_DISABLED)."""
        self._flag(control_id, ControlFlag.DISABLED, on=disabled)

    def fail_queue(self) -> None:
        """`vb2_queue_error`: the queue answers EIO until STREAMOFF."""
        with self.lock:
            self.queue.fail()
            self.refresh()
            self.lock.notify_all()

    def _call_at(self, deadline_ns: int) -> None:
        self._deadlines.add(self, deadline_ns, self._turn)

    def _finish_triggered(self, stream: TriggeredStream) -> None:
        while (exposure := stream.next_ready(self.clock.now_ns())) is not None:
            if self._is_last(exposure.sequence):
                return
            if stream.finish(exposure):
                self.refresh()
                self.lock.notify_all()

    def _is_last(self, sequence: int) -> bool:
        """Pulls the camera out at the frame it was told to."""
        limit = self.faults.unplug_at_frame
        if limit is None or sequence < limit:
            return False
        self.faults.unplug_at_frame = None
        self.unplug_locked()
        return True

    def _flag(self, control_id: int, flag: ControlFlag, *, on: bool) -> None:
        with self.lock:
            self.controls.flag(control_id, flag, on=on)
            self.refresh()

    def _set_interval(self, interval_s: Fraction) -> None:
        self.interval_s = interval_s
        if isinstance(self.stream, Stream):
            self.stream.set_interval(interval_s)
        timing = self.profile.timing
        if timing is not None:
            spec = self.controls.spec(self.profile.optics.exposure_id)
            if spec is not None:
                maximum = timing.height_px + self.controls.number(ControlID.VBLANK) - timing.margin_lines
                self.controls.modify_range(spec.id, spec.minimum, maximum, min(int(spec.default), maximum))

    def _power_up(self) -> None:
        profile = self.profile
        optics = profile.optics
        self.queue = BufferQueue(minimum=profile.minimum_buffers, orphans=profile.orphans)
        self.owner = None
        self.stream = None
        self.last_index = 0
        size = profile.sizes_px[0] if profile.stepwise is None else profile.stepwise.maximum_px
        self.picture = Picture(LAYOUTS[profile.formats[0]], *size)
        self.interval_s = profile.intervals_s[0]
        self.crop = (0, 0, *(profile.crop_bounds_px or size))
        self.controls = ControlSet(profile.controls, profile.clusters, self._live, self._announce)
        light_ids = (optics.exposure_id, optics.gain_id, optics.extra_gain_id, optics.auto_id)
        self._light_ids = {control_id for control_id in light_ids if control_id is not None}
        self.autofocus = Autofocus(self.clock, self.faults)
        self.sensor = Sensor(optics, {control_id: self.controls.number(control_id) for control_id in self._light_ids})
        if profile.timing is not None:
            with self.lock:
                self._set_interval(profile.timing.interval_s(self.controls.number(ControlID.VBLANK)))

    def _live(self, control_id: int) -> int | None:
        if control_id == self.profile.counter_id:
            return 0 if self.stream is None else max(self.stream.sequence, 0)
        if control_id == ControlID.AUTO_FOCUS_STATUS:
            return self.autofocus.status()
        return self.sensor.live(control_id)

    def _announce(self, spec: ControlSpec, value: Value, changes: int, origin: Any) -> None:
        for file in self.files:
            if file.events.subscribed(spec.id) and (file is not origin or file.events.wants_feedback(spec.id)):
                file.events.post(spec, value, changes, self.clock.now_ns())
        self.lock.notify_all()
