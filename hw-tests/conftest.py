"""Cameras for hw-tests, from a rig description: `--rig FILE`. `make rig` gives `hw-tests/virtual.yaml`."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.register_assert_rewrite("contract.suite")

from contract.camera import CameraUnderTest  # noqa: E402
from description import CameraEntry, read_rig  # noqa: E402
from leaks import no_leaks  # noqa: E402
from uvc_camera import UvcCamera  # noqa: E402

from agent.capture.settings import Settings  # noqa: E402
from agent.kernel import LinuxKernel  # noqa: E402
from agent.units import NS_PER_S  # noqa: E402
from agent.v4l2.controls import enumerate_controls  # noqa: E402
from agent.v4l2.device import query_capabilities  # noqa: E402
from agent.v4l2.ioctl import Node  # noqa: E402
from agent.v4l2.names import find_control  # noqa: E402
from agent.v4l2.transaction import set_controls  # noqa: E402
from agent.v4l2.uapi import BufType  # noqa: E402
from agent.v4l2.values import parse_value  # noqa: E402

__all__ = ["no_leaks"]

KERNEL = LinuxKernel()
_WITHOUT_RIG = "no rig: to run this, `make rig` (virtual), or --rig FILE (hw-tests/rig.example.yaml shows how)"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rig", type=Path, help="the rig description (YAML); see hw-tests/rig.example.yaml")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One run of the contract per camera of the rig."""
    if "entry" in metafunc.fixturenames:
        entries = _entries(metafunc.config)
        metafunc.parametrize("entry", entries or [None], ids=lambda entry: entry.name if entry else "none")


def _entries(config: pytest.Config) -> tuple[CameraEntry, ...]:
    path = config.getoption("--rig")
    return read_rig(path).cameras if path else ()


@pytest.fixture
def camera(entry: CameraEntry | None) -> Iterator[CameraUnderTest]:
    """The camera under test."""
    if entry is None:
        pytest.skip(_WITHOUT_RIG)
    with _MAKERS[_kind(entry)](entry) as made:
        yield made


@pytest.fixture
def uvc_camera(request: pytest.FixtureRequest) -> Iterator[UvcCamera]:
    """A fresh UVC camera over USB/IP, plugged in."""
    if not any(entry.usbip is not None for entry in _entries(request.config)):
        pytest.skip(f"no camera over USB/IP: {_WITHOUT_RIG}")
    with UvcCamera(serial="RIG0001") as made:
        yield made


@pytest.fixture
def vivid_path(request: pytest.FixtureRequest) -> str:
    """The node of the single-planar vivid camera."""
    if not any(entry.vivid for entry in _entries(request.config)):
        pytest.skip(f"no vivid: {_WITHOUT_RIG}")
    return find_vivid(BufType.VIDEO_CAPTURE)


def find_vivid(buffer_type: BufType) -> str:
    """The vivid node with this kind of queue."""
    for path in KERNEL.video_nodes():
        with Node(KERNEL, path) as node:
            found = query_capabilities(node)
            if found.driver == "vivid" and found.buffer_type == buffer_type:
                return path
    raise LookupError(f"no vivid with {buffer_type.name}: modprobe vivid n_devs=2 node_types=0x1,0x1 multiplanar=1,2")


def set_by_name(path: str, name: str, value: str) -> None:
    """Set one control by its name and text."""
    with Node(KERNEL, path) as node:
        control = find_control(path, enumerate_controls(node), name)
        set_controls(node, {control: parse_value(control, value)})


def _kind(entry: CameraEntry) -> str:
    return "vivid" if entry.vivid else "usbip" if entry.usbip is not None else "path"


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
def _usbip(entry: CameraEntry) -> Iterator[CameraUnderTest]:
    with UvcCamera(serial="RIG0001", **(entry.usbip or {})) as made:

        def plug() -> str:
            return str(made.plug())

        yield CameraUnderTest(
            path=str(made.node),
            marked=True,
            unplug=made.unplug,
            plug=plug,
            ignore_exposure=lambda: made.fault("ignore_setting", control="exposure_time_absolute"),
            freeze=lambda: made.fault("hold_pictures"),
            thaw=made.clear_faults,
            limit_ns=10 * NS_PER_S,
            lacks="use vivid",
            **_common(entry),
        )


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


_MAKERS = {"vivid": _vivid, "usbip": _usbip, "path": _path}


def _shell(command: str) -> None:
    subprocess.run(command, shell=True, check=True, timeout=30)


def _await(condition: Callable[[], bool], what: str) -> None:
    """A node comes when udev has made it; hubs take seconds."""
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come back within 20 s")
        time.sleep(0.1)
