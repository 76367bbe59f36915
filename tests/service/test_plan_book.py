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
GROUPS = ("g", "h")


def planned(name, camera="top", group="g", client=""):
    return Planned(PlanOrder(plan=Plan(name=name, camera=camera, start_ns=0, client=client)), group)


def take(book, plan, slot):
    book.taken(book.send([plan]), [plan], {plan.wish.name: slot})


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
    take(book, first, 3)
    book.end(first, Standing.CANCELLED, "anna")
    book.add([planned("a")], by="bob")
    assert book.ended("g", "a", "cancelled", "anna") is None
    assert book.find("a").standing is Standing.WAITING


def test_an_end_told_by_another_groups_process_is_not_its_own():
    book = PlanBook()
    (first,) = book.add([planned("a", camera="left", group="old")], by="anna")
    take(book, first, 3)
    book.end(first, Standing.CANCELLED, "its camera is not in the configuration any more")
    (second,) = book.add([planned("a")], by="bob")
    take(book, second, 0)
    assert book.ended("old", "a", "cancelled", "the agent") is None
    assert second.standing is Standing.RUNNING


def test_what_is_cancelled_while_it_is_on_its_way_stays_cancelled():
    book = PlanBook()
    (plan,) = book.add([planned("a")], by="anna")
    errand = book.send([plan])
    book.end(plan, Standing.CANCELLED, "anna")
    book.taken(errand, [plan], {"a": 0})
    assert plan.standing is Standing.CANCELLED


def test_what_is_taken_by_a_process_that_is_being_ended_waits_for_the_next_one():
    book = PlanBook()
    stays, moves = book.add([planned("a"), planned("b")], by="anna")
    errand = book.send([stays, moves])
    book.move(moves, "other")
    book.back("g")
    later = book.send([stays])
    book.taken(errand, [stays, moves], {"a": 0, "b": 1})
    assert (stays.standing, moves.standing) == (Standing.WAITING, Standing.WAITING)
    assert (book.waiting("g"), book.waiting("other")) == ([], [moves])
    assert book.returned(errand, [stays, moves]) == []
    book.taken(later, [stays], {"a": 0})
    assert stays.standing is Standing.RUNNING


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
    """Plans of groups g and h: those on an errand that was overtaken by anything else are never taken by it."""

    def __init__(self):
        super().__init__()
        self.book, self.alive, self.ways, self.errands = PlanBook(), {}, {}, []

    @rule(name=st.sampled_from(NAMES))
    def add(self, name):
        if name in self.alive:
            with pytest.raises(NameTaken):
                self.book.add([planned(name)], by="")
        else:
            (self.alive[name],) = self.book.add([planned(name)], by="")

    @rule(group=st.sampled_from(GROUPS))
    def send(self, group):
        plans = self.book.waiting(group)
        errand = self.book.send(plans)
        self.errands.append((errand, plans))
        self.ways |= {plan.wish.name: errand for plan in plans}

    @rule(data=st.data(), took=st.booleans())
    def answer(self, data, took):
        if not self.errands:
            return
        errand, plans = self.errands.pop(data.draw(st.integers(0, len(self.errands) - 1)))
        theirs = {plan.wish.name for plan in plans if self.ways.get(plan.wish.name) is errand}
        if took:
            self.book.taken(errand, plans, {plan.wish.name: 1 for plan in plans})
        else:
            assert {plan.wish.name for plan in self.book.returned(errand, plans)} == theirs
        expected = Standing.RUNNING if took else Standing.WAITING
        for name in theirs:
            del self.ways[name]
            assert self.alive[name].standing is expected

    @rule(name=st.sampled_from(NAMES), group=st.sampled_from(GROUPS), state=st.sampled_from(["finished", "cancelled"]))
    def end(self, name, group, state):
        plan = self.alive.get(name)
        ends = plan is not None and plan.standing is Standing.RUNNING and plan.wish.group == group
        assert (self.book.ended(group, name, state, "") is not None) == ends
        if ends:
            assert self.alive.pop(name).standing.value == state

    @rule(name=st.sampled_from(NAMES))
    def cancel(self, name):
        if name in self.alive:
            self.book.end(self.alive.pop(name), Standing.CANCELLED, "")
            self.ways.pop(name, None)

    @rule(group=st.sampled_from(GROUPS))
    def back(self, group):
        self.book.back(group)
        for name, plan in self.alive.items():
            if plan.wish.group == group:
                assert plan.held
                self.ways.pop(name, None)

    @rule(name=st.sampled_from(NAMES), group=st.sampled_from(GROUPS))
    def move(self, name, group):
        if name in self.alive:
            self.book.move(self.alive[name], group)
            self.ways.pop(name, None)

    @invariant()
    def waiting_and_running_are_those_that_are_alive(self):
        found = [plan for plan in self.book if not plan.over]
        assert {plan.wish.name: plan for plan in found} == self.alive
        assert len(found) == len(self.alive)
        waiting = {plan.wish.name for group in GROUPS for plan in self.book.waiting(group)}
        standing = {name for name, plan in self.alive.items() if plan.standing is Standing.WAITING}
        assert waiting == standing - self.ways.keys()


TestBook = Book.TestCase
