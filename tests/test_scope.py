"""The tree of scopes against a naive one, and what people are told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.scope import Cause, Scope, ScopeEnded


def test_whatever_ends_a_scope_ends_all_below_it_and_nothing_beside_it():
    group = Scope("group g")
    top, side = Scope("camera top", group), Scope("camera side", group)
    plan = Scope("plan a", top)
    assert top.cancel("SIGTERM", 10)
    assert plan.ended(10) == top.ended(99)
    assert str(plan.ended(10)) == "camera top cancelled by SIGTERM"
    assert side.ended(10) is None
    assert group.ended(10) is None


def test_the_first_cause_wins():
    group = Scope("group g")
    plan = Scope("plan a", group)
    assert plan.cancel("an operator", 5)
    assert not plan.cancel("another", 6)
    assert group.cancel("SIGTERM", 7)
    assert (plan.ended(8).scope, plan.ended(8).by, plan.ended(8).at_ns) == ("plan a", "an operator", 5)


def test_of_two_ends_at_one_instant_the_nearer_is_told():
    group = Scope("group g")
    plan = Scope("plan a", group)
    plan.cancel("an operator", 5)
    group.cancel("SIGTERM", 5)
    assert plan.ended(5).scope == "plan a"


def test_a_deadline_counts_from_its_very_instant_and_was_there_before_a_later_cancel():
    scope = Scope("command 7", deadline_ns=100)
    assert scope.ended(99) is None
    assert scope.ended(100).cause is Cause.DEADLINE
    assert not scope.cancel("too late", 150)
    assert (str(scope.ended(200)), scope.ended(200).at_ns) == ("command 7 deadline exceeded", 100)


def test_the_error_carries_the_cause():
    scope = Scope("plan a")
    scope.check(1)
    scope.cancel("SIGTERM", 2)
    with pytest.raises(ScopeEnded) as caught:
        scope.check(3)
    assert caught.value.as_dict() == {
        "code": "cancelled",
        "message": "plan a cancelled by SIGTERM",
        "hint": caught.value.hint,
        "cause": "cancelled",
        "scope": "plan a",
        "by": "SIGTERM",
        "at_ns": 2,
    }


parents = st.lists(st.integers(0, 9), min_size=1, max_size=8)
deadlines = st.lists(st.none() | st.integers(0, 30), min_size=9, max_size=9)
cancels = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 4)), max_size=12)


@given(parents, deadlines, cancels)
def test_any_tree_ends_as_a_naive_one_does(parents, deadlines, cancels):
    scopes, above = [Scope("0", None, deadlines[0])], [None]
    for number, parent in enumerate(parents, start=1):
        above.append(parent % number)
        scopes.append(Scope(str(number), scopes[parent % number], deadlines[number]))
    ends, now_ns = {}, 0

    def chain(number):
        while number is not None:
            yield number
            number = above[number]

    def expected(number):
        found = []
        for each in chain(number):
            own = [at_ns for at_ns in (ends.get(each), deadlines[each]) if at_ns is not None and at_ns <= now_ns]
            found += [(each, min(own))] if own else []
        return min(found, key=lambda end: end[1], default=None)  # the nearer of equals comes first

    for pick, wait_ns in cancels:
        now_ns += wait_ns
        number = pick % len(scopes)
        was = expected(number)
        assert scopes[number].cancel("x", now_ns) == (was is None)
        if was is None:
            ends[number] = now_ns
        for each, scope in enumerate(scopes):
            ended, found = scope.ended(now_ns), expected(each)
            assert (ended and (int(ended.scope), ended.at_ns)) == found
            due = [deadlines[other] for other in chain(each) if deadlines[other] is not None]
            assert scope.deadline_ns == min(due, default=None)
