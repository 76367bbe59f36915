"""What the verbs share that ask a running agent over its socket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from agent.control.client import Client

F = TypeVar("F", bound=Callable[..., Any])
_COMPLETION_S = 0.5
"""How long a person at a prompt waits for names."""


def socket_option(verb: F) -> F:
    """`--socket`, the same for every verb that asks an agent."""
    return click.option(
        "--socket",
        "socket_path",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="The agent's socket.  [default: $CAMERA_AGENT_SOCKET, else /run/camera-agent/control.sock]",
    )(verb)


def opened(socket_path: Path | None, *, timeout_s: float = 60.0) -> Client:
    """A client of the agent at that socket; nothing is asked yet."""
    from agent.control.client import Client

    return Client(socket_path, timeout_s=timeout_s)


def complete_cameras(
    context: click.Context, _parameter: click.Parameter, begun: str
) -> list[click.shell_completion.CompletionItem]:
    """Names of the running agent's cameras; none where nobody answers."""
    return _complete(context, begun, "cameras", "name")


def complete_plans(
    context: click.Context, _parameter: click.Parameter, begun: str
) -> list[click.shell_completion.CompletionItem]:
    """Names of the running agent's plans."""
    return _complete(context, begun, "plans", "name")


def complete_groups(
    context: click.Context, _parameter: click.Parameter, begun: str
) -> list[click.shell_completion.CompletionItem]:
    """Names of the running agent's groups."""
    return _complete(context, begun, "groups", "name")


def complete_buckets(
    context: click.Context, _parameter: click.Parameter, begun: str
) -> list[click.shell_completion.CompletionItem]:
    """The running agent's quotas."""
    return _complete(context, begun, "quotas", "bucket")


def _complete(context: click.Context, begun: str, what: str, key: str) -> list[click.shell_completion.CompletionItem]:
    from click.shell_completion import CompletionItem

    from agent.errors import AgentError

    try:
        with opened(context.params.get("socket_path"), timeout_s=_COMPLETION_S) as client:
            found = client.ask("GET", f"/v1/{what}")[what]
    except AgentError:
        return []  # a prompt is no place for errors
    return [CompletionItem(str(one[key])) for one in found if str(one[key]).startswith(begun)]
