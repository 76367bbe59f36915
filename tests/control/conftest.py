import asyncio

import pytest
from control.desk import serving
from control.thread_desk import serving_in_a_thread


@pytest.fixture
def with_desk(tmp_path):
    """Runs a coroutine function on a desk: a server on a real socket, its pretending agent, and clients."""

    def run(scenario, **wishes):
        async def whole():
            async with serving(tmp_path, **wishes) as desk:
                return await scenario(desk)

        return asyncio.run(whole())

    return run


@pytest.fixture
def thread_desk(tmp_path):
    with serving_in_a_thread(tmp_path) as desk:
        yield desk
