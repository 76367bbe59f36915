"""Any texts either are a configuration or a ConfigError, whatever stands in which file; requests for plans alike."""

import yaml
from config.service import service, texts
from config.test_fuzz import KEYS, LINES, SCALARS, TREES
from hypothesis import example, given
from hypothesis import strategies as st

from agent.config.changes import applied, diff
from agent.config.changes_told import tell
from agent.config.more_plans import read_more_plans
from agent.config.problems import ConfigError
from agent.config.service_file import parse_service_file
from agent.errors import InputError

SECTIONS = (
    "output file_type quality cameras plans quotas groups limits realtime ageing trigger_modes access socket metrics"
)
SECTION = st.sampled_from(SECTIONS.split())
MORE_KEYS = KEYS | st.sampled_from(["look", "control", "administer", "socket", "metrics", "mode", "path", "top"])
WORDS = SCALARS | st.sampled_from(["/run/x", ":9091", "[::1]:1", "0660", "root", "{}", "[]", "[root]", "{a:"])
TABLES = st.dictionaries(MORE_KEYS, TREES | WORDS, max_size=4)
DOCUMENTS = st.dictionaries(SECTION, TABLES | WORDS | TREES)
GOOD = "cameras: {top: {device: /dev/video0, rate: 30}, left: {device: {serial: A1}, group: top}}\n"


def reads_or_says_why(*contents):
    given_texts = texts(*contents)
    found = outcome(lambda: parse_service_file(given_texts))
    if isinstance(found, ConfigError):
        explains(found, {each.name: each.text.count("\n") + 1 for each in given_texts})
        return
    nothing = service("")
    changes = diff(nothing, found)
    assert applied(changes, nothing) == found
    assert tell(changes)
    assert diff(found, found).is_empty


def outcome(read):
    try:
        return read()
    except InputError as error:
        return error


def explains(error, lines):
    assert error.problems
    for problem in error.problems:
        assert problem.message
        assert problem.hint
        assert problem.line is None or 1 <= problem.line <= lines[problem.file]
        assert problem.key.isprintable()
    assert all(line.isprintable() for line in error.message.split("\n"))


@given(st.lists(st.text(), min_size=1, max_size=3))
@example(["\ufeff", "\ufeff"])
@example(["---\n", "--- 1"])
def test_any_texts(contents):
    reads_or_says_why(*contents)


@given(st.lists(DOCUMENTS, min_size=1, max_size=3))
def test_any_documents(trees):
    reads_or_says_why(*(yaml.safe_dump(tree, allow_unicode=True, sort_keys=False) for tree in trees))


@given(DOCUMENTS)
@example({"groups": {"\x1f": []}})
def test_any_document_beside_a_good_one(tree):
    reads_or_says_why(GOOD, yaml.safe_dump(tree, allow_unicode=True, sort_keys=False))


@given(LINES, LINES)
def test_yamlish_lines(first, second):
    reads_or_says_why(lines_of(first), lines_of(second))


def lines_of(lines):
    return "".join(f"{' ' * indent}{mark}{key}{colon}{value}\n" for indent, mark, key, colon, value in lines)


@given(st.dictionaries(SECTION, WORDS), st.dictionaries(SECTION, WORDS))
def test_any_scalars_at_the_top(first, second):
    reads_or_says_why(*("".join(f"{key}: {value}\n" for key, value in each.items()) for each in (first, second)))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | WORDS,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(MORE_KEYS, children, max_size=5),
    max_leaves=15,
)


@given(st.dictionaries(st.text(max_size=5) | MORE_KEYS, JSON))
def test_any_plans_that_are_asked_for(asked):
    found = outcome(lambda: read_more_plans(service(GOOD), asked))
    if isinstance(found, InputError):
        assert found.message
        assert found.hint
