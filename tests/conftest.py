"""What every test under tests/ gets."""

import signal

import pytest

pytest.register_assert_rewrite("contract.suite", "contract.lines")

from hypothesis import HealthCheck, settings  # noqa: E402
from leaks import no_leaks  # noqa: E402

__all__ = ["no_leaks"]

# programs under test are sent these: they must not inherit that they are ignored, as by jobs in the background
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# no time limit per example: machines are shared, and pytest-timeout bounds the whole test
settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("house")
