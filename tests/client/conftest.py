"""A door for clients, in a folder of its own."""

import pytest
from client.stage import Door


@pytest.fixture
def door(tmp_path):
    with Door(tmp_path) as opened:
        yield opened
