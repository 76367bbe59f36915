"""`plan run`: capture processes up, plans in, watched to their end, everything off again; each step told as it was."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from agent.capture.emergency import EmergencyStopLatched
from agent.capture.group_watch import Accounts, CameraFigures, GroupWatch, merged
from agent.capture.messages import AddPlans, CameraReport
from agent.capture.relayed import relayed
from agent.cli.bench import find_cameras
from agent.cli.interruption import Interrupted, Interruption
from agent.cli.plan_folders import folders_of, group_orders
from agent.cli.plan_live import Moment, Screen
from agent.cli.plan_plot import PlotData, write_plot
from agent.cli.plan_processes import Processes, usual_ways
from agent.cli.plan_records import Records
from agent.cli.plan_summary import Outcome, stop_text
from agent.cli.plan_ticks import ALL, LatenessSeries
from agent.cli.plan_trigger_watch import GroupPulses, pulses_of
from agent.clock import monotonic_ns
from agent.config.files import read_text
from agent.config.plan_file import PlanFile, parse_plan_file
from agent.discovery.camera import Camera
from agent.errors import AgentError, InputError
from agent.schedule.requests import Sample
from agent.units import NS_PER_MS, NS_PER_S, NS_PER_US

_LEAD_NS = 50 * NS_PER_MS
_LEAD_A_PLAN_NS = 100 * NS_PER_US
"""The plans' start lies so far ahead that all of them have been handed over by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the command line asks for. `sample`: which requests go into `ticks`. `ledger`: where pulses' ends go."""

    file: Path
    simulate: bool = False
    limit_ns: int | None = None
    output: Path | None = None
    plot: Path | None = None
    ticks: Path | None = None
    sample: Sample = ALL
    ledger: Path | None = None


class PlanRun:
    """One run: `carry_out` once, then `raise_what_happened`. One thread, the main one."""

    def __init__(self, wishes: Wishes, screen: Screen) -> None:
        """Read the file, all errors at once. Raises ConfigError, InputError."""
        self._wishes, self._screen = wishes, screen
        self._text = read_text(wishes.file)
        self._present: Sequence[Camera] | None = None
        began_ns = monotonic_ns()
        self._file = self._parse(began_ns)
        self._parse_ns = monotonic_ns() - began_ns
        self._orders = group_orders(self._file)
        self._phase = "starting the cameras"
        self._begin_ns: int | None = None
        self._end_ns = 0
        self._killed = False
        self._stops: list[CameraReport] = []
        self._told: list[str] = []
        self._error: AgentError | None = None
        self._stopped_by: Interrupted | None = None

    @property
    def began(self) -> bool:
        """Whether the plans were started: before that there is nothing to sum up."""
        return self._begin_ns is not None

    def carry_out(self) -> Outcome:
        """From the first process to the last; nothing of ours runs any more when it returns."""
        wishes = self._wishes
        with ExitStack() as resources:
            records = Records(wishes.ticks, wishes.sample, wishes.ledger, self._cannot_write)
            self._records = resources.enter_context(records)
            self._interruption = interruption = resources.enter_context(Interruption())
            ways = usual_ways(simulate=wishes.simulate)
            self._processes = resources.enter_context(Processes(self._orders, ways, interruption, self._tell))
            self._processes.look = self._look
            ended_by = "signal"
            try:
                ended_by = self._work()
                self._finish()
            except Interrupted as again:
                self._kill(again)
            self._records.read(self._watches)
            outcome = self._outcome(ended_by)
            self._error = self._processes.error
            return outcome

    def raise_what_happened(self) -> None:
        """Raises Interrupted after a signal, else the first error; returns when all went well."""
        if self._stopped_by is not None:
            trouble = [stop.camera for stop in self._stops if stop.error]
            told = (
                "the capture processes were killed" if self._killed else "all plans are cancelled, all streams are off"
            )
            self._stopped_by.told = f"{told}; trouble with {', '.join(trouble)}" if trouble else told
            raise self._stopped_by
        if self._error is not None:
            raise self._error

    # -- the run --------------------------------------------------------------------------------------------------

    def _work(self) -> str:
        """Everything that a signal interrupts; how it ended."""
        try:
            self._processes.settle()
            self._add_plans()
            return self._follow()
        except Interrupted as stop:
            self._stopped_by = stop
            if self._interruption.again:
                raise
            return "signal"
        except AgentError as error:
            self._processes.note(error)
            return "emergency_stop" if error.code == EmergencyStopLatched.code else "error"

    def _add_plans(self) -> None:
        """Hand every group its plans, with a start that all of them can keep. Raises what a group refuses them for."""
        processes = self._processes
        self._phase = "handing over the plans"
        count = sum(len(plans) for plans in self._file.plans.values())
        begin_ns = monotonic_ns() + 2 * self._parse_ns + _LEAD_NS + count * _LEAD_A_PLAN_NS
        self._file = self._parse(begin_ns)
        asked = {
            name: processes.ask(name, AddPlans(id=processes.number(), orders=plans))
            for name, plans in self._file.plans.items()
            if plans and name in processes.ready
        }
        for name, number in asked.items():
            slots = processes.answer(number)
            cameras = {order.plan.name: order.plan.camera for order in self._file.plans[name]}
            processes.watches[name].slots = {slot: (plan, cameras[plan]) for plan, slot in slots.items()}
        if self._wishes.plot is not None:
            self._records.series = LatenessSeries(begin_ns)
        self._begin_ns = begin_ns
        self._phase = "running"

    def _follow(self) -> str:
        """Wait until no plan runs any more, or the time is over."""
        limit_ns = self._wishes.limit_ns
        over_ns = None if limit_ns is None else (self._begin_ns or 0) + limit_ns
        while any(watch.running() for watch in self._watches):
            if over_ns is not None and monotonic_ns() >= over_ns:
                return "for"
            if all(self._processes.gave_up(watch.order.name) for watch in self._watches):
                return "error"
            self._processes.require_not_pressed()
            self._processes.wait(over_ns)
        self._processes.require_not_pressed()
        return "finished"

    def _finish(self) -> None:
        """Cancel everything, then end the processes. Raises Interrupted at a second signal."""
        self._phase = "stopping"
        self._end_ns = monotonic_ns()
        self._stops = self._processes.cancel(self._ending_by())
        if self._stopped_by is not None and self.began:
            for stop in self._stops:
                self._tell(f"{stop.camera}: {stop_text(stop)}", "")
        self._processes.quit()

    def _ending_by(self) -> str:
        for group in self._processes.pressed:
            return f"the emergency stop of group {group}"
        return "the end of the run" if self._stopped_by is None else "a signal"

    def _kill(self, again: Interrupted) -> None:
        """A second signal: no process of ours is left when this returns, if the kernel lets them go."""
        self._stopped_by = self._stopped_by or again
        self._killed = True
        self._end_ns = self._end_ns or monotonic_ns()
        self._tell("asked again: the capture processes are being killed", "")
        self._processes.kill()

    # -- what came of it ------------------------------------------------------------------------------------------

    def _outcome(self, ended_by: str) -> Outcome:
        """Everything read once more, now that nobody writes."""
        plans, cameras = self._plans(), [_off(camera) for camera in self._cameras()]
        lateness = merged([watch.board.lateness for watch in self._watches])
        outcome = Outcome(
            file=self._file.name,
            ended_by=ended_by,
            killed=self._killed,
            ran_ns=0 if self._begin_ns is None else max(self._end_ns - self._begin_ns, 0),
            output=self._file.output if any(order.sink is not None for order in self._orders) else None,
            folders=folders_of(self._orders),
            cameras=cameras,
            plans=plans,
            lateness=lateness,
            stops=tuple(self._stops),
            triggers=self._triggers(),
            pressed=dict(self._processes.pressed),
            begin_ns=self._begin_ns,
            requests=self._records.requests,
            ledger=self._records.ledger,
            lost=self._records.lost,
            told=tuple(self._told),
        )
        self._note_failures(outcome)
        self._plot(outcome)
        return outcome

    def _plot(self, outcome: Outcome) -> None:
        if self._wishes.plot is None:
            return
        series = self._records.series
        columns = [] if series is None else series.columns()
        title = f"{outcome.file}: {len(outcome.plans):,} plans, {outcome.ran_ns / NS_PER_S:.1f} s"
        try:
            data = PlotData(title, columns, outcome.lateness, outcome.plans.total(), outcome.lost or 0)
            write_plot(self._wishes.plot, data)
        except AgentError as error:
            self._processes.note(error)
        else:
            outcome.plot = str(self._wishes.plot)

    def _note_failures(self, outcome: Outcome) -> None:
        """Shots that failed are an error, even if nobody named a cause."""
        total = outcome.plans.total()
        if not total.failed or self._processes.error is not None:
            return
        stored = any(camera.not_stored for camera in outcome.cameras)
        what = "their pictures could not be stored" if stored else "no frame came for them in time"
        hint = "see the folder and the disk" if stored else "see whether the camera keeps its rate: `plan check` tells"
        told = f"{total.failed:,} of {total.fired:,} shots failed: {what}"
        self._processes.note(relayed("shots_failed", told, hint, exit_code=7 if stored else 6))

    # -- looking --------------------------------------------------------------------------------------------------

    def _tell(self, words: str, hint: str) -> None:
        self._told.append(words)
        self._screen.tell(words, hint)

    def _look(self) -> None:
        now_ns = monotonic_ns()
        self._records.read(self._watches)
        if self._screen.shows:
            ran_ns = 0 if self._begin_ns is None else now_ns - self._begin_ns
            lateness = merged([watch.board.lateness for watch in self._watches])
            self._screen.show(Moment(self._phase, ran_ns, self._cameras(), self._plans(), lateness, self._triggers()))

    def _cannot_write(self, error: AgentError) -> None:
        self._tell(error.message, error.hint)
        self._processes.note(error)

    @property
    def _watches(self) -> list[GroupWatch]:
        return list(self._processes.watches.values())

    def _cameras(self) -> list[CameraFigures]:
        return [camera for watch in self._watches for camera in watch.cameras()]

    def _triggers(self) -> list[GroupPulses]:
        found = (pulses_of(watch.order, watch.board) for watch in self._watches)
        return [each for each in found if each is not None]

    def _plans(self) -> Accounts:
        first, *others = (watch.accounts() for watch in self._watches)
        for other in others:
            first += other
        return first

    # -- the file -------------------------------------------------------------------------------------------------

    def _parse(self, now_ns: int) -> PlanFile:
        """The file with plans that start from `now_ns`; a date in it stays the date it is."""
        realtime_now_ns = time.time_ns() + now_ns - monotonic_ns()
        wishes = self._wishes
        file = parse_plan_file(self._text, str(wishes.file), now_ns=now_ns, realtime_now_ns=realtime_now_ns)
        if file.wanted and self._present is None:
            self._present = find_cameras(wishes.simulate)  # once: a run keeps the paths it began with
        file = file.located(self._present or ())
        if wishes.output is None:
            return file
        if file.output is None:
            hint = "take that line out of it, or leave --output away"
            raise InputError(f"--output: {file.name} says output: none, so its plans store nothing", hint=hint)
        return replace(file, output=wishes.output)


def _off(camera: CameraFigures) -> CameraFigures:
    """No process is there any more: what one that was killed wrote last is not how its camera stands."""
    return replace(camera, state=f"off, was {camera.state}") if camera.streams else camera
