"""Lines that are traced keep the contract of lines, and tell what is done with them."""

import pytest
from contract.line_bench import IN, LABEL, NAMES, OUT, LinesUnderTest
from contract.lines import *  # noqa: F403

from agent.simulation.clock import ManualClock
from agent.simulation.line_level import LineChip
from agent.simulation.lines import SimulatedLines
from agent.trigger.errors import LineBusy
from agent.trigger.lines import InputOrder, LineRef, OutputOrder
from agent.trigger.trace import TracingLines


@pytest.fixture
def lines_under_test():
    with SimulatedLines([LineChip(label=LABEL, names=NAMES)]) as lines:
        yield LinesUnderTest(
            lines=TracingLines(lines, lambda _call: None, lines.clock.now_ns),
            drive=lambda name, high: lines.pull(LineRef(LABEL, name), high),
            level=lambda name: lines.level(LineRef(LABEL, name)),
            unplug=lambda: lines.unplug(LABEL),
        )


def test_what_is_told():
    told = []
    clock = ManualClock()
    out, seen = LineRef(LABEL, OUT), LineRef(LABEL, IN)
    with SimulatedLines([LineChip(label=LABEL, names=NAMES)], clock=clock) as simulated:
        simulated.wire(out, seen)
        lines = TracingLines(simulated, told.append, clock.now_ns)
        watched = lines.open_input(InputOrder(line=seen, consumer="a test", debounce_ns=None))
        driven = lines.open_output(OutputOrder(line=out, consumer="a test", active_low=True, safe_active=True))
        with pytest.raises(LineBusy):
            lines.open_output(OutputOrder(line=out, consumer="a test"))
        start_ns = clock.now_ns()
        clock.move_to(start_ns + 5)
        driven.set(False)
        clock.move_to(start_ns + 9)
        watched.read()
        watched.is_active()
        for _ in range(2):
            driven.release()
            watched.release()
    assert [call.text for call in told] == [
        "line contract-lines:contract-in open input active=high",
        "line contract-lines:contract-out open output active=low safe=active",
        "line contract-lines:contract-out open output active=high safe=inactive -> line_busy",
        "line contract-lines:contract-out set inactive",
        "line contract-lines:contract-in edge to active",
        "line contract-lines:contract-in read -> active",
        "line contract-lines:contract-out close",
        "line contract-lines:contract-in close",
    ]
    assert [call.at_ns - start_ns for call in told[3:6]] == [5, 5, 9]
