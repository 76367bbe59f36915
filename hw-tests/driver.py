"""Capture processes of one group, driven by a test: ask, wait for the answer, keep all that was told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

from agent.capture.board import Head, Of
from agent.capture.child import Spawn, spawner
from agent.capture.life import Ways
from agent.capture.messages import AddPlans, Cancel, CancelReport, Command, Done, Quit, Ready, Refused, StartCamera
from agent.capture.order import CameraOrder, GroupOrder, PlanOrder, StageLimits
from agent.capture.pulse_log import PulseRecord
from agent.capture.pulse_log import unpack as unpack_pulse
from agent.capture.safe_lines import make_safe
from agent.capture.sink_process import SinkOrder
from agent.capture.state_word import Phase, describe, read_word
from agent.capture.supervisor import Supervisor
from agent.capture.tick_log import TickRecord, unpack
from agent.capture.trigger_order import StopOrder, TriggerOrder
from agent.clock import monotonic_ns
from agent.schedule.account import Account
from agent.schedule.plan import Plan
from agent.schedule.ring import RingReader
from agent.trigger.gpio import GpioLines
from agent.units import NS_PER_MS, NS_PER_S

PROGRAM = spawner((sys.executable, "-m", "agent.cli.process"))
LIMITS = StageLimits(session_ns=30 * NS_PER_S, frame_ns=30 * NS_PER_S, encode_ns=30 * NS_PER_S, stop_ns=10 * NS_PER_S)
"""Generous: software emulation on a shared machine makes everything slow at times, and nothing here is about speed."""
LIMIT_NS = 120 * NS_PER_S
"""For anything that is waited for: only what never comes fails."""
RUN_ID = 0xCA


class Driver:
    """A supervisor with one group of cameras.

    A context manager: entering waits until the cameras are up, unless told not to `wait`.
    `told`: everything that was said, in order. `plan_start_ns`: the first instant of the plan added last.
    """

    def __init__(
        self,
        *cameras: CameraOrder,
        spawn: Spawn = PROGRAM,
        limits: StageLimits = LIMITS,
        sink: SinkOrder | None = None,
        wait: bool = True,
        trigger: TriggerOrder | None = None,
        emergency_stop: StopOrder | None = None,
        **ways: Any,
    ) -> None:
        self._waits = wait
        order = GroupOrder(
            name="group",
            cameras=cameras,
            limits=limits,
            run_id=RUN_ID,
            sink=sink,
            plan_capacity=64,
            trigger=trigger,
            emergency_stop=emergency_stop,
        )
        ways = {"make_safe": partial(make_safe, GpioLines()), **ways}
        ways = {"wedged_ns": 30 * NS_PER_S, "starting_ns": 120 * NS_PER_S, "first_back_off_ns": NS_PER_MS, **ways}
        self.supervisor = Supervisor([order], Ways(spawn=spawn, **ways), monotonic_ns())
        self.group = self.supervisor.groups["group"]
        self.told: list[Any] = []
        self.plan_start_ns = 0
        self._ring = RingReader(self.group.board.ring)
        self._pulses = RingReader(self.group.board.pulses)
        self._places = {camera.name: place for place, camera in enumerate(cameras)}

    def __enter__(self) -> Self:
        try:
            if self._waits:
                self.until(lambda: self.said(Ready))
        except BaseException:
            self.supervisor.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.release()

    @property
    def pid(self) -> int:
        """The capture process that is there now."""
        pid = self.group.pid
        assert pid is not None, self.told[-3:]
        return pid

    # -- commands and what is said ------------------------------------------------------------------------------

    def ask(self, make: Callable[..., Command], **words: Any) -> int:
        """Ask; the number of the command."""
        number = self.supervisor.number()
        self.supervisor.ask("group", make(id=number, **words), monotonic_ns())
        return number

    def answer(self, number: int, limit_ns: int = LIMIT_NS) -> Done | Refused:
        """Wait for the answer to a command."""
        return self.until(lambda: self._answer_to(number), limit_ns)

    def is_answered(self, number: int) -> bool:
        """Whether the answer to a command has come."""
        return self._answer_to(number) is not None

    def done(self, make: Callable[..., Command], **words: Any) -> Any:
        """Ask, and the facts of the Done; a Refused fails the test."""
        answer = self.answer(self.ask(make, **words))
        assert isinstance(answer, Done), answer
        return answer.facts

    def until(self, condition: Callable[[], Any], limit_ns: int = LIMIT_NS) -> Any:
        """Turn the supervisor until `condition` is true; what it returned."""
        deadline_ns = monotonic_ns() + limit_ns
        while not (found := condition()):
            assert monotonic_ns() < deadline_ns, self._standing()
            self.turn(20 * NS_PER_MS)
        return found

    def turn(self, for_ns: int) -> None:
        """One turn of the supervisor, at most so long."""
        self.told += [told.message for told in self.supervisor.wait(monotonic_ns() + for_ns)]

    def watch(self, for_ns: int) -> None:
        """Turn the supervisor for so long."""
        end_ns = monotonic_ns() + for_ns
        while (now_ns := monotonic_ns()) < end_ns:
            self.turn(end_ns - now_ns)

    def said(self, kind: type, since: int = 0) -> list[Any]:
        """All of one kind that was said, from the place `since` on."""
        return [message for message in self.told[since:] if isinstance(message, kind)]

    # -- cameras and plans --------------------------------------------------------------------------------------

    def add(self, camera: str, name: str = "plan", *, store: bool = False, first_ns: int = 0, **plan: Any) -> int:
        """Start a plan, its first tick `first_ns` from now; its place in the page."""
        self.plan_start_ns = monotonic_ns() + first_ns
        made = Plan(name=name, camera=camera, start_ns=self.plan_start_ns, **plan)
        slots: dict[str, int] = self.done(AddPlans, orders=(PlanOrder(plan=made, store=store),))
        return slots[name]

    def start(self, camera: str) -> None:
        """Start a camera."""
        self.done(StartCamera, camera=camera)

    def cancel(self, camera: str) -> tuple[CancelReport, Done]:
        """Cancel a camera: what it says, and the answer."""
        answer = self.answer(self.ask(Cancel, kind="camera", name=camera, by="the test"))
        assert isinstance(answer, Done), answer
        return answer.facts, answer

    def quit(self) -> None:
        """End the process as a run does: everything cancelled, cameras put back as they were found."""
        self.done(Quit, by="the test")
        self.until(lambda: self.group.pid is None)

    # -- the shared page ----------------------------------------------------------------------------------------

    def words(self, camera: str) -> dict[Of, int]:
        """The camera's words in the shared page."""
        words = self.group.board.camera(self._places[camera])
        return {of: words[of] for of in Of}

    def states(self) -> dict[str, str]:
        """How the cameras stand."""
        return {name: describe(self.words(name)[Of.WORD]) for name in self._places}

    def is_on(self, camera: str) -> bool:
        """Whether it streams, and nobody wants it stopped."""
        phase, _, is_cancelled = read_word(self.words(camera)[Of.WORD])
        return phase is Phase.ARMED and not is_cancelled

    def account(self, slot: int = 0) -> Account:
        """A plan's account."""
        return Account.read(self.group.board.plans, slot)

    def records(self) -> list[TickRecord]:
        """The ticks that ended since the last call."""
        return [unpack(record, RUN_ID) for record in self._ring.read()[0]]

    def ledger(self) -> list[PulseRecord]:
        """What ended in the trigger ledger since the last call."""
        return [unpack_pulse(record) for record in self._pulses.read()[0]]

    def head(self, word: Head) -> int:
        """A word of the page's header."""
        return self.group.board.words[word]

    def frames(self, camera: str) -> int:
        """Good frames taken from the driver so far."""
        return self.words(camera)[Of.FRAMES]

    def _standing(self) -> str:
        words = [(name, self.words(name)) for name in self._places]
        return "\n".join(map(str, (self.states(), *words, self.account(), *self.told[-5:])))

    def _answer_to(self, number: int) -> Done | Refused | None:
        answers = (message for message in self.told if isinstance(message, Done | Refused))
        return next((answer for answer in answers if answer.re == number), None)


def pictures(folder: Path) -> Sequence[Path]:
    """Everything in a folder of pictures but its log, hidden and half-written files included."""
    return sorted(path for path in folder.iterdir() if path.name != "frames.jsonl") if folder.is_dir() else []
