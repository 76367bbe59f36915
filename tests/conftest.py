"""What every test under tests/ gets."""

import signal

import pytest

pytest.register_assert_rewrite("contract.suite", "contract.lines")

from hypothesis import HealthCheck, settings  # noqa: E402
from leaks import no_leaks  # noqa: E402

__all__ = ["no_leaks"]

# programs under test are sent SIGINT: they must not inherit that it is ignored, as it is for jobs in the background
signal.signal(signal.SIGINT, signal.default_int_handler)

# no time limit per example: machines are shared, and pytest-timeout bounds the whole test
settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("house")
