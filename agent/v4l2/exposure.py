"""Exposure in nanoseconds: asked, granted, why they differ; locked in one transaction and proven by reading back.

A value between two steps of the camera becomes the nearest one and says so; one out of range is refused. What the
numbers of a control mean is in `agent.v4l2.exposure_scale`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.errors import ExposureNotProven, InputError
from agent.units import format_duration
from agent.v4l2.controls import Control, query_optional
from agent.v4l2.exposure_scale import Scale, find_scale, frame_interval_ns, value_in_range
from agent.v4l2.gain import GainReport, GainRequest, plan_gain
from agent.v4l2.ioctl import Node
from agent.v4l2.partners import HOLDS
from agent.v4l2.transaction import ReadBackMismatch, SetReport, set_controls, set_manual
from agent.v4l2.uapi import ControlID
from agent.v4l2.values import Value, describe_allowed, format_value, read_values

_HOLD = HOLDS[ControlID.EXPOSURE_ABSOLUTE][0]


@dataclass(frozen=True, slots=True)
class Exposure:
    """The exposure in force as the camera tells it; while automatic, its number may be an old one.

    `mode` is the automatic mode's own text, None when the camera has none. `exposure_ns` and the range are None when
    the camera has no exposure control or its unit is not known; `value` is the control's number.
    """

    automatic: bool
    mode: str | None
    control: str | None
    value: int | None
    exposure_ns: int | None
    minimum_ns: int | None
    maximum_ns: int | None
    step_ns: int | None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why granted differs from asked, or what follows from it. `code`: `step` or `frame_interval`."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class ExposureReport:
    """A locked exposure: asked, granted, why they differ. `changes` is what was set, each value read back."""

    asked_ns: int
    granted_ns: int
    why: tuple[Reason, ...]
    control: Control
    value: int
    gain: GainReport | None
    changes: SetReport


def read_exposure(node: Node, sensor: str | None = None) -> Exposure:
    """The exposure in force. A camera without an exposure control gives one without numbers. Raises DeviceError."""
    mode, automatic = _mode(node)
    try:
        scale = find_scale(node, sensor)
    except InputError:
        return Exposure(automatic, mode, None, None, None, None, None, None)
    control = scale.control
    value = int(read_values(node, [control])[control.id])
    return Exposure(
        automatic=automatic,
        mode=mode,
        control=control.slug,
        value=value,
        exposure_ns=scale.to_ns(value),
        minimum_ns=scale.to_ns(control.minimum),
        maximum_ns=scale.to_ns(control.maximum),
        step_ns=scale.step_ns,
    )


def lock_exposure(
    node: Node, exposure_ns: int, gain: GainRequest | None = None, sensor: str | None = None
) -> ExposureReport:
    """Manual exposure (and gain, unless None) in one transaction, read back. All or nothing is changed.

    Automatic exposure and its variable frame rate are switched off; automatic gain too when a gain is asked for.
    An exposure between two steps becomes the nearest, with the reason.

    Raises ControlUnknown, InputError, ControlValueError (range in units; nothing changed), ControlRefused,
    ExposureNotProven when the camera shows something else on reading back, DeviceError.
    """
    scale = find_scale(node, sensor)
    value = value_in_range(scale, exposure_ns)
    gain_report = None if gain is None else plan_gain(node, gain, sensor)
    values: dict[int | Control, Value] = {scale.control: value, **_steady_rate(node)}
    if gain_report is not None:
        values[gain_report.control] = gain_report.value
    try:
        changes = set_manual(node, values)
    except ReadBackMismatch as error:
        raise _not_proven(node, error.message, **error.details) from error
    granted_ns = scale.to_ns(value)
    why = tuple(_reasons(node, scale, exposure_ns, granted_ns))
    return ExposureReport(exposure_ns, granted_ns, why, scale.control, value, gain_report, changes)


def ensure_manual(node: Node) -> Exposure:
    """Automatic exposure off, the exposure left at what the camera makes of it, proven by reading back.

    Raises ControlRefused, ExposureNotProven, DeviceError.
    """
    auto = query_optional(node, _HOLD.auto_id)
    if auto is not None and read_values(node, [auto])[auto.id] not in _HOLD.manual:
        manual = _HOLD.choose_manual(auto)
        if manual is None:
            raise _not_proven(node, f"{auto.slug} offers no manual mode: {describe_allowed(auto)}")
        try:
            set_controls(node, {auto: manual})
        except ReadBackMismatch as error:
            raise _not_proven(node, error.message, **error.details) from error
    return prove_manual(node)


def prove_manual(node: Node) -> Exposure:
    """Read the exposure; to be called right before STREAMON. Raises ExposureNotProven while it is automatic."""
    found = read_exposure(node)
    if found.automatic:
        raise _not_proven(node, f"automatic exposure is on ({found.mode})", mode=found.mode)
    return found


def prove_exposure(node: Node, report: ExposureReport) -> None:
    """A locked exposure is still in force; to be called right before STREAMON. Raises ExposureNotProven."""
    mode, automatic = _mode(node)
    expected = {report.control: report.value}
    if report.gain is not None:
        expected[report.gain.control] = report.gain.value
    read = read_values(node, list(expected))
    wrong = {c.slug: {"asked": value, "read": read[c.id]} for c, value in expected.items() if read[c.id] != value}
    if automatic:
        raise _not_proven(node, f"automatic exposure was switched on again ({mode})", mode=mode, mismatches=wrong)
    if wrong:
        told = ", ".join(f"{name} reads {both['read']}, not {both['asked']}" for name, both in wrong.items())
        raise _not_proven(node, f"somebody changed it since it was locked: {told}", mode=mode, mismatches=wrong)


def _mode(node: Node) -> tuple[str | None, bool]:
    """The automatic exposure mode for people and whether it is on."""
    auto = query_optional(node, _HOLD.auto_id)
    if auto is None:
        return None, False
    value = read_values(node, [auto])[auto.id]
    return format_value(auto, value), value not in _HOLD.manual


def _steady_rate(node: Node) -> Mapping[int | Control, Value]:
    """The variable frame rate switched off, where the camera has one and it is on."""
    control = query_optional(node, ControlID.EXPOSURE_AUTO_PRIORITY)
    if control is None or control.read_only or control.inactive or not read_values(node, [control])[control.id]:
        return {}
    return {control: 0}


def _reasons(node: Node, scale: Scale, asked_ns: int, granted_ns: int) -> list[Reason]:
    reasons = []
    if granted_ns != asked_ns:
        unit = f"one line, {format_duration(scale.step_ns)}" if scale.in_lines else format_duration(scale.step_ns)
        reasons.append(Reason("step", f"the camera's step is {unit}"))
    interval_ns = frame_interval_ns(node, scale)
    if interval_ns is not None and granted_ns > interval_ns:
        consequence = "the rate drops or the camera cuts it short"
        text = f"longer than the frame interval {format_duration(interval_ns)}: {consequence}"
        reasons.append(Reason("frame_interval", text))
    return reasons


def _not_proven(node: Node, problem: str, **details: object) -> ExposureNotProven:
    return ExposureNotProven(
        f"manual exposure of {node.path} is not proven: {problem}",
        hint="close other programs that use the camera; if there is none, the camera ignores the setting",
        **{"device": node.path, **details},
    )
