# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts and ends the virtual machine, and finds out whether hardware virtualisation really works here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from rig.errors import GuestLost
from rig.image import Image, cache_folder
from rig.progress import say

CPUS = 2
MEMORY_MIB = 3072
KVM = ["-accel", "kvm"]
#: One host thread per virtual CPU.
SOFTWARE = ["-accel", "tcg,thread=multi"]
KVM_PROBE_S = 20.0
ENDS_WITHIN_S = 20.0
#: The last words of a kernel that came as far as starting (and losing) its first program.
REACHED_USER_SPACE = b"Attempted to kill init"

#: Drivers of hardware that no test looks at, which udev would load for the chipset's and the processor's sake.
UNUSED_DRIVERS = [
    *("ahci", "libata", "iTCO_wdt", "lpc_ich", "i2c_i801", "intel_pmc_bxt", "psmouse", "pcspkr", "joydev", "evdev"),
    *("button", "drm", "kvm", "kvm_amd", "kvm_intel", "ccp", "powernow_k8", "acpi_cpufreq", "crct10dif_pclmul"),
    *("crc32_pclmul", "aesni_intel", "ghash_clmulni_intel", "sha1_ssse3", "sha256_ssse3", "sha512_ssse3"),
]

KERNEL_OPTIONS = [
    "root=/dev/vda",
    "rw",
    "console=ttyS0",
    "panic=-1",  # with QEMU's -no-reboot a panic ends the machine at once
    # Two suspended cameras on one vhci controller resume into EBUSY: it has one resume timer for all ports.
    "usbcore.autosuspend=-1",
    "mitigations=off",
    "systemd.show_status=0",
    "audit=0",
    "loglevel=5",
    f"module_blacklist={','.join(UNUSED_DRIVERS)}",
]


@dataclass(frozen=True)
class Layout:
    """Where the parts of one machine are.

    Attributes:
        tree: folder the guest sees as /tree, read-only.
        results: folder the guest sees as /results.
        socket: host end of the command channel.
        console: file that receives the kernel's console.
    """

    tree: Path
    results: Path
    socket: Path
    console: Path


def command_line(image: Image, layout: Layout, accelerator: list[str], *, terminal: bool) -> list[str]:
    """QEMU's arguments. With ``terminal`` the second serial port is this terminal."""
    command = [
        "qemu-system-x86_64",
        "-machine",
        "q35,sata=off,smbus=off",
        *accelerator,
        "-cpu",
        "max",
        "-smp",
        str(CPUS),
    ]
    command += ["-m", f"{MEMORY_MIB}M", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    command += ["-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", " ".join(KERNEL_OPTIONS)]
    command += ["-drive", f"file={_escaped(image.root)},format=raw,if=virtio,cache=unsafe,snapshot=on"]
    command += ["-device", "virtio-rng-pci", "-serial", f"file:{layout.console}"]
    if terminal:
        command += ["-chardev", "stdio,id=terminal,signal=off", "-serial", "chardev:terminal"]
    command += ["-chardev", f"socket,id=channel,path={_escaped(layout.socket)},server=on,wait=off"]
    command += ["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=channel,name=rig"]
    command += _share("tree", layout.tree, "readonly=on") + _share("results", layout.results, "readonly=off")
    return command


def _share(tag: str, folder: Path, access: str) -> list[str]:
    """A folder of the host for the guest. ``none`` keeps the files this user's own, whoever writes in the guest."""
    local = f"local,id={tag},path={_escaped(folder)},security_model=none,multidevs=remap,{access}"
    return ["-fsdev", local, "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]


def _escaped(path: Path) -> str:
    """A path inside one of QEMU's comma-separated options."""
    return str(path).replace(",", ",,")


def start(command: list[str], errors: Path, *, terminal: bool) -> subprocess.Popen[bytes]:
    """Starts QEMU in a session of its own: Ctrl-C reaches the rig, which then ends QEMU."""
    with errors.open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=None if terminal else subprocess.DEVNULL,
            stdout=None if terminal else output,
            stderr=output,
            # With a terminal QEMU has to stay in its foreground group, or it could not read from it.
            start_new_session=not terminal,
        )


def end(pid: int) -> None:
    """Ends a QEMU that still runs: politely, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        if wait_gone(pid, ENDS_WITHIN_S):
            return


def wait_gone(pid: int, seconds: float) -> bool:
    """Whether the process ended within the time. Collects it if it is a child of ours."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            collected, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            collected = 0 if is_alive(pid) else pid
        if collected == pid:
            return True
        time.sleep(0.05)
    return False


def is_qemu(pid: int) -> bool:
    """Whether the process lives and is QEMU: a number remembered in a file may belong to another by now."""
    try:
        return b"qemu-system" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def is_alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        # proc_pid_stat(5): the state follows the name, which is in parentheses and may contain some.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def accelerator(image: Image) -> list[str]:
    """KVM where a kernel was seen to reach user space on it, else software emulation.

    That /dev/kvm opens proves nothing: some clouds offer it and never run the guest. So a kernel is booted, once per
    boot of this machine.
    """
    remembered = cache_folder() / "kvm.json"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    try:
        known = json.loads(remembered.read_text())
    except (OSError, ValueError):
        known = {}
    if known.get("boot") != boot:
        known = {"boot": boot, "works": os.access("/dev/kvm", os.R_OK | os.W_OK) and kvm_boots(image)}
        remembered.write_text(json.dumps(known))
    say("qemu", "KVM" if known["works"] else "software emulation (no working KVM here)")
    return KVM if known["works"] else SOFTWARE


def kvm_boots(image: Image) -> bool:
    """Boots the image's kernel into a first program that ends at once, and looks for the kernel's word about it."""
    say("qemu", "trying KVM")
    options = ["-append", "console=ttyS0 panic=-1 rdinit=/bin/true", "-serial", "stdio"]
    command = ["qemu-system-x86_64", "-machine", "q35", *KVM, "-cpu", "max", "-m", "512M", "-nodefaults", "-display"]
    command += ["none", "-no-reboot", "-kernel", str(image.kernel), "-initrd", str(image.initrd), *options]
    try:
        tried = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=KVM_PROBE_S)
    except subprocess.TimeoutExpired:
        return False
    return REACHED_USER_SPACE in tried.stdout


def require_alive(pid: int, console: Path) -> None:
    """Raises ``GuestLost`` with the end of the console if QEMU is gone."""
    if not is_alive(pid):
        raise GuestLost("QEMU ended", hint=f"the console is in {console}")
