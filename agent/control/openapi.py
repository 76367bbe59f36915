"""The OpenAPI 3.1 document, written from the table of routes."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import agent
from agent.control.documents import ERROR
from agent.control.routes import EVENTS, ROUTES, Route

_ERRORS = {
    "400": "Not HTTP, or not JSON.",
    "403": "The user may not do this.",
    "404": "No such resource.",
    "408": "The request did not come within its time.",
    "409": "The present state does not allow it.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "422": "A field is unknown, missing or of the wrong kind, or the camera does not offer what is asked.",
    "429": "Too many requests, or too many at once.",
    "431": "The head is too large.",
    "502": "A device failed.",
    "503": "The agent could not do it now.",
    "507": "It could not be stored.",
}
"""What any request may be answered with; 500 is not among them."""


def openapi(routes: Sequence[Route] = ROUTES) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "camera-agent",
            "version": agent.__version__,
            "description": "Over a unix socket: curl --unix-socket /run/camera-agent/control.sock http://localhost/v1/...",
            "license": {"name": "GPL-3.0-or-later", "identifier": "GPL-3.0-or-later"},
        },
        "servers": [{"url": "http://localhost"}],
        "paths": paths,
        "components": {"schemas": {"Error": ERROR}, "responses": {code: _error(code) for code in _ERRORS}},
    }


def _operation(route: Route) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": route.id,
        "summary": route.summary,
        "x-level": route.level.word,
        "responses": {
            str(route.status): {"description": HTTPStatus(route.status).phrase, "content": _content(route)},
            **{code: {"$ref": f"#/components/responses/{code}"} for code in _ERRORS},
        },
    }
    parameters = [_in_path(segment[1:-1]) for segment in route.path.split("/") if segment.startswith("{")]
    parameters += [{"name": key, "in": "query", "schema": schema} for key, schema in route.query.items()]
    if parameters:
        made["parameters"] = parameters
    if route.body is not None:
        needed = bool(route.body.get("required") or route.body.get("minProperties"))
        made["requestBody"] = {"required": needed, "content": {"application/json": {"schema": route.body}}}
    return made


def _content(route: Route) -> dict[str, Any]:
    if route.media:
        return {media: {"schema": route.answer} for media in route.media}
    if route is EVENTS:
        return {"text/event-stream": {"schema": {"type": "string"}, "x-event": route.answer}}
    return {"application/json": {"schema": route.answer}}


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _error(code: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": _ERRORS[code], "content": {"application/json": {"schema": schema}}}
