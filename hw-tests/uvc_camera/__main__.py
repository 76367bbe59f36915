# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m uvc_camera`: one virtual camera, until SIGTERM or the order to quit."""

from __future__ import annotations

import argparse
import json
import selectors
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from .camera import Build
from .descriptors import Identity, Speed
from .device import Device
from .errors import UvcCameraError
from .formats import FORMATS, SIZES, PictureFormat, PictureSize
from .lines import Pull, find_line
from .loop import Loop, hold_leash
from .orders import OrderServer, carry_out
from .record import NoRecord, RecordFile
from .trigger_input import Terminals, TriggerInput
from .vhci import Vhci
from .wire import TriggerWire


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line, parsed."""
    parser = argparse.ArgumentParser(prog="uvc_camera", description=__doc__)
    parser.add_argument("--serial", help="iSerialNumber; leave out for a camera without any")
    parser.add_argument("--manufacturer", default=Identity.manufacturer)
    parser.add_argument("--product", default=Identity.product)
    parser.add_argument("--speed", choices=[each.name.lower() for each in Speed], default="high", help="USB speed")
    parser.add_argument("--port", type=int, help="port of vhci_hcd; default: the first free one of that speed")
    parser.add_argument("--formats", type=_formats, default=tuple(FORMATS.values()), help="such as yuyv,mjpeg")
    parser.add_argument("--sizes", type=_sizes, default=SIZES, help="such as 640x480,320x240; the first is the default")
    parser.add_argument("--latency-frames", type=_natural, default=2, metavar="N",
                        help="pictures that still go out with the old exposure after it was set")  # fmt: skip
    parser.add_argument("--first-number", type=_natural, default=0, metavar="N", help="number of the first picture")
    parser.add_argument("--trigger-line", metavar="CHIP:LINE", help="line of gpio-sim at the trigger input; the camera "
                        "then has a switch for trigger mode, the privacy control")  # fmt: skip
    parser.add_argument("--strobe-line", metavar="CHIP:LINE", help="line of gpio-sim that is high while it exposes")
    parser.add_argument(
        "--first-pulse", type=_natural, default=0, metavar="N", help="number of the first trigger pulse"
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="the camera's record, JSON lines, appended to")
    parser.add_argument("--control", type=Path, metavar="SOCKET", help="unix socket to listen on for orders")
    parser.add_argument("--unplugged", action="store_true", help="wait for the order to plug in")
    parser.add_argument("--leash", action="store_true", help="end when standard input does")
    return parser.parse_args(words)


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("not below 0")
    return value


def _formats(text: str) -> tuple[PictureFormat, ...]:
    unknown = set(text.split(",")) - FORMATS.keys()
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(FORMATS)}")
    return tuple(FORMATS[name] for name in text.split(","))


def _sizes(text: str) -> tuple[PictureSize, ...]:
    known = {f"{size.width_px}x{size.height_px}": size for size in SIZES}
    unknown = set(text.split(",")) - known.keys()
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return tuple(known[name] for name in text.split(","))


def _terminals(options: argparse.Namespace, wire: TriggerWire, cleanup: ExitStack) -> Terminals:
    """Trigger in and strobe out, wired as the command line says. Raises: LineError."""
    if options.trigger_line:
        wire.connect(options.trigger_line)
    trigger = TriggerInput(first_number=options.first_pulse)
    if not options.strobe_line:
        return Terminals(trigger, wire)
    strobe = Pull(find_line(options.strobe_line))
    cleanup.callback(strobe.close)
    return Terminals(trigger, wire, strobe)


def _terminate(*_: object) -> None:
    raise SystemExit(0)


def _say(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def main(words: Sequence[str] | None = None) -> int:
    """Run the camera; the exit status."""
    options = arguments(words)
    signal.signal(signal.SIGTERM, _terminate)
    speed = Speed[options.speed.upper()]
    identity = Identity(options.serial, options.manufacturer, options.product)
    build = Build(
        identity, speed, options.formats, options.sizes, options.latency_frames, options.trigger_line is not None
    )
    clock = time.monotonic_ns
    with ExitStack() as cleanup:
        record = RecordFile(options.log, clock) if options.log else NoRecord()
        cleanup.callback(record.close)
        # select() rather than epoll: Python rounds epoll's time-out up to whole milliseconds.
        selector = cleanup.enter_context(selectors.SelectSelector())
        wire = TriggerWire(selector)
        cleanup.callback(wire.close)
        try:
            terminals = _terminals(options, wire, cleanup)
            device = Device(build, Vhci(speed, options.port), record, clock, options.first_number, terminals)
            cleanup.callback(device.unplug, "end")
            wire.deliver = device.edges
            if options.control:
                server = OrderServer(options.control, selector, lambda line: carry_out(device, line))
                cleanup.callback(server.close)
            if options.leash:
                hold_leash(sys.stdin.fileno(), selector)
            _say(ready=True, port=None if options.unplugged else device.plug())
            Loop(device, selector, clock).run()
        except UvcCameraError as error:
            print(f"uvc_camera: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
