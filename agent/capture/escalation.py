"""What a parent does about a killed process that the kernel does not let go (mission row G6).

The capture process has tried STREAMOFF and close by then. Here: say what it hangs in; reset the USB devices of
cameras that may be reset, each in a process of its own; then say that nothing helped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from agent.capture.order import CameraOrder
from agent.capture.usb_reset import NotOnUsb, Resetter, UsbDevice, UsbReset

FindDevice = Callable[[str], UsbDevice]
"""The USB device of a video node. Raises NotOnUsb."""


class Said(NamedTuple):
    """One step: `step` as in `Progress`, `told` in words."""

    step: str
    told: str


class _Reset(NamedTuple):
    camera: str
    process: UsbReset
    limit_at_ns: int


class Escalation:
    """Begins when SIGKILL was sent. `handle` when a descriptor of `fds` is readable and at `next_ns`.

    `exhausted` becomes True when all was tried, and each was given `step_ns`; it may still end by itself later.
    """

    def __init__(
        self, killed_ns: int, step_ns: int, cameras: Sequence[CameraOrder], find: FindDevice, reset: Resetter
    ) -> None:
        """`cameras`: those that may hang and whose order allows a USB reset."""
        self._step_ns = step_ns
        self._cameras = tuple(cameras)
        self._find = find
        self._reset = reset
        self._resets: list[_Reset] = []
        self._abandoned: list[UsbReset] = []
        self._begun = False
        self._reset_any = False
        self._deadline_ns: int | None = killed_ns + step_ns
        self.exhausted = False
        self.tried: list[str] = ["kill"]

    def fds(self) -> Sequence[int]:
        """Readable when a reset has ended."""
        return [reset.process.fileno() for reset in self._resets]

    @property
    def next_ns(self) -> int | None:
        """The next deadline."""
        deadlines = [reset.limit_at_ns for reset in self._resets]
        if self._deadline_ns is not None:
            deadlines.append(self._deadline_ns)
        return min(deadlines, default=None)

    def handle(self, now_ns: int, standing: Callable[[], str]) -> list[Said]:
        """Take the steps that are due. `standing` tells what the process hangs in."""
        said: list[Said] = []
        if not self._begun and self._is_due(now_ns):
            said.append(Said("kill", f"it was killed, and the kernel has not let it go: {standing()}"))
            said += self._begin_resets(now_ns)
        elif self._resets:
            said += self._look_at_resets(now_ns)
        elif self._begun and self._is_due(now_ns):
            self._deadline_ns = None
            self.exhausted = True
        return said

    def release(self) -> None:
        """End the resets that still run, as far as the kernel lets them end."""
        with ExitStack() as steps:
            for process in (*self._abandoned, *(reset.process for reset in self._resets)):
                steps.callback(process.release)
        self._resets.clear()
        self._abandoned.clear()

    def _is_due(self, now_ns: int) -> bool:
        return self._deadline_ns is not None and now_ns >= self._deadline_ns

    def _begin_resets(self, now_ns: int) -> list[Said]:
        self._begun = True
        said = [self._begin_reset(camera, now_ns) for camera in self._cameras]
        self._resets_over(now_ns)
        return said

    def _begin_reset(self, camera: CameraOrder, now_ns: int) -> Said:
        try:
            device = self._find(camera.path)
            process = self._reset(device)
        except NotOnUsb as error:
            return Said("usb reset", f"camera {camera.name}: {error.message}")
        except OSError as error:
            return Said("usb reset", f"camera {camera.name}: no process could be started for it ({error.strerror})")
        self._resets.append(_Reset(camera.name, process, now_ns + self._step_ns))
        self._reset_any = True
        if "usb reset" not in self.tried:
            self.tried.append("usb reset")
        return Said("usb reset", f"camera {camera.name}: resetting USB device {device.port}")

    def _look_at_resets(self, now_ns: int) -> list[Said]:
        said = []
        for reset in list(self._resets):
            outcome = reset.process.outcome()
            if outcome is None and now_ns < reset.limit_at_ns:
                continue
            self._resets.remove(reset)
            if outcome is None:
                self._abandoned.append(reset.process)
                outcome = f"the reset of USB device {reset.process.device.port} hangs as well"
            else:
                reset.process.release()
            said.append(Said("usb reset", f"camera {reset.camera}: {outcome}"))
        self._resets_over(now_ns)
        return said

    def _resets_over(self, now_ns: int) -> None:
        """When none is under way any more: a reset that worked lets the process go, but not within no time."""
        if self._resets:
            self._deadline_ns = None
        elif self._reset_any:
            self._deadline_ns = now_ns + self._step_ns
        else:
            self._deadline_ns = None
            self.exhausted = True
