"""The JSON schema: it is one, the documents of the house fit it, and what fits it the reader takes, value by value."""

import datetime
import json
import re
from functools import cache

import jsonschema
import pytest
import yaml
from config.service import texts
from config.test_plan_file import COMPLETE, TRIGGERED
from config.test_plan_file import SHORTEST as SHORTEST_PLAN
from config.test_service_file import ROOT, SHORTEST, WHOLE, uncommented
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.config import kinds
from agent.config.outline import Outline, Way
from agent.config.problems import Problems
from agent.config.schema import service_schema
from agent.config.service_file import read_service

SCHEMA = service_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def plain(text):
    """As an editor reads YAML: with the core schema of 1.2, in which dates are text."""
    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.yaml_implicit_resolvers = {
        letter: [(tag, regexp) for tag, regexp in found if not tag.endswith(("timestamp", "int", "float"))]
        for letter, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    number = re.compile(r"-?(0|[1-9][0-9]*)$")
    loader.add_implicit_resolver("tag:yaml.org,2002:int", number, list("-0123456789"))
    return yaml.load(text, Loader=loader)


def misshapen(text):
    problems = Problems("f0.yaml")
    read_service(texts(text), problems)
    return [problem.told for problem in problems.misshapen]


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


INSTALLED = (ROOT / "systemd" / "config.yaml").read_text()


@pytest.mark.parametrize(
    "text", [SHORTEST, WHOLE, SHORTEST_PLAN, COMPLETE, TRIGGERED, INSTALLED, uncommented(INSTALLED)]
)
def test_documented_examples_fit(text):
    assert [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(plain(text))] == []


BAD = [
    "camera: {}",
    "cameras: {top: {}}",
    "cameras: {top: {device: video0}}",
    "cameras: {top: {device: {serial: A1, colour: red}}}",
    "cameras: {top: {device: /dev/video0, exposure: 8}}",
    "cameras: {top: {device: /dev/video0, exposure: 0ms}}",
    "cameras: {top: {device: /dev/video0, buffers: 1}}",
    "cameras: {top: {device: /dev/video0, memory: [vram]}}",
    "cameras: {t/p: {device: /dev/video0}}",
    "plans: {a: {every: 1s}}",
    "plans: {a: {camera: top, every: 1}}",
    "plans: {a: {camera: top, when_busy: {}}}",
    "plans: {a: {camera: top, windows: [{from: 1s}]}}",
    "plans: {a: {camera: top, quota: 5}}",
    "groups: {g: {trigger: {kind: pwm, pwm: {chip: c}}}}",
    "realtime: {cpus: 1}",
    "access: {look: root}",
    "socket: run/x",
    "socket: {mode: '0777'}",
    "metrics: 9091",
]


@pytest.mark.parametrize("text", BAD)
def test_what_it_refuses_the_reader_refuses(text):
    assert list(VALIDATOR.iter_errors(plain(text)))
    assert misshapen(text)


def test_a_plan_is_of_a_camera_or_of_a_group():
    plan = SCHEMA["properties"]["plans"]["anyOf"][0]["additionalProperties"]
    assert plan["allOf"] == [{"anyOf": [{"required": ["group"]}, {"required": ["camera"]}]}]
    assert "required" not in plan


def test_every_kind_says_what_it_is():
    """A kind without a schema would let anything through."""
    outline = Outline()
    from agent.config.service_file import read_table

    for maps in (False, True):
        outline.follow(Way(maps=maps), read_table)
    assert outline.shapes
    for path, shape in outline.shapes.items():
        assert all(kind.schema for kind in shape.kinds), path
        assert shape.kinds or shape.keys or shape.names or shape.is_list, path


# -- documents made from the schema ---------------------------------------------------------------------------------


def made(schema):
    """Values that fit a schema, as far as ours go."""
    if "anyOf" in schema:
        return st.one_of([made(each) for each in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return {
        "object": objects,
        "array": lambda inner: st.lists(made(inner["items"]), max_size=3),
        "string": strings,
        "integer": lambda inner: st.integers(inner["minimum"], inner["maximum"]),
        "number": lambda inner: st.integers(1, 10**6).map(lambda number: number / 1000),
        "boolean": lambda _: st.booleans(),
        "null": lambda _: st.none(),
    }[schema["type"]](schema)


def strings(schema):
    if schema.get("format") == "regex":
        return st.sampled_from(["^My Camera", "a|b", "[a-z]+", r"\d"])
    if schema.get("format") == "date-time":
        return st.datetimes(datetime.datetime(1970, 1, 2), datetime.datetime(2099, 12, 30)).map(  # noqa: DTZ001
            lambda moment: moment.isoformat() + "+01:00"
        )
    return matching(schema["pattern"], schema.get("maxLength", 64))


@cache
def matching(pattern, longest):
    return st.from_regex(pattern, fullmatch=True).filter(lambda text: len(text) <= longest and "\n" not in text)


def names_of(schema):
    return made(schema).filter(lambda name: isinstance(name, str))


def objects(schema):
    if schema["additionalProperties"]:
        return st.dictionaries(names_of(schema["propertyNames"]), made(schema["additionalProperties"]), max_size=2)
    required = set(schema.get("required", ()))
    for either in schema.get("allOf", ()):
        required |= set(either["anyOf"][-1]["required"])
    properties = {key: made(each) for key, each in schema["properties"].items()}
    optional = {key: each for key, each in properties.items() if key not in required}
    return st.fixed_dictionaries({key: properties[key] for key in required}, optional=optional)


def test_the_strategy_knows_every_word_of_the_schema():
    """What it does not know it would not try."""
    known = {
        "$schema", "title", "description", "type", "properties", "additionalProperties", "propertyNames", "required",
        "allOf", "anyOf", "items", "enum", "pattern", "format", "minimum", "maximum", "minLength", "maxLength",
    }  # fmt: skip

    def words(schema):
        yield from schema
        for key in ("additionalProperties", "propertyNames", "items"):
            if isinstance(schema.get(key), dict):
                yield from words(schema[key])
        for each in (*schema.get("properties", {}).values(), *schema.get("anyOf", ())):
            yield from words(each)

    assert set(words(SCHEMA)) <= known


SECTIONS = sorted(SCHEMA["properties"])


@cache
def section_values(section):
    return made(SCHEMA["properties"][section])


@cache
def scalar_values(name):
    return made(getattr(kinds, name).schema)


@pytest.mark.parametrize("section", SECTIONS)
@settings(max_examples=15, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_what_the_schema_accepts_the_reader_takes(section, data):
    value = data.draw(section_values(section))
    document = {section: value}
    assert list(VALIDATOR.iter_errors(document)) == []
    text = yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=10**6)
    assert misshapen(text) == [], text


SCALARS = sorted(name for name, kind in vars(kinds).items() if isinstance(kind, kinds.Kind))


@pytest.mark.parametrize("name", SCALARS)
@settings(max_examples=100, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_each_kind_takes_what_its_schema_accepts(name, data):
    kind = getattr(kinds, name)
    value = data.draw(scalar_values(name))
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
    assert len(text) <= kind.longest
    kind.parse(text)


@pytest.mark.parametrize("name", SCALARS)
def test_each_example_fits_the_schema_of_its_kind(name):
    kind = getattr(kinds, name)
    for example in kind.example.split(" or "):
        if name != "BOOLEAN":
            assert jsonschema.Draft202012Validator(kind.schema).is_valid(plain(example)), example
