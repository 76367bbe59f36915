"""Plans that somebody added, on disk until they are over: a restart of the agent loses none (docs/decisions/0027)."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.config.more_plans import read_more_plans
from agent.config.planned import Planned
from agent.config.problems import ConfigError, join
from agent.config.service_file import ServiceFile
from agent.errors import AgentError

FILE_NAME = "kept-plans.jsonl"
_MOST_BYTES = 64 * 1024 * 1024
_TYPES = {"name": str, "plan": dict, "by": str, "client": str, "asked_ns": int, "start_ns": int}
_OWN_START = ("start", "copies")


@dataclass(frozen=True, slots=True)
class KeptPlan:
    """One plan: its keys as they were asked for, without `start` and `copies`; by whom, and whose.

    `asked_ns`: when that was. `start_ns`: its first tick, which may be later. Both in nanoseconds of CLOCK_REALTIME.
    """

    name: str
    plan: Mapping[str, Any]
    by: str
    client: str
    asked_ns: int
    start_ns: int

    @property
    def line(self) -> bytes:
        """Of the file."""
        return json.dumps({key: getattr(self, key) for key in _TYPES}, ensure_ascii=False).encode() + b"\n"


class KeptPlans:
    """A file with a line a plan, written anew as a whole beside the old one. In the thread of its event loop.

    `trouble`: why it could not be written the last time, or empty. After `close` nothing is written any more, so that
    the plans which end with the agent stay in it.
    """

    def __init__(self, folder: Path) -> None:
        self.trouble = ""
        self._path = folder / FILE_NAME
        self._lines: dict[str, bytes] = {}
        self._plans: dict[str, KeptPlan] = {}
        self._saving: asyncio.Task[None] | None = None
        self._stale = self._closed = False

    def load(self) -> list[KeptPlan]:
        """Those of the file, which it keeps from now on; lines that nobody could have written are passed over."""
        try:
            with open(self._path, "rb") as file:
                lines = file.read(_MOST_BYTES).splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            self.trouble = f"{self._path}: {os.strerror(error.errno or 0)}"
            return []
        for plan in filter(None, map(_plan, lines)):
            self._put(plan)
        return list(self._plans.values())

    async def add(self, plans: Iterable[KeptPlan]) -> None:
        """They are on disk when this returns, or `trouble` says why not."""
        for plan in plans:
            self._put(plan)
        await self._save()

    async def change(self, name: str, keys: Mapping[str, Any], start_ns: int | None = None) -> None:
        """Other keys of one of them, and another start; nothing where it is not kept."""
        plan = self._plans.get(name)
        if plan is not None and keys:
            self._put(replace(plan, plan={**plan.plan, **keys}, start_ns=start_ns or plan.start_ns))
            await self._save()

    def drop(self, names: Iterable[str]) -> None:
        """They are over; written soon."""
        found = [name for name in names if self._plans.pop(name, None) is not None]
        for name in found:
            del self._lines[name]
        if found and not self._closed:
            self._begin()

    async def close(self) -> None:
        """Write what is not written yet, and nothing after that."""
        self._closed = True
        if self._saving is not None:
            await self._saving

    def _put(self, plan: KeptPlan) -> None:
        self._plans[plan.name], self._lines[plan.name] = plan, plan.line

    async def _save(self) -> None:
        if not self._closed:
            await asyncio.shield(self._begin())

    def _begin(self) -> asyncio.Task[None]:
        """What is being written is written once more, with what came meanwhile."""
        self._stale = True
        if self._saving is None or self._saving.done():
            self._saving = asyncio.get_running_loop().create_task(self._write())
        return self._saving

    async def _write(self) -> None:
        while self._stale:
            self._stale = False
            self.trouble = await asyncio.to_thread(_written, self._path, b"".join(self._lines.values()))


def readable(
    kept: Iterable[KeptPlan], file: ServiceFile, realtime_now_ns: int
) -> tuple[list[tuple[KeptPlan, Planned]], dict[str, AgentError | None]]:
    """Those that go on with this configuration, and why others do not; None: all of their ticks are past."""
    left = {plan.name: plan for plan in kept}
    refused: dict[str, AgentError | None] = {}
    for name in [name for name in left if name in file.plans]:
        del left[name]
        refused[name] = AgentError(f"the configuration has a plan {name} itself", hint="add it under another name")
    read: Mapping[str, Planned] = {}
    while left:
        try:
            read = read_more_plans(file, {name: plan.plan for name, plan in left.items()}, FILE_NAME)
            break
        except AgentError as error:
            for name in _wrong(left, error):
                del left[name]
                refused[name] = error
    going_on = [(plan, _going_on(read[name], plan, realtime_now_ns)) for name, plan in left.items()]
    refused |= {plan.name: None for plan, planned in going_on if planned.begun(0, realtime_now_ns) is None}
    return [pair for pair in going_on if pair[0].name not in refused], refused


def _wrong(plans: Mapping[str, KeptPlan], error: AgentError) -> list[str]:
    """Whose fault it is; that of all where nobody can tell."""
    if not isinstance(error, ConfigError):
        return list(plans)
    keys = [problem.key for problem in error.problems]
    paths = {name: join("plans", name) for name in plans}
    found = [name for name, path in paths.items() if any(key == path or key.startswith(f"{path}.") for key in keys)]
    return found or list(plans)


def _going_on(planned: Planned, plan: KeptPlan, realtime_now_ns: int) -> Planned:
    """Its ticks stay where they were, and those that passed meanwhile are not made up for."""
    order, asked = planned.order, planned.order.plan
    asked = replace(asked, client=plan.client or asked.client)
    if asked.on_edge is not None:
        return replace(planned, order=replace(order, plan=asked))
    knows_time = plan.asked_ns <= realtime_now_ns
    start_ns = plan.start_ns if knows_time else max(plan.start_ns - plan.asked_ns, 0)
    return replace(planned, order=replace(order, plan=replace(asked, start_ns=start_ns)), dated=knows_time)


def kept_plan(planned: Planned, document: Mapping[str, Any], by: str, asked_ns: int) -> KeptPlan:
    """One of the plans that were asked for with this document, which makes copies of some."""
    plan = planned.order.plan
    keys = document[plan.name] if plan.name in document else document[plan.name.rpartition("-")[0]]
    return KeptPlan(
        name=plan.name,
        plan={key: value for key, value in keys.items() if key not in _OWN_START},
        by=by,
        client=plan.client,
        asked_ns=asked_ns,
        start_ns=plan.start_ns + (0 if planned.dated else asked_ns),
    )


def _plan(line: bytes) -> KeptPlan | None:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or any(type(told.get(key)) is not kind for key, kind in _TYPES.items()):
        return None
    return KeptPlan(**{key: told[key] for key in _TYPES})


def _written(path: Path, data: bytes) -> str:
    """Write a file anew, all of it or nothing; why it was not."""
    beside = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        return f"{path}: {error.strerror}"
    return ""
