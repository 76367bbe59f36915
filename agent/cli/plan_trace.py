"""What `plan check --trace` prints: every call that would be made, and when, seen on simulated cameras."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from agent.capture.relayed import relayed
from agent.capture.trigger_order import TriggerKind
from agent.cli.bench import LIKENESSES, SIMULATED, SteppedCameras, open_stepped, present_cameras
from agent.cli.dry_run import DryRun, Entry
from agent.cli.show import line, print_all, print_json
from agent.config.files import read_text
from agent.config.plan_file import PlanFile, parse_plan_file
from agent.errors import AgentError
from agent.units import NS_PER_S, format_duration


def trace(path: Path, *, ticks: int, like: str | None, simulate: bool, every_frame: bool, as_json: bool) -> None:
    """Carry the file out on simulated cameras until `ticks` of its ticks have ended, and print what was called.

    `like`: one of LIKENESSES; None the first of them, at each device of the file. `simulate`: the cameras of
    `--simulate` instead. Raises ConfigError, and after the printing the error of a camera that did not come up.
    """
    text = read_text(path)
    now_ns = time.monotonic_ns()
    # looked at once before: its devices are where the simulated cameras will be
    file = parse_plan_file(text, str(path), now_ns=now_ns, realtime_now_ns=time.time_ns())
    devices = file.devices
    likeness = None if simulate else like or LIKENESSES[0]
    with open_stepped(list(devices.values()), likeness, file.with_paths(devices).groups) as cameras:
        file = parse_plan_file(text, str(path), now_ns=cameras.now_ns(), realtime_now_ns=time.time_ns())
        file = file.located(present_cameras(cameras.kernel)) if likeness is None else file.with_paths(devices)
        run, error = _carry_out(cameras, file, ticks)
    stood_for = (
        ", ".join(SIMULATED) if likeness is None else f"{', '.join(devices.values())}, each like a {likeness} camera"
    )
    if as_json:
        _print_json(file, run, stood_for)
    else:
        print_all(*(line(told) for told in _lines(file, run, stood_for, every_frame=every_frame)))
    if error is not None:
        raise error


def _carry_out(cameras: SteppedCameras, file: PlanFile, ticks: int) -> tuple[DryRun, AgentError | None]:
    with DryRun(cameras, file) as run:
        try:
            if run.arm():
                run.add([file.plans[group.name] for group in file.groups])
                run.run(ticks)
                run.stop()
        except AgentError as error:
            return run, error
    fault = run.fault
    if fault is None:
        return run, None
    return run, relayed(fault.code, f"camera {fault.camera}: {fault.cause}", fault.hint)


def _lines(file: PlanFile, run: DryRun, stood_for: str, *, every_frame: bool) -> Iterator[str]:
    yield f"# {file.name}: a dry run. No hardware was touched: the answers are those of simulated cameras"
    yield f"# ({stood_for}). A real camera may answer otherwise, and its driver takes time."
    yield "# Seconds since the run's start (which the simulated clock calls 1.000000), camera, call -> answer."
    width = max((len(entry.camera) for entry in run.entries), default=0)
    idle: Counter[str] = Counter()
    for entry in run.entries:
        if entry.idle and not every_frame:
            idle[entry.camera] += entry.call is not None and entry.call.name == "VIDIOC_QBUF"
            continue
        yield from _idle_lines(idle)
        idle.clear()
        yield f"{_instant(entry.at_ns - run.start_ns)}  {entry.camera:{width}}  {_text(entry)}"
    yield from _idle_lines(idle)
    yield from _edge_lines(file, run)
    if not run.complete:
        passed_ns = run.entries[-1].at_ns - run.start_ns
        yield f"# ended after {run.frames:,} frames, {format_duration(passed_ns)} after the start"


def _idle_lines(idle: Counter[str]) -> Iterator[str]:
    if idle:
        told = ", ".join(f"{count} of {camera}" for camera, count in sorted(idle.items()))
        yield f"# frames that no tick wants, VIDIOC_DQBUF and VIDIOC_QBUF of the same buffer: {told}"


def _edge_lines(file: PlanFile, run: DryRun) -> Iterator[str]:
    """What became of lines, or would have."""
    edges = Counter(entry.line.line for entry in run.entries if entry.line is not None and entry.line.name == "edge")
    told = ", ".join(f"{count} of {line}" for line, count in sorted(edges.items()))
    yield f"# edges seen: {told}" if told else "# edges: none"
    for group in file.groups:
        trigger = group.trigger
        if trigger is not None and trigger.input is not None and trigger.kind is not TriggerKind.PWM:
            yield f"# nobody is wired to {trigger.input.line} in a dry run: no edge comes, and no plan starts on one"


def _instant(after_ns: int) -> str:
    return f"{after_ns / NS_PER_S:+12.6f}"


def _text(entry: Entry) -> str:
    if entry.call is not None:
        return entry.call.text
    if entry.line is not None:
        return entry.line.text
    if entry.told:
        return entry.told
    tick = entry.tick
    if tick is None:
        return ""
    end = tick.end.name.lower().replace("_", " ")
    frames = "" if not tick.frames else f", frame {tick.sequence}" if tick.frames == 1 else f", {tick.frames} frames"
    took_ns = tick.ended_ns - tick.due_ns
    return f"# tick {tick.number} of {entry.plan}: {end} {format_duration(took_ns)} after it was due{frames}"


def _print_json(file: PlanFile, run: DryRun, stood_for: str) -> None:
    """Every call, also those for frames that no tick wants."""
    document = {
        "file": file.name,
        "simulated": stood_for,
        "start_ns": run.start_ns,
        "edges": [_edge_facts(entry, run.start_ns) for entry in run.entries if _is_edge(entry)],
        "frames": run.frames,
        "complete": run.complete,
        "trace": [_facts(entry, run.start_ns) for entry in run.entries],
    }
    print_json(document)


def _is_edge(entry: Entry) -> bool:
    """A level that we set, or an edge that was seen."""
    return entry.line is not None and entry.line.name in ("set", "edge")


def _edge_facts(entry: Entry, start_ns: int) -> dict[str, object]:
    call = entry.line
    if call is None:
        return {}
    active = not any("inactive" in name for name, _ in call.asked)
    return {"at_ns": call.at_ns - start_ns, "line": call.line, "ours": call.name == "set", "active": active}


def _facts(entry: Entry, start_ns: int) -> dict[str, object]:
    facts: dict[str, object] = {"at_ns": entry.at_ns - start_ns, "camera": entry.camera}
    if entry.call is not None:
        call = entry.call
        facts |= {"call": call.name, "device": call.device, "asked": dict(call.asked), "answered": dict(call.answered)}
        facts |= {"error": call.error or None, "wanted": not entry.idle}
    elif entry.line is not None:
        line = entry.line
        facts |= {"line": line.line, "done": line.name, "told": line.text, "error": line.error or None}
    elif entry.told:
        facts["told"] = entry.told
    elif entry.tick is not None:
        tick = entry.tick
        facts |= {"tick": tick.number, "plan": entry.plan, "trace_id": tick.trace_id, "end": tick.end.name.lower()}
        facts |= {"due_ns": tick.due_ns - start_ns, "frames": tick.frames, "sequence": tick.sequence}
    return facts
