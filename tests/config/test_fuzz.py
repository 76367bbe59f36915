"""Any text either is a plan file or a ConfigError; and what is written from values reads back as those values."""

import pytest
import yaml
from config.told import NOW_NS, parse
from hypothesis import example, given
from hypothesis import strategies as st

from agent.capture.order import PlanOrder
from agent.config.plan_file import PlanFile
from agent.config.problems import ConfigError
from agent.schedule.plan import Plan, WhenBusy, Window
from agent.schedule.quota import Limit
from agent.units import NS_PER_S, format_duration

_KEYS = """
output file_type quality cameras plans quotas limits realtime ageing top left lapse camera device every start count
burst windows from to when_busy catch_up priority quota client store copies rate format size exposure gain controls
buffers settle memory granularity focus usb_reset group agent clients session frame cpus fifo lock_memory
groups trigger trigger_modes on_edge divider distance kind output pulse pwm input settle cycle emergency_stop line
active safe bias debounce mode delay jitter window wait readout strobe modes chip channel width sensor
serial port model vendor_id path <<
"""
_WORDS = """
top left none null ~ true false yes 0 -1 5 010 1e400 5/s 5/min 5/0s 9/9000d -1s 0s 1s 500ms 8 30 1/0 6dB 16 640x480 once
YUYV /dev/video0 skip coalesce catch_up lapse-0 2027-01-31T08:00:00Z 2020-01-01T00:00:00Z 0000-00-00T00:00Z mmap
pulse edge bench:trigger external_edge low itself
99999999999999999999 'x' "\\UFFFFFFFF" &a *a ! !!int - ? : | > @ % # --- ...
"""
KEYS = st.sampled_from(_KEYS.split())
WORDS = st.sampled_from([*_WORDS.split(), "", "\t", "\0"])
SCALARS = WORDS | st.text(max_size=20) | st.integers().map(str)
TREES = st.recursive(
    SCALARS | st.none() | st.booleans() | st.floats() | st.integers() | st.dates(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(KEYS | st.text(max_size=5), children, max_size=6),
    max_leaves=30,
)
LINES = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.sampled_from(["", "- ", "? ", "&a ", "*a "]),
        KEYS,
        st.sampled_from([": ", ":", " "]),
        SCALARS,
    )
)
TOP = st.fixed_dictionaries(
    {"cameras": st.dictionaries(st.sampled_from(["top", "left"]), TREES), "plans": st.dictionaries(KEYS, TREES)},
    optional=dict.fromkeys(
        ("output", "groups", "trigger_modes", "quotas", "limits", "realtime", "ageing", "file_type", "quality"), TREES
    ),
)


def parses_or_says_why(text):
    found = outcome(text)
    if isinstance(found, PlanFile):
        return
    assert found.problems
    for problem in found.problems:
        assert problem.message
        assert problem.hint
        assert problem.line is None or 1 <= problem.line <= text.count("\n") + 1
        assert problem.key.isprintable()
    assert all(line.isprintable() for line in found.message.split("\n"))


def outcome(text):
    try:
        return parse(text)
    except ConfigError as error:
        return error


@given(st.text())
@example("\ufeff")
@example("%TAG ! \n---\na")
@example('"\\ud800": 1')
def test_any_text(text):
    parses_or_says_why(text)


@given(LINES)
def test_yamlish_lines(lines):
    parses_or_says_why(
        "".join(f"{' ' * indent}{mark}{key}{colon}{value}\n" for indent, mark, key, colon, value in lines)
    )


@given(TREES | TOP)
def test_any_yaml(tree):
    parses_or_says_why(yaml.safe_dump(tree, allow_unicode=True, sort_keys=False))


@given(st.dictionaries(KEYS, SCALARS), st.dictionaries(KEYS, SCALARS), st.dictionaries(KEYS, SCALARS))
def test_any_scalars_where_they_belong(camera, plan, window):
    text = f"cameras:\n  top:\n    device: /dev/video0\n{flat(camera, 4)}"
    text += f"plans:\n  lapse:\n    camera: top\n{flat(plan, 4)}"
    text += f"  other:\n    camera: top\n    windows:\n    - to: 1s\n{flat(window, 6)}"
    parses_or_says_why(text)


def flat(entries, indent):
    return "".join(f"{' ' * indent}{key}: {value}\n" for key, value in entries.items())


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=12))
@pytest.mark.parametrize("key", ["every", "start", "count", "quota", "when_busy", "copies", "client", "priority"])
def test_any_scalar_of_a_plan(key, text):
    parses_or_says_why(f"cameras: {{top: {{device: /dev/video0}}}}\nplans:\n  a:\n    camera: top\n    {key}: {text}\n")


@st.composite
def plans(draw):
    period = draw(st.none() | st.integers(NS_PER_S, 10**15))
    windows = ()
    if period is not None and draw(st.booleans()):
        length = draw(st.integers(1, 10**15))
        windows = (Window(0, length, draw(st.none() | st.integers(length, 10**16))),)
    when_busy = draw(st.sampled_from(WhenBusy))
    plan = Plan(
        name=draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)),
        camera="top",
        start_ns=NOW_NS + draw(st.integers(0, 10**15)),
        period_ns=period,
        count=None if period is None else draw(st.none() | st.integers(1, 10**15)),
        burst=draw(st.integers(1, 10)),
        windows=windows,
        when_busy=when_busy,
        catch_up=draw(st.integers(1, 1000)) if when_busy is WhenBusy.CATCH_UP else 0,
        priority=draw(st.integers(-100, 100)),
        client=draw(st.sampled_from(["", "bench-1"])),
    )
    limits = st.builds(Limit, st.integers(1, 1000), st.integers(1, 10**12), st.integers(1, 1000))
    return PlanOrder(plan=plan, quota=draw(st.none() | limits), store=draw(st.booleans()))


def written(order):
    plan = order.plan
    entry = {
        "camera": plan.camera,
        "start": format_duration(plan.start_ns - NOW_NS),
        "burst": plan.burst,
        "priority": plan.priority,
        "store": order.store,
        "when_busy": {"catch_up": plan.catch_up} if plan.catch_up else plan.when_busy.value,
    }
    optional = {
        "every": plan.period_ns and format_duration(plan.period_ns),
        "count": plan.count,
        "client": plan.client,
        "quota": order.quota and f"{order.quota.amount}/{order.quota.period_ns}ns burst {order.quota.burst}",
        "windows": [
            {"from": f"{w.open_ns}ns", "to": f"{w.close_ns}ns", **({"every": f"{w.every_ns}ns"} if w.every_ns else {})}
            for w in plan.windows
        ],
    }
    return {**entry, **{key: value for key, value in optional.items() if value}}


@given(st.lists(plans(), min_size=1, max_size=5, unique_by=lambda order: order.plan.name), st.booleans())
def test_round_trip(orders, flow):
    tree = {
        "cameras": {"top": {"device": "/dev/video0", "rate": "20"}},
        "plans": {order.plan.name: written(order) for order in orders},
    }
    text = yaml.safe_dump(tree, default_flow_style=flow, sort_keys=False)
    assert parse(text).plans == {"top": tuple(orders)}
