"""The program of a capture process. Started by the supervisor, not by people: `python -m agent.cli.process`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from agent.capture.child import Inherited
from agent.capture.descriptors import raise_limit
from agent.capture.loop import CaptureLoop
from agent.capture.process import Equipment, Loop, leave, serve
from agent.capture.publish import NoPublisher, Publisher, SinkPublisher
from agent.cli.bench import open_machine
from agent.cli.simulated_modes import without_modules


def run(arguments: Sequence[str] | None = None) -> int:
    """Serve on the inherited descriptors that the arguments name; returns the exit status."""
    parser = argparse.ArgumentParser(prog="camera-agent-process", description=__doc__)
    parser.add_argument("--channel", type=int, required=True, metavar="N", help="descriptor of the command socket")
    parser.add_argument("--page", type=int, required=True, metavar="N", help="descriptor of the shared page")
    parser.add_argument("--quotas", type=int, required=True, metavar="N", help="descriptor of the page of quotas")
    parser.add_argument("--door", type=int, required=True, metavar="N", help="descriptor that clients come by")
    parser.add_argument("--simulate", action="store_true", help="simulated cameras instead of this machine's")
    options = parser.parse_args(arguments)
    raise_limit()
    with open_machine(options.simulate) as machine:
        inherited = Inherited(options.channel, options.page, options.quotas, options.door)

        def make(equipment: Equipment) -> Loop:
            assignment = equipment.assignment
            if options.simulate:
                assignment = replace(assignment, order=without_modules(assignment.order))
            return make_loop(equipment._replace(assignment=assignment, open_pwm=machine.open_pwm))

        return serve(machine.kernel, inherited, make, machine.lines)


def make_loop(equipment: Equipment) -> Loop:
    """The capture loop on this process's equipment."""
    order = equipment.assignment.order
    publisher: Publisher = NoPublisher()
    if order.sink is not None:
        publisher = SinkPublisher(order.sink, loop_cpus=order.realtime.cpus or ())
    return CaptureLoop(equipment, publisher)


if __name__ == "__main__":
    leave(run())
