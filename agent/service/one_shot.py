"""One frame exposed after the request: a plan of one tick, answered when its picture is whole (pain 1)."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.capture import messages as m
from agent.capture.order import PlanOrder
from agent.capture.relayed import relayed
from agent.capture.state_word import Phase
from agent.capture.tick_log import End, TickRecord
from agent.config.planned import Planned
from agent.control.facade import Document
from agent.errors import AgentError, InputError, StorageError
from agent.pipeline.frame_log import LOG_NAME
from agent.pipeline.names import file_name
from agent.schedule.instants import PRIORITY_MAX
from agent.schedule.plan import Plan
from agent.service.parts import Parts
from agent.service.plan_book import KnownPlan, Standing
from agent.service.processes import facts
from agent.units import NS_PER_S, format_duration
from agent.v4l2.gain import parse_gain

_OPTIONS = {"exposure_ns": int, "gain": str, "timeout_ns": int}
_SPARE_NS = 2 * NS_PER_S
_TAIL_BYTES = 1 << 20
"""The line of a picture that was just written is near the end of its folder's log."""


class CaptureFailed(AgentError):
    """No picture came of a capture. Details: camera, end (how its request ended), trace_id."""

    code = "capture_failed"
    exit_code = 6


class CaptureLate(AgentError):
    """The picture was not there in time; the capture was cancelled. Details: camera, timeout_ns."""

    code = "capture_late"
    exit_code = 6


class OneShot:
    """Captures, any number at once."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def capture(self, camera: str, by: str, options: Mapping[str, Any]) -> Document:
        """A picture of `camera`, exposed after this was called.

        A camera that was off is started, and stopped again where nobody else wants it by then.
        Raises NotFound, CaptureFailed, CaptureLate, and why the camera is not ready.
        """
        _check(options)
        parts = self._parts
        asked_ns = parts.now_ns()
        group = parts.running_group_of(camera)
        timeout_ns = options.get("timeout_ns") or self._usual_ns(group)
        was_on = parts.pages.phase(group, camera) is Phase.ARMED
        try:
            async with asyncio.timeout(timeout_ns / NS_PER_S):
                if not was_on:
                    await self._ask(group, m.StartCamera(id=parts.processes.number(), camera=camera))
                await self._expose(group, camera, options)
                return await self._shoot(group, camera, by, asked_ns)
        except TimeoutError as error:
            raise CaptureLate(
                f"no picture of {camera} within {format_duration(timeout_ns)}",
                hint="see how the camera stands; a longer timeout_ns is waited for",
                camera=camera,
                timeout_ns=timeout_ns,
            ) from error
        finally:
            if not was_on:
                self._leave_off(group, camera)

    async def _shoot(self, group: str, camera: str, by: str, asked_ns: int) -> Document:
        parts = self._parts
        name = f"capture-{secrets.token_hex(6)}"
        # due when it is handed over: the first frame whose exposure begins from then on is its own
        plan = Plan(name=name, camera=camera, start_ns=0, count=1, priority=PRIORITY_MAX)
        known = parts.book.add([Planned(PlanOrder(plan=plan), group)], by=by)
        over: asyncio.Future[KnownPlan] = asyncio.get_running_loop().create_future()
        parts.watchers[name] = over.set_result
        try:
            await parts.fleet.give(group, known)
            ended = await over
        finally:
            parts.watchers.pop(name, None)
            if not known[0].over:
                self._cancel(known[0], by)
            parts.book.remove(known)
        record = self._outcome(ended, camera)
        return await self._picture(group, camera, record, asked_ns)

    def _outcome(self, ended: KnownPlan, camera: str) -> TickRecord:
        """The record of its one request. Raises why there is no picture."""
        given, slot = ended.given, ended.slot
        found = None
        if given is not None and slot is not None:
            found = self._parts.pages.record(ended.wish.group, slot, given.plan.start_ns)
        if ended.standing is Standing.CANCELLED:
            raise relayed("cancelled", f"the capture of {camera} was cancelled: {ended.cause}", "ask again")
        if found is None or found.end is not End.DELIVERED:
            told = "its request left no record" if found is None else found.end.told
            change = self._parts.changes.get(camera)
            cause = f": {change.cause}" if change is not None and change.cause else ""
            kind = StorageError if found is not None and found.end is End.STORAGE else CaptureFailed
            raise kind(
                f"no picture of {camera}: {told}{cause}",
                hint="see how the camera stands, then ask again",
                camera=camera,
                end=None if found is None else found.end.name.lower(),
                trace_id=None if found is None else found.trace_id,
            )
        return found

    async def _picture(self, group: str, camera: str, record: TickRecord, asked_ns: int) -> Document:
        folder = self._folder(group, camera)
        line = await asyncio.to_thread(find_line, folder / LOG_NAME, record.trace_id)
        if line is None:
            raise CaptureFailed(
                f"the picture of {camera} has no line in {folder / LOG_NAME}",
                hint="see whether somebody else moves files there",
                camera=camera,
                end="delivered",
                trace_id=record.trace_id,
            )
        return {
            "camera": camera,
            "trace_id": record.trace_id,
            "path": str(folder / line["file"]),
            "asked_ns": asked_ns,
            "due_ns": record.due_ns,
            **_exposed(line),
            "sequence": line["sequence"],
            "record": line,
        }

    def _folder(self, group: str, camera: str) -> Path:
        order = self._parts.processes.supervisor.groups[group].order
        if order.sink is None:
            raise InputError("nothing is stored by this group", hint="write output: at the configuration")
        several = len(order.cameras) > 1
        return order.sink.folder / file_name(camera) if several else order.sink.folder

    async def _expose(self, group: str, camera: str, options: Mapping[str, Any]) -> None:
        if options.get("exposure_ns") is None:
            if options.get("gain") is not None:
                raise InputError("a gain without an exposure", hint="give exposure_ns as well", key="gain")
            return
        gain = options.get("gain")
        asked = None if gain is None else parse_gain(gain)
        number = self._parts.processes.number()
        await self._ask(group, m.Expose(id=number, camera=camera, exposure_ns=options["exposure_ns"], gain=asked))

    async def _ask(self, group: str, command: m.Command) -> Any:
        return await facts(self._parts.processes.ask(group, command))

    def _cancel(self, plan: KnownPlan, by: str) -> None:
        """Nobody waits for it any more."""
        parts = self._parts
        parts.book.end(plan, Standing.CANCELLED, f"{by}, who asked for it")
        if plan.wish.group in parts.processes.supervisor.groups:
            number = parts.processes.number()
            parts.processes.ask(plan.wish.group, m.Cancel(id=number, kind="plan", name=plan.wish.name, by=by))

    def _leave_off(self, group: str, camera: str) -> None:
        parts = self._parts
        if group in parts.fleet.groups and not parts.book.of_camera(camera, group):
            number = parts.processes.number()
            by = "the capture that started it"
            parts.processes.ask(group, m.Cancel(id=number, kind="camera", name=camera, by=by))

    def _usual_ns(self, group: str) -> int:
        limits = self._parts.processes.supervisor.groups[group].order.limits
        stages_ns = limits.session_ns + limits.focus_ns + limits.frame_ns + max(limits.encode_ns, limits.develop_ns)
        return stages_ns + _SPARE_NS


def find_line(path: Path, trace_id: str) -> Document | None:
    """The line of the picture that a request got, looked for near the end; blocks as long as the disk does."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - _TAIL_BYTES, 0))
            lines = file.read().splitlines()
    except OSError:
        return None
    wanted = trace_id.encode()
    found = (_line(line, trace_id) for line in reversed(lines) if wanted in line)
    return next((line for line in found if line is not None), None)


def _line(text: bytes, trace_id: str) -> Document | None:
    """A line of the log, if it is one and this request's; it may be cut off where the disk was full."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return None
    requests = told.get("trace_ids") if isinstance(told, dict) else None
    return told if isinstance(requests, list) and trace_id in requests else None


def _exposed(line: Document) -> Document:
    """When the exposure began, and how far that may be off, as well as the line knows it."""
    stamped_ns, exposure_ns, source = line["timestamp_ns"], line["exposure_ns"], line["timestamp_source"]
    began_ns = stamped_ns if source == "soe" or exposure_ns is None else stamped_ns - exposure_ns
    return {"exposed_ns": began_ns, "uncertainty_ns": line["uncertainty_ns"]}


def _check(options: Mapping[str, Any]) -> None:
    for key, value in options.items():
        kind = _OPTIONS.get(key)
        if kind is None:
            raise InputError(f"a capture has no option {key}", hint=f"it has {', '.join(_OPTIONS)}", key=key)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            hint = "nanoseconds are integers, a gain is a text"
            raise InputError(f"{key} is not of the right type", hint=hint, key=key)
    for key in ("exposure_ns", "timeout_ns"):
        number = options.get(key)
        if number is not None and number <= 0:
            raise InputError(f"{key} is {number}", hint="write more than zero", key=key)
