"""Nodes with lines, from both of PyYAML's parsers."""

import pytest
import yaml

from agent.config.document import DEPTH, LOADER, NODES, MappingNode, ScalarNode, SequenceNode, compose
from agent.config.problems import ConfigError, Problems


@pytest.fixture(params=[yaml.SafeLoader, LOADER], ids=["python", "libyaml"])
def read(request):
    def read(text):
        problems = Problems("f.yaml")
        node = compose(text, problems, loader=request.param)
        if problems:
            raise problems.error()
        return node

    return read


def plain(node):
    if isinstance(node, ScalarNode):
        return node.text
    if isinstance(node, SequenceNode):
        return [plain(item) for item in node.items]
    return {entry.key: plain(entry.node) for entry in node.entries}


def refused(read, text):
    with pytest.raises(ConfigError) as caught:
        read(text)
    return [(problem.line, problem.key, problem.message) for problem in caught.value.problems]


def test_every_key_and_value_knows_its_line(read):
    root = read("# first\na: 1\nb:\n  c: [x,\n      y]\n'd':\n  - e: 2\n")
    assert isinstance(root, MappingNode)
    a, b, d = root.entries
    assert [(entry.key, entry.line, entry.node.line) for entry in root.entries] == [
        ("a", 2, 2),
        ("b", 3, 4),
        ("d", 6, 7),
    ]
    assert a.node == ScalarNode(2, "1", plain=True)
    assert [item.line for item in b.node.entries[0].node.items] == [4, 5]
    assert d.node.items[0].entries[0].line == 7


def test_scalars_stay_text(read):
    text = "[on, 010, 1:30, 2027-01-31, 1e3, null, ~, '', 'on', !]".replace(", !", "")
    root = read(text)
    assert [item.text for item in root.items] == ["on", "010", "1:30", "2027-01-31", "1e3", "null", "~", "", "on"]
    assert [item.is_null for item in root.items] == [False] * 5 + [True, True, False, False]
    assert [item.plain for item in root.items] == [True] * 7 + [False] * 2


def test_aliases_and_merge_keys(read):
    root = read("a: &u {x: 1, y: 2}\nb: {<<: *u, y: 3}\nc: *u\nd: {<<: [*u, {x: 9, z: 4}]}\n")
    assert plain(root) == {
        "a": {"x": "1", "y": "2"},
        "b": {"y": "3", "x": "1"},
        "c": {"x": "1", "y": "2"},
        "d": {"x": "1", "y": "2", "z": "4"},
    }
    merged = root.entries[1].node.entries[1]
    assert (merged.key, merged.line) == ("x", 1)


def test_a_byte_order_mark_and_line_ends_of_others(read):
    assert plain(read("\ufeffa: 1\r\nb: 2\r\n")) == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: 2\na: 3\n", [(3, "a", "written twice: here and on line 1")]),
        ("p:\n  q:\n    - {x: 1}\n    - x: 1\n      x: 2\n", [(5, "p.q[1].x", "written twice: here and on line 4")]),
        ("a: 1\n'a': 2\na: 3", [(line, "a", "written twice: here and on line 1") for line in (2, 3)]),
        ("? [a]\n: b\n", [(1, "", "a key that is a list or a mapping")]),
        ("a: 1\n~: b\n", [(2, "", "a key without a name")]),
        ("a: !!int 5\nb: !x {}\n", [(1, "a", "the tag 'tag:yaml.org,2002:int'"), (2, "b", "the tag '!x'")]),
        ("a: 1\nc: [! y]\n", [(2, "c[0]", "the tag '!'")]),
        ("a: !!python/name:os.system x\n", [(1, "a", "the tag 'tag:yaml.org,2002:python/name:os.system'")]),
        ("a: 1\n---\nb: 2\n", [(2, "", "a second document begins here")]),
        ("a: 1\nb: *c\n", [(2, "", "the alias *c has no anchor")]),
        ("a: &a\n  b: *a\n", [(2, "", "the alias *a contains itself")]),
        ("a: &a [*a]\n", [(1, "", "the alias *a contains itself")]),
        ("a: 1\nb: {<<: 5}\n", [(2, "b.<<", "<< merges mappings, and this is none")]),
        ("a: 1\n\tb: 2\nc:\t3\n# with\ttab\nd: 'x # \t'\n", [(2, "", "a tab"), (3, "", "a tab")]),
        ("a: 1\nb: \0\n", [(2, "", "the character U+0000")]),
        ("a: \x1b[31m\n", [(1, "", "the character U+001B")]),
        ("a: x\u2028y\n", [(1, "", "the character U+2028")]),
        ("a: x\ud800\n", [(1, "", "the character U+D800")]),
        ("a: x\ry\n", [(1, "", "the character U+000D")]),
        ("", [(None, "", "the file is empty")]),
        ("# nothing\n\n", [(None, "", "the file is empty")]),
        ("---\n...\n", None),
    ],
)  # fmt: skip
def test_what_is_refused_and_where(read, text, told):
    if told is None:  # an empty document is a null
        assert read(text).is_null
    else:
        assert refused(read, text) == told


@pytest.mark.parametrize(
    "text",
    ["a: [1\n", "a: {b\n", "a: 'x\n", "a: b: c\n", "- a\nb: 1\n", "key: @x\n", "%YAML 2.0\n---\na: 1\n",
     '"\\UFFFFFFFF"', '"\\xZZ"', "%YAML 1." + "9" * 5000 + "\n---\na: 1\n", "a: |9x\n", "!<%FF> a\n", "&\n", "*\n"],
)  # fmt: skip
def test_what_is_no_yaml_has_one_problem(read, text):
    told = refused(read, text)
    assert len(told) == 1
    assert told[0][2].startswith("this is no YAML: ")


def test_no_yaml_names_the_line(read):
    assert refused(read, "a: 1\nb: c: d\n")[0][0] == 2


@pytest.mark.parametrize("text", ["a: 1\nb: [", "a: 1\nb: [\n", "a: 1\nb: [\n\n"])
def test_what_ends_too_early_ends_on_its_last_line(read, text):
    assert refused(read, text)[0][0] == 2


def test_depth_is_bounded_also_through_aliases(read):
    assert read("[" * DEPTH + "]" * DEPTH) is not None
    assert refused(read, "[" * (DEPTH + 1) + "]" * (DEPTH + 1)) == [(1, "", f"nested more than {DEPTH} deep")]
    assert refused(read, "[" * 100_000) == [(1, "", f"nested more than {DEPTH} deep")]
    chain = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, DEPTH + 1))
    assert refused(read, chain) == [(DEPTH, "", f"nested more than {DEPTH} deep")]


def test_what_aliases_expand_to_is_bounded(read):
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
    )
    assert refused(read, bomb) == [(6, "", f"the file has more than {NODES:,} values")]
    merges = "m0: &m0 {a: [x, x, x, x]}\n" + "".join(
        f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 30)}]}}\n" for n in range(1, 10)
    )
    assert refused(read, merges)[0][2] == f"the file has more than {NODES:,} values"


def test_many_plain_values_are_bounded():
    problems = Problems("f.yaml")
    assert compose("[" + "a," * NODES + "]", problems) is None
    assert len(problems) == 1


def test_the_count_of_values_is_exact():
    problems = Problems("f.yaml")
    assert compose("[" + "a," * (NODES - 1) + "]", problems) is not None
