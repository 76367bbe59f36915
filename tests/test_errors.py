import weakref

from agent.errors import StreamFault, without_frames


class Buffer:
    """What a frame of a traceback would keep."""


def broken(seen):
    buffer = Buffer()
    seen.append(weakref.ref(buffer))
    try:
        raise OSError(19, "No such device")
    except OSError as error:
        raise StreamFault("it broke", hint="plug it in") from error


def test_an_error_that_is_kept_keeps_nothing_of_the_stack():
    seen = []
    try:
        broken(seen)
    except StreamFault as error:
        kept = error
    assert seen[0]() is not None
    assert without_frames(kept) is kept
    assert seen[0]() is None
    assert isinstance(kept.__cause__, OSError)


def test_one_that_was_never_raised_is_left_as_it_is():
    error = StreamFault("broken", hint="start it")
    assert without_frames(error) is error
