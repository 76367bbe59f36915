# SPDX-License-Identifier: GPL-3.0-or-later
"""The rig's options and what each way of calling it does."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import shlex
import shutil
import signal
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

from rig import host, image, results, stage
from rig.errors import GuestLost, RigError, TimeLimitExceeded
from rig.machine import Machine, Place
from rig.progress import forward, say

REPOSITORY = Path(__file__).resolve().parents[2]
GUEST_SCRIPTS = "/tree/hw-tests/rig/guest"
TIMEOUT_MIN = 60.0
OF_ONE_RUN = ("junit.xml", "journal.txt", "dmesg.txt", "compliance", "figures")
INTERRUPTED = 130
FAILED = 1
#: bash on the second serial port, which is the terminal the rig was called from.
SHELL = (
    "systemd-run --quiet --wait --collect -p StandardInput=tty-force -p StandardOutput=tty -p StandardError=tty"
    " -p TTYPath=/dev/ttyS1 -p TTYReset=yes -p WorkingDirectory=/root -E HOME=/root -E TERM={terminal} /bin/bash -l"
)

EXAMPLES = """\
examples:
  run.py                                      run all of hw-tests, results in build/rig
  run.py --pytest-args='-k cancel -x'         some of them
  run.py --command 'v4l2-ctl --list-devices'  one command instead of the tests
  run.py --keep-alive                         boot once; the calls that follow use that guest
  run.py --stop                               end it
  run.py --shell                              a root prompt in the guest; `exit` ends it

In the guest: /tree is a copy of the checkout (read-only, without agent/, which is installed from a wheel), /results is
the results folder, python is the one with the project. Two vivid cameras (single- and multi-planar), gpio-sim with the
lines `trigger`, `edge`, `stop`, `strobe` and `pwm` (pwmchip0 toggles that one), vhci-hcd and uvcvideo are there. Exit
status: 0, or 1 if anything failed or stayed silent; with --command that of the command.
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs the rig and returns the process's exit status."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended like by Ctrl-C, so QEMU is ended too
    try:
        return _run(options)
    except RigError as error:
        say("rig", f"failed: {error}")
        if error.hint:
            say("rig", error.hint)
        return FAILED
    except KeyboardInterrupt:
        say("rig", "interrupted")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--command", metavar="CMD", help="run this in the guest's bash instead of the tests")
    what.add_argument("--shell", action="store_true", help="a root prompt in the guest")
    what.add_argument("--keep-alive", action="store_true", help="boot a guest for the calls that follow, and return")
    what.add_argument("--stop", action="store_true", help="end the guest that was kept alive")
    what.add_argument("--image", action="store_true", help="only make sure that the image is in the cache")
    parser.add_argument("--pytest-args", metavar="ARGS", default="", help="options for pytest, as one word")
    parser.add_argument("--tests", metavar="PATH", nargs="+", default=["hw-tests"], help="which tests (hw-tests)")
    parser.add_argument("--bench", action="store_true", help="run the benchmarks of the rig after the tests")
    parser.add_argument("--timeout", metavar="MIN", type=float, default=TIMEOUT_MIN, help="minutes (%(default)s)")
    parser.add_argument("--results", metavar="DIR", type=Path, default=REPOSITORY / "build" / "rig", help="%(default)s")
    parser.add_argument("--no-project", action="store_true", help="neither build nor install the project")
    return parser


def _run(options: argparse.Namespace) -> int:
    place = Place.at(options.results.resolve())
    place.results.mkdir(parents=True, exist_ok=True)
    with _alone(place):
        kept = Machine.kept(place)
        if options.stop:
            if kept is not None:
                kept.stop()
            say("rig", "nothing was kept alive" if kept is None else "ended")
            return 0
        if kept is not None and (options.shell or options.keep_alive):
            raise RigError("a guest is kept alive here already", hint="end it with --stop, or use --results DIR")
        host.ensure_packages()
        guest_image = image.cached_or_built(REPOSITORY)
        if options.image:
            return 0
        say("tree", "copying the checkout" + ("" if options.no_project else " and building the project's wheel"))
        stage.lay_out(REPOSITORY, place.tree, with_project=not options.no_project)
        with _terminal_restored(), kept or Machine.boot(guest_image, place, terminal=options.shell) as machine:
            return _use(machine, place, options)


@contextlib.contextmanager
def _alone(place: Place) -> Iterator[None]:
    """Two rigs at the same time need two folders."""
    with place.results.with_name(f"{place.results.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RigError(f"another rig is using {place.results}", hint="give this one --results DIR") from None
        yield


@contextlib.contextmanager
def _terminal_restored() -> Iterator[None]:
    """QEMU makes the terminal raw for the guest's shell, and a killed QEMU leaves it so."""
    if not sys.stdin.isatty():
        yield
        return
    saved = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, saved)


def _use(machine: Machine, place: Place, options: argparse.Namespace) -> int:
    """Everything between a started guest and its end."""
    deadline = time.monotonic() + options.timeout * 60
    try:
        machine.wait_ready()
        _set_up(machine, deadline)
        status = _work(machine, place, options, deadline)
    except (GuestLost, TimeLimitExceeded) as error:
        say("console", f"last lines\n{place.console_tail()}")
        if isinstance(error, GuestLost):
            machine.stop()  # even one that was to be kept
        raise RigError(f"{error}", hint=error.hint or f"the console is in {place.console}") from error
    if options.keep_alive:
        machine.keep()
        say("rig", "the guest stays; the calls that follow use it, --stop ends it")
    elif not machine.is_kept:
        machine.power_off()
    return status


def _set_up(machine: Machine, deadline: float) -> None:
    say("install", "modules, lines, the project's wheel")
    if machine.run(f"{GUEST_SCRIPTS}/setup", deadline, forward) != 0:
        raise RigError("the guest could not be set up")


def _work(machine: Machine, place: Place, options: argparse.Namespace, deadline: float) -> int:
    if options.keep_alive:
        return 0
    if options.command is not None:
        say("command", options.command)
        return machine.run(options.command, deadline, forward)
    if options.shell:
        say("shell", "`exit` ends the guest")
        return machine.run(SHELL.format(terminal="xterm-256color"), float("inf"), forward)
    return _test(machine, place, options, deadline)


def _test(machine: Machine, place: Place, options: argparse.Namespace, deadline: float) -> int:
    """Runs the tests, judges what came back and prints the closing line."""
    _remove_old(place)
    arguments = [*shlex.split(options.pytest_args), *options.tests]
    say("tests", f"{' '.join(options.tests)} in the guest")
    status = machine.run(f"{GUEST_SCRIPTS}/run-tests {shlex.join(arguments)}", deadline, forward)
    verdict = results.judge(place.results, status)
    reasons = list(verdict.reasons)
    if options.bench:
        say("benchmarks", "in the guest")
        if machine.run(f"{GUEST_SCRIPTS}/run-benchmarks", deadline, forward) != 0:
            reasons.append("a benchmark failed")
    say("results", str(place.results))
    for reason in reasons:
        say("failed", reason)
    if verdict.counts is not None:
        print(verdict.counts.line, flush=True)
    return FAILED if reasons else 0


def _remove_old(place: Place) -> None:
    """Nothing of an earlier run may be taken for this one's."""
    for name in OF_ONE_RUN:
        path = place.results / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
