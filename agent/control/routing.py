"""Which route a request means, and the checked call that comes of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from agent.control.errors import BadFields, MethodNotAllowed, NotFound
from agent.control.request import Request
from agent.control.routes import Route
from agent.control.schema import Schema, check


@dataclass(slots=True)
class _Node:
    below: dict[str, _Node] = field(default_factory=dict)
    named: _Node | None = None
    """Where any name may stand."""
    methods: dict[str, Route] = field(default_factory=dict)


class Routing:
    """A tree of path segments. Not changed after it was made."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        for route in routes:
            node = self._root
            for segment in route.path[1:].split("/"):
                if segment.startswith("{"):
                    node.named = node.named or _Node()
                    node = node.named
                else:
                    node = node.below.setdefault(segment, _Node())
            node.methods[route.method] = route

    def find(self, request: Request) -> tuple[Route, dict[str, str]]:
        """The route, and the names in its path; HEAD is answered as GET. Raises NotFound, MethodNotAllowed."""
        node, found = self._walk(request.segments)
        method = "GET" if request.method == "HEAD" else request.method
        route = node.methods.get(method)
        if route is None:
            allow = sorted(node.methods) + (["HEAD"] if "GET" in node.methods else [])
            raise MethodNotAllowed(
                f"{request.method[:20]} is nothing that can be done here",
                hint=f"it takes {', '.join(allow)}",
                allow=allow,
            )
        keys = [segment[1:-1] for segment in route.path[1:].split("/") if segment.startswith("{")]
        return route, dict(zip(keys, found, strict=True))

    def _walk(self, segments: Sequence[str]) -> tuple[_Node, list[str]]:
        node: _Node | None = self._root
        found: list[str] = []
        for segment in segments:
            if node is None:
                break
            if segment in node.below:
                node = node.below[segment]
            else:
                node = node.named if segment else None
                found.append(segment)
        if node is None or not node.methods:
            path = "/".join(segments)
            raise NotFound(
                f"there is no /{path[:80]}",
                hint="/v1/openapi.json lists what there is; a slash in a name is written %2F",
                kind="resource",
                name=path[:256],
            )
        return node, found


def checked_body(route: Route, request: Request) -> dict[str, object]:
    """The body as the route wants it. Raises BadRequest, BadFields, UnsupportedMedia."""
    document = request.json()
    check(route.body or _NO_BODY, document, "" if isinstance(document, dict) else "the body")
    return document if isinstance(document, dict) else {}


def checked_query(route: Route, request: Request) -> dict[str, int | str]:
    """The fields behind the `?`: whole numbers where the route says so, else texts. Raises BadFields."""
    schema = {"type": "object", "properties": route.query, "additionalProperties": False}
    numbers = {key for key, one in route.query.items() if one["type"] == "integer"}
    values = {key: _whole(text) if key in numbers else text for key, text in request.query.items()}
    check(schema, values)
    return values


def after_of(request: Request) -> int | None:
    """Last-Event-ID, which a browser sends when it comes back. Raises BadFields."""
    text = request.headers.get("last-event-id", "")
    if not text:
        return None
    value = _whole(text)
    if isinstance(value, str):
        raise BadFields("last-event-id is not a whole number", hint="leave it away to begin with what happens now")
    return value


def _whole(text: str) -> int | str:
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 20 else text


_NO_BODY: Schema = {"type": "object", "properties": {}, "additionalProperties": False}
