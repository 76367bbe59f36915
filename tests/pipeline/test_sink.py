"""The sink: the same files as a direct write, one answer a frame, and nothing of what was taken back."""

import contextlib
import errno
import json
import os
import select
import signal
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from frames.pools import FACTS, Channel, Pool
from pipeline.failing import FailingFiles
from pipeline.synthetic import CIRCUMSTANCES, camera_jpeg, frame_of, jpeg_frame

from agent.capture.publish import SinkPublisher
from agent.capture.session import Session
from agent.capture.settings import Settings
from agent.capture.sink_process import SINK_PROGRAM, SinkOrder, SinkProcess
from agent.frames.lender import Lender
from agent.frames.marks import CommitToken
from agent.frames.pool import LentPool
from agent.frames.wire import PoolFormat
from agent.pipeline.calls import LinuxFiles
from agent.pipeline.encode import PictureKind
from agent.pipeline.frame_log import LOG_NAME
from agent.pipeline.record import Circumstances
from agent.pipeline.sink import Store, serve
from agent.pipeline.writer import PictureWriter
from agent.simulation.bench import sensor_profile, uvc_profile
from agent.simulation.clock import ManualClock
from agent.simulation.kernel import SimulatedKernel

LIMIT_NS = 800_000_000
TRACES = tuple(f"{number:032x}" for number in (1, 2))


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def lines(folder):
    return [json.loads(line) for line in (folder / LOG_NAME).read_text().splitlines()]


def untimed(line):
    assert line.pop("encode_began_ns") <= line.pop("encode_ended_ns")
    return line


def facts_of(frame):
    return FACTS._replace(
        sequence=frame.sequence,
        timestamp_ns=frame.timestamp_ns,
        uncertainty_ns=frame.uncertainty_ns,
        dequeued_ns=frame.dequeued_ns,
        lost_before=frame.lost_before,
        realtime_ns=CIRCUMSTANCES.realtime_ns,
        exposure_ns=CIRCUMSTANCES.exposure_ns,
        gain=CIRCUMSTANCES.gain,
    )


class Bench:
    """A lender of synthetic frames, and a store that is served until all it was lent is answered for."""

    def __init__(self, folder, *, files=None, cameras=("top",), **order):
        self.channel = Channel(floor=0, order=SinkOrder(folder=folder, cameras={}).as_bytes())
        self.store = Store(
            SinkOrder(folder=folder, cameras=dict.fromkeys(cameras, "Bench Cam"), **order),
            files=files or LinuxFiles(),
        )
        self.pools = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.store.release()
        self.channel.__exit__()

    def lend(self, frame, camera="top", trace_ids=TRACES):
        form = frame.format
        key = (camera, form)
        if key not in self.pools:
            pool_form = PoolFormat(
                form.pixel_format,
                form.width_px,
                form.height_px,
                tuple((plane.bytes_per_line, plane.size_bytes) for plane in form.planes),
            )
            lengths = tuple(plane.size_bytes for plane in form.planes)
            self.pools[key] = [self.channel.pool(8, lengths, form=pool_form, camera=camera), 0]
        pool, index = self.pools[key]
        self.pools[key][1] += 1
        for memory, plane in zip(pool.planes[index], frame.planes, strict=True):
            memory[: plane.size] = plane
        used = [plane.size for plane in frame.planes]
        return self.channel.lend(pool, index, facts=facts_of(frame), used=used, trace_ids=trace_ids)

    def revoke(self, camera="top"):
        return [
            lease
            for (name, _), (pool, _) in self.pools.items()
            if name == camera
            for lease in self.channel.lender.revoke(pool.number)
        ]

    def serve(self):
        """As if the lender had died: all that it sent is served, then the channel's end is found."""
        self.channel.ours.shutdown(socket.SHUT_WR)
        serve(self.channel.borrower, self.store)
        return self.answers()

    def answers(self):
        found = []
        while (settled := self.channel.lender.receive()) is not None:
            found.append(settled[1])
        return found


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (code, kind)
        for code in ("YUYV", "NM12", "MJPG", "RG10", "Y16-BE")
        for kind in PictureKind
        if kind is not PictureKind.DNG or code == "RG10"
    ],
)
def test_a_picture_is_byte_for_byte_that_of_a_direct_write(tmp_path, kind, code):
    frame = jpeg_frame(camera_jpeg()) if code == "MJPG" else frame_of(code)
    circumstances = replace(CIRCUMSTANCES, exposure_requested_ns=None)
    with PictureWriter(tmp_path / "direct", "top", kind, quality=77, model="Bench Cam") as writer:
        direct = writer.write(frame, circumstances)
    with Bench(tmp_path / "lent", kind=str(kind), quality=77) as bench:
        bench.lend(frame)
        (answer,) = bench.serve()
    assert (answer.stored, answer.code, answer.file) == (True, "", direct.file)
    assert (tmp_path / "lent" / answer.file).read_bytes() == (tmp_path / "direct" / direct.file).read_bytes()
    (lent,), (written,) = lines(tmp_path / "lent"), lines(tmp_path / "direct")
    assert lent.pop("trace_ids") == list(TRACES)
    assert untimed(lent) == untimed(written)


def test_a_line_without_requests_names_none(tmp_path):
    with Bench(tmp_path) as bench:
        bench.lend(frame_of("YUYV"), trace_ids=())
        assert bench.serve()[0].stored
    assert "trace_ids" not in lines(tmp_path)[0]


def test_several_cameras_have_a_folder_each(tmp_path):
    with Bench(tmp_path, cameras=("top", "left side")) as bench:
        bench.store.prepare()
        for camera in ("top", "left side", "top"):
            bench.lend(frame_of("YUYV"), camera)
        files = [answer.file for answer in bench.serve()]
    assert files == ["top/top-000000.jpg", "left-side/left-side-000000.jpg", "top/top-000001.jpg"]
    assert names(tmp_path) == sorted([*files, f"left-side/{LOG_NAME}", f"top/{LOG_NAME}"])
    assert [line["file"] for line in lines(tmp_path / "top")] == ["top-000000.jpg", "top-000001.jpg"]


def test_a_full_disk_is_the_answer_and_the_sink_goes_on(tmp_path):
    files = FailingFiles()
    with Bench(tmp_path, files=files) as bench:
        bench.store.prepare()
        files.room = 100
        for _ in range(2):
            bench.lend(frame_of("YUYV"))
        full = bench.serve()
        assert [(answer.stored, answer.code) for answer in full] == [(False, "storage")] * 2
        assert "No space left" in full[0].told
    with Bench(tmp_path, files=files) as bench:
        files.room = None
        bench.lend(frame_of("YUYV"))
        assert bench.serve()[0].file == "top-000000.jpg"
    assert names(tmp_path) == [LOG_NAME, "top-000000.jpg"]
    assert not files.open_fds


def test_a_folder_that_cannot_be_made_is_tried_again_with_each_frame(tmp_path):
    files = FailingFiles(fails={"open": errno.EROFS})
    with Bench(tmp_path, files=files) as bench:
        for _ in range(2):
            bench.lend(frame_of("YUYV"))

        class Repaired(LinuxFiles):
            """The second frame finds the disk mounted anew."""

            def open(self, path, flags, mode=0o666):
                try:
                    return files.open(path, flags, mode)
                finally:
                    files.fails.clear()

        bench.store._files = Repaired()
        answers = bench.serve()
    assert [(answer.stored, answer.code) for answer in answers] == [(False, "storage"), (True, "")]


def test_a_log_that_broke_is_opened_anew(tmp_path):
    files = FailingFiles()
    with Bench(tmp_path, files=files) as bench:
        bench.store.prepare()
        log = bench.store._writers["top"]._log
        log.release()  # what FrameLog does when not even cutting back works
        for _ in range(2):
            bench.lend(frame_of("YUYV"))
        answers = bench.serve()
    assert [(answer.stored, answer.code) for answer in answers] == [(False, "wrong_state"), (True, "")]
    assert not files.open_fds


def test_a_damaged_frame_is_the_answer_and_the_next_one_follows(tmp_path):
    whole = camera_jpeg()
    with Bench(tmp_path) as bench:
        bench.lend(jpeg_frame(b"\xff\xd8" + bytes(len(whole) - 2)))
        bench.lend(jpeg_frame(whole))
        answers = bench.serve()
    assert [(answer.stored, answer.code) for answer in answers] == [(False, "picture_damaged"), (True, "")]
    assert names(tmp_path) == [LOG_NAME, "top-000000.jpg"]


def test_what_was_revoked_while_it_waited_leaves_nothing_and_is_not_even_written(tmp_path):
    files = FailingFiles()
    with Bench(tmp_path, files=files) as bench:
        leases = [bench.lend(frame_of("YUYV")) for _ in range(3)]
        assert bench.revoke() == leases
        later = bench.lend(frame_of("YUYV"))
        answers = bench.serve()
    assert [(answer.lease, answer.stored, answer.code) for answer in answers] == [
        *((lease.number, False, "revoked") for lease in leases),
        (later.number, True, ""),
    ]
    assert names(tmp_path) == [LOG_NAME, "top-000000.jpg"]
    assert files.calls.count("writev") == 2, "a picture and its line"


class RevokingFiles(LinuxFiles):
    """Has a camera stopped within one of its calls."""

    def __init__(self, call):
        self.call = call
        self.ended = None
        self.bench = None

    def writev(self, fd, buffers):
        self._at("writev", len(b"".join(buffers)) > 1000)
        return super().writev(fd, buffers)

    def link_open(self, fd, path):
        self._at("link_open", True)
        super().link_open(fd, path)

    def _at(self, call, it_is_a_picture):
        if call == self.call and it_is_a_picture:
            self.ended = self.bench.revoke()


def test_what_is_revoked_while_it_is_written_gets_no_name(tmp_path):
    files = RevokingFiles("writev")
    with Bench(tmp_path, files=files) as bench:
        files.bench = bench
        lease = bench.lend(frame_of("YUYV"))
        (answer,) = bench.serve()
    assert files.ended == [lease]
    assert (answer.stored, answer.code) == (False, "revoked")
    assert names(tmp_path) == [LOG_NAME]
    assert lines(tmp_path) == []


def test_what_is_getting_its_name_when_it_is_revoked_is_stored_and_said_to_be(tmp_path):
    files = RevokingFiles("link_open")
    with Bench(tmp_path, files=files) as bench:
        files.bench = bench
        lease, queued = (bench.lend(frame_of("YUYV")) for _ in range(2))
        answers = bench.serve()
        assert files.ended == []
        assert lease.live
        assert queued.live
    assert [answer.stored for answer in answers] == [True, False]
    assert names(tmp_path) == [LOG_NAME, "top-000000.jpg"]
    assert len(lines(tmp_path)) == 1


def test_an_order_there_and_back(tmp_path):
    order = SinkOrder(
        folder=tmp_path, cameras={"top": "Kamera Ä", "side": ""}, kind="png", quality=5, durability="synced"
    )
    assert SinkOrder.from_bytes(order.as_bytes()) == order


class Process:
    """A real sink process with a lender of one pool. `sink`, `lender`."""

    def __init__(self, folder):
        self.frame = frame_of("YUYV")
        layout = self.frame.format.planes[0]
        self.sink = SinkProcess(SINK_PROGRAM, os.sched_getaffinity(0))
        order = SinkOrder(folder=folder, cameras={"top": "Bench Cam"})
        self.lender = Lender(self.sink.channel, order.as_bytes(), floor=0, token=CommitToken.create())
        self.pool = Pool(4, (layout.size_bytes,))
        form = PoolFormat("YUYV", 320, 240, ((layout.bytes_per_line, layout.size_bytes),))
        self.lent = LentPool("top", form, self.pool.memory, floor=0)
        self.number = self.lender.add_pool(self.lent)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lender.release()
        self.sink.release()
        self.pool.release()

    def lend(self, many):
        (plane,) = self.frame.planes
        for index in range(many):
            self.pool.planes[index][0][:] = plane
            lease = self.lender.lend(self.number, index, facts_of(self.frame), [plane], (0,), TRACES, LIMIT_NS)
            assert lease is not None

    def wait(self, fd):
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        assert poll.poll(20_000)


def test_a_sink_whose_capture_process_was_killed_stores_what_is_whole_and_ends(tmp_path):
    with Process(tmp_path) as process:
        sink = process.sink
        process.lend(3)
        os.kill(sink.pid, signal.SIGINT)  # Ctrl-C in a terminal reaches it too, while it loads
        os.kill(sink.pid, signal.SIGTERM)
        sink.channel.close()  # all a killed process does
        process.wait(sink.pidfd)
        assert sink.gone()
        assert sink.ending == "ended with status 0"
        assert not Path(f"/proc/{sink.pid}").exists()
    assert names(tmp_path) == [LOG_NAME, *(f"top-{number:06d}.jpg" for number in range(3))]
    assert [line["trace_ids"] for line in lines(tmp_path)] == [list(TRACES)] * 3


def test_a_sink_without_a_folder_says_so_with_each_frame(tmp_path):
    (tmp_path / "file").touch()
    with Process(tmp_path / "file" / "below") as process:
        for _ in range(2):
            process.lend(1)
            while (settled := process.lender.receive()) is None:
                process.wait(process.lender.fileno())
                assert not process.lender.closed
            assert (settled[1].stored, settled[1].code) == (False, "storage")
            assert "Not a directory" in settled[1].told


def test_two_cameras_through_a_real_sink_process(tmp_path):
    cards = {"top": "Bench camera A", "side": "Bench camera B"}
    with contextlib.ExitStack() as held:
        clock = ManualClock()
        kernel = held.enter_context(SimulatedKernel([uvc_profile(), sensor_profile()], clock=clock))
        publisher = SinkPublisher(SinkOrder(folder=tmp_path / "lent", cameras=cards))
        held.callback(publisher.release)
        poll = select.poll()
        poll.register(publisher.fds()[0], select.POLLIN)
        for number, (name, card) in enumerate(cards.items()):
            session = held.enter_context(Session(kernel, kernel.cameras[number].path, read_monotonic_ns=clock.now_ns))
            prepared = session.prepare(Settings(buffer_count=6, settle_frames=0, exposure_ns=8_000_000))
            session.arm()
            publisher.camera_armed(name, prepared.format, session.pool)
            kernel.step(kernel.cameras[number])
            shot = session.take(limit_ns=LIMIT_NS)
            with PictureWriter(tmp_path / "direct" / name, name, model=card) as writer:
                circumstances = Circumstances(
                    realtime_ns=shot.realtime_ns, exposure_ns=shot.exposure_ns, gain=shot.gain, trace_ids=TRACES
                )
                writer.write(shot.frame, circumstances)
            assert publisher.publish(name, shot, TRACES, LIMIT_NS)
            while not (back := publisher.collect(0)):
                assert poll.poll(20_000)
            assert [(returned.shot, returned.stored, returned.error) for returned in back] == [(shot, True, "")]
            session.give_back(shot)
        assert not publisher.fault
    lent, direct = tmp_path / "lent", tmp_path / "direct"
    assert (
        names(lent)
        == names(direct)
        == [
            "side/frames.jsonl",
            "side/side-000000.jpg",
            "top/frames.jsonl",
            "top/top-000000.jpg",
        ]
    )
    for name in ("side/side-000000.jpg", "top/top-000000.jpg"):
        assert (lent / name).read_bytes() == (direct / name).read_bytes()
    for name in ("side", "top"):
        assert [untimed(line) for line in lines(lent / name)] == [untimed(line) for line in lines(direct / name)]
