"""A process that asks for tokens as fast as it can: `racer.py FD ASKS SEED`, see test_quota.py.

Every grant is a line on stdout when it ends: the number of its change, the reading it was asked with, its buckets and,
after a colon each, the instant at which the bucket granted: a later reading that somebody brought before counts there.
ASKS 0 asks for ever, until it is killed.
"""

import itertools
import random
import sys
import time

from agent.schedule.quota import Buckets
from agent.shared import Lock, Page

COMMITTED, HEADER_WORDS, SLOT_WORDS, LAST = 1, 2, 6, 5
SETS = ((0,), (1,), (0, 1), (0, 1, 2), (3, 2, 1, 0))


class Watched:
    """The lock; notes the number of the latest change, and the buckets' instants, before it lets go."""

    def __init__(self, lock, words):
        self._lock, self._words = lock, words
        self.stamp, self.words = 0, []

    def __enter__(self):
        self._lock.__enter__()

    def __exit__(self, *exception):
        self.stamp, self.words = self._words[COMMITTED], self._words.tolist()
        self._lock.__exit__(*exception)


def instant(words, index):
    """When a bucket was granted of last: the younger of its two slots says so."""
    first = HEADER_WORDS + 2 * SLOT_WORDS * index
    return max((words[slot], words[slot + LAST]) for slot in (first, first + SLOT_WORDS))[1]


def main(fd, asks, seed):
    page = Page.attach_writer(fd)
    watched = Watched(Lock(page), page.words)
    buckets = Buckets(page.words, lambda: watched)
    choose = random.Random(seed).choice
    print("ready", flush=True)
    sys.stdin.readline()
    grants, refused = [], 0
    for _ in range(asks) if asks else itertools.count():
        chosen = choose(SETS)
        now_ns = time.monotonic_ns()
        if buckets.take(chosen, now_ns) is None:
            grants.append((watched.stamp, now_ns, [(index, instant(watched.words, index)) for index in chosen]))
        else:
            refused += 1
    for stamp, now_ns, chosen in grants:
        print(stamp, now_ns, *(f"{index}:{at_ns}" for index, at_ns in chosen))
    print("refused", refused)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
