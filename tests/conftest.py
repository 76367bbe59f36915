"""What every test under tests/ gets."""

from hypothesis import HealthCheck, settings
from leaks import no_leaks

__all__ = ["no_leaks"]

# no time limit per example: machines are shared, and pytest-timeout bounds the whole test
settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("house")
