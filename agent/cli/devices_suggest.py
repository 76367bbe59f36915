"""`devices --suggest`: what to write under `cameras:`, and why."""

from __future__ import annotations

from collections.abc import Sequence

import click

from agent.cli.show import print_json
from agent.discovery.camera import Camera
from agent.discovery.suggest import as_yaml, suggest_all


def print_suggestions(present: Sequence[Camera], *, as_json: bool) -> None:
    """YAML that a plan file takes as it is, or the same facts as one JSON document."""
    suggestions = suggest_all(present)
    if not as_json:
        click.echo(as_yaml(suggestions), nl=False)
        return
    entries = {
        name: {
            "device": each.match.given,
            "reason": each.reason,
            "stable": each.stable,
            "path": each.camera.path,
            "identity": each.camera.identity.as_dict(),
        }
        for name, each in suggestions.items()
    }
    print_json({"cameras": entries})
