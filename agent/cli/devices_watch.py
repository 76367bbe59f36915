"""`devices --watch`: cameras as they come and go, a line for each event."""

from __future__ import annotations

import json
import select
from datetime import datetime
from typing import NoReturn

import click

from agent.cli.interruption import Interruption
from agent.cli.options import printable
from agent.clock import Clock, ReadClock, monotonic_ns
from agent.discovery.camera import Camera
from agent.discovery.events import Appeared, Changed, Event
from agent.discovery.identity import Identity
from agent.discovery.watch import Watch
from agent.units import NS_PER_S, NS_PER_US


def follow(watch: Watch, *, as_json: bool) -> NoReturn:
    """Print what is there, then every event, until a signal. Raises Interrupted. Releases the watch."""
    with Interruption() as interruption, watch:
        readable = select.poll()
        readable.register(watch.fileno(), select.POLLIN)
        while True:
            for event in watch.read():
                click.echo(json.dumps(event_as_dict(event)) if as_json else event_as_line(event))
            with interruption.waiting():
                readable.poll()


def event_as_line(event: Event, now_ns: ReadClock = monotonic_ns) -> str:
    """`12:03:04.123456 appeared /dev/video0  Bench camera  serial A1  port ...`, local time."""
    at_ns = Clock.REALTIME.read_ns() - now_ns() + event.at_ns
    at = datetime.fromtimestamp(at_ns // NS_PER_S).astimezone().replace(microsecond=at_ns % NS_PER_S // NS_PER_US)
    facts = _facts(event.camera.identity)
    return printable(f"{at.time().isoformat('microseconds')} {_word(event):8} {event.camera.path}  {'  '.join(facts)}")


def event_as_dict(event: Event) -> dict[str, object]:
    """The event for programs. `at_ns`: when it was read, CLOCK_MONOTONIC. `before`: only of what has changed."""
    facts: dict[str, object] = {"event": _word(event), "at_ns": event.at_ns, **_as_dict(event.camera)}
    return facts | {"before": _as_dict(event.before)} if isinstance(event, Changed) else facts


def _word(event: Event) -> str:
    if isinstance(event, Appeared):
        return "appeared"
    return "changed" if isinstance(event, Changed) else "gone"


def _facts(identity: Identity) -> list[str]:
    named = (("", identity.model), ("serial ", identity.serial), ("port ", next(iter(identity.ports), None)))
    return [f"{name}{fact}" for name, fact in named if fact]


def _as_dict(camera: Camera) -> dict[str, object]:
    nodes = [node.path for node in camera.nodes]
    return {"path": camera.path, "nodes": nodes, "links": camera.node.links, "identity": camera.identity.as_dict()}
