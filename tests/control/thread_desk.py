"""A served agent in a thread of its own, for clients that block."""

import asyncio
import contextlib
import threading

from control.desk import serving


class ThreadDesk:
    def __init__(self):
        self._up = threading.Event()
        self._down = None
        self._loop = None
        self.path = self.server = self.agent = None

    async def serve(self, folder, wishes):
        async with serving(folder, **wishes) as desk:
            self._loop, self._down = asyncio.get_running_loop(), asyncio.Event()
            self.path, self.server, self.agent = desk.path, desk.server, desk.agent
            self._up.set()
            await self._down.wait()

    def call(self, function, *arguments):
        """In the server's thread."""

        async def inside():
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(inside(), self._loop).result()

    def wait(self, condition):
        """Until it holds, looked at in the server's thread."""

        async def until():
            while not condition():
                await asyncio.sleep(0.001)

        asyncio.run_coroutine_threadsafe(until(), self._loop).result()


@contextlib.contextmanager
def serving_in_a_thread(folder, **wishes):
    desk = ThreadDesk()
    thread = threading.Thread(target=lambda: asyncio.run(desk.serve(folder, wishes)))
    thread.start()
    desk._up.wait()
    try:
        yield desk
    finally:
        desk._loop.call_soon_threadsafe(desk._down.set)
        thread.join()
