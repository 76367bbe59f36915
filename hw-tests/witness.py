"""The UVC camera's own record as a witness: what it was told and what it did since a test began."""

from __future__ import annotations

from typing import Any

from uvc_camera import UvcCamera


class Witness:
    """Reads the record from where it was when this was made. The kinds of entries: `uvc_camera.record`."""

    def __init__(self, camera: UvcCamera) -> None:
        self._camera = camera
        self._before = len(camera.log_entries())

    def entries(self, *kinds: str) -> list[dict[str, Any]]:
        """Everything since, in order; only the `kinds` named if there are any."""
        since = self._camera.log_entries()[self._before :]
        return [entry for entry in since if not kinds or entry["kind"] in kinds]

    def kinds(self, *kinds: str) -> list[str]:
        """The kinds of `entries`, in order: `["start", "stop"]`."""
        return [entry["kind"] for entry in self.entries(*kinds)]

    @property
    def frames(self) -> dict[int, dict[str, Any]]:
        """The frames sent completely, by number."""
        return {entry["number"]: entry for entry in self.entries("frame")}

    @property
    def settings(self) -> list[tuple[str, int, str]]:
        """Control, value and outcome of every SET_CUR."""
        sets = [entry for entry in self.entries("control") if entry["request"] == "SET_CUR"]
        return [(entry["control"], entry["value"], entry["outcome"]) for entry in sets]
