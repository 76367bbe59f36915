"""An agent that pretends: it has two cameras and what is asked of it, and can be held up or told to fail."""

import asyncio
import contextlib

from agent.control.broadcast import Broadcast
from agent.control.errors import NotFound
from agent.control.request import TRACE_ID
from agent.errors import ControlUnknown, StateError


class PretendAgent:
    def __init__(self):
        self.asked = []  # (method, arguments), in the order in which they arrived
        self.traces = []
        self.fails = {}  # method -> the exception it raises
        self.frame = asyncio.Event()  # a capture waits for it
        self.frame.set()
        self.off = asyncio.Event()  # a stop waits for it
        self.off.set()
        self.cancelled = []  # captures that were given up
        self.finished = []
        self.on = set()
        self.plan_table = {}
        self.broadcast = Broadcast(capacity=32)
        self.quota_table = {"agent": None, "camera/top": "30/s"}
        self.control_table = {"gain": 16, "exposure_auto": 1}
        self.clock_ns = 1000

    def note(self, method, *arguments):
        self.asked.append((method, *arguments))
        self.traces.append(TRACE_ID.get())
        if method in self.fails:
            raise self.fails[method]

    def at(self):
        self.clock_ns += 1
        return self.clock_ns

    def known(self, name):
        if name not in ("top", "side"):
            raise NotFound(
                f"there is no camera {name}",
                hint="there are: side, top",
                kind="camera",
                name=name,
                known=["side", "top"],
            )

    async def cameras(self):
        self.note("cameras")
        return [self._camera(name) for name in ("side", "top")]

    async def camera(self, name):
        self.note("camera", name)
        self.known(name)
        return self._camera(name)

    def _camera(self, name):
        return {
            "name": name,
            "state": "armed" if name in self.on else "idle",
            "group": name,
            "match": f"serial: {name}",
            "device": "/dev/video0" if name == "top" else None,
            "cause": "",
            "hint": "",
            "clients": 0,
        }

    async def start(self, name, by):
        self.note("start", name, by)
        self.known(name)
        was_on = name in self.on
        await self.frame.wait()
        self.on.add(name)
        self.finished.append("start")
        return {"camera": name, "was_on": was_on, "at_ns": self.at()}

    def _report(self, name):
        was_on = name in self.on
        self.on.discard(name)
        return {
            "camera": name,
            "was_on": was_on,
            "asked_ns": self.at(),
            "entered_ns": self.at(),
            "returned_ns": self.at(),
            "plans": 0,
            "steps": ["streamoff"] if was_on else [],
            "error": "",
        }

    def stop(self, name, by):
        self.note("stop", name, by)
        self.known(name)
        return self._stopped(name)

    async def _stopped(self, name):
        await self.off.wait()
        self.finished.append("stop")
        return self._report(name)

    async def controls(self, name):
        self.note("controls", name)
        self.known(name)
        return [{"name": key, "id": 1, "kind": "integer", "value": value} for key, value in self.control_table.items()]

    async def set_controls(self, name, values, by):
        self.note("set_controls", name, dict(values), by)
        self.known(name)
        for key in values:
            if key not in self.control_table:
                raise ControlUnknown(f"{name} has no control {key}", hint="GET controls lists them", control=key)
        self.control_table.update(values)
        return {"camera": name, "values": dict(values)}

    async def expose(self, name, exposure_ns, gain, by):
        self.note("expose", name, exposure_ns, gain, by)
        self.known(name)
        return {"camera": name, "asked_ns": exposure_ns, "granted_ns": exposure_ns, "why": []}

    async def capture(self, camera, by, options):
        self.note("capture", camera, by, dict(options))
        self.known(camera)
        asked_ns = self.at()
        try:
            await self.frame.wait()
        except asyncio.CancelledError:
            self.cancelled.append(camera)
            raise
        return {
            "camera": camera,
            "trace_id": TRACE_ID.get(),
            "path": f"/pictures/{camera}.jpg",
            "asked_ns": asked_ns,
            "exposed_ns": self.at(),
            "uncertainty_ns": 10,
            "sequence": 7,
            "record": {},
        }

    async def plans(self):
        self.note("plans")
        return list(self.plan_table.values())

    def _plan(self, name):
        if name not in self.plan_table:
            known = sorted(self.plan_table)
            raise NotFound(f"there is no plan {name}", hint="GET /v1/plans", kind="plan", name=name, known=known)
        return self.plan_table[name]

    async def plan(self, name):
        self.note("plan", name)
        return self._plan(name)

    async def add_plans(self, document, by, client):
        self.note("add_plans", dict(document), by, client)
        made = [
            {
                "name": name,
                "camera": "top",
                "group": "top",
                "state": "running",
                "client": client,
                "period_ns": 1,
                "priority": 0,
                "quota": None,
                "account": {},
            }
            for name in document
        ]
        self.plan_table.update({one["name"]: one for one in made})
        return made

    async def change_plan(self, name, *, by, every_ns=None, priority=None, quota=None):
        self.note("change_plan", name, by, every_ns, priority, quota)
        plan = self._plan(name)
        if plan["state"] == "cancelled":
            raise StateError(f"{name} is over", hint="add it anew", state="cancelled", verb="change", allowed=[])
        plan["priority"] = plan["priority"] if priority is None else priority
        return plan

    def cancel_plan(self, name, by):
        self.note("cancel_plan", name, by)
        self._plan(name)["state"] = "cancelled"
        return self._cancelled()

    async def _cancelled(self):
        await self.off.wait()
        self.finished.append("cancel")
        return {
            "plans": 1,
            "already": False,
            "cause": "",
            "still_on": [],
            "cameras": [self._report(name) for name in list(self.on)],
        }

    async def groups(self):
        self.note("groups")
        return [{"name": "top", "cameras": ["top"], "pid": None, "state": "idle", "emergency_stop": None}]

    async def triggers(self):
        self.note("triggers")
        return [{"group": "top", "kind": "software", "line": None, "pulses": 0}]

    async def release_stop(self, group, by):
        self.note("release_stop", group, by)
        self.known(group)
        return {"group": group, "released": True}

    async def quotas(self):
        self.note("quotas")
        return [{"bucket": key, "limit": value, "available": None} for key, value in self.quota_table.items()]

    async def set_quota(self, bucket, limit, by):
        self.note("set_quota", bucket, limit, by)
        if bucket not in self.quota_table:
            raise NotFound(f"there is no bucket {bucket}", hint="GET /v1/quotas", kind="quota", name=bucket, known=[])
        self.quota_table[bucket] = limit
        return {"bucket": bucket, "limit": limit, "available": 1}

    async def stats(self):
        self.note("stats")
        return {"now_ns": self.at(), "cameras": {}, "plans": {}, "groups": {}, "lateness": {}, "process": {}}

    async def health(self):
        self.note("health")
        return {"healthy": True, "version": "0", "pid": 1, "since_ns": 1, "now_ns": self.at(), "problems": []}

    def events(self, after=None):
        self.note("events", after)
        return self.broadcast.events(after)

    async def config(self):
        self.note("config")
        return {"files": [], "loaded_ns": 1, "document": {}}

    async def config_diff(self):
        self.note("config_diff")
        return {"starts": [], "stops": [], "changes": [], "same": ["camera top"]}

    async def reload(self, by):
        self.note("reload", by)
        return {"starts": [], "stops": [], "changes": [], "same": ["camera top"], "took_ns": 5}

    def cancel(self, kind, name, by):
        self.note("cancel", kind, name, by)
        if kind == "camera":
            self.known(name)
        return self._cancelled()


@contextlib.contextmanager
def held_up(event):
    """What waits for `event` waits inside."""
    event.clear()
    try:
        yield
    finally:
        event.set()
