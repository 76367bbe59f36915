"""The rig's vivid cameras as a capture process is told of them, and small settings that every camera of the rig has."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from agent.capture.order import CameraOrder
from agent.capture.settings import Settings
from agent.v4l2.uapi import BufType

SINGLE, MULTI = "single-planar", "multi-planar"
QUEUES = {SINGLE: BufType.VIDEO_CAPTURE, MULTI: BufType.VIDEO_CAPTURE_MPLANE}
_PIXEL_FORMATS = {SINGLE: "YUYV", MULTI: "NM12"}


def settings(rate: int = 30, *, pixel_format: str = "YUYV", height_px: int = 240, **more: Any) -> Settings:
    """Small and soon running."""
    return Settings(
        pixel_format=pixel_format, width_px=320, height_px=height_px, rate=Fraction(rate), settle_frames=0, **more
    )


def order(vivids: Mapping[str, str], kind: str, rate: int = 30) -> CameraOrder:
    """One of them, named after its kind. `vivids`: the fixture."""
    wanted = settings(rate, pixel_format=_PIXEL_FORMATS[kind], height_px=180)
    return CameraOrder(name=kind, path=vivids[kind], settings=wanted)
