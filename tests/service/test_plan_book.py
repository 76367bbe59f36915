"""The book of plans: every name at most once, every end told once."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent.capture.order import PlanOrder
from agent.capture.supervisor import NameTaken
from agent.config.planned import Planned
from agent.control.errors import NotFound
from agent.schedule.plan import Plan
from agent.service.plan_book import PlanBook, Standing

NAMES = ("a", "b", "c")


def planned(name, camera="top", group="g", client=""):
    return Planned(PlanOrder(plan=Plan(name=name, camera=camera, start_ns=0, client=client)), group)


def test_a_name_is_taken_until_its_plan_is_over():
    book = PlanBook()
    (plan,) = book.add([planned("a")], by="anna")
    with pytest.raises(NameTaken):
        book.add([planned("b"), planned("a")], by="bob")
    with pytest.raises(NotFound):
        book.find("b")
    book.end(plan, Standing.CANCELLED, "anna")
    book.add([planned("a")], by="bob")
    assert book.find("a").by == "bob"


def test_an_end_that_comes_late_is_not_the_next_ones():
    book = PlanBook()
    (first,) = book.add([planned("a")], by="anna")
    book.taken([first], {"a": 3})
    book.end(first, Standing.CANCELLED, "anna")
    book.add([planned("a")], by="bob")
    assert book.ended("g", "a", "cancelled", "anna") is None
    assert book.find("a").standing is Standing.WAITING


def test_an_end_told_by_another_groups_process_is_not_its_own():
    book = PlanBook()
    (first,) = book.add([planned("a", camera="left", group="old")], by="anna")
    book.taken([first], {"a": 3})
    book.end(first, Standing.CANCELLED, "its camera is not in the configuration any more")
    (second,) = book.add([planned("a")], by="bob")
    book.taken([second], {"a": 0})
    assert book.ended("old", "a", "cancelled", "the agent") is None
    assert second.standing is Standing.RUNNING


def test_what_is_cancelled_while_it_is_on_its_way_stays_cancelled():
    book = PlanBook()
    (plan,) = book.add([planned("a")], by="anna")
    plan.asked = True
    book.end(plan, Standing.CANCELLED, "anna")
    book.taken([plan], {"a": 0})
    assert plan.standing is Standing.CANCELLED


def test_who_is_concerned_by_a_cancel():
    book = PlanBook()
    book.add([planned("a", client="x"), planned("b", camera="left", client="x"), planned("c", camera="g")], by="")
    concerned = {
        (kind, name): {plan.wish.name for plan in book.concerned(kind, name)}
        for kind, name in (("plan", "a"), ("camera", "left"), ("client", "x"), ("all", ""))
    }
    assert concerned == {
        ("plan", "a"): {"a"},
        ("camera", "left"): {"b"},
        ("client", "x"): {"a", "b"},
        ("all", ""): {"a", "b", "c"},
    }
    assert {plan.wish.name for plan in book.of_camera("top", "g")} == {"a", "c"}


def test_those_that_are_over_are_forgotten_in_the_end():
    book = PlanBook()
    for number in range(1100):
        (plan,) = book.add([planned(f"p{number}")], by="")
        book.end(plan, Standing.FINISHED, "")
    assert len(list(book)) == 1024
    with pytest.raises(NotFound):
        book.find("p75")
    assert book.find("p76").over


class Book(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.book, self.alive, self.ended = PlanBook(), {}, 0

    @rule(name=st.sampled_from(NAMES))
    def add(self, name):
        if name in self.alive:
            with pytest.raises(NameTaken):
                self.book.add([planned(name)], by="")
        else:
            (self.alive[name],) = self.book.add([planned(name)], by="")

    @rule(name=st.sampled_from(NAMES))
    def take(self, name):
        if name in self.alive:
            self.book.taken([self.alive[name]], {name: 1})

    @rule(name=st.sampled_from(NAMES), state=st.sampled_from(["finished", "cancelled"]))
    def end(self, name, state):
        running = name in self.alive and self.alive[name].standing is Standing.RUNNING
        assert (self.book.ended("g", name, state, "") is not None) == running
        if running:
            assert self.alive.pop(name).standing.value == state

    @rule()
    def back(self):
        self.book.back("g")
        assert all(plan.standing is Standing.WAITING for plan in self.alive.values())

    @invariant()
    def waiting_and_running_are_those_that_are_alive(self):
        found = [plan for plan in self.book if not plan.over]
        assert {plan.wish.name: plan for plan in found} == self.alive
        assert len(found) == len(self.alive)
        waiting = {plan.wish.name for plan in self.book.waiting("g")}
        assert waiting == {name for name, plan in self.alive.items() if plan.standing is Standing.WAITING}


TestBook = Book.TestCase
