"""Trace ids and the choice of what is worth telling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import InputError
from agent.schedule.requests import Sample, trace_id

WHO = st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**24 - 2), st.integers(0, 2**40 - 1))


@given(WHO, WHO)
def test_a_trace_id_is_32_digits_one_for_each_and_never_all_zero(one, other):
    digits = trace_id(*one)
    assert len(digits) == 32
    assert int(digits, 16) != 0
    assert digits == digits.lower()
    assert (digits == trace_id(*other)) == (one == other)


def test_a_trace_id_is_made_of_run_place_and_number():
    assert trace_id(0, 0, 0) == "0000000000000000" + "000001" + "0000000000"
    assert trace_id(0x1234, 0xAB, 2**40 + 3) == "0000000000001234" + "0000ac" + "0000000003"


@pytest.mark.parametrize("who", [(-1, 0), (2**64, 0), (0, -1), (0, 2**24 - 1)])
def test_what_does_not_fit_is_refused(who):
    with pytest.raises(ValueError, match="does not fit"):
        trace_id(*who, 0)


def test_a_sample_by_number_by_time_and_by_failure():
    sample = Sample(every=10, slower_than_ns=100, failures=True)
    assert [sample.of_end(number, 100) for number in (0, 1, 10)] == [True, False, True]
    assert sample.of_end(1, 101)
    assert sample.of_failure(1, 1)
    nothing = Sample(failures=False)
    assert not nothing.of_end(0, 10**12)
    assert not nothing.of_failure(0, 10**12)
    assert Sample(every=2, failures=False).of_failure(4, 0)


@pytest.mark.parametrize("fields", [{"every": 0}, {"slower_than_ns": -1}])
def test_a_sample_of_nothing_is_bad_input(fields):
    with pytest.raises(InputError):
        Sample(**fields)
