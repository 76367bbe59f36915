"""The figures of a finished capture, in words and as facts for programs."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean, pstdev

from agent.cli.shooting import Shooting
from agent.units import NS_PER_MS, NS_PER_US, format_duration, format_size
from agent.v4l2.ledger import Loss

_SOURCES = {
    "soe": "start of exposure",
    "eof": "end of frame",
    "dequeue": "taken by us at dequeueing",
}


def exposure_text(shooting: Shooting) -> str:
    """Asked, granted, why; or what is in force when nothing was asked."""
    prepared = shooting.prepared
    if prepared is None:
        return ""
    report = prepared.exposure
    if report is not None:
        why = "; ".join(reason.text for reason in report.why)
        reason = f" ({why})" if why else ""
        return f"{format_duration(report.asked_ns)} asked, {format_duration(report.granted_ns)} granted{reason}"
    found = prepared.found_exposure
    if found.automatic:
        return f"automatic: {found.mode}; --exposure 8ms would fix it"
    return "not known" if found.exposure_ns is None else f"{format_duration(found.exposure_ns)}, as it was"


def gain_text(shooting: Shooting) -> str:
    """The gain in force, in decibels where its law is known; empty without a gain control."""
    gain = shooting.prepared.gain if shooting.prepared else None
    if gain is None:
        return ""
    value = str(gain.value) if gain.granted_mdb is None else f"{gain.value} = {gain.granted_mdb / 1000:g}dB"
    return f"{value} ({'; '.join(gain.why)})" if gain.why else value


def lost_text(shooting: Shooting) -> str:
    """Frames lost by cause; those left out on purpose are said apart."""
    lost = {cause.value: shooting.losses.get(cause.value, 0) for cause in Loss if cause is not Loss.SKIPPED}
    causes = ", ".join(f"{cause} {count}" for cause, count in lost.items() if count)
    told = f"{sum(lost.values())} ({causes})" if causes else "0"
    skipped = shooting.losses.get(Loss.SKIPPED.value, 0)
    return f"{told}; {skipped} left out on purpose" if skipped else told


def stamp_text(shooting: Shooting) -> str:
    """Clock, source and uncertainty of the timestamps, and whether the driver's were believed."""
    if not shooting.records:
        return "none"
    first = shooting.records[0]
    worst_ns = max(record.uncertainty_ns for record in shooting.records)
    source = _SOURCES.get(first.timestamp_source, first.timestamp_source)
    told = f"{first.timestamp_clock} clock, {source}, within ±{short_duration(worst_ns)}"
    return f"{told}; the driver's own are not trusted: {shooting.distrusted}" if shooting.distrusted else told


def memory_text(shooting: Shooting) -> str:
    """Kind, number and size of the buffers."""
    prepared = shooting.prepared
    if prepared is None:
        return ""
    told = f"{prepared.memory.value}, {prepared.buffer_count} buffers, {format_size(prepared.buffer_bytes)}"
    reasons = "; ".join(f"no {kind.value}: {why}" for kind, why in prepared.passed_over)
    return f"{told} ({reasons})" if reasons else told


def stop_text(shooting: Shooting) -> str:
    """How long the driver took to stop the stream."""
    stopped = shooting.stopped
    return "" if stopped is None else short_duration(stopped.returned_ns - stopped.entered_ns)


def intervals_ns(shooting: Shooting) -> tuple[float, float] | None:
    """Mean and standard deviation of the time from frame to frame, by the stamps; None for fewer than two."""
    steps = [
        (after.timestamp_ns - before.timestamp_ns) / (after.sequence - before.sequence)
        for before, after in pairwise(shooting.records)
        if after.sequence > before.sequence
    ]
    return (fmean(steps), pstdev(steps)) if steps else None


def interval_text(shooting: Shooting) -> str:
    """Mean and jitter of the frame interval."""
    found = intervals_ns(shooting)
    if found is None:
        return "one picture"
    return f"{found[0] / NS_PER_MS:.3f} ms, jitter {short_duration(round(found[1]))}"


def short_duration(duration_ns: int) -> str:
    """Three significant digits and a unit, for measured times: `213 us`."""
    for unit, factor in (("ms", NS_PER_MS), ("us", NS_PER_US)):
        if duration_ns >= factor:
            return (
                f"{duration_ns / factor:.3g} {unit}"
                if duration_ns < 1000 * factor
                else f"{duration_ns / factor:.0f} {unit}"
            )
    return f"{duration_ns} ns"


def as_dict(shooting: Shooting) -> dict[str, object]:
    """For `--json`. Times in nanoseconds."""
    prepared, about, stopped = shooting.prepared, shooting.about, shooting.stopped
    if prepared is None or about is None:
        return {}
    report = prepared.exposure
    interval = intervals_ns(shooting)
    return {
        "camera": about.card,
        "device": shooting.order.device,
        "folder": str(shooting.folder),
        "pictures": [record.file for record in shooting.records],
        "pixel_format": prepared.format.pixel_format,
        "width": prepared.format.width_px,
        "height": prepared.format.height_px,
        "interval_s": None if prepared.interval_s is None else str(prepared.interval_s),
        "interval_mean_ns": interval and round(interval[0]),
        "interval_jitter_ns": interval and round(interval[1]),
        "frames": shooting.losses,
        "damaged": shooting.damaged,
        "exposure_asked_ns": report.asked_ns if report else None,
        "exposure_granted_ns": prepared.exposure_ns,
        "gain": prepared.gain.value if prepared.gain else None,
        "gain_mdb": prepared.gain.granted_mdb if prepared.gain else None,
        "differences": prepared.differences,
        "timestamp_clock": shooting.records[0].timestamp_clock if shooting.records else None,
        "timestamp_source": shooting.records[0].timestamp_source if shooting.records else None,
        "uncertainty_ns": max((record.uncertainty_ns for record in shooting.records), default=None),
        "timestamps_distrusted": shooting.distrusted,
        "memory": prepared.memory.value,
        "memory_passed_over": {kind.value: why for kind, why in prepared.passed_over},
        "buffers": prepared.buffer_count,
        "buffer_bytes": prepared.buffer_bytes,
        "streamoff_ns": stopped.returned_ns - stopped.entered_ns if stopped else None,
    }
