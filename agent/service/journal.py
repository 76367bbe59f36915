"""Entries of the journal with fields: CAMERA, PLAN, GROUP, TRACE_ID, CODE, and a MESSAGE_ID for each kind of event.

`journalctl CAMERA=top` then finds all of a camera, `journalctl MESSAGE_ID=...` all of a kind.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from agent.control.facade import Document

_NAMESPACE = uuid.UUID("5d0f9d34-6a5e-4b0e-9f5c-2a3c0d6b7e11")
"""Message ids are made of this and the kind of event: stable, and 128 bits as systemd wants them."""
_ERROR, _WARNING, _NOTICE, _INFO, _DEBUG = 3, 4, 5, 6, 7
_FIELDS = ("camera", "plan", "group", "trace_id", "code", "by", "pid", "bucket")
_PRIORITIES = {
    "group.hangs": _ERROR,
    "group.failed": _ERROR,
    "group.stopped": _ERROR,
    "config.refused": _ERROR,
    "frame.not_stored": _WARNING,
    "group.ended": _WARNING,
    "viewer.died": _WARNING,
    "plan.refused": _WARNING,
    "plans.not_kept": _ERROR,
    "metrics.failed": _ERROR,
    "service.stalled": _ERROR,
    "config.reloaded": _NOTICE,
    "plan.ended": _DEBUG,
}

Write = Callable[[str, int, Mapping[str, str]], None]
"""Takes a message, a priority as in syslog(3), and fields."""


class Entries(Protocol):
    """Where events are written down."""

    def tell(self, kind: str, data: Document) -> None:
        """One event; never waits for long."""
        ...


class Journal:
    """Writes events as entries."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def tell(self, kind: str, data: Document) -> None:
        """One entry."""
        fields = {name.upper(): str(data[name]) for name in _FIELDS if data.get(name) not in (None, "")}
        fields |= {"MESSAGE_ID": message_id(kind), "KIND": kind}
        self._write(in_words(kind, data), _priority(kind, data), fields)


def message_id(kind: str) -> str:
    """Of a kind of event: 32 hexadecimal digits, the same in every version."""
    return uuid.uuid5(_NAMESPACE, kind).hex


def in_words(kind: str, data: Document) -> str:
    """One line for people: what it concerns, what happened, the rest as JSON where there is more."""
    concerns = [f"{name} {data[name]}" for name in ("camera", "plan") if data.get(name)]
    if not concerns and data.get("group"):
        concerns = [f"group {data['group']}"]
    told = [str(data[name]) for name in ("state", "verb", "cause", "told", "why", "message") if data.get(name)]
    rest = {name: value for name, value in data.items() if name in ("pid", "starts", "took_ms", "device") and value}
    words = ": ".join((*concerns, ", ".join(told) or kind))
    by = f" (asked by {data['by']})" if data.get("by") else ""
    return words + by + (f" {json.dumps(rest)}" if rest else "")


def usual_journal(environment: Mapping[str, str], otherwise: Write) -> Journal:
    """The journal where systemd started us and its library is there."""
    if "JOURNAL_STREAM" in environment:
        try:
            import systemd.journal as journal
        except ImportError:
            return Journal(otherwise)
        return Journal(lambda message, priority, fields: _send(journal, message, priority, fields))
    return Journal(otherwise)


def _send(journal: Any, message: str, priority: int, fields: Mapping[str, str]) -> None:
    journal.send(message, PRIORITY=str(priority), SYSLOG_IDENTIFIER="camera-agent", **fields)


def _priority(kind: str, data: Document) -> int:
    known = _PRIORITIES.get(kind)
    if known is not None:
        return known
    return _WARNING if data.get("state") in ("fault", "gone", "absent") else _INFO
