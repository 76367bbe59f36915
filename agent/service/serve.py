"""The service from its start to its end: everything composed on one event loop."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.capture.descriptors import raise_limit
from agent.capture.life import Ways
from agent.capture.messages import Ready
from agent.capture.quota_page import Room
from agent.capture.supervisor import Supervisor, Told
from agent.clock import Clock, ReadClock, monotonic_ns
from agent.config.access import AccessWish
from agent.config.service_file import ServiceFile, load_service_file
from agent.control.access import Access, group_ids
from agent.control.broadcast import Broadcast
from agent.control.facade import Document
from agent.control.server import Server
from agent.errors import AgentError
from agent.service.agent import CameraAgent
from agent.service.fleet import Fleet
from agent.service.frame_door import FrameDoor
from agent.service.hearing import Hearing
from agent.service.journal import Entries
from agent.service.notify import Notifier, handed_over, notifier
from agent.service.pages import Pages
from agent.service.parts import Parts
from agent.service.plan_book import PlanBook, Standing
from agent.service.present import OpenPresence, Presence
from agent.service.processes import Processes
from agent.service.sockets import open_sockets
from agent.service.watchdog import Progress, Watchdog
from agent.units import NS_PER_S

_ROOM = Room(names=1024, plans=128 * 1024)
"""Memory that nobody touched takes none: see QuotaPage."""
_LONGEST_TURN_NS = NS_PER_S
_SIGNAL = "a signal"
_BY_SYSTEMD = "systemctl reload, or SIGHUP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the service stands on; tests hand in their own.

    `state`: the folder that relative ones of the configuration are below. `environment`: systemd's variables are taken
    out of it. `socket`: instead of the configuration's path; None: that one.
    """

    ways: Ways
    presence: OpenPresence
    journal: Entries
    state: Path
    environment: MutableMapping[str, str]
    socket: Path | None = None
    now_ns: ReadClock = monotonic_ns
    realtime_now_ns: ReadClock = Clock.REALTIME.read_ns


class Service:
    """A running agent. `agent`: what the control API asks. An asynchronous context manager: leaving it ends all.

    It is entered when the sockets are there and the processes of the cameras that are there are on their way.
    """

    def __init__(self, path: Path, surroundings: Surroundings) -> None:
        """`path`: the configuration's file."""
        self._path, self._around = path, surroundings
        self._resources = AsyncExitStack()
        self._stop = asyncio.Event()
        self._reloads: set[asyncio.Task[None]] = set()
        self._stalled = ""
        self._serves = False

    async def __aenter__(self) -> Service:
        async with AsyncExitStack() as resources:
            await self._open(resources)
            self._resources = resources.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._resources.aclose()

    def stop(self) -> None:
        """End it; whoever waits in `run` goes on."""
        self._stop.set()

    async def run(self) -> None:
        """Serve until it is told to end."""
        await self._stop.wait()

    @contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end it, also while it is beginning; SIGHUP reads the configuration anew."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    # -- beginning --------------------------------------------------------------------------------------------------

    async def _open(self, resources: AsyncExitStack) -> None:
        around = self._around
        self._notifier: Notifier = notifier(around.environment)
        descriptors = handed_over(around.environment)
        file = load_service_file(self._path)
        access = _access(file.access)
        watchdog = self._watchdog()
        listeners = resources.enter_context(open_sockets(file.socket, around.socket, descriptors))
        presence = resources.enter_context(around.presence())
        self._broadcast = Broadcast()
        resources.callback(self._broadcast.end)
        supervisor = resources.enter_context(Supervisor((), around.ways, around.now_ns(), _ROOM))
        processes = resources.enter_context(Processes(supervisor, self._hear, around.now_ns))
        self._compose(file, processes)
        self._reloads_are_told()
        self._server = Server(self.agent, listeners.of(socket.SOCK_STREAM), access=access)
        self._frame_door = FrameDoor(
            self._parts, listeners.of(socket.SOCK_SEQPACKET), access=access, now_ns=around.now_ns
        )
        resources.callback(self._frame_door.close)
        resources.push_async_callback(self._end)
        self._follow(presence, resources)
        self._server.start()
        self._frame_door.start()
        self._serves = True
        self._notifier.ready(self._status())
        if watchdog is not None:
            self._feed(watchdog, Progress(supervisor.groups, self._turned_ns, wedged_ns=around.ways.wedged_ns))
            resources.callback(self._feed_no_more)

    def _compose(self, file: ServiceFile, processes: Processes) -> None:
        around = self._around
        book = PlanBook()
        clocks = {"now_ns": around.now_ns, "realtime_now_ns": around.realtime_now_ns}
        fleet = Fleet(file, around.state, processes, book, self._tell, **clocks)
        pages = Pages(processes.supervisor.groups)
        self._parts = Parts(
            fleet=fleet, processes=processes, book=book, pages=pages, tell=self._tell, now_ns=around.now_ns
        )
        self._hearing = Hearing(self._parts)
        self.agent = CameraAgent(self._parts, self._broadcast, self._path)
        book.add(file.plans.values(), by="the configuration", configured=True)

    def _follow(self, presence: Presence, resources: AsyncExitStack) -> None:
        """The cameras that are there, now and whenever that changes."""
        loop = asyncio.get_running_loop()

        def look() -> None:
            presence.read()
            self._parts.fleet.see(presence.cameras)

        def changed() -> None:
            look()
            self._notifier.status(self._status())

        if presence.fileno() >= 0:
            loop.add_reader(presence.fileno(), changed)
            resources.callback(loop.remove_reader, presence.fileno())
        look()

    def _watchdog(self) -> Watchdog | None:
        watchdog_ns = self._notifier.watchdog_ns
        return None if watchdog_ns is None else Watchdog(watchdog_ns, _LONGEST_TURN_NS)

    def _reloads_are_told(self) -> None:
        """To systemd, which waits for their end."""

        def ended(error: AgentError | None) -> None:
            told = "" if error is None else f"; the last reload changed nothing: {error.message}"
            self._notifier.ready(self._status() + told)

        reloading = self.agent.reloading
        reloading.prepare, reloading.on_begin, reloading.on_end = self._prepare, self._notifier.reloading, ended

    def _prepare(self, file: ServiceFile) -> Callable[[], None]:
        """Who may do what, from a reload on."""
        access = _access(file.access)

        def put_in_force() -> None:
            self._server.set_access(access)
            self._frame_door.set_access(access)

        return put_in_force

    # -- going on ---------------------------------------------------------------------------------------------------

    def _hear(self, told: Told) -> None:
        self._hearing.hear(told)
        if isinstance(told.message, Ready):
            self._frame_door.ready(told.group)

    def _tell(self, kind: str, data: Document) -> None:
        self._around.journal.tell(kind, data)
        self._broadcast.publish(kind, self._around.now_ns(), data)

    def _turned_ns(self) -> int:
        return self._parts.processes.turned_ns

    def _feed(self, watchdog: Watchdog, progress: Progress) -> None:
        stalled = progress.stands_still(self._around.now_ns())
        if not stalled:
            self._notifier.alive()
        elif stalled != self._stalled:
            self._tell("service.stalled", {"message": stalled})
        self._stalled = stalled
        loop = asyncio.get_running_loop()
        self._feeding = loop.call_later(watchdog.interval_ns / NS_PER_S, self._feed, watchdog, progress)

    def _feed_no_more(self) -> None:
        self._feeding.cancel()

    def _reload_soon(self) -> None:
        if not self._serves:
            return  # it reads its file just now
        task = asyncio.get_running_loop().create_task(self._reload_by_signal())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload_by_signal(self) -> None:
        try:
            await self.agent.reload(_BY_SYSTEMD)
        except AgentError:
            return  # it was told to systemd and to the journal

    def _status(self) -> str:
        fleet = self._parts.fleet
        there, wanted = len(fleet.located.cameras), len(fleet.file.matches)
        running = sum(plan.standing is Standing.RUNNING for plan in self._parts.book)
        return f"{there} of {wanted} cameras are there, {running} plans run"

    # -- ending -----------------------------------------------------------------------------------------------------

    async def _end(self) -> None:
        """Everything cancelled, streams off, processes gone. Those that do not end in their time are killed after."""
        self._notifier.stopping()
        self._frame_door.close()
        for task in self._reloads:
            task.cancel()
        await asyncio.gather(*self._reloads, return_exceptions=True)
        await self._parts.fleet.settle()
        processes = self._parts.processes
        ending = [asyncio.ensure_future(processes.end(name, _SIGNAL)) for name in processes.supervisor.groups]
        if ending:
            await asyncio.wait(ending, timeout=self._ending_ns() / NS_PER_S)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._broadcast.end()
        await self._server.close()

    def _ending_ns(self) -> int:
        """As long as a group gives its process: the stop and each step of the escalation, and a second."""
        orders = [group.order.limits for group in self._parts.processes.supervisor.groups.values()]
        return max((limits.stop_ns + 4 * limits.step_ns for limits in orders), default=0) + 2 * NS_PER_S


def _access(wish: AccessWish) -> Access:
    """Raises InputError for groups that this machine does not know."""
    return Access(look=_ids(wish.look), control=_ids(wish.control), administer=_ids(wish.administer))


def _ids(names: Iterable[str] | None) -> frozenset[int] | None:
    return None if names is None else group_ids(names)


async def serve(path: Path, surroundings: Surroundings) -> None:
    """Be the service until it is told to end. Raises ConfigError, and what keeps it from starting."""
    raise_limit()
    service = Service(path, surroundings)
    with service.heeding_signals():
        async with service:
            await service.run()


def state_folder(environment: MutableMapping[str, str]) -> Path:
    """$STATE_DIRECTORY of the unit; where nobody set one, the working directory."""
    return Path(environment.get("STATE_DIRECTORY", "").split(":")[0] or Path.cwd())
