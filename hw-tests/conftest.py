"""Cameras for hw-tests, from a rig description: `--rig FILE`. `make rig` gives `hw-tests/virtual.yaml`."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.register_assert_rewrite("contract.suite", "contract.lines")

from contract.camera import CameraUnderTest  # noqa: E402
from description import CameraEntry, read_rig  # noqa: E402
from leaks import no_leaks  # noqa: E402
from nodes import KERNEL, find_vivid, set_by_name, set_defaults  # noqa: E402
from uvc_camera import UvcCamera  # noqa: E402
from vivid import QUEUES  # noqa: E402

from agent.capture.settings import Settings  # noqa: E402
from agent.units import NS_PER_S  # noqa: E402
from agent.v4l2.uapi import BufType  # noqa: E402

__all__ = ["no_leaks"]

_WITHOUT_RIG = "no rig: to run this, `make rig` (virtual), or --rig FILE (hw-tests/rig.example.yaml shows how)"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rig", type=Path, help="the rig description (YAML); see hw-tests/rig.example.yaml")
    parser.addoption("--long", action="store_true", help="everything as often as the issue says, however long it takes")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One run of the contract per camera of the rig."""
    if "entry" in metafunc.fixturenames:
        entries = _entries(metafunc.config)
        metafunc.parametrize("entry", entries or [None], ids=lambda entry: entry.name if entry else "none")


def _entries(config: pytest.Config) -> tuple[CameraEntry, ...]:
    path = config.getoption("--rig")
    return read_rig(path).cameras if path else ()


@pytest.fixture
def camera(entry: CameraEntry | None, plugged: UvcCamera | None) -> Iterator[CameraUnderTest]:
    """The camera under test."""
    if entry is None:
        pytest.skip(_WITHOUT_RIG)
    if entry.vivid is not None:
        making = _vivid(entry)
    elif plugged is not None and entry.usbip is not None:
        making = _usbip(entry, plugged)
    else:
        making = _path(entry)
    with making as made:
        yield made


@pytest.fixture(scope="session")
def plugged(pytestconfig: pytest.Config) -> Iterator[UvcCamera | None]:
    """The rig's UVC camera over USB/IP, for all tests: its process takes seconds to start under emulation."""
    wanted = [entry for entry in _entries(pytestconfig) if entry.usbip is not None]
    if not wanted:
        yield None
        return
    with UvcCamera(serial="RIG0001", **(wanted[0].usbip or {})) as made:
        yield made


@pytest.fixture
def uvc_camera(plugged: UvcCamera | None) -> Iterator[UvcCamera]:
    """The UVC camera over USB/IP: plugged in, its controls at their defaults, behaving."""
    if plugged is None:
        pytest.skip(f"no camera over USB/IP: {_WITHOUT_RIG}")
    plugged.clear_faults()
    if plugged.port is None:
        plugged.plug()
    set_defaults(str(plugged.node))
    yield plugged
    plugged.clear_faults()


@pytest.fixture
def vivid_path(request: pytest.FixtureRequest) -> str:
    """The node of the single-planar vivid camera."""
    if not any(entry.vivid for entry in _entries(request.config)):
        pytest.skip(f"no vivid: {_WITHOUT_RIG}")
    return find_vivid(BufType.VIDEO_CAPTURE)


@pytest.fixture
def vivids(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Both vivid nodes by kind, with stamps that can be believed."""
    if not any(entry.vivid for entry in _entries(request.config)):
        pytest.skip(f"no vivid: {_WITHOUT_RIG}")
    paths = {kind: find_vivid(queue) for kind, queue in QUEUES.items()}
    for path in paths.values():
        set_by_name(path, "timestamp_source", "Start of Exposure")
    yield paths
    for path in paths.values():
        set_by_name(path, "timestamp_source", "End of Frame")


def _settings(entry: CameraEntry) -> Settings:
    width_px, height_px = entry.size or (None, None)
    return Settings(pixel_format=entry.pixel_format, width_px=width_px, height_px=height_px, rate=entry.rate)


def _common(entry: CameraEntry) -> dict[str, object]:
    return {
        "name": entry.name,
        "kernel": KERNEL,
        "settings": _settings(entry),
        "memory_kinds": entry.memory,
        "exposures_ns": entry.exposures,
        "off_grid_ns": entry.exposure_between_steps,
        "beyond_ns": entry.exposure_beyond_range,
    }


@contextmanager
def _vivid(entry: CameraEntry) -> Iterator[CameraUnderTest]:
    single = entry.vivid == "single-planar"
    path = find_vivid(BufType.VIDEO_CAPTURE if single else BufType.VIDEO_CAPTURE_MPLANE)
    # stamps at the end of the frame, the default, lie in the future: vivid-kthread-cap.c
    set_by_name(path, "timestamp_source", "Start of Exposure")
    try:
        yield CameraUnderTest(path=path, lacks="use the UVC camera", **_common(entry))
    finally:
        set_by_name(path, "timestamp_source", "End of Frame")


@contextmanager
def _usbip(entry: CameraEntry, plugged: UvcCamera) -> Iterator[CameraUnderTest]:
    def plug() -> str:
        return str(plugged.plug())

    plugged.clear_faults()
    path = str(plugged.node) if plugged.port is not None else plug()
    set_defaults(path)
    yield CameraUnderTest(
        path=path,
        marked=True,
        numbered_by_camera=False,
        unplug=plugged.unplug,
        plug=plug,
        ignore_exposure=lambda: plugged.fault("ignore_setting", control="exposure_time_absolute"),
        freeze=lambda: plugged.fault("hold_pictures"),
        thaw=plugged.clear_faults,
        limit_ns=10 * NS_PER_S,
        lacks="use vivid",
        **_common(entry),
    )
    plugged.clear_faults()


@contextmanager
def _path(entry: CameraEntry) -> Iterator[CameraUnderTest]:
    path = str(entry.path)

    def plug() -> str:
        _shell(str(entry.plug))
        _await(lambda: Path(path).exists(), path)
        return path

    yield CameraUnderTest(
        path=path,
        unplug=(lambda: _shell(str(entry.unplug))) if entry.unplug else None,
        plug=plug if entry.plug else None,
        lacks="give its key in the rig description (hw-tests/rig.example.yaml)",
        **_common(entry),
    )


def _shell(command: str) -> None:
    subprocess.run(command, shell=True, check=True, timeout=30)


def _await(condition: Callable[[], bool], what: str) -> None:
    """A node comes when udev has made it; hubs take seconds."""
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come back within 20 s")
        time.sleep(0.1)
