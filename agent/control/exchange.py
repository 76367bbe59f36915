"""Requests that are carried out: whether they may be, what the agent is asked, what ends with their connection."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import secrets
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from agent.clock import ReadClock
from agent.control.access import Access
from agent.control.answer import Answer, encode, error_answer
from agent.control.bounds import Bounds, Rate
from agent.control.connection import Connection
from agent.control.errors import Internal, Overloaded, Stopping
from agent.control.facade import Agent
from agent.control.openapi import openapi
from agent.control.request import TRACE_ID, Request
from agent.control.routes import EVENTS, OPENAPI, ROUTES, SNAPSHOT, VIEW, Call, Hold, Route, ask_events
from agent.control.routing import Routing, after_of, checked_body, checked_query
from agent.control.streaming import give, show, tell
from agent.errors import AgentError

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A request that is carried out."""

    connection: Connection
    route: Route
    call: Call
    trace_id: str


class Exchange:
    """Carries requests out. In the thread of the event loop."""

    def __init__(self, agent: Agent, access: Access, bounds: Bounds, now: ReadClock) -> None:
        self._agent = agent
        self._access = access
        self._bounds = bounds
        self._now = now
        self._routing = Routing(ROUTES)
        self._openapi = encode(openapi())
        self._run = secrets.token_hex(4)
        self._numbers = count(1)
        self._rates: dict[int, Rate] = {}
        self._tasks: dict[asyncio.Task[Any], _UnderWay | None] = {}
        self._held: dict[Connection, list[Hold]] = {}

    def set_access(self, access: Access) -> None:
        """For requests that come from now on."""
        self._access = access

    @property
    def under_way(self) -> int:
        """Requests that are carried out now."""
        return len(self._tasks)

    def trace_id(self) -> str:
        """A new one: of this run of the agent, and of one request."""
        return f"{self._run}-{next(self._numbers):08x}"

    def begin(self, connection: Connection, request: Request) -> None:
        """Carry a request out, or answer why not."""
        trace_id = self.trace_id()
        try:
            route, names = self._admit(connection, request)
            call = _call(connection, route, names, request)
            if route is OPENAPI:
                connection.answer(Answer(200, self._openapi, trace_id))
                return
            context = contextvars.copy_context()
            context.run(TRACE_ID.set, trace_id)
            if route is EVENTS:
                events = ask_events(self._agent, call)
                work: Awaitable[Any] = tell(connection, events, trace_id, only_head=request.method == "HEAD")
            elif route is VIEW:
                work = show(connection, self._agent, call, trace_id, only_head=request.method == "HEAD")
            elif route is SNAPSHOT:
                work = give(connection, self._agent, call, trace_id, only_head=request.method == "HEAD")
            else:
                work = context.run(route.ask, self._agent, call)
        except AgentError as error:
            connection.answer(error_answer(error, trace_id))
            return
        except BaseException:
            connection.answer(error_answer(_internal(trace_id), trace_id))
            raise
        under_way = _UnderWay(connection, route, call, trace_id)
        self._follow(_encoded(route, work), under_way, context)

    def _admit(self, connection: Connection, request: Request) -> tuple[Route, dict[str, str]]:
        """What is asked for, if it may be asked now. Raises NotFound, MethodNotAllowed, Overloaded, NotAllowed."""
        try:
            route, names = self._routing.find(request)
        except AgentError:
            self._check_room(connection)  # also what is not there is asked for at no more than the rate
            raise
        if not route.urgent:
            self._check_room(connection)
        self._access.check(connection.peer, route.level)
        return route, names

    def _check_room(self, connection: Connection) -> None:
        now_ns, bounds, uid = self._now(), self._bounds, connection.peer.uid
        rate = self._rates.get(uid)
        if rate is None:
            self._rates = {one: kept for one, kept in self._rates.items() if not kept.full(now_ns)}
            rate = self._rates[uid] = Rate(bounds.rate_per_s, bounds.burst, now_ns)
        if not rate.take(now_ns):
            raise _overloaded("requests per second", "rate", bounds.rate_per_s)
        if connection.only_cancels:
            raise _overloaded("connections", "connections", bounds.connections)
        if len(self._tasks) >= bounds.requests:
            raise _overloaded("requests at once", "requests", bounds.requests)

    # -- following ---------------------------------------------------------------------------------------------------

    def _follow(self, work: Any, under_way: _UnderWay | None, context: contextvars.Context | None = None) -> None:
        task = asyncio.get_running_loop().create_task(work, context=context)
        self._tasks[task] = under_way
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        under_way = self._tasks.pop(task)
        if under_way is None:
            if not task.cancelled() and (error := task.exception()) is not None:
                _LOG.log(
                    logging.WARNING if isinstance(error, AgentError) else logging.ERROR, "%s", error, exc_info=error
                )
            return
        if under_way.route.streams and (under_way.connection.streams or not under_way.connection.busy):
            self._stream_ended(task, under_way)
            return
        answer, result = _outcome(task, under_way)
        open_before = under_way.connection.busy
        if answer.status < 300 and under_way.route.held is not None:
            self._hold(under_way.connection, under_way.route.held(under_way.call, result), still_open=open_before)
        under_way.connection.answer(answer)

    def _stream_ended(self, task: asyncio.Task[Any], under_way: _UnderWay) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, ConnectionResetError):
            _log_fault(error, under_way)
        is_cut = task.cancelled() and under_way.route is SNAPSHOT  # what was promised is not all there
        under_way.connection.abort() if error or is_cut else under_way.connection.end_stream()

    def _hold(self, connection: Connection, hold: Hold | None, *, still_open: bool) -> None:
        if hold is None:
            return
        self._held.setdefault(connection, []).append(hold)
        if not still_open:
            self.gone(connection)

    def holds(self, connection: Connection) -> bool:
        """Whether something ends with this connection."""
        return connection in self._held

    def gone(self, connection: Connection) -> None:
        """A connection closed: what it asked for is cancelled, what it held is ended."""
        for task, under_way in list(self._tasks.items()):
            if under_way is not None and under_way.connection is connection and under_way.route.abandoned:
                task.cancel()
        for kind, name in self._held.pop(connection, ()):
            work = self._agent.cancel(kind, name, f"the closed connection of {connection.peer}")
            self._follow(_wait(work), None)

    async def close(self, limit_s: float) -> None:
        """Cancel what waits, let what ends something finish within the limit; idempotent."""
        for task, under_way in list(self._tasks.items()):
            if under_way is not None and under_way.route.abandoned:
                task.cancel()
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=limit_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        await asyncio.sleep(0)  # their callbacks, which answer


def _call(connection: Connection, route: Route, names: dict[str, str], request: Request) -> Call:
    """Raises BadRequest, BadFields, UnsupportedMedia."""
    call = Call(
        names=names,
        query=checked_query(route, request),
        body=checked_body(route, request),
        by=str(connection.peer),
        client=f"user-{connection.peer.user}",
        link=f"connection-{connection.number}",
    )
    if route is EVENTS and "after" not in call.query and (after := after_of(request)) is not None:
        call = replace(call, query={"after": after})
    return call


async def _wait(work: Awaitable[Any]) -> Any:
    return await work


async def _encoded(route: Route, work: Awaitable[Any]) -> tuple[bytes, Any]:
    result = await work
    if route.streams:
        return b"", None
    return encode({route.under: result} if route.under else result), result


def _outcome(task: asyncio.Task[Any], under_way: _UnderWay) -> tuple[Answer, Any]:
    if task.cancelled():
        error: BaseException | None = Stopping("the agent is being stopped", hint="ask again when it is back")
    else:
        error = task.exception()
    if error is None:
        body, result = task.result()
        return Answer(under_way.route.status, body, under_way.trace_id), result
    if not isinstance(error, AgentError):
        _log_fault(error, under_way)
        error = _internal(under_way.trace_id)
    return error_answer(error, under_way.trace_id), None


def _internal(trace_id: str) -> Internal:
    return Internal(
        "the agent failed while it carried this out",
        hint=f"journalctl -u camera-agent TRACE_ID={trace_id} has what happened; please report it",
    )


def _log_fault(error: BaseException, under_way: _UnderWay) -> None:
    route = under_way.route
    told = {"TRACE_ID": under_way.trace_id}
    _LOG.error("%s %s failed (%s)", route.method, route.path, under_way.trace_id, exc_info=error, extra=told)


def _overloaded(what: str, bound: str, limit: int) -> Overloaded:
    return Overloaded(
        f"more than {limit} {what}: nothing was begun",
        hint="ask again in a second; what cancels is never refused for this",
        bound=bound,
        limit=limit,
    )
