"""What the loop tells the parent by itself: how cameras stand, when all are up, what was not stored, plans that ended.

Events, not answers: where the parent does not read they are dropped and counted, but the ends of plans, which wait.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.capture import messages as m
from agent.capture.channel import Channel
from agent.capture.plans import Plans
from agent.capture.publish import REVOKED, Publisher, Returned
from agent.capture.state_word import Phase
from agent.capture.unit import CameraUnit
from agent.clock import ReadClock

_ENDS_AT_ONCE = 256


class Telling:
    """Owned by the loop; `units` is the loop's, and may be filled after this was made."""

    def __init__(
        self, channel: Channel, units: Mapping[str, CameraUnit], plans: Plans, publisher: Publisher, now_ns: ReadClock
    ) -> None:
        self.has_more = False
        """Plans that ended were not told of yet: call `ends` again soon, but let others have the processor before."""
        self._channel, self._units, self._plans = channel, units, plans
        self._publisher, self._now_ns = publisher, now_ns
        self._store_errors: dict[str, str] = {}
        self._is_ready_told = False

    def ready(self) -> None:
        """Once: when all cameras are as far as they come for now, and their frames can be taken."""
        units = self._units.values()
        if self._is_ready_told or not self._publisher.is_ready or not all(unit.settled for unit in units):
            return
        self._is_ready_told = True
        prepared = {
            unit.name: unit.session.prepared if unit.session is not None and unit.word.phase is Phase.ARMED else None
            for unit in units
        }
        self._channel.offer(m.Ready(at_ns=self._now_ns(), cameras=prepared))

    def camera(self, unit: CameraUnit) -> None:
        """How it stands, and that all are up when they first are."""
        cause = unit.cause
        event = m.CameraChanged(
            at_ns=self._now_ns(),
            camera=unit.name,
            state=unit.word.phase.name.lower(),
            cause=cause.message if cause else "",
            hint=cause.hint if cause else "",
            code=cause.code if cause else "",
        )
        self._channel.offer(event)
        self.ready()

    def not_stored(self, back: Returned) -> None:
        """The first of several frames in a row that were not stored for one reason; the others are in the ring."""
        if back.error not in (self._store_errors.get(back.camera, ""), REVOKED):
            self._store_errors[back.camera] = back.error
            if back.error:
                self._channel.offer(
                    m.NotStored(at_ns=self._now_ns(), camera=back.camera, code=back.error, told=back.told)
                )

    def ends(self) -> None:
        """Plans that ended, many in one event."""
        if self._channel.congested:
            # the loop wakes when the parent reads again
            self.has_more = False
            return
        event = self._plans.ends(_ENDS_AT_ONCE)
        if event is not None:
            self._channel.offer(event)
        # without one, what waits are shots under way, whose ends will wake the loop
        self.has_more = event is not None and self._plans.scheduler.ends_wait
