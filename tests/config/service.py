"""A service's configuration from texts, for tests: `f0.yaml`, `f1.yaml` and so on."""

from agent.config.joined import Text
from agent.config.problems import ConfigError
from agent.config.service_file import parse_service_file


def texts(*contents):
    return [Text(f"f{number}.yaml", content) for number, content in enumerate(contents)]


def service(*contents):
    return parse_service_file(texts(*contents))


def told(*contents):
    """File, line, key and message of each problem."""
    try:
        service(*contents)
    except ConfigError as error:
        return [(problem.file, problem.line, problem.key, problem.message) for problem in error.problems]
    return []
