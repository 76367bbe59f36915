"""The buffer queue against a model of eight lines, through the ioctls."""

import errno

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from simulation.camera_user import User, stepped

from agent.v4l2.uapi import BufferFlag

INDEX = st.integers(0, 4)


class Queue(RuleBasedStateMachine):
    """Every legal and illegal order of REQBUFS, QBUF, DQBUF, STREAMON, STREAMOFF and frames."""

    def __init__(self):
        super().__init__()
        self.kernel = stepped()
        self.user = User(self.kernel)
        self.user.set_format("YUYV", 320, 240)
        self.count, self.streaming, self.sequence = 0, False, 0
        self.queued, self.done = [], []

    def teardown(self):
        self.kernel.release()

    @rule(count=st.integers(0, 4))
    def request(self, count):
        expected = errno.EBUSY if self.streaming else 0
        assert self.user.error(self.user.request, count) == expected
        if not expected:
            self.count = max(2, count) if count else 0
            self.queued, self.done = [], []

    @rule(index=INDEX)
    def queue(self, index):
        legal = index < self.count and index not in self.queued and index not in [i for i, _ in self.done]
        assert self.user.error(self.user.queue, index) == (0 if legal else errno.EINVAL)
        if legal:
            self.queued.append(index)

    @rule()
    def start(self):
        assert self.user.error(self.user.on) == (0 if self.count else errno.EINVAL)
        if self.count and not self.streaming:
            self.streaming, self.sequence = True, 0

    @rule()
    def stop(self):
        self.user.off()
        self.streaming, self.queued, self.done = False, [], []

    @precondition(lambda self: self.streaming)
    @rule()
    def frame(self):
        self.kernel.step(self.user.camera)
        if self.queued:
            self.done.append((self.queued.pop(0), self.sequence))
        self.sequence += 1

    @rule()
    def dequeue(self):
        if not self.streaming or not self.done:
            expected = errno.EAGAIN if self.streaming else errno.EINVAL
            assert self.user.error(self.user.dequeue) == expected
            return
        buffer = self.user.dequeue()
        assert (buffer.index, buffer.sequence) == self.done.pop(0)
        assert not buffer.flags & (BufferFlag.DONE | BufferFlag.QUEUED)

    @invariant()
    def states_agree(self):
        for index in range(self.count):
            flags = self.user.query(index).flags
            assert bool(flags & BufferFlag.QUEUED) == (index in self.queued)
            assert bool(flags & BufferFlag.DONE) == (index in [i for i, _ in self.done])
        assert bool(self.user.poll()) == bool(self.done)


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
