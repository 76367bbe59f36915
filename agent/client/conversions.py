"""A frame's pixels as copies in the form a program wants; what makes them is loaded when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import InputError
from agent.v4l2.frame import Frame

_LEVELS = ("limited", "full")


def converted(frame: Frame, to: str, levels: str) -> NDArray[Any]:
    """A copy of the frame in another form.

    `bgr` and `rgb` are height x width x 3, 8 bits. `luma` is the brightness of Y'CbCr and 8-bit grey, height x width, 8
    bits. `samples` are the numbers of grey and Bayer formats, height x width, 8 or 16 bits, unpacked and in the
    machine's byte order.

    `levels`: `limited` stretches a camera's 16 to 235 over the whole range, `full` leaves numbers as they are; it
    means something for `bgr` and `rgb` of Y'CbCr formats only.

    Raises InputError naming what is allowed, FormatUnsupported when the format has no such form, PictureDamaged.
    """
    conversion = CONVERSIONS.get(to)
    if conversion is None:
        raise _unknown("conversion", to, tuple(CONVERSIONS))
    if levels not in _LEVELS:
        raise _unknown("levels", levels, _LEVELS)
    return conversion(frame, levels)


def _bgr(frame: Frame, levels: str) -> NDArray[Any]:
    from agent.pipeline.colour import Levels, to_bgr

    pixels = to_bgr(frame, Levels(levels))
    return pixels.copy() if any(np.may_share_memory(pixels, plane) for plane in frame.planes) else pixels


def _rgb(frame: Frame, levels: str) -> NDArray[Any]:
    import cv2

    bgr = _bgr(frame, levels)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, bgr)


def _luma(frame: Frame, _: str) -> NDArray[Any]:
    from agent.pipeline.pixels import luma

    return luma(frame).copy()


def _samples(frame: Frame, _: str) -> NDArray[Any]:
    from agent.pipeline.pixels import samples

    values = samples(frame)
    return values.astype(values.dtype.newbyteorder("="))


CONVERSIONS: dict[str, Callable[[Frame, str], NDArray[Any]]] = {
    "bgr": _bgr,
    "rgb": _rgb,
    "luma": _luma,
    "samples": _samples,
}
"""By what they make."""


def _unknown(what: str, asked: str, allowed: tuple[str, ...]) -> InputError:
    names = ", ".join(allowed)
    return InputError(f"{asked!r} is no {what} of a frame", hint=f"choose one of {names}", asked=asked, allowed=names)
