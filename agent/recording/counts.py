"""The account of a recording: every frame that its cameras delivered while it ran is in one of these."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.recording.messages import Done

_GIVEN_UP = ("encode_limit", "writer_gone")


@dataclass(slots=True)
class Counts:
    """Frames, but for `size_bytes`, `files`, `removed` and `events`.

    `stored`: in files and in the index. `held`: put into memory, for an event. `left_out`: on purpose, by the rate. `skipped`: we were not fast enough for them. `revoked`: their camera was stopped
    before they were copied. `given_up`: took longer than the limit. `not_stored`: no room. `failed`: otherwise, by code.
    """

    stored: int = 0
    held: int = 0
    left_out: int = 0
    skipped: int = 0
    revoked: int = 0
    given_up: int = 0
    not_stored: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    size_bytes: int = 0
    files: int = 0
    removed: int = 0
    events: int = 0

    def add(self, done: Done) -> None:
        """What became of a frame."""
        self.size_bytes += done.size_bytes
        self.removed += done.removed
        self.files = done.files or self.files
        self.stored += done.written
        if done.kept:
            self.held += 1
        elif done.code in _GIVEN_UP:
            self.given_up += 1
        elif done.code == "storage":
            self.not_stored += 1
        elif done.code:
            self.failed[done.code] = self.failed.get(done.code, 0) + 1

    @property
    def all_failed(self) -> int:
        """Frames that something was wrong with."""
        return sum(self.failed.values())

    def as_dict(self) -> dict[str, object]:
        """For programs."""
        names = (
            "stored", "held", "left_out", "skipped", "revoked", "given_up", "not_stored", "failed", "lost", "size_bytes",
            "files", "removed", "events",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}
