import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.config.document import compose
from agent.config.problems import Problems
from agent.config.reader import Value
from agent.config.trigger_modes import read_trigger_modes
from agent.trigger.modes import (
    Activation,
    ControlName,
    ControlSetting,
    ModeSwitch,
    ModuleSetting,
    TimeControl,
    TriggerMode,
)

WHOLE = """\
my-camera:
  driver: uvcvideo
  card: ^My Camera
  modes:
    internal: {Trigger Mode: 0}
    external_edge: {trigger_mode: 1, "0x009a0930": 2}
    external_level: itself
    software: {my_driver.trigger: 3}
  activation:
    rising: {trigger_polarity: 0}
    falling: {trigger_polarity: 1}
  software: {software_trigger: 1}
  delay: {control: trigger_delay, unit: 1us}
  debounce: {control: "0x0199e238", unit: 1us}
"""


def read(text):
    problems = Problems("plans.yaml")
    node = compose(text, problems)
    entries = read_trigger_modes(Value(problems, node, "trigger_modes", node.line)) if node else ()
    return entries, (problems.error().problems if len(problems) else ())


def test_a_whole_entry():
    [entry], problems = read(WHOLE)
    assert problems == ()
    mode, polarity = ControlName("trigger_mode"), ControlName("trigger_polarity")
    edges = {
        Activation.RISING: ControlSetting(polarity, 0),
        Activation.FALLING: ControlSetting(polarity, 1),
    }
    assert (entry.name, entry.source) == ("my-camera", "plans.yaml:1")
    assert (entry.drivers, entry.card, entry.sensor) == (frozenset({"uvcvideo"}), "^My Camera", "")
    assert entry.switches == (
        ModeSwitch(mode=TriggerMode.INTERNAL, settings=(ControlSetting(mode, 0),)),
        ModeSwitch(
            mode=TriggerMode.EXTERNAL_EDGE,
            settings=(ControlSetting(mode, 1), ControlSetting(ControlName("", 0x009A_0930), 2)),
            activations=edges,
        ),
        ModeSwitch(mode=TriggerMode.EXTERNAL_LEVEL, activations={}),
        ModeSwitch(mode=TriggerMode.SOFTWARE, module=ModuleSetting("my_driver", "trigger", 3)),
    )
    assert entry.software == ControlSetting(ControlName("software_trigger"), 1)
    assert entry.delay == TimeControl(ControlName("trigger_delay"), 1000)
    assert entry.debounce == TimeControl(ControlName("", 0x0199_E238), 1000)


def test_entries_keep_their_order():
    text = "b: {sensor: IMX296, modes: {internal: itself}}\na: {sensor: x, modes: {internal: itself}}"
    entries, problems = read(text)
    assert ([entry.name for entry in entries], problems) == (["b", "a"], ())
    assert entries[0].sensor == "imx296"


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        ("{}", 1, "", "there is no entry"),
        ("a: {modes: {internal: itself}}", 1, "a", "this would be every camera"),
        ("a:\n  driver: x", 1, "a", "has no `modes`"),
        ("a:\n  driver: x\n  modes: {}", 3, "a.modes", "there is no mode"),
        ("a:\n  driver: x\n  modes:\n    extern: itself", 4, "a.modes.extern", "there is no such key"),
        ("a:\n  driver: x\n  modes:\n    internal: alone", 4, "a.modes.internal", "'alone' is not allowed"),
        ("a:\n  driver: x\n  modes:\n    internal: {}", 4, "a.modes.internal", "nothing is set"),
        ("a:\n  driver: x\n  modes:\n    internal: [1]", 4, "a.modes.internal", "this is a list"),
        ("a:\n  driver: x\n  modes:\n    internal:\n      t: on", 5, "a.modes.internal.t", "is not a whole number"),
        (
            "a:\n  driver: x\n  modes:\n    internal: {t: 4294967296}",
            4,
            "a.modes.internal.t",
            "4294967296 is out of range",
        ),
        ("a:\n  driver: x\n  modes:\n    internal: {m.a: 1, m.b: 2}", 4, "a.modes.internal", "two module parameters"),
        ("a:\n  driver: x\n  modes:\n    internal: {T Mode: 1, t_mode: 2}", 4, "a.modes.internal", "stands here twice"),
        ("a:\n  card: '('\n  modes: {internal: itself}", 2, "a.card", "is no regular expression"),
        ("a:\n  driver: ''\n  modes: {internal: itself}", 2, "a.driver", "is no name"),
        ("a:\n  driver: x\n  modes: {internal: itself}\n  software: {}", 4, "a.software", "one control belongs here"),
        ("a:\n  driver: x\n  modes: {internal: itself}\n  software: {m.p: 1}", 4, "a.software", "one control belongs"),
        (
            "a:\n  driver: x\n  modes: {internal: itself}\n  activation: {up: {p: 1}}",
            4,
            "a.activation.up",
            "no such key",
        ),
        ("a:\n  driver: x\n  modes: {internal: itself}\n  activation: {}", 4, "a.activation", "nothing is set"),
        ("a:\n  driver: x\n  modes: {internal: itself}\n  delay: {unit: 1us}", 4, "a.delay", "has no `control`"),
        ("a:\n  driver: x\n  modes: {internal: itself}\n  delay: {control: d}", 4, "a.delay", "has no `unit`"),
        ("a:\n  driver: x\n  modes: {internal: itself}\n  delay: 5us", 4, "a.delay", "where a mapping belongs"),
        ("a:\n  driver: x\n  drivers: y\n  modes: {internal: itself}", 3, "a.drivers", "there is no such key"),
    ],
)
def test_each_mistake_is_told_with_its_line_and_key(text, line, key, message):
    _, problems = read(text)
    told = [(problem.line, problem.key) for problem in problems if message in problem.message]
    assert (line, "trigger_modes" + (f".{key}" if key else "")) in told
    assert all(problem.file == "plans.yaml" and problem.hint for problem in problems)


def test_all_mistakes_are_told_at_once():
    _, problems = read("a:\n  driver: x\n  modes:\n    internal: alone\n    software: {t: x}\nb: {sensor: y}")
    assert [problem.line for problem in problems] == [4, 5, 6]


names = st.sampled_from(["trigger_mode", "Trigger Mode", "0x0199e208", "imx296.trigger_mode", "", "x y", "m.n.o"])
settings = st.one_of(st.dictionaries(names, st.integers(-3, 3), max_size=3), st.sampled_from(["itself", "x", None, 1]))
entries_ = st.dictionaries(
    st.sampled_from(["driver", "card", "sensor", "modes", "activation", "software", "delay", "debounce", "odd"]),
    st.one_of(
        st.dictionaries(
            st.sampled_from([*TriggerMode, "rising", "falling", "control", "unit", "odd"]).map(str),
            settings,
            max_size=4,
        ),
        settings,
    ),
)


@given(st.dictionaries(st.sampled_from(["a", "b", "c d", ""]), entries_, max_size=3))
def test_any_document_gives_entries_or_problems_with_places(document):
    text = yaml.safe_dump(document)
    entries, problems = read(text)
    if problems:
        assert all(problem.line and problem.key.startswith("trigger_modes") for problem in problems)
    else:
        assert len(entries) == len(document)
        assert all(entry.switches for entry in entries)
