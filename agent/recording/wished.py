"""A recording of the configuration as an order."""

from __future__ import annotations

from dataclasses import fields

from agent.config.recordings import RecordingWish
from agent.pipeline.files import Durability
from agent.pipeline.video import VideoCodec
from agent.recording.order import OnFull, RecordFormat, RecordOrder, Target, Trigger


def order_of(wish: RecordingWish) -> RecordOrder:
    """What the configuration asks for. Raises InputError where its reader would have."""
    same = {field.name: getattr(wish, field.name) for field in fields(wish) if field.name != "synced"}
    return RecordOrder(
        **same
        | {
            "target": Target(wish.target),
            "format": RecordFormat(wish.format),
            "codec": None if wish.codec is None else VideoCodec(wish.codec),
            "on_full": OnFull(wish.on_full),
            "on": None if wish.on is None else Trigger(wish.on),
            "durability": Durability.SYNCED if wish.synced else Durability.CACHED,
        }
    )
