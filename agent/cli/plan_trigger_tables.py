"""The trigger ledger of a run: a table for people, one document for programs."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType

from agent.capture.group_watch import lateness_facts
from agent.capture.messages import CameraReport, EmergencyStopped
from agent.cli.figures import short_duration
from agent.cli.plan_trigger_watch import CameraPulses, GroupPulses
from agent.cli.show import table
from agent.units import NS_PER_S

_COLUMNS = ("trigger", "pulses", "matched", "missed", "late", "ambiguous", "spurious", "residuals", "pulse to start")


def trigger_table(groups: Sequence[GroupPulses]) -> RenderableType | None:
    """A line for each triggered camera; None where there is none."""
    rows = [_row(camera) for group in groups for camera in group.cameras]
    return table(_COLUMNS, rows, whole=("trigger",)) if rows else None


def group_texts(groups: Sequence[GroupPulses]) -> list[tuple[str, str]]:
    """A row for each group with lines: pulses, sets and their skew, edges."""
    found = [(f"trigger of {group.group}", _group_text(group)) for group in groups]
    return [(name, text) for name, text in found if text]


def trigger_facts(group: GroupPulses) -> dict[str, object]:
    """Everything, times in nanoseconds."""
    return {
        "group": group.group,
        "kind": group.kind,
        "pulses": group.pulses,
        "sets": group.sets,
        "sets_incomplete": group.sets_incomplete,
        "skew_ns": group.skew_ns,
        "skew_max_ns": group.skew_max_ns,
        "edges": group.edges,
        "edges_lost": group.edges_lost,
        "emergency_stop_ns": group.stopped_ns,
        "cameras": [_camera_facts(camera) for camera in group.cameras],
    }


def pressed_text(stop: EmergencyStopped, begin_ns: int | None) -> str:
    """Who pressed, when, and how fast the streams were off."""
    told = stop.why
    if begin_ns is not None:
        after_ns = stop.pressed_ns - begin_ns
        side = "after" if after_ns >= 0 else "before"
        told += f", {abs(after_ns) / NS_PER_S:.3f} s {side} the plans' start"
    off = [_off_text(report, stop.pressed_ns) for report in stop.facts.cameras if report.was_on]
    return "; ".join((told, *off)) if off else f"{told}; no stream was on"


def pressed_facts(group: str, stop: EmergencyStopped) -> dict[str, object]:
    """The same for programs."""
    cameras = [
        {
            "camera": report.camera,
            "was_on": report.was_on,
            "to_entry_ns": report.entered_ns - stop.pressed_ns if report.entered_ns else None,
            "to_return_ns": report.returned_ns - stop.pressed_ns if report.returned_ns else None,
            "steps": list(report.steps),
            "error": report.error,
        }
        for report in stop.facts.cameras
    ]
    return {"group": group, "pressed_ns": stop.pressed_ns, "why": stop.why, "cameras": cameras}


def residual_text(ns: int) -> str:
    """With its sign: a plus is later than expected."""
    return f"{'-' if ns < 0 else '+'}{short_duration(abs(ns))}"


def _off_text(report: CameraReport, pressed_ns: int) -> str:
    if not report.entered_ns:
        return f"{report.camera} was off with its process, {short_duration(report.returned_ns - pressed_ns)} after it"
    entered = short_duration(report.entered_ns - pressed_ns)
    returned = short_duration(report.returned_ns - pressed_ns)
    return f"STREAMOFF of {report.camera} entered {entered} after the edge, returned {returned} after it"


def _row(camera: CameraPulses) -> tuple[str, ...]:
    residuals, delay = "", ""
    if camera.residual_min_ns is not None and camera.residual_max_ns is not None:
        residuals = f"{residual_text(camera.residual_min_ns)} to {residual_text(camera.residual_max_ns)}"
    p50, p99 = camera.delays.percentile(50), camera.delays.percentile(99)
    if p50 is not None and p99 is not None:
        delay = f"P50 {short_duration(p50)}, P99 {short_duration(p99)}"
    matched = f"{camera.matched:,}" + (f", {camera.out_of_budget:,} out of budget" if camera.out_of_budget else "")
    frames = [f"{camera.ambiguous:,}" if camera.ambiguous else ""]
    frames.append(f"{camera.ambiguous_frames:,} frames" if camera.ambiguous_frames else "")
    return (
        camera.camera,
        f"{camera.pulses:,}" + (f", {camera.open:,} open" if camera.open else ""),
        matched,
        f"{camera.missed:,}" if camera.missed else "",
        f"{camera.late:,}" if camera.late else "",
        ", ".join(filter(None, frames)),
        f"{camera.spurious:,}" if camera.spurious else "",
        residuals,
        delay,
    )


def _group_text(group: GroupPulses) -> str:
    told = []
    if group.kind is not None:
        told.append(f"{group.pulses:,} pulse{'' if group.pulses == 1 else 's'} of the kind {group.kind}")
    if group.sets is not None:
        told.append(f"{group.sets:,} whole set{'' if group.sets == 1 else 's'}, {group.sets_incomplete:,} incomplete")
    if group.skew_ns is not None and group.skew_max_ns is not None:
        told.append(f"skew {short_duration(group.skew_ns)}, largest {short_duration(group.skew_max_ns)}")
    if group.edges is not None:
        told.append(f"{group.edges:,} edge{'' if group.edges == 1 else 's'}")
    if group.edges_lost:
        told.append(f"{group.edges_lost:,} more were lost in the kernel")
    relocks = sum(camera.relocks for camera in group.cameras)
    if relocks:
        told.append(f"the pairing was shifted and locked again {relocks:,} times")
    return "; ".join(told)


def _camera_facts(camera: CameraPulses) -> dict[str, object]:
    return {
        "camera": camera.camera,
        "pulses": camera.pulses,
        "open": camera.open,
        "matched": camera.matched,
        "missed": camera.missed,
        "late": camera.late,
        "ambiguous": camera.ambiguous,
        "spurious": camera.spurious,
        "ambiguous_frames": camera.ambiguous_frames,
        "relocks": camera.relocks,
        "out_of_budget": camera.out_of_budget,
        "residual_min_ns": camera.residual_min_ns,
        "residual_max_ns": camera.residual_max_ns,
        "strobes": camera.strobes,
        "pulse_to_start": lateness_facts(camera.delays),
    }
