"""The controls of one camera: reading, validating and setting, as the kernel's control framework does it.

Follows drivers/media/v4l2-core/v4l2-ctrls-api.c and v4l2-ctrls-core.c (`std_validate`); the refusal of partners of an
automatic mode follows drivers/media/usb/uvc/uvc_ctrl.c.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import replace

from agent.simulation.control_spec import AutoCluster, ControlSpec, Value, control_class
from agent.simulation.refusal import refusal
from agent.v4l2.uapi import CTRL_ID_MASK, ControlFlag, CtrlType, EventControlChange

Item = tuple[int, Value]
Notify = Callable[[ControlSpec, Value, int, object | None], None]
"""Called after a change: the control, its value, EventControlChange bits, who did it (None: the camera itself)."""

_CLASS_NAMES = {
    0x0098_0000: "User Controls",
    0x009A_0000: "Camera Controls",
    0x009E_0000: "Image Source Controls",
    0x009F_0000: "Image Processing Controls",
}


def class_of(control_id: int) -> int:
    """V4L2_CTRL_ID2WHICH: the class a control id belongs to."""
    return control_id & 0x0FFF_0000


class ControlRefused(Exception):
    """Control number `index` of a call was refused with `code`. `writing`: controls before it were written."""

    def __init__(self, index: int, code: int, *, writing: bool = False) -> None:
        super().__init__(index, code)
        self.index = index
        self.code = code
        self.writing = writing


class ControlSet:
    """All controls of one camera with their values. Not locked: the camera's lock guards it."""

    def __init__(
        self,
        specs: Iterable[ControlSpec],
        clusters: Sequence[AutoCluster],
        read_volatile: Callable[[int], int | None],
        notify: Notify,
    ) -> None:
        given = list(specs)
        classes = {class_of(spec.id) for spec in given}
        headings = [
            control_class(control_id | 1, _CLASS_NAMES.get(control_id, "Vendor Controls")) for control_id in classes
        ]
        self._specs = {spec.id: spec for spec in sorted(given + headings, key=lambda spec: spec.id)}
        self._values: dict[int, Value] = {spec.id: spec.default for spec in self._specs.values()}
        self._clusters = clusters
        self._read_volatile = read_volatile
        self._notify = notify
        self._update_inactive(silent=True)

    def spec(self, control_id: int) -> ControlSpec | None:
        """The control with this id, or None."""
        return self._specs.get(control_id)

    def following(self, control_id: int) -> ControlSpec | None:
        """The control with the next higher id, or None."""
        return next((spec for spec in self._specs.values() if spec.id > control_id), None)

    def has_class(self, which: int) -> bool:
        """True if there is a control of this class."""
        return which | 1 in self._specs

    def value(self, control_id: int) -> Value:
        """The stored value. Raises KeyError for an unknown id."""
        return self._values[control_id]

    def number(self, control_id: int) -> int:
        """The stored value of a control that is a number. Raises KeyError for an unknown id."""
        return int(self._values[control_id])

    def read(self, control_id: int) -> Value:
        """The value as G_EXT_CTRLS sees it: the camera's own for volatile ones and those an automatic mode holds."""
        live = self._read_volatile(control_id) if self._is_live(control_id) else None
        return self._values[control_id] if live is None else live

    def locate(self, ids: Sequence[int], which: int) -> list[ControlSpec]:
        """`prepare_ext_ctrls`: all ids known, enabled, and of the class asked for. Raises ControlRefused."""
        found = []
        for index, control_id in enumerate(ids):
            spec = self._specs.get(control_id & CTRL_ID_MASK)
            if spec is None or (which and class_of(spec.id) != which) or spec.has(ControlFlag.DISABLED):
                raise ControlRefused(index, errno.EINVAL)
            found.append(spec)
        return found

    def validate(self, specs: Sequence[ControlSpec], values: Sequence[Value], *, setting: bool) -> list[Value]:
        """`validate_ctrls`: the values as they would be stored. Texts are checked only when written, as in the kernel.

        Raises ControlRefused.
        """
        fitted: list[Value] = []
        for index, (spec, value) in enumerate(zip(specs, values, strict=True)):
            if spec.has(ControlFlag.READ_ONLY):
                raise ControlRefused(index, errno.EACCES)
            if setting and spec.has(ControlFlag.GRABBED):
                raise ControlRefused(index, errno.EBUSY)
            if setting and self._held_by_auto(spec, specs, values):
                raise ControlRefused(index, errno.EACCES)
            try:
                fitted.append(value if isinstance(value, str) else fit_number(spec, value))
            except OSError as error:
                raise ControlRefused(index, error.errno or errno.EINVAL) from error
        return fitted

    def write(
        self,
        items: Sequence[Item],
        origin: object | None,
        *,
        ignored: Container[int] = (),
        broken_at: int | None = None,
    ) -> set[int]:
        """Store validated values in their order; the ids written. `ignored` ids are accepted and dropped.

        Raises ControlRefused (writing) at `broken_at` with EIO, or ERANGE at a text that is too long.
        """
        written: set[int] = set()
        before = {control_id: self._values[control_id] for control_id, _ in items}
        try:
            for index, (control_id, value) in enumerate(items):
                if index == broken_at:
                    raise ControlRefused(index, errno.EIO, writing=True)
                if (
                    isinstance(value, str)
                    and not self._specs[control_id].minimum <= len(value) <= self._specs[control_id].maximum
                ):
                    raise ControlRefused(index, errno.ERANGE, writing=True)
                if control_id not in ignored:
                    self._values[control_id] = value
                    written.add(control_id)
        finally:
            self._announce(before, written, origin)
        return written

    def store(self, control_id: int, value: int) -> None:
        """Change a value from the camera's side; everybody who subscribed hears of it."""
        spec = self._specs[control_id]
        value = fit_number(spec, value)
        if self._values[control_id] != value:
            self._values[control_id] = value
            self._notify(spec, value, EventControlChange.VALUE, None)

    def modify_range(self, control_id: int, minimum: int, maximum: int, default: int) -> bool:
        """`__v4l2_ctrl_modify_range`: new limits, the value moved into them. True if the value changed."""
        spec = replace(self._specs[control_id], minimum=minimum, maximum=maximum, default=default)
        if spec == self._specs[control_id]:
            return False
        self._specs[control_id] = spec
        before = self._values[control_id]
        self._values[control_id] = fit_number(spec, int(before))
        moved = self._values[control_id] != before
        changes = EventControlChange.RANGE | (EventControlChange.VALUE if moved else 0)
        self._notify(spec, self._values[control_id], changes, None)
        return moved

    def flag(self, control_id: int, flag: ControlFlag, *, on: bool) -> None:
        """Set or clear a flag (GRABBED, DISABLED, INACTIVE) and tell everybody who subscribed."""
        spec = self._specs[control_id]
        flags = spec.flags | flag if on else spec.flags & ~flag
        if flags != spec.flags:
            self._specs[control_id] = replace(spec, flags=flags)
            self._notify(self._specs[control_id], self._values[control_id], EventControlChange.FLAGS, None)

    def in_manual(self, cluster: AutoCluster) -> bool:
        """True if the cluster's master stands at its manual value."""
        return self._values[cluster.master] == cluster.manual_value

    def _is_live(self, control_id: int) -> bool:
        held = any(control_id in cluster.partners and not self.in_manual(cluster) for cluster in self._clusters)
        return held or self._specs[control_id].has(ControlFlag.VOLATILE)

    def _held_by_auto(self, spec: ControlSpec, specs: Sequence[ControlSpec], values: Sequence[Value]) -> bool:
        for cluster in self._clusters:
            if not cluster.refuses or spec.id not in cluster.partners:
                continue
            # uvcvideo looks at the master's last value in the same call first, then at the camera's
            given = [value for other, value in zip(specs, values, strict=True) if other.id == cluster.master]
            if (given[-1] if given else self._values[cluster.master]) != cluster.manual_value:
                return True
        return False

    def _announce(self, before: dict[int, Value], written: set[int], origin: object | None) -> None:
        for control_id, old in before.items():
            spec = self._specs[control_id]
            executed = control_id in written and spec.has(ControlFlag.EXECUTE_ON_WRITE)
            if executed or self._values[control_id] != old:
                self._notify(spec, self._values[control_id], EventControlChange.VALUE, origin)
        self._update_inactive()

    def _update_inactive(self, *, silent: bool = False) -> None:
        for cluster in self._clusters:
            inactive = not self.in_manual(cluster)
            for control_id in cluster.partners:
                if silent and inactive:
                    self._specs[control_id] = replace(
                        self._specs[control_id], flags=self._specs[control_id].flags | ControlFlag.INACTIVE
                    )
                elif not silent:
                    self.flag(control_id, ControlFlag.INACTIVE, on=inactive)


def fit_number(spec: ControlSpec, value: int) -> int:
    """`std_validate`: integers go to the nearest allowed value, menus must name an item.

    Raises OSError: ERANGE for a menu index outside the menu, EINVAL for a hole in it.
    """
    if spec.type in (CtrlType.INTEGER, CtrlType.INTEGER64):
        return _round_to_range(spec, value)
    if spec.type == CtrlType.BOOLEAN:
        return int(value != 0)
    if spec.type in (CtrlType.MENU, CtrlType.INTEGER_MENU):
        if not spec.minimum <= value <= spec.maximum:
            raise refusal(errno.ERANGE)
        if value not in spec.menu:
            raise refusal(errno.EINVAL)
        return value
    if spec.type == CtrlType.BITMASK:
        return value & spec.maximum
    return 0


def _round_to_range(spec: ControlSpec, value: int) -> int:
    # ROUND_TO_RANGE in v4l2-ctrls-core.c: half a step up, clamp, then down to a whole step
    value = min(max(value + spec.step // 2, spec.minimum), spec.maximum)
    return spec.minimum + spec.step * ((value - spec.minimum) // spec.step)
