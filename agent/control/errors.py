"""Errors that only the control API knows, and the HTTP status of every error's code."""

from __future__ import annotations

from http import HTTPStatus

from agent.errors import AgentError, DeviceError, InputError, StateError


class NotFound(InputError):
    """No camera, plan, group, bucket or resource of this name. Details: kind, name, known."""

    code = "not_found"
    exit_code = 3


class NotAllowed(AgentError):
    """The caller's user may not do this. Details: user, level, needed, groups."""

    code = "not_allowed"
    exit_code = 4


class AgentUnreachable(AgentError):
    """Nobody answers at the socket. Details: socket."""

    code = "agent_unreachable"
    exit_code = 3


class Overloaded(AgentError):
    """A bound on rate, connections or waiting requests was reached: nothing was begun. Details: bound, limit."""

    code = "overloaded"


_STATUS = {
    "not_found": HTTPStatus.NOT_FOUND,
    "group_unknown": HTTPStatus.NOT_FOUND,
    "camera_unknown": HTTPStatus.NOT_FOUND,
    "plan_unknown": HTTPStatus.NOT_FOUND,
    "quota_unknown": HTTPStatus.NOT_FOUND,
    "not_allowed": HTTPStatus.FORBIDDEN,
    "name_taken": HTTPStatus.CONFLICT,
    "plan_over": HTTPStatus.CONFLICT,
    "control_held": HTTPStatus.CONFLICT,
    "device_busy": HTTPStatus.CONFLICT,
    "line_busy": HTTPStatus.CONFLICT,
    "emergency_stop": HTTPStatus.CONFLICT,
    "cancelled": HTTPStatus.CONFLICT,
    "overloaded": HTTPStatus.TOO_MANY_REQUESTS,
    "channel_full": HTTPStatus.TOO_MANY_REQUESTS,
    "storage": HTTPStatus.INSUFFICIENT_STORAGE,
}


def status_of(error: AgentError) -> HTTPStatus:
    """The status that an error is answered with: by its code, else by its kind.

    What the caller asked for is 4xx; a camera, a line or a disk that failed is 502 or 507: the agent itself is well.
    """
    status = _STATUS.get(error.code)
    if status is not None:
        return status
    if isinstance(error, InputError):
        return HTTPStatus.UNPROCESSABLE_ENTITY
    if isinstance(error, StateError):
        return HTTPStatus.CONFLICT
    return HTTPStatus.BAD_GATEWAY if isinstance(error, DeviceError) else HTTPStatus.SERVICE_UNAVAILABLE
