import pytest
from simulation.camera_user import SENSOR, UVC, User, stepped


@pytest.fixture
def kernel():
    """A UVC-like and a sensor-like camera in a time that stands still."""
    with stepped(UVC, SENSOR) as kernel:
        yield kernel


@pytest.fixture
def user(kernel):
    return User(kernel)


@pytest.fixture
def sensor(kernel):
    return User(kernel, kernel.cameras[1].path)
