# SPDX-License-Identifier: GPL-3.0-or-later
"""What of this machine's pip settings goes into the image's chroot."""

from pathlib import Path

import pytest
from rig import host


def test_addresses_stay_and_folders_do_not() -> None:
    listing = (
        ":env:.find-links='/opt/wheels'\n"
        "global.index-url='https://mirror.example/simple'\n"
        "global.extra-index-url='file:///srv/simple https://other.example/simple'\n"
        "global.timeout='60'\n"
        ":env:.timeout='180'\n"
    )
    assert host.parse_pip_settings(listing) == {
        "index-url": "https://mirror.example/simple",
        "extra-index-url": "https://other.example/simple",
        "timeout": "180",
    }


def test_no_settings() -> None:
    assert host.parse_pip_settings("") == {}


def test_the_certificates_pip_is_told_to_trust(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("")
    assert host.certificate_bundle(f"global.cert='{bundle}'\n") == bundle


def test_no_certificates_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in host.CERTIFICATE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert host.certificate_bundle("") is None


def test_the_chroot_is_not_told_about_files_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_CERT", "PIP_FIND_LINKS", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("LANG", "C")
    environment = host.environment_for_chroot()
    assert environment["LANG"] == "C"
    assert not [name for name in environment if name.startswith(("PIP_", "SSL_CERT_", "REQUESTS_"))]
