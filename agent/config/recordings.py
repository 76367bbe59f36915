"""`recordings:` of a service's file: what `camera-agent record --name NAME` does, as a service or by hand."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from os.path import normpath
from pathlib import Path

from agent.config import kinds, patterns
from agent.config.problems import quoted
from agent.config.reader import Kind, Table
from agent.config.recording_words import CODECS, EVENTS, FORMATS, ON_FULL, TARGETS
from agent.errors import InputError
from agent.templates import USUAL, NameTemplate, file_name
from agent.units import NS_PER_MS, NS_PER_S

_VIDEOS = ("mp4", "mkv")
_EVENT = ("on", "before", "after", "memory")
_MIB = 1024 * 1024


def _template(text: str) -> str:
    NameTemplate(text)
    return text


def _event(text: str) -> tuple[str, str]:
    kind, colon, name = text.partition(":")
    if kind not in EVENTS or (colon and (kind == "signal" or not name.strip())):
        hint = "write edge, edge:GROUP, plan, plan:NAME or signal"
        raise InputError(f"{quoted(text)} is nothing to wait for", hint=hint)
    return kind, name.strip()


_FORMAT = kinds.choice(*FORMATS)
_CODEC = kinds.choice(*CODECS)
_ON_FULL = kinds.choice(*ON_FULL)
_QUALITY = kinds.integer(1, 100)
_TEMPLATE: Kind[str] = Kind(
    "a template",
    USUAL,
    _template,
    longest=1024,
    schema=patterns.text(r"([a-z]{1,40}/)?[{]camera[}]-[{]number:0[1-9]d[}]"),
)
EVENT: Kind[tuple[str, str]] = Kind(
    "what to wait for", "plan:lapse", _event, schema=patterns.text(r"signal|(edge|plan)(:[A-Za-z0-9_-]{1,50})?")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingWish:
    """A recording. The words are those of `agent.recording.order.RecordOrder`, which is made of it."""

    target: str
    name: str
    folder: Path
    format: str = "jpg"
    codec: str | None = None
    quality: int = 90
    template: str = USUAL
    rate: Fraction | None = None
    segment_ns: int | None = None
    segment_bytes: int | None = None
    keep_ns: int | None = None
    limit_bytes: int | None = None
    on_full: str = "stop"
    on: str | None = None
    on_name: str = ""
    before_ns: int = 0
    after_ns: int = 0
    ring_bytes: int = 256 * _MIB
    synced: bool = False
    encode_limit_ns: int = 800 * NS_PER_MS


def read_recordings(table: Table) -> Mapping[str, RecordingWish]:
    """All recordings by name."""
    value = table.take("recordings")
    if value is None or value.is_null:
        return {}
    return value.mapping(kinds.NAME, lambda name, entry: entry.table(lambda inner: _recording(name, inner)))


def check_targets(
    table: Table, wishes: Mapping[str, RecordingWish], known: Mapping[str, frozenset[str]], *, sound: bool
) -> None:
    """Recordings of what is not in the configuration are problems. `known`: names by kind; `sound`: all were read."""
    value = table.take("recordings")
    if value is None or not sound:
        return
    for name, wish in wishes.items():
        if wish.name not in known[wish.target]:
            at = value.child(name).child(wish.target)
            at.refuse(
                f"there is no {wish.target} {quoted(wish.name)}", at.problems.suggest(wish.name, known[wish.target])
            )


def check_folders(
    table: Table, wishes: Mapping[str, RecordingWish], output: Path | None, cameras: Collection[str]
) -> None:
    """Recordings that would have to share a folder: each has its index to itself, as have the agent's own pictures."""
    value = table.take("recordings")
    if value is None:
        return
    takers: dict[str, str] = {}
    if output is not None:
        own = (output, *(output / file_name(camera) for camera in cameras))
        takers = {normpath(folder): "the agent's own pictures" for folder in own}
    for name, wish in wishes.items():
        taker = takers.setdefault(normpath(wish.folder), f"recording {quoted(name)}")
        if taker != f"recording {quoted(name)}":
            at = value.child(name).child("folder")
            at.refuse(f"the folder {quoted(str(wish.folder))} is that of {taker}", "give each its own")


def _recording(name: str, table: Table) -> RecordingWish | None:
    before = len(table.problems)
    target = _target(table)
    format_ = table.scalar("format", _FORMAT, "jpg")
    codec = table.scalar("codec", _CODEC, None)
    segment_ns, segment_bytes = _segments(table)
    _check_video(table, format_, codec)
    on = table.scalar("on", EVENT, None)
    wish = RecordingWish(
        target=target[0],
        name=target[1],
        folder=Path(table.scalar("folder", kinds.PATH, "") or f"recordings/{name}"),
        format=format_,
        codec=codec,
        quality=table.scalar("quality", _QUALITY, 90),
        template=table.scalar("template", _TEMPLATE, USUAL),
        rate=_rate(table),
        segment_ns=segment_ns,
        segment_bytes=segment_bytes,
        keep_ns=table.scalar("keep", kinds.DURATION, None),
        limit_bytes=table.scalar("limit", kinds.SIZE_BYTES, None),
        on_full=table.scalar("on_full", _ON_FULL, "stop"),
        on=None if on is None else on[0],
        on_name="" if on is None else on[1],
        before_ns=table.scalar("before", kinds.OFFSET, 0),
        after_ns=table.scalar("after", kinds.OFFSET, 0),
        ring_bytes=table.scalar("memory", kinds.SIZE_BYTES, 256 * _MIB),
        synced=table.scalar("synced", kinds.BOOLEAN, False),
        encode_limit_ns=table.scalar("encode_limit", kinds.DURATION, 800 * NS_PER_MS),
    )
    _check_event(table, wish)
    return wish if len(table.problems) == before else None


def _target(table: Table) -> tuple[str, str]:
    found = [(word, table.scalar(word, kinds.NAME, "")) for word in TARGETS if table.take(word) is not None]
    if not found:
        table.value.refuse("has no camera, group or plan", "write whose frames it is: camera: top")
        return "camera", ""
    for word, _ in found[1:]:
        table.refuse(
            word, f"stands beside {found[0][0]}", "write one of camera, group and plan; more are more recordings"
        )
    return found[0]


def _rate(table: Table) -> Fraction | None:
    rate, every_ns = table.scalar("rate", kinds.RATE, None), table.scalar("every", kinds.DURATION, None)
    if table.take("rate") is not None and table.take("every") is not None:
        table.refuse("every", "stands beside rate", "write one of them")
    return rate if every_ns is None else Fraction(NS_PER_S, every_ns)


def _segments(table: Table) -> tuple[int | None, int | None]:
    """`segment: {every: 10min, size: 1GiB}`."""
    value = table.take("segment")
    if value is None:
        return None, None

    def read(inner: Table) -> tuple[int | None, int | None]:
        return inner.scalar("every", kinds.DURATION, None), inner.scalar("size", kinds.SIZE_BYTES, None)

    found = value.table(read)
    return (None, None) if found is None else found


def _check_video(table: Table, format_: str, codec: str | None) -> None:
    if format_ not in _VIDEOS:
        for key in ("codec", "segment"):
            if table.take(key) is not None:
                table.refuse(key, f"{format_} files have none", "take the line out, or write format: mkv")
    if format_ == "mp4" and codec not in (None, "h264"):
        table.refuse("codec", f"mp4 does not hold {codec}", "write format: mkv, or take the line out")


def _check_event(table: Table, wish: RecordingWish) -> None:
    if table.take("on") is None:
        for key in _EVENT[1:]:
            if table.take(key) is not None:
                table.refuse(key, "is of an event, and none is named", "write on: edge, plan or signal as well")
    elif not (wish.before_ns or wish.after_ns):
        table.refuse("on", "nothing before or after it is kept", "write before: 5s or after: 2s as well, or both")
