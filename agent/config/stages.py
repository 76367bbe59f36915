"""`limits:` and `realtime:` of a file: what every capture process is told beside its cameras."""

from __future__ import annotations

from agent.capture.order import Realtime, StageLimits
from agent.config import kinds
from agent.config.reader import Table

_CPU = kinds.integer(0, 1023)
_FIFO = kinds.integer(1, 99)


def read_limits(table: Table) -> StageLimits:
    """How long each stage may take; what is usual where nothing is written."""
    value = table.take("limits")
    read = None if value is None else value.table(_stages)
    return StageLimits() if read is None else read


def _stages(table: Table) -> StageLimits:
    usual = StageLimits()
    return StageLimits(
        session_ns=table.scalar("session", kinds.DURATION, usual.session_ns),
        focus_ns=table.scalar("focus", kinds.DURATION, usual.focus_ns),
        frame_ns=table.scalar("frame", kinds.DURATION, usual.frame_ns),
        encode_ns=table.scalar("encode", kinds.DURATION, usual.encode_ns),
        develop_ns=table.scalar("develop", kinds.DURATION, usual.develop_ns),
        stop_ns=table.scalar("stop", kinds.DURATION, usual.stop_ns),
        step_ns=table.scalar("step", kinds.DURATION, usual.step_ns),
    )


def read_realtime(table: Table) -> Realtime:
    """Real-time wishes; none where nothing is written."""
    value = table.take("realtime")
    read = None if value is None else value.table(_wishes)
    return Realtime() if read is None else read


def _wishes(table: Table) -> Realtime:
    return Realtime(
        cpus=_cpus(table),
        fifo_priority=table.scalar("fifo", _FIFO, None),
        lock_memory=table.scalar("lock_memory", kinds.BOOLEAN, default=False),
        timer_slack_ns=table.scalar("timer_slack", kinds.DURATION, None),
        join_ns=table.scalar("join", kinds.DURATION, Realtime().join_ns),
    )


def _cpus(table: Table) -> tuple[int, ...] | None:
    value = table.take("cpus")
    if value is None:
        return None
    before = len(value.problems)
    cpus = value.items(lambda item: item.scalar(_CPU))
    if len(value.problems) == before and (not cpus or len(set(cpus)) != len(cpus)):
        value.refuse("a processor is named twice" if cpus else "no processor", "write each once, such as [1]")
    return cpus
