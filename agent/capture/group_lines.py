"""All lines of a group: its trigger, its emergency stop, the strobes of its cameras. The loop's one door to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack

from agent.capture import messages as m
from agent.capture.board import Board
from agent.capture.channel import Channel
from agent.capture.edge_input import EdgeInput
from agent.capture.emergency import EmergencyStop, Pressed
from agent.capture.group_trigger import GroupTrigger
from agent.capture.order import CameraOrder, GroupOrder
from agent.capture.pairing import Log, Pairing
from agent.capture.pwm_output import OpenPwm
from agent.capture.takers import SetTaker, Taker, TriggeredTaker
from agent.capture.unit import CameraUnit
from agent.clock import ReadClock
from agent.errors import AgentError
from agent.schedule.plan import Plan
from agent.schedule.ring import Ring
from agent.shared import FENCE
from agent.trigger.lines import Lines
from agent.trigger.pwm import PwmOut
from agent.trigger.verdicts import Entry


class GroupLines:
    """Owned by the loop. A group without lines has one of these as well, which never has anything to do."""

    def __init__(
        self,
        order: GroupOrder,
        board: Board,
        lines: Lines,
        channel: Channel,
        now_ns: ReadClock,
        open_pwm: OpenPwm = PwmOut,
    ) -> None:
        """Nothing is opened before the first `check`."""
        self._open_pwm = open_pwm
        self._order, self._board, self._lines = order, board, lines
        self._channel, self._now_ns = channel, now_ns
        self._ring = Ring(board.pulses, FENCE)
        self._units: Mapping[str, CameraUnit] = {}
        self._strobes: list[EdgeInput] = []
        self.any = bool(order.trigger or order.emergency_stop)
        """Whether the group has any lines at all."""
        self.trigger: GroupTrigger | None = None
        self.stop: EmergencyStop | None = None
        if order.emergency_stop is not None:
            self.stop = EmergencyStop(lines, order.emergency_stop.input, board.words, now_ns)

    def attach(self, units: Mapping[str, CameraUnit], on_pulse: Callable[[int], None]) -> None:
        """The group's cameras are there; `on_pulse` starts plans on edges."""
        self._units = units
        if self._order.trigger is not None:
            triggered = [unit for unit in units.values() if unit.pairing is not None]
            self.trigger = GroupTrigger(
                self._order.trigger,
                self._lines,
                triggered,
                self._board.words,
                on_pulse=on_pulse,
                tell=self._teller("", "its trigger works again"),
                now_ns=self._now_ns,
                open_pwm=self._open_pwm,
            )
        for unit in units.values():
            order = unit.order.trigger.strobe if unit.order.trigger is not None else None
            if order is not None and unit.pairing is not None:
                tell = self._teller(unit.name, "its strobe line works again")
                self._strobes.append(EdgeInput(self._lines, order, None, unit.pairing.strobe, tell, self._now_ns))

    def pairing(self, place: int, camera: CameraOrder) -> Pairing | None:
        """The ledger of a camera that is triggered; None for one that runs free."""
        trigger = camera.trigger
        if trigger is None or self._order.trigger is None or self._order.trigger.kind is None:
            return None

        def tell(code: str, told: str) -> None:
            self._channel.offer(m.TriggerTold(at_ns=self._now_ns(), camera=camera.name, code=code, told=told))

        log = Log(self._ring, place, self._board.delays(place))
        words = self._board.camera(place)

        def ended(entry: Entry) -> None:
            if self.trigger is not None:
                self.trigger.ended(camera.name, entry)

        has_strobe, readout_ns = trigger.strobe is not None, trigger.readout_ns
        return Pairing(trigger.budget, words, log, tell, ended, has_strobe=has_strobe, readout_ns=readout_ns)

    def taker(self, plan: Plan) -> Taker:
        """What takes the ticks of a plan."""
        units = tuple(self._units.values()) if plan.camera not in self._units else (self._units[plan.camera],)
        if self.trigger is not None and all(unit.pairing is not None for unit in units):
            return TriggeredTaker(self.trigger, units)
        return units[0] if len(units) == 1 else SetTaker(units)

    # -- for the loop ---------------------------------------------------------------------------------------------

    def fds(self) -> set[int]:
        """What to poll for reading."""
        inputs = [self.stop, self.trigger.input if self.trigger is not None else None, *self._strobes]
        return {each.fd for each in inputs if each is not None and each.fd is not None}

    @property
    def next_ns(self) -> int | None:
        """When `check` should be called next."""
        if not self.any:
            return None
        found = [each.next_ns for each in (self.stop, self.trigger, *self._strobes) if each is not None]
        return min((instant_ns for instant_ns in found if instant_ns is not None), default=None)

    def pressed(self, fds: set[int]) -> Pressed | None:
        """Whether the emergency stop was pressed: looked at before anything else."""
        return self.stop.on_edges() if self.stop is not None and self.stop.fd in fds else None

    def on_edges(self, fds: set[int]) -> None:
        """Edges of the other lines."""
        if self.trigger is not None and self.trigger.input is not None and self.trigger.input.fd in fds:
            self.trigger.input.on_edges()
        for strobe in self._strobes:
            if strobe.fd in fds:
                strobe.on_edges()

    def check(self, now_ns: int) -> Pressed | None:
        """What is due. The emergency stop may turn out to be pressed, or not to be had, which is the same."""
        pressed = self.stop.check(now_ns) if self.stop is not None else None
        for strobe in self._strobes:
            strobe.check(now_ns)
        if self.trigger is not None:
            self.trigger.check(now_ns)
        return pressed

    def foresee(self) -> None:
        """Pulses that nothing shows, and have passed: before frames are looked at."""
        if self.trigger is not None:
            self.trigger.foresee()

    def changed(self, unit: CameraUnit) -> None:
        """A camera came to another state."""
        if self.trigger is not None and unit.pairing is not None:
            self.trigger.changed(unit)

    def stopping(self, unit: CameraUnit) -> None:
        """A camera's stream ends."""
        if self.trigger is not None and unit.pairing is not None:
            self.trigger.stopping()

    def release(self) -> None:
        """All lines at their safe levels, let go; idempotent. One that fails keeps none back."""
        with ExitStack() as steps:
            for each in (self.stop, self.trigger, *self._strobes):
                if each is not None:
                    steps.callback(each.release)

    def _teller(self, camera: str, works: str) -> Callable[[AgentError | None], None]:
        def tell(error: AgentError | None) -> None:
            code, told, hint = ("works", works, "") if error is None else (error.code, error.message, error.hint)
            self._channel.offer(m.TriggerTold(at_ns=self._now_ns(), camera=camera, code=code, told=told, hint=hint))

        return tell
