"""What a text's problems are, for tests of the configuration."""

from agent.config.plan_file import PlanFile, parse_plan_file
from agent.config.problems import ConfigError, Problem

NOW_NS = 5_000_000_000_000
REALTIME_NOW_NS = 1_795_515_300_000_000_000
"""2026-11-24T10:15:00Z."""


def parse(text: str) -> PlanFile:
    return parse_plan_file(text, "plans.yaml", now_ns=NOW_NS, realtime_now_ns=REALTIME_NOW_NS)


def problems_of(text: str) -> tuple[Problem, ...]:
    try:
        parse(text)
    except ConfigError as error:
        return error.problems
    return ()


def places_of(text: str) -> list[tuple[int | None, str]]:
    return [(problem.line, problem.key) for problem in problems_of(text)]
