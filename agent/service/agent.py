"""The agent as the control API knows it: `agent.control.facade.Agent` over capture processes."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any

import agent
from agent.capture import messages as m
from agent.capture.state_word import Phase
from agent.clock import Clock, ReadClock
from agent.config import kinds
from agent.control.broadcast import Broadcast
from agent.control.errors import NotFound
from agent.control.facade import Document, EventStream
from agent.control.picture import Look, Picture, PictureStream
from agent.errors import StateError
from agent.service import documents
from agent.service.cancelling import Cancelling
from agent.service.one_shot import OneShot
from agent.service.parts import Parts
from agent.service.pictures import Pictures
from agent.service.plan_desk import PlanDesk
from agent.service.processes import facts
from agent.service.reloading import Reloading
from agent.v4l2.gain import parse_gain


class CameraAgent:
    """In the thread of its event loop. What each method answers is written at the protocol."""

    def __init__(
        self,
        parts: Parts,
        broadcast: Broadcast,
        path: Path,
        pictures: Pictures,
        realtime_now_ns: ReadClock = Clock.REALTIME.read_ns,
    ) -> None:
        """`path`: the configuration's file."""
        self.parts = parts
        self.cancelling = Cancelling(parts)
        self.desk = PlanDesk(parts, realtime_now_ns)
        self.reloading = Reloading(parts, path, self.cancelling, self.desk)
        self._shots = OneShot(parts)
        self._pictures = pictures
        self._broadcast = broadcast
        self._since_ns = parts.now_ns()

    # -- cameras -----------------------------------------------------------------------------------------------------

    async def cameras(self) -> list[Document]:
        """All that are configured."""
        file = self.parts.fleet.file
        names = [camera.name for order in file.groups.values() for camera in order.cameras]
        return [documents.camera_document(self.parts, name) for name in names]

    async def camera(self, name: str) -> Document:
        """One of them."""
        return documents.camera_document(self.parts, name)

    async def start(self, name: str, by: str) -> Document:
        """Start its stream."""
        group = self.parts.running_group_of(name)
        was_on = self.parts.pages.phase(group, name) is Phase.ARMED
        self.parts.tell("camera.asked", {"camera": name, "verb": "start", "by": by})
        await self._ask(group, m.StartCamera(id=self._number(), camera=name))
        return {"camera": name, "was_on": was_on, "at_ns": self.parts.now_ns()}

    def stop(self, name: str, by: str) -> Awaitable[Document]:
        """End its plans and its stream."""
        return self.cancelling.stop(name, by)

    async def controls(self, name: str) -> list[Document]:
        """Read them fresh."""
        found: list[Document] = await self._ask(
            self.parts.running_group_of(name), m.ReadControls(id=self._number(), camera=name)
        )
        return found

    async def set_controls(self, name: str, values: Mapping[str, int | bool | str], by: str) -> Document:
        """Set several as one."""
        group = self.parts.running_group_of(name)
        read_back = await self._ask(group, m.SetControls(id=self._number(), camera=name, values=dict(values)))
        self.parts.tell("camera.asked", {"camera": name, "verb": "set controls", "by": by, "values": read_back})
        return {"camera": name, "values": read_back}

    async def expose(self, name: str, exposure_ns: int, gain: str | None, by: str) -> Document:
        """Set a proven exposure."""
        group = self.parts.running_group_of(name)
        asked = None if gain is None else parse_gain(gain)
        command = m.Expose(id=self._number(), camera=name, exposure_ns=exposure_ns, gain=asked)
        report = await self._ask(group, command)
        found = {
            "camera": name,
            "asked_ns": report.asked_ns,
            "granted_ns": report.granted_ns,
            "why": [reason.text for reason in report.why],
        }
        self.parts.tell("camera.asked", {**found, "verb": "expose", "by": by})
        return found

    async def capture(self, camera: str, by: str, options: Mapping[str, Any]) -> Document:
        """A frame exposed after this call."""
        shot = await self._shots.capture(camera, by, options)
        told = {"camera": camera, "trace_id": shot["trace_id"], "path": shot["path"]}
        self.parts.tell("capture.stored", {**told, "group": self.parts.group_of(camera), "by": by})
        return shot

    async def snapshot(self, name: str, look: Look, *, after_ns: int | None, timeout_ns: int) -> Picture:
        """The next frame as a picture."""
        return await self._pictures.snapshot(name, look, after_ns, timeout_ns)

    async def view(self, name: str, look: Look, rate_per_s: int) -> PictureStream:
        """Pictures as they come."""
        return await self._pictures.view(name, look, rate_per_s)

    # -- plans -------------------------------------------------------------------------------------------------------

    async def plans(self) -> list[Document]:
        """All that are known."""
        return [documents.plan_document(self.parts, plan) for plan in self.parts.book]

    async def plan(self, name: str) -> Document:
        """One of them."""
        return documents.plan_document(self.parts, self.parts.book.find(name))

    async def add_plans(
        self, document: Mapping[str, Any], by: str, client: str, *, is_held: bool = False
    ) -> list[Document]:
        """Start plans, all or none."""
        added = await self.desk.add(document, by, client, is_held=is_held)
        for plan in added:
            self.parts.tell("plan.added", {"plan": plan["name"], "group": plan["group"], "by": by, "client": client})
        return added

    async def change_plan(
        self, name: str, *, by: str, every_ns: int | None = None, priority: int | None = None, quota: str | None = None
    ) -> Document:
        """Change what is not None."""
        changed = await self.desk.change(name, every_ns, priority, quota)
        self.parts.tell("plan.changed", {"plan": name, "group": changed["group"], "by": by})
        return changed

    def cancel_plan(self, name: str, by: str) -> Awaitable[Document]:
        """End a plan."""
        return self.cancelling.cancel("plan", name, by)

    # -- groups, triggers, quotas ------------------------------------------------------------------------------------

    async def groups(self) -> list[Document]:
        """All that are configured."""
        return [documents.group_document(self.parts, name) for name in self.parts.fleet.file.groups]

    async def triggers(self) -> list[Document]:
        """Of all groups that have one."""
        found = (documents.trigger_document(self.parts, name) for name in self.parts.fleet.file.groups)
        return [each for each in found if each is not None]

    async def release_stop(self, group: str, by: str) -> Document:
        """Release an emergency stop."""
        self._check_group(group)
        await self._ask(group, m.ReleaseStop(id=self._number()))
        self.parts.tell("group.released", {"group": group, "by": by})
        return {"group": group, "released": True}

    async def quotas(self) -> list[Document]:
        """All token buckets."""
        return documents.quota_documents(self.parts)

    async def set_quota(self, bucket: str, limit: str, by: str) -> Document:
        """Change a limit for all processes at once."""
        asked = kinds.LIMIT.parse(limit)
        if bucket.startswith("plan/"):
            name = bucket.removeprefix("plan/")
            await self.desk.apply(self.parts.book.find(name), {"quota": asked})
        else:
            self._check_bucket(bucket)
            await self._ask(self._any_group(bucket), m.SetQuota(id=self._number(), bucket=bucket, limit=asked))
            self.parts.limits[bucket] = asked
        self.parts.tell("quota.changed", {"bucket": bucket, "limit": limit, "by": by})
        return next(each for each in documents.quota_documents(self.parts) if each["bucket"] == bucket)

    # -- the whole ---------------------------------------------------------------------------------------------------

    async def stats(self) -> Document:
        """Figures of everything."""
        return documents.stats_document(self.parts)

    async def health(self) -> Document:
        """Whether all is well."""
        problems = documents.problems(self.parts)
        return {
            "healthy": not problems,
            "version": agent.__version__,
            "pid": os.getpid(),
            "since_ns": self._since_ns,
            "now_ns": self.parts.now_ns(),
            "problems": problems,
        }

    def events(self, after: int | None = None) -> EventStream:
        """As they happen."""
        return self._broadcast.events(after)

    async def config(self) -> Document:
        """What is in force."""
        file = self.parts.fleet.file
        return {"files": list(file.files), "loaded_ns": self.reloading.loaded_ns, "document": dict(file.document)}

    async def config_diff(self) -> Document:
        """What a reload would do."""
        return await self.reloading.diff()

    async def reload(self, by: str) -> Document:
        """Read the configuration anew."""
        return await self.reloading.reload(by)

    def cancel(self, kind: str, name: str, by: str) -> Awaitable[Document]:
        """End something."""
        return self.cancelling.cancel(kind, name, by)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _number(self) -> int:
        return self.parts.processes.number()

    async def _ask(self, group: str, command: m.Command) -> Any:
        return await facts(self.parts.processes.ask(group, command))

    def _check_group(self, name: str) -> None:
        known = sorted(self.parts.fleet.file.groups)
        if name not in known:
            hint = f"groups of the configuration: {', '.join(known) or 'none'}"
            raise NotFound(f"there is no group {name}", hint=hint, kind="group", name=name, known=known)

    def _check_bucket(self, bucket: str) -> None:
        known = sorted(self.parts.fleet.file.limits)
        if bucket not in known:
            hint = f"limits of the configuration: {', '.join(known) or 'none'}; plan/NAME for a plan's own"
            raise NotFound(f"there is no limit {bucket}", hint=hint, kind="quota", name=bucket, known=known)

    def _any_group(self, bucket: str) -> str:
        """Whoever changes it changes it for all: the buckets are shared."""
        for name, group in self.parts.fleet.groups.items():
            if group.pid is not None:
                return name
        hint = "ask again when a camera is there, or change the configuration"
        raise StateError(f"no capture process counts {bucket} now", hint=hint, state="absent", verb="set")
