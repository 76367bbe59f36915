"""What `config check` and `config show` print when nothing is wrong."""

from __future__ import annotations

import click
import yaml
from rich.console import RenderableType

from agent.cli.show import line, pairs, print_all, print_json, table
from agent.config.access import AccessWish
from agent.config.planned import Planned
from agent.config.quotas import limit_text
from agent.config.service_file import ServiceFile
from agent.units import format_duration


def print_check(file: ServiceFile) -> None:
    """Cameras by group, plans, and what concerns all of them."""
    parts: list[RenderableType] = [line(f"{', '.join(file.files)}: nothing is wrong")]
    if file.groups:
        rows = [
            (name, camera.name, str(file.matches[camera.name]))
            for name, order in file.groups.items()
            for camera in order.cameras
        ]
        parts += [line(""), table(("group", "camera", "device"), rows)]
    else:
        parts.append(line("there are no cameras: the service runs and waits for a reload"))
    if file.plans:
        plans = [(name, each.order.plan.camera, _often(each)) for name, each in file.plans.items()]
        parts += [line(""), table(("plan", "of", "ticks"), plans)]
    print_all(*parts, line(""), pairs(_facts(file)))


def print_check_json(file: ServiceFile) -> None:
    """The same for programs. Times in nanoseconds; a dated start is on CLOCK_REALTIME."""
    print_json(
        {
            "files": list(file.files),
            "problems": [],
            "groups": {name: [camera.name for camera in order.cameras] for name, order in file.groups.items()},
            "cameras": {name: match.given for name, match in file.matches.items()},
            "plans": {
                name: {
                    "group": each.group,
                    "of": each.order.plan.camera,
                    "every_ns": each.order.plan.period_ns,
                    "start_ns": each.order.plan.start_ns,
                    "dated": each.dated,
                }
                for name, each in file.plans.items()
            },
            "quotas": {bucket: limit_text(limit) for bucket, limit in file.limits.items()},
        }
    )


def print_document(file: ServiceFile) -> None:
    """All files as one, as YAML."""
    for name in file.files:
        click.echo(f"# {name}")
    if file.document:
        click.echo(yaml.safe_dump(dict(file.document), sort_keys=False, allow_unicode=True), nl=False)


def _often(planned: Planned) -> str:
    plan = planned.order.plan
    if plan.on_edge is not None:
        return "at edges"
    return "once" if plan.period_ns is None else f"every {format_duration(plan.period_ns)}"


def _facts(file: ServiceFile) -> list[tuple[str, str]]:
    output = file.pictures.output
    return [
        ("pictures", "none are kept" if output is None else f"{file.pictures.file_type} files in {output}"),
        ("quotas", ", ".join(f"{bucket} {limit_text(limit)}" for bucket, limit in file.limits.items()) or "none"),
        ("socket", f"{file.socket.path}, mode {file.socket.mode:04o}"),
        ("access", _access(file.access)),
        ("metrics", "none" if file.metrics is None else str(file.metrics)),
    ]


def _access(access: AccessWish) -> str:
    levels = (("look", access.look), ("control", access.control), ("administer", access.administer))
    return "; ".join(f"{level}: {_who(groups)}" for level, groups in levels)


def _who(groups: tuple[str, ...] | None) -> str:
    if groups is None:
        return "everybody who may connect"
    return ", ".join(groups) or "root"
