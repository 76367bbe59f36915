"""`quotas:` of a file: limits of all plans together, of cameras, and of clients."""

from __future__ import annotations

from agent.config import kinds
from agent.config.problems import quoted
from agent.config.reader import Table, Value
from agent.schedule.quota import Limit
from agent.units import NS_PER_S, format_duration

_UNITS = {NS_PER_S: "s", 60 * NS_PER_S: "min", 3600 * NS_PER_S: "h", 24 * 3600 * NS_PER_S: "d"}


def read_quotas(value: Value, cameras: frozenset[str] | None, clients: frozenset[str] | None) -> dict[str, Limit]:
    """All limits by bucket: `agent`, `camera/NAME`, `client/NAME`.

    `cameras`, `clients`: those there are, None when that is not known: then any name will do.
    """
    found: dict[str, Limit] = {}

    def read(inner: Table) -> None:
        agent = inner.scalar("agent", kinds.LIMIT, None)
        if agent is not None:
            found["agent"] = agent
        found.update(_named_quotas(inner, "camera", cameras))
        found.update(_named_quotas(inner, "client", clients))

    value.table(read)
    return found


def _named_quotas(table: Table, one: str, known: frozenset[str] | None) -> dict[str, Limit]:
    """`cameras: {top: 30/s}` as `camera/top`. A name that nothing has would be a limit that nobody feels."""
    value = table.take(f"{one}s")
    if value is None:
        return {}
    missing = "no plan has the client" if one == "client" else "no camera is named"

    def read(name: str, entry: Value) -> Limit | None:
        if known is not None and name not in known:
            entry.refuse(f"{missing} {quoted(name)}", table.problems.suggest(name, sorted(known)))
        return entry.scalar(kinds.LIMIT)

    return {f"{one}/{name}": limit for name, limit in value.mapping(kinds.NAME, read).items()}


def limit_text(limit: Limit) -> str:
    """As a file has it: `5/s`, `10/min burst 3`."""
    period = _UNITS.get(limit.period_ns) or format_duration(limit.period_ns)
    return f"{limit.amount}/{period}" + (f" burst {limit.burst}" if limit.burst > 1 else "")
