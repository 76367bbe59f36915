"""Every route of the API in one table: what the server does and what the OpenAPI document tells come from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.control import documents as d
from agent.control.access import Level
from agent.control.facade import Agent, EventStream
from agent.control.picture import MEDIA, Look, Picture, PictureStream
from agent.control.schema import Schema, integer, listed
from agent.units import NS_PER_S, parse_duration_ns

BOUNDARY = "camera-agent-picture"
"""Between the parts of a stream of pictures: what begins with it on a line is no JPEG."""
_SNAPSHOT_NS = 5 * NS_PER_S
_RATE_PER_S = 10
Hold = tuple[str, str]
"""Kind and name of what `Agent.cancel` ends when the connection closes."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was checked. `by`: who asked, in words; `client`: who plans belong to unless they say so.

    `link`: a name of this connection, for what is held by it.
    """

    names: Mapping[str, str]
    query: Mapping[str, Any]
    body: Mapping[str, Any]
    by: str
    client: str
    link: str

    @property
    def name(self) -> str:
        """The one name in the path."""
        return self.names["name"]

    def duration_ns(self, key: str) -> int | None:
        """A time of the body; None where it was left away. Raises QuantityError."""
        return parse_duration_ns(self.body[key]) if key in self.body else None


Ask = Callable[[Agent, Call], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one resource. `path` has its names in braces; `ask` is what the agent is asked.

    `urgent`: it ends something; it is begun before all that waits, bound by no rate, and carried out whoever leaves.
    `abandoned`: it is cancelled when its connection closes. `under`: the key of the answer that a list is given.
    `held`: what ends with the connection, of the call and its answer; None for nothing. `media`: what it answers with
    instead of a document. `streams`: the answer is sent in pieces.
    """

    method: str
    path: str
    summary: str
    level: Level
    ask: Ask
    answer: Schema
    body: Schema | None = None
    query: Mapping[str, Schema] = field(default_factory=dict)
    status: int = 200
    under: str = ""
    urgent: bool = False
    abandoned: bool = False
    held: Callable[[Call, Any], Hold | None] | None = None
    media: tuple[str, ...] = ()
    streams: bool = False

    @property
    def id(self) -> str:
        """The name of the operation: `get_cameras_name_controls`."""
        return f"{self.method} {self.path[4:]}".lower().translate({32: "_", 47: "_", 46: "_", 123: "", 125: ""})


def _get(path: str, summary: str, ask: Ask, answer: Schema, under: str = "") -> Route:
    if under:
        answer = {"type": "object", "properties": {under: listed(answer)}, "required": [under]}
    return Route(
        method="GET", path=path, summary=summary, level=Level.LOOK, ask=ask, answer=answer, under=under, abandoned=True
    )


async def _capture(agent: Agent, call: Call) -> Any:
    options = {
        "exposure_ns": call.duration_ns("exposure"),
        "gain": call.body.get("gain"),
        "timeout_ns": call.duration_ns("timeout"),
    }
    return await agent.capture(call.name, call.by, {key: value for key, value in options.items() if value is not None})


async def _expose(agent: Agent, call: Call) -> Any:
    exposure_ns = parse_duration_ns(call.body["exposure"])
    return await agent.expose(call.name, exposure_ns, call.body.get("gain"), call.by)


async def _add_plans(agent: Agent, call: Call) -> Any:
    is_held = bool(call.body.get("hold"))
    client = call.link if is_held else call.body.get("client", call.client)
    return await agent.add_plans(call.body["plans"], call.by, client, is_held=is_held)


async def _change_plan(agent: Agent, call: Call) -> Any:
    body = call.body
    return await agent.change_plan(
        call.name,
        by=call.by,
        every_ns=call.duration_ns("every"),
        priority=body.get("priority"),
        quota=body.get("quota"),
    )


def _held_stream(call: Call, answer: Any) -> Hold | None:
    return ("camera", call.name) if call.body.get("hold") and not answer.get("was_on") else None


def _held_plans(call: Call, _answer: Any) -> Hold | None:
    return ("client", call.link) if call.body.get("hold") else None


async def _nothing(_agent: Agent, _call: Call) -> Any:
    return {}


def ask_events(agent: Agent, call: Call) -> EventStream:
    """The events, from where the caller left off."""
    return agent.events(call.query.get("after"))


async def ask_view(agent: Agent, call: Call) -> PictureStream:
    """The pictures that a stream of them is made of."""
    return await agent.view(call.name, _look(call), call.query.get("rate", _RATE_PER_S))


async def ask_snapshot(agent: Agent, call: Call) -> Picture:
    """One picture."""
    after = call.query.get("after", "now")
    timeout_ns = parse_duration_ns(call.query["timeout"]) if "timeout" in call.query else _SNAPSHOT_NS
    return await agent.snapshot(
        call.name, _look(call), after_ns=None if after == "now" else int(after), timeout_ns=timeout_ns
    )


def _look(call: Call) -> Look:
    query = call.query
    return Look(
        kind=query.get("format", "jpeg"),
        width_px=query.get("width"),
        height_px=query.get("height"),
        quality=query.get("quality"),
    )


OPENAPI = _get("/v1/openapi.json", "This document.", _nothing, d.ANY)
"""Answered by the server itself."""
EVENTS = Route(
    method="GET",
    path="/v1/events",
    summary="Events as they happen, as server-sent events; `after` or Last-Event-ID goes on where one left off.",
    level=Level.LOOK,
    ask=_nothing,
    answer=d.EVENT,
    query={"after": integer("The id of the last event that was seen.", least=0)},
    abandoned=True,
    streams=True,
)
"""Answered by the server with a stream."""
VIEW = Route(
    method="GET",
    path="/v1/cameras/{name}/stream",
    summary="Pictures as they come, as multipart/x-mixed-replace (MJPEG): for browsers, OpenCV, ffmpeg.",
    level=Level.LOOK,
    ask=_nothing,
    answer=d.PICTURE,
    query=d.VIEW_QUERY,
    abandoned=True,
    media=("multipart/x-mixed-replace",),
    streams=True,
)
"""Answered by the server with a stream."""
SNAPSHOT = Route(
    method="GET",
    path="/v1/cameras/{name}/snapshot",
    summary="A picture of the next frame whose exposure began after the request; starts no stream, stores nothing.",
    level=Level.LOOK,
    ask=ask_snapshot,
    answer=d.PICTURE,
    query=d.SNAPSHOT_QUERY,
    abandoned=True,
    media=tuple(MEDIA.values()),
    streams=True,
)

ROUTES: tuple[Route, ...] = (
    _get("/v1/health", "Whether all is well, and what is not.", lambda a, _: a.health(), d.HEALTH),
    _get("/v1/stats", "Figures: cameras, plans, groups, lateness.", lambda a, _: a.stats(), d.STATS),
    _get("/v1/cameras", "All cameras, present or not.", lambda a, _: a.cameras(), d.CAMERA, "cameras"),
    _get("/v1/cameras/{name}", "One camera.", lambda a, c: a.camera(c.name), d.CAMERA),
    SNAPSHOT,
    VIEW,
    Route(
        method="PUT",
        path="/v1/cameras/{name}/stream",
        summary="Start its stream; answered when it is armed.",
        level=Level.CONTROL,
        ask=lambda a, c: a.start(c.name, c.by),
        body=d.STREAM_ORDER,
        answer=d.STARTED,
        held=_held_stream,
    ),
    Route(
        method="DELETE",
        path="/v1/cameras/{name}/stream",
        summary="End its plans and its stream; answered after STREAMOFF returned, with its times.",
        level=Level.CONTROL,
        ask=lambda a, c: a.stop(c.name, c.by),
        answer=d.STOPPED,
        urgent=True,
    ),
    _get(
        "/v1/cameras/{name}/controls", "Its controls, read now.", lambda a, c: a.controls(c.name), d.CONTROL, "controls"
    ),
    Route(
        method="PATCH",
        path="/v1/cameras/{name}/controls",
        summary="Set several controls as one, or none.",
        level=Level.CONTROL,
        ask=lambda a, c: a.set_controls(c.name, c.body, c.by),
        body=d.CONTROL_VALUES,
        answer=d.CONTROLS_SET,
    ),
    Route(
        method="PUT",
        path="/v1/cameras/{name}/exposure",
        summary="Set a proven manual exposure, and the gain with it.",
        level=Level.CONTROL,
        ask=_expose,
        body=d.EXPOSURE_ORDER,
        answer=d.EXPOSED,
    ),
    Route(
        method="POST",
        path="/v1/cameras/{name}/captures",
        summary="One picture of a frame that is exposed after this request.",
        level=Level.CONTROL,
        ask=_capture,
        body=d.CAPTURE_ORDER,
        answer=d.CAPTURED,
        status=201,
        abandoned=True,
    ),
    _get("/v1/plans", "All plans, and how each of their ticks ended.", lambda a, _: a.plans(), d.PLAN, "plans"),
    _get("/v1/plans/{name}", "One plan.", lambda a, c: a.plan(c.name), d.PLAN),
    Route(
        method="POST",
        path="/v1/plans",
        summary="Start plans, all or none.",
        level=Level.CONTROL,
        ask=_add_plans,
        body=d.PLANS_ORDER,
        answer={"type": "object", "properties": {"plans": listed(d.PLAN)}, "required": ["plans"]},
        under="plans",
        status=201,
        held=_held_plans,
    ),
    Route(
        method="PATCH",
        path="/v1/plans/{name}",
        summary="Change its period, priority or quota, all or nothing.",
        level=Level.CONTROL,
        ask=_change_plan,
        body=d.PLAN_CHANGE,
        answer=d.PLAN,
    ),
    Route(
        method="DELETE",
        path="/v1/plans/{name}",
        summary="End a plan; answered when none of its frames can come any more.",
        level=Level.CONTROL,
        ask=lambda a, c: a.cancel_plan(c.name, c.by),
        answer=d.CANCELLED,
        urgent=True,
    ),
    Route(
        method="POST",
        path="/v1/cancel",
        summary="End a plan, a camera's plans and stream, a client's plans, or everything.",
        level=Level.CONTROL,
        ask=lambda a, c: a.cancel(c.body["kind"], c.body.get("name", ""), c.by),
        body=d.CANCEL_ORDER,
        answer=d.CANCELLED,
        urgent=True,
    ),
    _get("/v1/groups", "Groups of cameras, and their capture processes.", lambda a, _: a.groups(), d.GROUP, "groups"),
    Route(
        method="DELETE",
        path="/v1/groups/{name}/stop",
        summary="Release a group's emergency stop; refused while its line is active.",
        level=Level.CONTROL,
        ask=lambda a, c: a.release_stop(c.name, c.by),
        answer=d.RELEASED,
    ),
    _get("/v1/triggers", "Triggers, and the ledger of pulses.", lambda a, _: a.triggers(), d.TRIGGER, "triggers"),
    _get("/v1/quotas", "Token buckets: limits, and what is left.", lambda a, _: a.quotas(), d.QUOTA, "quotas"),
    Route(
        method="PUT",
        path="/v1/quotas/{name}",
        summary="Change a limit without a jump; in a name such as camera/top write the slash as %2F.",
        level=Level.ADMINISTER,
        ask=lambda a, c: a.set_quota(c.name, c.body["limit"], c.by),
        body=d.QUOTA_ORDER,
        answer=d.QUOTA,
    ),
    EVENTS,
    _get("/v1/config", "The configuration in force.", lambda a, _: a.config(), d.CONFIG),
    _get("/v1/config/diff", "What a reload would do now.", lambda a, _: a.config_diff(), d.DIFFERENCE),
    Route(
        method="POST",
        path="/v1/config/reload",
        summary="Read the configuration anew; a bad one changes nothing and says why.",
        level=Level.ADMINISTER,
        ask=lambda a, c: a.reload(c.by),
        answer=d.RELOADED,
    ),
    OPENAPI,
)
