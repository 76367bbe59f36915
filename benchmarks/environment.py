"""What a comparison ran on: everything that explains a figure, nothing that names the machine."""

from __future__ import annotations

import contextlib
import gzip
import os
import platform
import re
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import agent

_PACKAGES = ("APScheduler", "linuxpy", "numpy", "opencv-python-headless", "pillow", "simplejpeg")
_CONFIG = re.compile(
    r"^CONFIG_(HZ|PREEMPT\w*|NO_HZ\w*|VIRT_CPU_ACCOUNTING\w*|TICK_CPU_ACCOUNTING|HIGH_RES_TIMERS)=(\S+)", re.MULTILINE
)


def describe(tools: Iterable[tuple[str, ...]] = ()) -> dict[str, Any]:
    """Kernel and its clock options, processors, Python, packages; `tools` are commands that print a version."""
    return {
        "kernel": platform.release(),
        "kernel_config": dict(_CONFIG.findall(_kernel_config())),
        "cpu_model": _cpu_model(),
        "cpus": os.cpu_count(),
        "cpu_map": _cpu_map(),
        "affinity": sorted(os.sched_getaffinity(0)),
        "emulated": is_emulated(),
        "python": platform.python_version(),
        "packages": {"camera-agent": agent.__version__, **_versions()},
        "tools": {" ".join(command): _first_line(command) for command in tools},
    }


def is_emulated() -> bool:
    """Whether the processor is QEMU's software emulation."""
    return "TCG" in _cpu_model() or Path("/sys/module/qemu_fw_cfg").exists()


def load_average() -> float:
    """Of the last minute."""
    return round(os.getloadavg()[0], 2)


def _versions() -> dict[str, str]:
    """Of those that are installed: peers are not, where they are not needed."""
    found = {}
    for name in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _cpu_model() -> str:
    found = re.search(r"^(?:model name|Model|Hardware)\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _cpu_map() -> dict[str, str]:
    """Which processors share a core."""
    cpus = sorted(Path("/sys/devices/system/cpu").glob("cpu[0-9]*"))
    lists = {cpu.name: cpu / "topology" / "thread_siblings_list" for cpu in cpus}
    return {name: path.read_text().strip() for name, path in lists.items() if path.exists()}


def _kernel_config() -> str:
    plain, packed = Path(f"/boot/config-{platform.release()}"), Path("/proc/config.gz")
    if plain.exists():
        return plain.read_text()
    return gzip.decompress(packed.read_bytes()).decode() if packed.exists() else ""


def _first_line(command: tuple[str, ...]) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "not installed"
    return (result.stdout or result.stderr).strip().partition("\n")[0]
