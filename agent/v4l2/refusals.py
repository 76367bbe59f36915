"""The errors of setting controls: what was refused, by whom, and whether every control is as it was."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence

from agent.errors import ControlHeld, ControlRefused, ControlValueError
from agent.v4l2.controls import Control
from agent.v4l2.uapi import VIDIOC_G_EXT_CTRLS, VIDIOC_S_EXT_CTRLS, Request
from agent.v4l2.values import Value, format_value

Left = Mapping[str, Value | None]
"""Controls that could not be put back, by name, with what they are now; empty: every control is as it was."""


class ReadBackMismatch(ControlRefused):
    """The driver took the values without an error, but reading them back shows others. Details: mismatches."""


def refused_by_us(device: str, control: Control, code: int, problem: str, hint: str) -> ControlHeld:
    """Refused before anything was sent; `code` is what the kernel would have answered."""
    return ControlHeld(
        f"{control.slug} of {device} {problem}",
        hint=hint,
        device=device,
        request=VIDIOC_S_EXT_CTRLS.name,
        errno=code,
        control=control.slug,
        controls=[control.slug],
        error_idx=None,
        rolled_back=True,
        left={},
    )


def refused_by_driver(
    device: str,
    controls: Sequence[Control],
    culprit: Control | None,
    *,
    code: int,
    request: Request,
    error_idx: int | None,
    left: Left,
) -> ControlRefused:
    """The kernel answered `code` to `request` with `controls` in this order; `culprit` is None when nobody names it."""
    names = [control.slug for control in controls]
    who = culprit.slug if culprit else names[0] if len(names) == 1 else f"one of {', '.join(names)}"
    return ControlRefused(
        f"{device} refused {who}: {os.strerror(code)}{_fate(left)}",
        hint=_HINTS.get(code, "look into the kernel log: journalctl -k"),
        device=device,
        request=request.name,
        errno=code,
        control=culprit.slug if culprit else None,
        controls=names,
        error_idx=error_idx,
        rolled_back=not left,
        left=dict(left),
    )


def mismatch(
    device: str, wrong: Sequence[Control], asked: Mapping[int, Value], read: Mapping[int, Value], left: Left
) -> ReadBackMismatch:
    """The controls in `wrong` read back as something else than was asked."""
    told = [f"{c.slug} is {format_value(c, read[c.id])}, not {format_value(c, asked[c.id])}" for c in wrong]
    return ReadBackMismatch(
        f"{device} accepted the controls, but reading them back shows: {', '.join(told)}{_fate(left)}",
        hint="the camera or its driver ignores this setting: try a neighbouring value",
        device=device,
        request=VIDIOC_G_EXT_CTRLS.name,
        errno=0,
        control=wrong[0].slug,
        mismatches={c.slug: {"asked": asked[c.id], "read": read[c.id]} for c in wrong},
        rolled_back=not left,
        left=dict(left),
    )


def not_allowed(
    control: Control, asked: Value, problem: str, hint: str, nearest: Value | None = None
) -> ControlValueError:
    """A value that the camera's state or its driver does not allow; nothing was changed."""
    return ControlValueError(
        f"{control.slug}{problem}",
        hint=hint,
        control=control.slug,
        asked=asked,
        minimum=control.minimum,
        maximum=control.maximum,
        step=control.step,
        nearest=nearest,
        choices=[],
    )


_HINTS = {
    errno.EACCES: "it is read-only, or an automatic mode holds it: `camera-agent controls` shows the flags",
    errno.EBUSY: "the driver holds it while it streams, or the camera is not ready: stop the stream, or try again",
    errno.ERANGE: "the camera refuses this value although its range includes it: try another one",
    errno.EINVAL: "the camera refuses this value although its range includes it: try another one",
    errno.EIO: "the camera did not take it: unplug it and plug it in again, then look into journalctl -k",
    errno.EPIPE: "the camera stalled the request: it may not allow this value in its present mode",
    errno.ETIMEDOUT: "the camera did not answer in time: unplug it and plug it in again",
}


def _fate(left: Left) -> str:
    if not left:
        return "; every control is as it was before"
    return f"; could not be put back: {', '.join(f'{name} is {value}' for name, value in left.items())}"
