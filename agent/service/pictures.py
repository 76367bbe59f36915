"""What is asked for pictures: whether any can come at all, then whoever makes them is asked."""

from __future__ import annotations

from agent.control.errors import BadFields
from agent.control.facade import Document
from agent.control.picture import Look, Picture
from agent.errors import StateError
from agent.service import documents
from agent.service.parts import Parts
from agent.service.picture_feed import PictureFeed
from agent.service.views import Views
from agent.units import NS_PER_S, format_duration
from agent.viewing.errors import NoFrame

_LONGEST_NS = 60 * NS_PER_S
_FIRST_S = 1.0
"""So long a stream waits for its first picture before it is begun: until then a wrong size is answered as an error."""
_COMES = ("armed", "stopping")


class Pictures:
    """In the thread of the event loop. What each method answers is written at `agent.control.facade.Agent`."""

    def __init__(self, parts: Parts, views: Views) -> None:
        self._parts, self._views = parts, views

    async def snapshot(self, camera: str, look: Look, after_ns: int | None, timeout_ns: int) -> Picture:
        """The next frame as a picture."""
        now_ns = self._parts.now_ns()
        state = documents.camera_document(self._parts, camera)
        if not 0 < timeout_ns <= _LONGEST_NS:
            raise BadFields(
                f"timeout: {format_duration(timeout_ns)} is out of range", hint="more than 0s, at most 60s", problems=[]
            )
        if after_ns is not None and after_ns > now_ns + timeout_ns:
            raise BadFields(
                f"after: {after_ns} is later than the timeout of {format_duration(timeout_ns)} waits",
                hint=f"it is {now_ns} now; `after=now` is the next frame",
                problems=[],
            )
        if state["state"] not in _COMES:
            raise _off(state)
        wanted_ns = now_ns if after_ns is None else after_ns
        picture = await self._views.take(camera, look, wanted_ns, timeout_ns)
        if picture is None:
            raise self._no_frame(camera, wanted_ns, timeout_ns)
        return picture

    async def view(self, camera: str, look: Look, rate_per_s: int) -> PictureFeed:
        """Pictures as they come, also of a camera that is off: they begin when it does."""
        state = documents.camera_document(self._parts, camera)
        feed = self._views.follow(camera, look, rate_per_s)
        try:
            if state["state"] in _COMES:
                await feed.begun(_FIRST_S)
        except BaseException:
            await feed.aclose()
            raise
        return feed

    def _no_frame(self, camera: str, after_ns: int, timeout_ns: int) -> NoFrame:
        state = documents.camera_document(self._parts, camera)
        told = f": {state['cause']}" if state["cause"] else ""
        return NoFrame(
            f"no frame of {camera} came within {format_duration(timeout_ns)}; it is {state['state']}{told}",
            hint="a triggered camera has a frame only when it is fired; a longer timeout= waits longer",
            camera=camera,
            after_ns=after_ns,
            timeout_ns=timeout_ns,
        )


def _off(state: Document) -> StateError:
    name, cause = state["name"], f": {state['cause']}" if state["cause"] else ""
    return StateError(
        f"camera {name} is {state['state']}, no frame comes of it{cause}",
        hint=state["hint"]
        or f"start it with `camera-agent start {name}`; `camera-agent capture {name}` does so itself",
        state=state["state"],
        verb="snapshot",
        allowed=list(_COMES),
    )
