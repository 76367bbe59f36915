from contextlib import nullcontext

import pytest
from cli.outcome import Result

from agent.cli.main import run
from agent.simulation.bench import simulated_kernel


@pytest.fixture
def kernel():
    with simulated_kernel() as made:
        yield made


@pytest.fixture
def cli(kernel, capsys):
    """Carries out a command line on the simulated kernel, or on another one given as `on`."""

    def call(*arguments, on=None):
        code = run([str(argument) for argument in arguments], lambda _simulate: nullcontext(on or kernel))
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call
