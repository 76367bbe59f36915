"""A client in C that shares no line with ours, against the played agent and the agent's own lender."""

import os
import select
import struct
import subprocess
from pathlib import Path

import pytest
from client.stage import Door, wait_until
from examples.compiled import SOURCE, compiled, sanitizers
from frames.pools import FACTS, GREY, Pool

from agent.frames import wire
from agent.frames.lender import Lender
from agent.frames.pool import LentPool
from agent.frames.values import PoolFormat, Target

PLANAR = PoolFormat("NM12", 32, 16, ((64, 1024), (64, 512)))


@pytest.fixture
def door(tmp_path):
    with Door(tmp_path) as opened:
        yield opened


class Program:
    """The example, running, and the lender it is connected to."""

    def __init__(self, door, *arguments):
        self.process = subprocess.Popen(
            [compiled(SOURCE, *sanitizers()), str(door.path), "top", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def line(self):
        assert select.select([self.process.stdout], [], [], 20)[0], "it printed nothing"
        return self.process.stdout.readline().split()

    def said(self):
        assert select.select([self.process.stderr], [], [], 20)[0], "it said nothing"
        return self.process.stderr.readline().strip()

    def ended(self):
        out, error = self.process.communicate(timeout=20)
        return self.process.returncode, out, error


def accepted(door):
    assert select.select([door._listener], [], [], 20)[0]
    channel, _ = door._listener.accept()
    assert select.select([channel], [], [], 20)[0]
    return channel


def lender_of(door, *, opening=True):
    from client.stage import PlayedLender

    lender = PlayedLender(accepted(door))
    door._lenders.append(lender)
    if opening:
        lender.open()
    return lender


def returned(lender):
    return wait_until(lender.returned)


def test_it_is_short():
    assert len(SOURCE.read_text().splitlines()) < 150


def test_it_compiles_strictly_without_sanitizers():
    assert compiled().exists()


def test_it_subscribes_and_prints_frames(door):
    with Program(door, "5") as program:
        lender = lender_of(door)
        assert lender.subscribe == (Target.CAMERA, "top", False, None, 0, 1, 1)
        pool = lender.pool()
        for number in range(5):
            pool.planes[number % 4][0][:64] = range(number, 64 + number)
            facts = FACTS._replace(sequence=100 + number)
            lease = lender.lend(pool, number % 4, facts=facts, traces=bytes(wire.TRACE_BYTES) * number)
            assert program.line() == [str(100 + number), str(FACTS.timestamp_ns), str(sum(range(64)) + 64 * number)]
            assert returned(lender)[:1] == [lease]
        assert program.ended()[0] == 0


def test_what_was_taken_back_on_its_way_is_answered_and_not_printed(door):
    with Program(door, "1") as program:
        lender = lender_of(door)
        pool = lender.pool()
        leases = [lender.lend(pool, 0, good=False) for _ in range(3)]
        good = lender.lend(pool, 1, facts=FACTS._replace(sequence=7))
        assert program.line()[0] == "7"
        code, out, _ = program.ended()
        assert (code, out) == (0, "")
        assert lender.returned() == [*leases, good, "end"]


def test_formats_change_and_pools_are_forgotten(door):
    with Program(door) as program:
        lender = lender_of(door)
        for round_ in range(40):  # more than it has places for at a time
            form, lengths, used = ((GREY, (2048,), None), (PLANAR, (4096, 4096), (1024, 512)))[round_ % 2]
            pool = lender.pool(4, lengths, form=form)
            offset = 128 * (round_ % 2)
            pool.planes[3][0][offset] = round_ + 1
            lease = lender.lend(pool, 3, used=used, offsets=(offset,) * len(lengths))
            assert program.line()[2] == str(round_ + 1)
            assert returned(lender) == [lease]
            pool.forget()
            pool.release()
            lender._pools.clear()
        # what it has mapped: one more message makes sure that the last pool was forgotten
        lender.state("STOPPED")
        assert program.said() == "state: top; ;"
        text = Path(f"/proc/{program.process.pid}/maps").read_text()
        assert "memfd:" not in text


def test_a_pool_that_was_never_passed_is_nothing_to_forget(door):
    with Program(door) as program:
        lender = lender_of(door)
        lender.send(wire.pack_forget(5))
        lender.state("STOPPED")
        assert program.said() == "state: top; ;"


def test_states_are_told_and_frames_follow(door):
    with Program(door, "1") as program:
        lender = lender_of(door)
        lender.state("FAULT", cause="stream_fault", hint="look at the cable")
        assert program.said() == "state: top; stream_fault; look at the cable"
        lender.lend(lender.pool())
        assert program.line()[0] == str(FACTS.sequence)


def test_a_refusal_is_told(door):
    with Program(door) as program:
        lender_of(door, opening=False).refuse("camera_unknown", "there is no camera top", "look at the list")
        assert program.ended() == (1, "", "refused: camera_unknown; there is no camera top; look at the list\n")


def test_the_end_is_told(door):
    with Program(door) as program:
        lender_of(door).die()
        assert program.ended() == (3, "", "the connection ended\n")


def test_last_words_are_heard_though_an_answer_was_not(door):
    with Program(door) as program:
        lender = lender_of(door)
        lender.lend(lender.pool())
        assert program.line()
        assert select.select([lender.channel], [], [], 20)[0], "its answer is there, and nobody reads it"
        lender.refuse("stuck", "too late", "connect again")
        assert program.ended() == (1, "", "refused: stuck; too late; connect again\n")


def test_more_traces_than_fit_come_in_a_file(door):
    with Program(door, "4") as program:
        lender = lender_of(door)
        pool = lender.pool()
        count = wire.TRACES_INLINE + 1
        held = []
        for lease in range(1, 5):
            pool.marks.words[0] = lease
            message = wire.pack_frame(pool.number, 0, lease, lease, 1, FACTS, (0,), (2048,), count)
            with open("/dev/null") as file:
                lender.send(message, [file.fileno()])
            assert program.line()[0] == str(FACTS.sequence)
            assert lease in returned(lender)
            if lease < 4:
                lender.state("STREAMING")  # told after the descriptor was closed
                program.said()
                held.append(len(list(Path(f"/proc/{program.process.pid}/fd").iterdir())))
        assert held == [held[0]] * 3
        assert program.ended()[0] == 0


WRONG = {
    "another version": struct.pack("=BxHI", 1, 9, 0),
    "an unknown kind": struct.pack("=BxHI", 77, 0, 0),
    "cut off": b"\4",
    "an unknown pool": wire.pack_frame(8, 0, 1, 1, 1, FACTS, (0,), (1,), 0),
    "no such buffer": wire.pack_frame(1, 4, 1, 1, 1, FACTS, (0,), (1,), 0),
    "beyond the end": wire.pack_frame(1, 0, 1, 1, 1, FACTS, (2048,), (1,), 0),
    "an offset that wraps": wire.pack_frame(1, 0, 1, 1, 1, FACTS, (2**32 - 1,), (2**32 - 1,), 0),
    "a frame cut off": wire.pack_frame(1, 0, 1, 1, 1, FACTS, (0,), (1,), 0)[:-1],
    "a pool without marks": wire.pack_pool(2, 4, GREY, "top"),
}


@pytest.mark.parametrize("packet", WRONG.values(), ids=WRONG)
def test_nonsense_ends_it(door, packet):
    with Program(door) as program:
        lender = lender_of(door)
        lender.pool()
        lender.send(packet)
        code, out, error = program.ended()
        assert (code, out) == (2, "")
        assert error.startswith("what came is wrong: ")


def test_with_the_agents_own_lender(door):
    with Program(door, "50") as program:
        channel = accepted(door)
        assert wire.unpack_subscribe(channel.recv(wire.ANSWER_BYTES)).name == "top"
        pool, lender = Pool(4, (2048,)), Lender(channel)
        try:
            pool.lent = LentPool("top", GREY, pool.memory)
            number = lender.add_pool(pool.lent)
            for round_ in range(50):
                index = round_ % 4
                pool.planes[index][0][:] = round_
                lease = lender.lend(number, index, FACTS, pool.planes[index], (0,), (), 1_000_000_000)
                assert program.line()[2] == str(64 * round_)
                settled, _ = wait_until(lender.receive)
                assert settled is lease
            assert program.ended()[0] == 0
        finally:
            lender.release()
            pool.release()


MEANWHILE = """
#include <stdatomic.h>
static void meanwhile(void);
#undef atomic_thread_fence
#define atomic_thread_fence(order) meanwhile() /* what happens between reading and the second look */
#define main example
#include "SOURCE"
#undef main
static _Atomic uint64_t marks[2] = { 5, 6 };
static int revokes;
static void meanwhile(void) { if (revokes) marks[1] = 0; }
int main(void) {
    uint8_t memory[128] = { 1, 2, 3 };
    struct plane planes[2] = { { memory, 128, -1 }, { memory, 128, -1 } };
    struct frame frame = { .pool = 7, .place = 1, .generation = 6, .lengths = { 128 } };
    pools[3] = (struct mapped){ 7, 2, 1, marks, planes };
    printf("%d\\n", read_frame(&frame));
    revokes = 1;
    printf("%d\\n", read_frame(&frame));
    marks[1] = 6; revokes = 0; frame.generation = 4;
    printf("%d\\n", read_frame(&frame));
    return example == 0;
}
"""


def test_the_mark_is_looked_at_before_and_after_reading(tmp_path):
    program = tmp_path / "meanwhile.c"
    program.write_text(MEANWHILE.replace("SOURCE", str(SOURCE)))
    done = subprocess.run([compiled(program, "-Wno-address")], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["0 0 6", "1", "0", "0"], "good; revoked while it was read; revoked before"


def test_it_says_how_it_is_used(tmp_path):
    done = subprocess.run([compiled()], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "usage: frames SOCKET CAMERA [FRAMES]\n")
    missing = subprocess.run([compiled(), tmp_path / "none", "top"], capture_output=True, text=True, check=False)
    assert missing.returncode == 2
    assert os.strerror(2) in missing.stderr
