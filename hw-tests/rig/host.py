# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rig needs from the machine it runs on: programs, a Debian mirror, pip's settings."""

from __future__ import annotations

import ast
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from rig.errors import HostLacks
from rig.progress import say

#: Program that must be found -> Debian package that brings it.
PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "tar": "tar",
}
#: Needed besides by whoever is not root: name spaces and file ownership without privileges.
PROGRAMS_OF_USERS = {"newuidmap": "uidmap", "fakeroot": "fakeroot"}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
KEYRING_PACKAGE = "debian-archive-keyring"

#: Settings of pip that say where packages come from and hold inside a chroot as well as outside.
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout", "retries")
CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def search_path() -> str:
    """PATH with the administrator's folders, which Debian leaves out for ordinary users."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def missing_packages() -> list[str]:
    """Debian packages this machine lacks to build and run the rig."""
    programs = PROGRAMS if os.geteuid() == 0 else PROGRAMS | PROGRAMS_OF_USERS
    missing = [package for name, package in programs.items() if shutil.which(name, path=search_path()) is None]
    if not KEYRING.exists():
        missing.append(KEYRING_PACKAGE)
    return missing


def ensure_packages() -> None:
    """Installs what is missing with apt-get.

    Raises:
        HostLacks: not an x86-64 machine, or packages are missing and cannot be installed from here.
    """
    if platform.machine() != "x86_64":
        raise HostLacks(f"the image is built natively for x86-64, and this machine is {platform.machine()}")
    missing = missing_packages()
    if not missing:
        return
    install = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise HostLacks(f"missing on this machine: {', '.join(missing)}", hint=f"run: sudo {' '.join(install)}")
    say("host", f"installing {' '.join(missing)}")
    _apt_get(["apt-get", "update"])
    _apt_get(install)


def _apt_get(command: list[str]) -> None:
    done = _captured(command, DEBIAN_FRONTEND="noninteractive")
    if done.returncode != 0:
        raise HostLacks(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")


def _captured(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end, whatever that is, with its output as text."""
    return subprocess.run(
        command, check=False, env=os.environ | environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


def debian_mirror() -> str | None:
    """The mirror a Debian machine itself uses, or None: then mmdebstrap takes its own default."""
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian" or shutil.which("apt-get") is None:
        return None
    fields = "$(CREATED_BY)|$(COMPONENT)|$(CODENAME)|$(REPO_URI)"
    listed = _captured(["apt-get", "indextargets", "--format", fields])
    wanted = f"Packages|main|{release.get('VERSION_CODENAME', '')}|"
    for line in listed.stdout.splitlines():
        if line.startswith(wanted):
            return line.removeprefix(wanted)
    return None


def environment_for_chroot() -> dict[str, str]:
    """This environment without pip's settings and certificate files, which name files the chroot does not have.

    The image's pip.conf carries those that fit; REQUESTS_CA_BUNDLE would win over the bundle named there.
    """
    foreign = ("PIP_", "SSL_CERT_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    for name in CERTIFICATE_VARIABLES:
        kept.pop(name, None)
    return kept | {"PATH": search_path()}


def pip_listing() -> str:
    """What ``pip config list`` prints here; empty where there is no pip."""
    return _captured([sys.executable, "-m", "pip", "config", "list"]).stdout


def parse_pip_settings(listing: str) -> dict[str, str]:
    """Reads ``pip config list``: later lines win; words that are local files are left out.

    A chroot does not see this machine's folders, so an index or a wheel folder on disk means nothing there.
    """
    settings: dict[str, str] = {}
    for option, value in _options(listing):
        words = [word for word in value.split() if not word.startswith(("file:", "/"))]
        if option in PIP_SETTINGS and words:
            settings[option] = " ".join(words)
    return settings


def certificate_bundle(listing: str) -> Path | None:
    """The certificates this machine's pip trusts, where its settings or the environment name a file."""
    named = [value for option, value in _options(listing) if option == "cert"]
    named += [os.environ.get(variable, "") for variable in CERTIFICATE_VARIABLES]
    return next((Path(path) for path in named if Path(path).is_file()), None)


def _options(listing: str) -> list[tuple[str, str]]:
    """Pairs of option and value, in the order pip lists them."""
    pairs = []
    for line in listing.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            pairs.append((name.rpartition(".")[2], str(ast.literal_eval(value))))
    return pairs
