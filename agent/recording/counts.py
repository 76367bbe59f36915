"""The account of a recording: every frame that its cameras delivered while it ran is in one of these."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.recording.messages import Done

_GIVEN_UP = ("encode_limit", "writer_gone")


@dataclass(slots=True)
class Counts:
    """Frames, but for `size_bytes`, `files`, `removed` and `events`.

    `stored`: in files and in the index; `accepted`: those and what a video is about to have. `held`: put into
    memory for an event. `left_out`: on purpose, by the rate. `skipped`: we were not fast enough for them.
    `revoked`: their camera was stopped before they were copied. `given_up`: took longer than the limit.
    `not_stored`: no room. `failed`: otherwise, by code. `lost`: the driver or the camera did, before they could
    come here.
    """

    stored: int = 0
    accepted: int = 0
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
        elif done.stored:
            self.accepted += 1
        elif done.code in _GIVEN_UP:
            self.given_up += 1 + self._unmade()
        elif done.code == "storage":
            self.not_stored += 1 + self._unmade()
        elif done.code:
            self.failed[done.code] = self.failed.get(done.code, 0) + 1

    def finish(self, done: Done) -> None:
        """The answer that is of no frame."""
        self.stored += done.written
        self.files = done.files or self.files
        if done.code:
            self.not_stored += self._unmade()

    def _unmade(self) -> int:
        """Frames that were accepted, and that a video does not have after all."""
        missing = max(self.accepted - self.stored, 0)
        self.accepted -= missing
        return missing

    @property
    def all_failed(self) -> int:
        """Frames that something was wrong with."""
        return sum(self.failed.values())

    def as_dict(self) -> dict[str, object]:
        """For programs."""
        names = (
            "stored", "held", "left_out", "skipped", "revoked", "given_up", "not_stored", "failed", "lost",
            "size_bytes", "files", "removed", "events",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}
