"""The last door before STREAMON: two threads in every order, and never both through and shut."""

import itertools
import threading

import pytest

from agent.capture.gate import StartGate
from agent.errors import AgentError


class Cancelled(AgentError):
    pass


def because(words="cancelled"):
    return Cancelled(words, hint="")


@pytest.mark.parametrize("order", sorted(set(itertools.permutations(["enter", "shut", "shut"]))))
def test_every_order_of_two_threads(order):
    """One step at a time, each in the thread whose it is: what was first counts."""
    gate, done = StartGate(), []
    turns = {"enter": threading.Semaphore(0), "shut": threading.Semaphore(0)}
    told = threading.Semaphore(0)

    def enter():
        turns["enter"].acquire()
        try:
            gate.enter()
            done.append("entered")
        except Cancelled as error:
            done.append(error.message)
        told.release()

    def shut():
        for number in range(2):
            turns["shut"].acquire()
            done.append(gate.shut(because(f"cancel {number}")))
            told.release()

    threads = [threading.Thread(target=target) for target in (enter, shut)]
    for thread in threads:
        thread.start()
    for step in order:
        turns[step].release()
        told.acquire()
    for thread in threads:
        thread.join()
    expected = {
        ("enter", "shut", "shut"): ["entered", False, False],
        ("shut", "enter", "shut"): [True, "cancel 0", True],
        ("shut", "shut", "enter"): [True, True, "cancel 0"],
    }
    assert done == expected[order]


def test_racing_freely_exactly_one_wins():
    for _ in range(200):
        gate, found, barrier = StartGate(), [], threading.Barrier(2)

        def enter(gate=gate, found=found, barrier=barrier):
            barrier.wait()
            try:
                gate.enter()
                found.append(True)
            except Cancelled:
                found.append(False)

        thread = threading.Thread(target=enter)
        thread.start()
        barrier.wait()
        is_shut = gate.shut(because())
        thread.join()
        assert found == [not is_shut]
