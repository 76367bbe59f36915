import asyncio

import pytest
from control.desk import serving


@pytest.fixture
def with_desk(tmp_path):
    """Runs a coroutine function on a desk: a server on a real socket, its pretending agent, and clients."""

    def run(scenario, **wishes):
        async def whole():
            async with serving(tmp_path, **wishes) as desk:
                return await scenario(desk)

        return asyncio.run(whole())

    return run
