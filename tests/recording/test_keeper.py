"""The keeper of a folder, as a state machine: limits hold, the oldest go first, the file being written never."""

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.recording.keeper import Keeper

LIMIT, KEEP = 1000, 50


class KeptFolder(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.keeper = Keeper(LIMIT, KEEP)
        self.files, self.writing, self.now, self.number = {}, set(), 0, 0

    @rule(size=st.integers(1, 400), step=st.integers(0, 20), begin=st.booleans())
    def add(self, size, step, begin):
        self.now += step
        name, self.number = f"f{self.number}", self.number + 1
        self.clean(size)
        if begin:
            self.keeper.begin(name)
            self.writing.add(name)
        self.keeper.add(name, size, self.now)
        self.files[name] = [size, self.now]

    @precondition(lambda self: self.writing)
    @rule(size=st.integers(1, 400), data=st.data())
    def grow(self, size, data):
        name = data.draw(st.sampled_from(sorted(self.writing)))
        self.clean(size)
        self.keeper.add(name, size, self.now)
        self.files[name] = [self.files[name][0] + size, self.now]

    @precondition(lambda self: self.writing)
    @rule(data=st.data())
    def finish(self, data):
        name = data.draw(st.sampled_from(sorted(self.writing)))
        self.writing.discard(name)
        self.keeper.finish(name)

    @rule(step=st.integers(0, 100))
    def grow_old(self, step):
        self.now += step
        self.clean(0)
        self.clean(0)  # where the limit took a younger file away that began before, the old one goes at the next look
        assert all(
            at >= self.now - KEEP or name in self.writing or self.hidden(name) for name, (_, at) in self.files.items()
        )

    @rule(size=st.integers(1, 2000))
    def disk_is_full(self, size):
        victims = self.keeper.oldest(size)
        sizes = [self.files[name][0] for name in victims]
        assert sum(sizes) >= size or set(victims) == set(self.files) - self.writing
        assert sum(sizes[:-1]) < size
        self.take(victims)

    def clean(self, coming):
        """As the folder does before it writes."""
        victims = self.keeper.victims(self.now, coming)
        removable = [name for name in self.files if name not in self.writing]
        assert set(victims) <= set(removable)
        self.take(victims)
        left = sum(size for size, _ in self.files.values())
        assert self.keeper.fits(coming) == (left + coming <= LIMIT)
        if not self.keeper.fits(coming):
            assert set(self.files) == self.writing, "it may only be too much when nothing can go"

    def take(self, victims):
        for name in victims:
            del self.files[name]
            self.keeper.remove(name)

    def hidden(self, name):
        """Behind a younger file that began before: order is that of beginnings."""
        names = list(self.files)
        return any(
            self.files[other][1] >= self.now - KEEP for other in names[: names.index(name)] if other not in self.writing
        )

    @invariant()
    def knows_what_is_there(self):
        assert {file.name: [file.size_bytes, file.at_ns] for file in self.keeper} == self.files
        assert self.keeper.total_bytes == sum(size for size, _ in self.files.values())


TestKeptFolder = KeptFolder.TestCase


def test_without_limits_nothing_goes():
    keeper = Keeper(None, None)
    keeper.add("a", 10**15, 0)
    assert keeper.victims(10**18, 10**15) == []
    assert keeper.fits(10**18)


def test_a_folder_at_its_limit_is_brought_below_it_at_once():
    keeper = Keeper(6400, None)
    for number in range(640):
        keeper.add(f"{number}", 10, number)
    assert keeper.victims(0, 10) == [f"{number}" for number in range(11)]
