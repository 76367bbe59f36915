"""What a person writes to say which camera is meant."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from agent.discovery.camera import Camera
from agent.discovery.identity import Identity
from agent.errors import InputError

_USB_ID = re.compile(r"[0-9a-f]{4}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Facts that a camera must have, all of those that are given; at least one is.

    Texts may have `*`, `?` and `[...]` as in shells; a text that is equal always fits. `serial`: its serial number; it
    follows the camera from port to port. `port`: any name of the place it is plugged into (`Identity.ports`); it
    follows the socket. `model`: its card, or a subdevice behind it (`imx219*`). `vendor_id`, `product_id`: four
    hexadecimal digits. `path`: today's node or a link to it; it says nothing about the camera. Raises InputError.
    """

    serial: str | None = None
    port: str | None = None
    model: str | None = None
    vendor_id: str | None = None
    product_id: str | None = None
    driver: str | None = None
    bus_info: str | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        given = self.given
        if not given:
            raise InputError("nothing says which camera is meant", hint=f"give one of {', '.join(KEYS)}")
        for key, text in given.items():
            if not text:
                raise InputError(f"{key}: nothing stands there", hint=f"write the {key}, or leave it away")
        for key in USB_IDS:
            if key in given:
                object.__setattr__(self, key, usb_id(given[key]))

    @property
    def given(self) -> dict[str, str]:
        """The facts that are given, by key."""
        return {key: text for key in KEYS if (text := getattr(self, key)) is not None}

    def matches(self, identity: Identity, paths: Sequence[str] = ()) -> bool:
        """Whether a camera is what is meant. `paths`: those that lead to its node, for `path`."""
        return all(
            any(text == fact or fnmatch.fnmatchcase(fact, text) for fact in _facts(identity, paths, key))
            for key, text in self.given.items()
        )

    def fits(self, camera: Camera) -> bool:
        """The same for a camera that is there."""
        return self.matches(camera.identity, camera.paths)

    def __str__(self) -> str:
        return " and ".join(f"{key} {text}" for key, text in self.given.items())

    @property
    def as_yaml(self) -> str:
        """As a file has it behind `device:`, `{serial: "A1"}`; the texts quoted, whatever is in them."""
        return "{" + ", ".join(f"{key}: {_quoted(text)}" for key, text in self.given.items()) + "}"


KEYS = tuple(field.name for field in fields(Match))
"""What a match can be made of, the steadiest first."""
USB_IDS = ("vendor_id", "product_id")


def usb_id(text: str) -> str:
    """Four hexadecimal digits, lower case; `0x` may stand before them. Raises InputError."""
    digits = text.lower().removeprefix("0x")
    if not _USB_ID.fullmatch(digits):
        raise InputError(f"{text!r} is no USB id", hint="write four hexadecimal digits, such as 046d; lsusb lists them")
    return digits


def match_from(facts: Mapping[str, str]) -> Match:
    """A match from texts by key. Raises InputError, also for a key there is not."""
    unknown = sorted(set(facts) - set(KEYS))
    if unknown:
        raise InputError(f"a camera has no {unknown[0]!r}", hint=f"there is {', '.join(KEYS)}")
    return Match(**facts)


def _facts(identity: Identity, paths: Sequence[str], key: str) -> Iterable[str]:
    if key == "port":
        return identity.ports
    if key == "model":
        return identity.models
    if key == "path":
        return paths
    fact = getattr(identity, key)
    return () if fact is None else (fact.lower() if key in USB_IDS else fact,)


def _quoted(text: str) -> str:
    """A double-quoted scalar of YAML 1.2, section 5.7."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(letter: str) -> str:
    if letter in ('"', "\\"):
        return f"\\{letter}"
    return letter if letter.isprintable() else f"\\U{ord(letter):08x}"
