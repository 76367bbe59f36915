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


class BadRequest(InputError):
    """What came is no request that HTTP or JSON knows."""

    code = "bad_request"


class BadFields(InputError):
    """Fields that are unknown, missing, or of the wrong kind. Details: problems, each with where and what."""

    code = "bad_fields"


class TooLarge(InputError):
    """A head or a body beyond its bound. Details: limit_bytes."""

    code = "too_large"


class HeadTooLarge(TooLarge):
    """The head of a request is beyond its bound."""

    code = "head_too_large"


class TooSlow(InputError):
    """A request was begun and not finished within its time. Details: limit_ns."""

    code = "too_slow"


class MethodNotAllowed(InputError):
    """The resource is there, and has no such method. Details: allow."""

    code = "method_not_allowed"


class UnsupportedMedia(InputError):
    """A body that is not JSON."""

    code = "unsupported_media"


class Stopping(AgentError):
    """The agent is being stopped."""

    code = "agent_stopping"


class Internal(AgentError):
    """A fault of the agent itself; the journal has what happened under the answer's trace id."""

    code = "internal"


_STATUS = {
    "bad_request": HTTPStatus.BAD_REQUEST,
    "bad_fields": HTTPStatus.UNPROCESSABLE_ENTITY,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "head_too_large": HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "too_slow": HTTPStatus.REQUEST_TIMEOUT,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "unsupported_media": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
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
