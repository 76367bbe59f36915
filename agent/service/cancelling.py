"""What ends something: written to the capture processes before anybody waits (mission row G3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import asdict
from typing import Any

from agent.capture import messages as m
from agent.capture.channel import ChannelFull
from agent.control.facade import Document
from agent.errors import AgentError, InputError
from agent.service.parts import Parts
from agent.service.plan_book import KnownPlan, Standing
from agent.service.processes import facts

_KINDS = ("plan", "camera", "client", "all")


class Cancelling:
    """Cancels of plans, cameras, clients and everything."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._tasks: set[asyncio.Task[Document]] = set()

    def cancel(self, kind: str, name: str, by: str) -> Awaitable[Document]:
        """On its way when this returns; what it returns is waited for. Raises NotFound, InputError."""
        parts = self._parts
        answers: list[asyncio.Future[Any]] = []
        full: list[AgentError] = []
        for group in self._groups(kind, name):
            command = m.Cancel(id=parts.processes.number(), kind=kind, name=name, by=by)
            try:
                answers.append(parts.processes.ask(group, command))
            except ChannelFull as error:  # one that does not read is killed soon; the others are told all the same
                full.append(error)
        concerned = parts.book.concerned(kind, name)
        waiting = [plan for plan in concerned if plan.standing is Standing.WAITING]
        held = sum(plan.held for plan in waiting)  # of the others their processes tell
        # now, and not with the answer: nobody must give them to a process in between
        self._end(waiting, by)
        return self._kept(self._answered(concerned, held, answers, full, by))

    def stop(self, camera: str, by: str) -> Awaitable[Document]:
        """A camera's plans and its stream."""
        asked_ns = self._parts.now_ns()
        cancelled = self.cancel("camera", camera, by)

        async def answer() -> Document:
            found = await cancelled
            off = asdict(m.CameraReport(camera=camera, was_on=False, asked_ns=asked_ns, entered_ns=0, returned_ns=0))
            report = next((each for each in found["cameras"] if each["camera"] == camera), off)
            return {**report, "plans": found["plans"]}

        return self._kept(answer())

    def _groups(self, kind: str, name: str) -> Sequence[str]:
        """Those whose processes have to be told; looked up without going through all plans."""
        parts, running = self._parts, self._parts.processes.supervisor.groups
        match kind:
            case "plan":
                plan = parts.book.find(name)
                return [plan.wish.group] if plan.wish.group in running and not plan.held else []
            case "camera":
                group = parts.group_of(name)
                return [group] if group in running else []
            case "client" | "all":
                return list(running)
            case _:
                raise InputError(f"nothing of kind {kind} can be cancelled", hint=f"one of {', '.join(_KINDS)}")

    def _kept(self, answer: Coroutine[Any, Any, Document]) -> Awaitable[Document]:
        """It goes on though nobody waits for it."""
        task = asyncio.get_running_loop().create_task(answer)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _answered(
        self,
        concerned: Sequence[KnownPlan],
        held: int,
        answers: Sequence[asyncio.Future[Any]],
        full: Sequence[AgentError],
        by: str,
    ) -> Document:
        outcomes = await asyncio.gather(*map(facts, answers), return_exceptions=True)
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        # a process that died tells no ends of its plans, and one that refused a plan never had it
        self._end([plan for plan in concerned if not plan.over], by)
        reports = [outcome for outcome in outcomes if isinstance(outcome, m.CancelReport)]
        for error in (*full, *errors):
            if not isinstance(error, AgentError) or error.code != "plan_unknown":
                raise error
        return {
            "plans": held + sum(report.plans for report in reports),
            "already": not held and all(report.already for report in reports),
            "cause": next((report.cause for report in reports if report.cause), ""),
            "still_on": sorted(name for report in reports for name in report.still_on),
            "cameras": [asdict(camera) for report in reports for camera in report.cameras],
        }

    def _end(self, plans: Sequence[KnownPlan], by: str) -> None:
        for plan in plans:
            self._parts.book.end(plan, Standing.CANCELLED, by)
        self._parts.over(plans)
