"""Metrics over TCP: what Prometheus reads, where, and what it may not do."""

import asyncio
import re
import socket
from contextlib import suppress

import pytest
from service.played import camera, played

from agent.service.metrics_door import MetricsBusy

TOP = camera("/dev/video0", serial="A1")
CONFIG = """cameras:
  top: {device: {serial: A1}}
  left: {device: {serial: B2}}
plans:
  lapse: {camera: top, every: 1s}
"""
LINE = re.compile(
    r"# (HELP camera_agent_\w+ .+|TYPE camera_agent_\w+ (gauge|counter|summary))"
    r'|camera_agent_\w+(\{\w+="([^"\\]|\\.)*"(,\w+="([^"\\]|\\.)*")*\})? -?\d+(\.\d+)?(e-?\d+)?'
)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


async def asked(port, request=b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()


def with_metrics(port, config=CONFIG):
    return f"metrics: 127.0.0.1:{port}\n{config}"


def test_every_line_is_of_the_text_format(tmp_path):
    port = free_port()

    async def scene(stage):
        await stage.ready("top")
        head, _, body = (await asked(port)).partition("\r\n\r\n")
        assert head.startswith("HTTP/1.1 200 OK\r\n")
        assert "text/plain; version=0.0.4" in head
        assert [line for line in body.splitlines() if not LINE.fullmatch(line)] == []
        assert 'camera_agent_camera_state{camera="left",state="absent"} 1' in body
        assert 'camera_agent_plans{state="running"} 1' in body
        assert 'camera_agent_camera_frames_total{camera="top"} 0' in body
        assert 'camera_agent_process_starts_total{group="top"} 1' in body

    played(tmp_path, with_metrics(port), TOP)(scene)


@pytest.mark.parametrize(
    "request_", [b"GET / HTTP/1.1\r\n\r\n", b"POST /metrics HTTP/1.1\r\n\r\n", b"\r\n\r\n", b"\n\n"]
)
def test_anything_else_is_not_found(tmp_path, request_):
    port = free_port()

    async def scene(_stage):
        assert (await asked(port, request_)).startswith("HTTP/1.1 404")

    played(tmp_path, with_metrics(port), TOP)(scene)


def test_a_head_without_end_and_visitors_without_number_are_sent_away(tmp_path):
    port = free_port()

    async def scene(_stage):
        with suppress(ConnectionError):
            assert await asked(port, b"x" * 20_000) == ""
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(16)]
        with suppress(ConnectionError):
            assert await asked(port) == ""
        for _, writer in silent:
            writer.close()
            await writer.wait_closed()

    played(tmp_path, with_metrics(port), TOP)(scene)


def test_a_reload_moves_them_and_takes_them_away(tmp_path):
    first, second = free_port(), free_port()

    async def scene(stage):
        stage.write(with_metrics(second))
        await stage.agent.reload("a test")
        assert "camera_agent_info" in await asked(second)
        with pytest.raises(ConnectionError):
            await asked(first)
        stage.write(CONFIG)
        await stage.agent.reload("a test")
        with pytest.raises(ConnectionError):
            await asked(second)

    played(tmp_path, with_metrics(first), TOP)(scene)


def test_a_port_that_somebody_has_keeps_no_camera_from_working_and_no_reload_from_saying_so(tmp_path):
    async def scene(stage):
        assert "metrics.failed" in stage.kinds
        await stage.ready("top")
        with pytest.raises(MetricsBusy, match="Address already in use"):
            await stage.agent.reload("a test")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        played(tmp_path, with_metrics(taken.getsockname()[1]), TOP)(scene)
