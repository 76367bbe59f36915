"""What the control API asks of the agent. `agent.service` implements it, tests have one that pretends.

Every method answers with a document: dicts, lists, strings, integers, booleans and None, ready for JSON. What went
wrong is an AgentError, and nothing was changed then unless its details say so. Where something is changed, `by` says
who asked, in words made from the kernel's peer credentials: `user anna (pid 4711)`.

A capture, or a question, whose connection closes is cancelled: its method gets asyncio.CancelledError, ends what it
asked for (a capture that waits for its frame), and lets the error through. All else is carried out though nobody waits.

`stop`, `cancel_plan` and `cancel` are plain functions: what they end is on its way to the capture process when they
return, and what they return is waited for afterwards.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.control.picture import Look, Picture, PictureStream

Document = dict[str, Any]
"""One JSON object. Times are CLOCK_MONOTONIC nanoseconds unless the key names another clock."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `id` grows by one from event to event; `kind` is stable; `data` is ready for JSON.

    Kinds begin with what they concern: `camera.changed`, `plan.ended`, `group.stopped`, `trigger.told`,
    `frame.not_stored`, `config.reloaded`. `lost` is the stream's own: its data has `count`, events the subscriber was
    too slow for.
    """

    id: int
    kind: str
    at_ns: int
    data: Document


class EventStream(Protocol):
    """Events as they come: an async iterator; `aclose` ends the subscription."""

    def __aiter__(self) -> AsyncIterator[Event]: ...

    async def __anext__(self) -> Event: ...

    async def aclose(self) -> None:
        """Listen no more; idempotent."""
        ...


class Agent(Protocol):
    """The agent, as it is seen from the socket. All methods are called in the one thread of its event loop."""

    # -- cameras -----------------------------------------------------------------------------------------------------

    async def cameras(self) -> list[Document]:
        """All cameras that the configuration names, present or not.

        Each has `name`, `state` (`absent`, `idle`, `prepared`, `armed`, `stopping`, `fault`, `gone`), `group`, `match`
        (what it is looked for by, in words), `device` (today's node, None while absent); `cause` and `hint`, empty
        where all is well. More keys are allowed.
        """
        ...

    async def camera(self, name: str) -> Document:
        """One of them. Raises NotFound."""
        ...

    async def start(self, name: str, by: str) -> Document:
        """Start its stream; answers when it is armed: `camera`, `was_on` (it was armed already), `at_ns`."""
        ...

    def stop(self, name: str, by: str) -> Awaitable[Document]:
        """End all of its plans and its stream; answers after STREAMOFF returned.

        `asked_ns`, `entered_ns`, `returned_ns` are of that call; `was_on` False: it was off, and no call was needed.
        Further: `camera`, `plans` (how many ended), `steps` (what had to be tried), `error` (empty).
        """
        ...

    async def controls(self, name: str) -> list[Document]:
        """Its controls, read fresh: `name`, `id`, `kind`, `value`, `minimum`, `maximum`, `step`, `default`, `flags`."""
        ...

    async def set_controls(self, name: str, values: Mapping[str, int | bool | str], by: str) -> Document:
        """Set several as one, or none: `camera`, `values` (what was read back)."""
        ...

    async def expose(self, name: str, exposure_ns: int, gain: str | None, by: str) -> Document:
        """Set a proven exposure; `gain` is `16` or `6dB`, None leaves it.

        `camera`, `asked_ns`, `granted_ns`, and `why` they differ, a list of words.
        """
        ...

    async def capture(self, camera: str, by: str, options: Mapping[str, Any]) -> Document:
        """One frame exposed after the request, stored.

        `options`, each may be missing: `exposure_ns`, `gain` (as for `expose`), `timeout_ns`. Answers with `camera`,
        `trace_id`, `path` (of the picture), `asked_ns`, `exposed_ns` (start of exposure), `uncertainty_ns`, `sequence`,
        `record` (as in frames.jsonl).
        """
        ...

    async def snapshot(self, name: str, look: Look, *, after_ns: int | None, timeout_ns: int) -> Picture:
        """The next frame whose exposure began at or after `after_ns` (None: now), as a picture. Starts no stream.

        Raises NotFound; StateError: the camera is off; InputError: it has no such picture; an error when no frame came
        within `timeout_ns`, or there are too many who wait.
        """
        ...

    async def view(self, name: str, look: Look, rate_per_s: int) -> PictureStream:
        """Pictures at no more than this rate, the newest each time; goes on when the camera does after a stop.

        Raises NotFound, InputError, Overloaded: too many look already. It ends when the camera or the agent does.
        """
        ...

    # -- plans -------------------------------------------------------------------------------------------------------

    async def plans(self) -> list[Document]:
        """All plans: `name`, `camera`, `group`, `client`, `state`.

        That is `waiting`, `running`, `finished`, `cancelled` or `refused`. Further `period_ns`, `priority`, `quota` (as
        for `set_quota`, None for none), `account` (ticks by how they ended).
        """
        ...

    async def plan(self, name: str) -> Document:
        """One of them. Raises NotFound."""
        ...

    async def add_plans(
        self, document: Mapping[str, Any], by: str, client: str, *, is_held: bool = False
    ) -> list[Document]:
        """Start plans, all or none: name -> the same keys as under `plans:` in a plan file. `client` owns them.

        They outlive the agent, until they are over; those that `is_held` by a connection do not.
        """
        ...

    async def change_plan(
        self, name: str, *, by: str, every_ns: int | None = None, priority: int | None = None, quota: str | None = None
    ) -> Document:
        """Change what is not None, all or nothing; `quota` as in a plan file: `10/s`. The plan as it is then."""
        ...

    def cancel_plan(self, name: str, by: str) -> Awaitable[Document]:
        """End a plan; answers when none of its frames can come any more, as `cancel` does."""
        ...

    # -- groups, triggers, quotas ------------------------------------------------------------------------------------

    async def groups(self) -> list[Document]:
        """All groups: `name`, `cameras`, `pid` (None: no process), `state`, `emergency_stop` (None, `armed`, `hit`)."""
        ...

    async def triggers(self) -> list[Document]:
        """Every group's trigger: `group`, `kind`, `line`, `pulses`, and its ledger's counts."""
        ...

    async def release_stop(self, group: str, by: str) -> Document:
        """Release an emergency stop: `group`, `released`. Refused while its line is active."""
        ...

    async def quotas(self) -> list[Document]:
        """All token buckets: `bucket` (`agent`, `camera/NAME`, `plan/NAME`, `client/NAME`), `limit`, `available`."""
        ...

    async def set_quota(self, bucket: str, limit: str, by: str) -> Document:
        """Change a limit without a jump; `limit` as in a plan file: `30/s`, `100/min burst 10`. The bucket, then."""
        ...

    # -- the whole ---------------------------------------------------------------------------------------------------

    async def stats(self) -> Document:
        """Figures: `now_ns`, `cameras` (by name: `frames`, `lost`, ...), `plans`, `groups`, `lateness`, `process`."""
        ...

    async def health(self) -> Document:
        """`healthy` (True, False), `version`, `pid`, `since_ns`, `now_ns`, `problems` (a list of words)."""
        ...

    def events(self, after: int | None = None) -> EventStream:
        """Events as they happen, beginning behind the id `after` where they are still remembered.

        Bounded for each subscriber: what did not fit is one `lost`. Ends when the agent does. All this is done by
        `agent.control.broadcast.Broadcast`.
        """
        ...

    async def config(self) -> Document:
        """The configuration in force: `files`, `loaded_ns`, `document`."""
        ...

    async def config_diff(self) -> Document:
        """What a reload would do now: `starts`, `stops`, `changes`, `same`, each a list of words."""
        ...

    async def reload(self, by: str) -> Document:
        """Read the configuration anew: as `config_diff`, and `took_ns`. A bad file changes nothing and is told."""
        ...

    def cancel(self, kind: str, name: str, by: str) -> Awaitable[Document]:
        """End something; `kind` is `plan`, `camera`, `client` or `all` (then `name` is empty).

        The fast path, with `stop` and `cancel_plan`: called as soon as the request's bytes are there, before every
        other request that waits. Answers after STREAMOFF returned, with `plans` (how many ended), `already` (it was
        over before), `cause`, `still_on` (cameras that other plans keep on), and `cameras`: for each as for `stop`.
        """
        ...
