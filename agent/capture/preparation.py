"""From settings to a camera that is ready to stream: format, rate, controls, exposure proven, buffers mapped."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from agent.capture.settings import Prepared, Settings
from agent.errors import ControlUnknown
from agent.units import NS_PER_S, format_duration
from agent.v4l2.allocator import PAGE_BYTES, Allocator
from agent.v4l2.buffers import BufferPool
from agent.v4l2.controls import Control, enumerate_controls
from agent.v4l2.effect import bound_frames
from agent.v4l2.exposure import ExposureReport, lock_exposure, read_exposure
from agent.v4l2.formats import get_format, get_interval, set_interval
from agent.v4l2.gain import GainReport, read_gain, sensor_name, set_gain
from agent.v4l2.ioctl import Node
from agent.v4l2.names import find_control
from agent.v4l2.transaction import set_controls
from agent.v4l2.uapi import BufType
from agent.v4l2.values import Value, parse_value


@dataclass(frozen=True, slots=True)
class Camera:
    """An open capture node and what is known of it. `sensor`: its sensor's name, where driver or card tell it."""

    node: Node
    buffer_type: BufType
    driver: str
    card: str

    @property
    def sensor(self) -> str | None:
        """The known sensor the driver or card is named after."""
        return sensor_name(self.driver, self.card)


def prepare(camera: Camera, settings: Settings) -> tuple[BufferPool, Prepared]:
    """Set everything, prove it by reading back, and map the buffers; the caller owns the pool.

    Raises FormatUnsupported, QuantityError, ControlUnknown, ControlValueError, ControlRefused, ExposureNotProven,
    DeviceBusy, DeviceError. The pool is then released again.
    """
    node = camera.node
    present = get_format(node, camera.buffer_type)
    allocator = Allocator(
        node,
        camera.buffer_type,
        granularity_bytes=settings.granularity_bytes or PAGE_BYTES,
        preference=settings.memory,
    )
    pool = allocator.allocate(
        settings.width_px or present.width_px,
        settings.height_px or present.height_px,
        settings.pixel_format or present.pixel_format,
        count=settings.buffer_count,
    )
    try:
        return pool, _settle(camera, settings, pool)
    except BaseException:
        pool.release()
        raise


def _settle(camera: Camera, settings: Settings, pool: BufferPool) -> Prepared:
    node = camera.node
    interval_s = _set_rate(camera, settings)
    changed = _set_controls(node, settings)
    exposure, gain = _expose(camera, settings)
    if exposure is not None:
        changed |= any(change.before != change.after for change in exposure.changes.changes)
    return Prepared(
        format=pool.format,
        interval_s=interval_s,
        exposure=exposure,
        found_exposure=read_exposure(node, camera.sensor),
        gain=gain,
        memory=pool.kind,
        passed_over=pool.passed_over,
        buffer_count=len(pool),
        buffer_bytes=pool.size_bytes,
        settle_frames=_settle_frames(camera, settings, changed),
        differences=tuple(_differences(settings, interval_s, exposure, gain)),
    )


def _set_rate(camera: Camera, settings: Settings) -> Fraction | None:
    if settings.rate is None:
        return get_interval(camera.node, camera.buffer_type)
    return set_interval(camera.node, camera.buffer_type, 1 / settings.rate)


def _set_controls(node: Node, settings: Settings) -> bool:
    """Set the further controls as one transaction; whether any value changed."""
    if not settings.controls:
        return False
    controls = enumerate_controls(node)
    values: dict[int | Control, Value] = {}
    for name, text in settings.controls.items():
        control = find_control(node.path, controls, name)
        values[control.id] = parse_value(control, text)
    report = set_controls(node, values)
    return any(change.before != change.after for change in report.changes)


def _expose(camera: Camera, settings: Settings) -> tuple[ExposureReport | None, GainReport | None]:
    node = camera.node
    if settings.exposure_ns is not None:
        report = lock_exposure(node, settings.exposure_ns, settings.gain, camera.sensor)
        return report, report.gain or find_gain(camera)
    if settings.gain is not None:
        return None, set_gain(node, settings.gain, camera.sensor)
    return None, find_gain(camera)


def find_gain(camera: Camera) -> GainReport | None:
    """The gain in force, or None where the camera has no gain control."""
    try:
        return read_gain(camera.node, camera.sensor)
    except ControlUnknown:
        return None


def _settle_frames(camera: Camera, settings: Settings, changed: bool) -> int:
    if settings.settle_frames is not None:
        return settings.settle_frames
    return bound_frames(camera.sensor) if changed or settings.gain is not None else 0


def _differences(
    settings: Settings, interval_s: Fraction | None, exposure: ExposureReport | None, gain: GainReport | None
) -> list[str]:
    found = []
    if exposure is not None:
        granted = format_duration(exposure.granted_ns)
        if exposure.granted_ns != exposure.asked_ns:
            found.append(f"exposure {format_duration(exposure.asked_ns)} asked, {granted} granted")
        found += [f"exposure {granted}: {reason.text}" for reason in exposure.why]
    if gain is not None:
        found += [f"gain: {reason}" for reason in gain.why]
    if settings.rate is not None and interval_s is not None and interval_s * settings.rate != 1:
        granted_fps = float(1 / interval_s) if interval_s else 0
        found.append(
            f"{float(settings.rate):g} frames/s asked, {granted_fps:g} granted "
            f"(interval {format_duration(round(interval_s * NS_PER_S))})"
        )
    return found
