"""Bad input around triggers: for each text exactly these lines and keys, and these words."""

import pytest
from config.told import places_of, problems_of

PULSE = ("kind: pulse", "output: bench:trigger")
TOP = (
    "cameras: {top: {device: /dev/video0, group: g, rate: 25, trigger: {}}}\nplans: {p: {camera: top, every: 500ms}}\n"
)
FREE = TOP.replace(", trigger: {}", "")


def group(*lines: str, rest: str = TOP) -> str:
    """A trigger of group g; `lines` stand on line 4 and on."""
    body = "".join(f"      {line}\n" for line in lines)
    return f"groups:\n  g:\n    trigger:\n{body}{rest}"


def camera(*lines: str, kind: str = "kind: pulse, output: bench:trigger", more: str = "") -> str:
    """The trigger of camera top; `lines` stand on line 8 and on."""
    body = "".join(f"      {line}\n" for line in lines)
    return (
        f"groups: {{g: {{trigger: {{{kind}}}}}}}\ncameras:\n  top:\n    device: /dev/video0\n    group: g\n"
        f"    rate: 25\n    trigger:\n{body}plans: {{p: {{camera: top, every: 500ms}}}}\n{more}"
    )


def plan(*lines: str, trigger: str = "kind: pulse, output: bench:trigger") -> str:
    """A plan; `lines` stand on line 7 and on. Group g has the triggered cameras a and b, group f the free c and d."""
    body = "".join(f"    {line}\n" for line in lines)
    return (
        f"groups: {{g: {{trigger: {{{trigger}}}}}, f: {{emergency_stop: bench:stop}}}}\n"
        "cameras: {a: {device: /dev/video0, group: g, trigger: {}}, b: {device: /dev/video1, group: g, trigger: {}},\n"
        "  c: {device: /dev/video2, group: f},\n  d: {device: /dev/video3, group: f}}\n"
        f"plans:\n  p:\n{body}"
    )


def check(text: str, line: int, key: str, words: str) -> None:
    problems = problems_of(text)
    assert [(problem.line, problem.key) for problem in problems] == [(line, key)]
    assert words in problems[0].message
    assert problems[0].hint


def test_the_file_around_the_bad_lines_is_good():
    for text in (group(*PULSE), camera("delay: 1us"), plan("camera: a", "every: 1s"), plan("group: f", "every: 1s")):
        assert problems_of(text) == ()


@pytest.mark.parametrize(
    ("text", "line", "key", "words"),
    [
        ("groups: {}\n" + FREE, 1, "groups", "there is no group"),
        ("groups: [g]\n" + FREE, 1, "groups", "this is a list"),
        ("groups: {g: {}}\n" + FREE, 1, "groups.g", "neither a trigger nor an emergency_stop"),
        ("groups: {h: {emergency_stop: bench:stop}}\n" + FREE, 1, "groups.h", "no camera is in group 'h'"),
        ("groups: {g: {stop: bench:stop}}\n" + FREE, 1, "groups.g.stop", "there is no such key"),
        ("groups: {g: {emergency_stop: ''}}\n" + FREE, 1, "groups.g.emergency_stop", "names no line"),
        ("groups: {g: {emergency_stop: [a]}}\n" + FREE, 1, "groups.g.emergency_stop", "this is a list"),
        (TOP, 1, "cameras.top.trigger", "group g has no trigger, so nothing fires this camera"),
        (group("input: bench:edge"), 5, "cameras.top.trigger", "group g has a trigger without a kind"),
        (group(*PULSE, rest=FREE), 3, "groups.g.trigger", "no camera is fired by this trigger"),
        (
            FREE + "trigger_modes: {a: {driver: x, modes: {software: itself}}}\n",
            3,
            "trigger_modes",
            "nobody reads this",
        ),
    ],
)
def test_groups(text, line, key, words):
    if key == "groups.g.stop":
        assert (line, key) in places_of(text)
    else:
        check(text, line, key, words)


@pytest.mark.parametrize(
    ("lines", "line", "key", "words"),
    [
        (("kind: rope",), 4, ".kind", "'rope' is not allowed"),
        (("kind: pulse",), 3, "", "has no output"),
        (("kind: pwm",), 3, "", "has no pwm"),
        (("kind: edge",), 3, "", "has no input"),
        ((*PULSE, "pulse: 0ms"), 6, ".pulse", "not more than zero"),
        ((*PULSE, "pulse: 40ms", "cycle: 40ms"), 7, ".cycle", "a pulse of 40ms is as long as the cycle of 40ms"),
        ((*PULSE, "cycle: 40"), 6, ".cycle", "no unit"),
        ((*PULSE, "settle: -1s"), 6, ".settle", "less than zero"),
        ((*PULSE, "outptu: x"), 6, ".outptu", "there is no such key"),
        (("kind: pulse", "output: 17"), 5, ".output", "says nothing without its chip"),
        (("kind: pulse", "output: 'a:b:'"), 5, ".output", "names no line"),
        (("kind: pulse", "output: {active: low}"), 5, ".output", "has no `line`"),
        (("kind: pulse", "output: {line: x, safe: low}"), 5, ".output.safe", "'low' is not allowed"),
        (("kind: pulse", "output: {line: x, bias: pull-up}"), 5, ".output.bias", "there is no such key"),
        (("kind: edge", "input: {line: x, bias: up}"), 5, ".input.bias", "'up' is not allowed"),
        (("kind: edge", "input: {line: x, debounce: 1500ns}"), 5, ".input.debounce", "cannot be debounced"),
        (("kind: edge", "input: x", "pulse: 1ms"), 6, ".pulse", "a trigger of the kind edge has no pulse"),
        (("kind: edge", "input: x", "output: y"), 6, ".output", "a trigger of the kind edge has no output"),
        (("kind: pwm", "cycle: 1s", "pwm: {chip: pwmchip0, every: 1s, width: 1ms}"), 5, ".cycle", "has no cycle"),
        (("kind: pwm", "pwm: {chip: pwm0, every: 1s, width: 1ms}"), 5, ".pwm.chip", "is no PWM output"),
        (("kind: pwm", "pwm: {chip: pwmchip0, every: 1s, width: 1s}"), 5, ".pwm.width", "as long as the time"),
        (("kind: pwm", "pwm: {chip: pwmchip0, width: 1s}"), 5, ".pwm", "has no `every`"),
        (("kind: pwm", "pwm: pwmchip0"), 5, ".pwm", "where a mapping belongs"),
    ],
)
def test_the_trigger(lines, line, key, words):
    check(group(*lines), line, f"groups.g.trigger{key}", words)


@pytest.mark.parametrize(
    ("lines", "key", "words"),
    [
        (("mode: internal",), ".mode", "'internal' is not allowed"),
        (("mode: software",), ".mode", "mode software does not fit group g, whose trigger is of the kind pulse"),
        (("activation: up",), ".activation", "'up' is not allowed"),
        (("delay: -1us",), ".delay", "less than zero"),
        (("sensor: ''",), ".sensor", "a sensor without a name"),
        (("strobe: 5",), ".strobe", "says nothing without its chip"),
        (("wait: 0s",), ".wait", "not more than zero"),
        (("windw: 5ms",), ".windw", "there is no such key"),
    ],
)
def test_a_camera(lines, key, words):
    check(camera(*lines), 8, f"cameras.top.trigger{key}", words)


def test_a_mode_that_does_not_fit_the_cameras_own_trigger():
    text = camera("mode: external_edge", kind="kind: software")
    check(text, 8, "cameras.top.trigger.mode", "does not fit group g, whose trigger is of the kind software")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("window: 200us", "jitter: 1ms"), "smaller than the jitter"),
        (("window: 20ms",), "overlaps that of the next"),
        (("wait: 25ms", "readout: 30ms"), "calls good frames missed"),
        (("wait: 41ms", "delay: 2ms"), "calls good frames missed"),
        (("wait: 100s",), "pulses may be open"),
    ],
)
def test_budgets_that_cannot_be_kept(lines, words):
    check(camera(*lines), 7, "cameras.top.trigger", words)


def test_an_exposure_longer_than_the_cycle():
    text = (
        camera("delay: 1us")
        .replace("    rate: 25\n", "    exposure: 50ms\n")
        .replace("trigger}", "trigger, cycle: 50ms}")
    )
    check(text, 7, "cameras.top.trigger", "the exposure of 50ms is not over when the next pulse comes, 50ms")


def test_an_exposure_longer_than_the_period():
    text = camera("delay: 1us").replace("    rate: 25\n", "    exposure: 600ms\n")
    check(text, 7, "cameras.top.trigger", "the exposure of 600ms is not over when the next pulse comes, 500ms")


def test_pulses_faster_than_the_format_delivers():
    text = camera("delay: 1us", kind="kind: pulse, output: bench:trigger, cycle: 30ms")
    check(text, 7, "cameras.top.trigger", "the format delivers a frame every 40ms at best")


@pytest.mark.parametrize(
    ("lines", "line", "key", "words"),
    [
        (("camera: a", "group: g", "every: 1s"), 8, ".group", "a camera and a group"),
        (("group: h", "every: 1s"), 7, ".group", "no camera is in group 'h'"),
        (("group: a/b", "every: 1s"), 7, ".group", "is not a name"),
        (("camera: a", "on_edge: true"), 8, ".on_edge", "group g has no input"),
        (("group: f", "on_edge: true"), 8, ".on_edge", "group f has no input"),
    ],
)
def test_plans(lines, line, key, words):
    check(plan(*lines), line, f"plans.p{key}", words)


@pytest.mark.parametrize(
    ("lines", "line", "key", "words"),
    [
        (("on_edge: yes",), 8, ".on_edge", "neither true nor false"),
        (("on_edge: false",), 8, ".on_edge", "does not start on edges"),
        (("on_edge: {divider: 0}",), 8, ".on_edge.divider", "0 is out of range"),
        (("on_edge: {distance: -1s}",), 8, ".on_edge.distance", "less than zero"),
        (("on_edge: {every: 2}",), 8, ".on_edge.every", "there is no such key"),
        (("every: 1s", "on_edge: true"), 8, ".every", "a plan that starts on edges has no every"),
        (("start: 1s", "on_edge: {divider: 2}"), 8, ".start", "a plan that starts on edges has no start"),
        (("windows: [{to: 1s}]", "on_edge: true"), 8, ".windows", "a plan that starts on edges has no windows"),
    ],
)
def test_plans_on_edges(lines, line, key, words):
    check(plan("camera: a", *lines, trigger="kind: edge, input: bench:edge"), line, f"plans.p{key}", words)


@pytest.mark.parametrize(
    ("trigger", "lines", "words"),
    [
        ("pulse: 100ms", ("every: 100ms",), "a pulse of 100ms is as long as the time from tick to tick"),
        (
            "cycle: 40ms",
            ("every: 39ms",),
            "a cycle of 40ms is longer than the time from tick to tick, 39ms",
        ),
        ("cycle: 40ms", ("every: 100ms", "burst: 3"), "3 cycles of 40ms are longer than"),
    ],
)
def test_periods_that_are_too_short_for_the_pulses(trigger, lines, words):
    text = plan(f"every: {lines[0].removeprefix('every: ')}", "camera: a", *lines[1:],
                trigger=f"kind: pulse, output: bench:trigger, {trigger}")  # fmt: skip
    check(text, 7, "plans.p.every", words)


def test_a_period_that_is_too_short_for_the_slowest_camera_of_the_group():
    text = (
        plan("every: 50ms", "camera: a").replace("video0,", "video0, rate: 30,").replace("video1,", "video1, rate: 10,")
    )
    check(text, 7, "plans.p.every", "the slowest camera of its group takes 100ms")


def test_sets_are_of_triggered_cameras_or_of_free_ones():
    text = plan("group: g", "every: 1s").replace("video1, group: g, trigger: {}", "video1, group: g")
    check(text, 7, "plans.p.group", "b runs free, and the other cameras are triggered")


def test_a_group_with_the_name_of_one_of_its_cameras():
    text = (
        "cameras: {a: {device: /dev/video0, group: a}, b: {device: /dev/video1, group: a}}\n"
        "plans: {p: {group: a, every: 1s}}\n"
    )
    check(text, 2, "plans.p.group", "group a has a camera of the same name")


@pytest.mark.parametrize(
    ("first", "second", "owner"),
    [
        ("output: bench:x", "input: bench:x", "the output of group g"),
        ("output: /dev/gpiochip0:3", "input: gpiochip0:3", "the output of group g"),
    ],
)
def test_a_line_that_stands_there_twice(first, second, owner):
    check(group("kind: pulse", first, second), 6, "groups.g.trigger.input", f"{owner} on line 5 already")


def test_a_strobe_line_that_is_the_output():
    check(
        camera("strobe: bench:trigger"), 8, "cameras.top.trigger.strobe", "is the output of group g on line 1 already"
    )


def test_an_emergency_stop_on_a_line_that_is_used_elsewhere():
    text = group("kind: edge", "input: bench:x", rest="    emergency_stop: bench:x\n" + TOP)
    check(text, 6, "groups.g.emergency_stop", "is the input of group g on line 5 already")
    assert "needs a line of its own" in problems_of(text)[0].hint


def test_one_stop_for_two_groups():
    text = plan("camera: c").replace("g: {", "g: {emergency_stop: bench:stop, ")
    check(text, 1, "groups.f.emergency_stop", "is the emergency stop of group g")


def test_one_pwm_for_two_groups():
    text = (
        "groups:\n  g: {trigger: &p {kind: pwm, pwm: {chip: pwmchip0, every: 1s, width: 1ms}}}\n  f: {trigger: *p}\n"
        "cameras: {a: {device: /dev/video0, group: g, trigger: {}}, b: {device: /dev/video1, group: f, trigger: {}}}\n"
        "plans: {p: {camera: a}}\n"
    )
    check(text, 2, "groups.f.trigger.pwm", "is the PWM output of group g")


def test_all_of_it_is_told_at_once():
    text = (
        "groups:\n  g: {trigger: {kind: pulse, pulse: 5}}\n  h: {emergency_stop: bench:stop}\n"
        "cameras:\n  a: {device: /dev/video0, group: g, trigger: {mode: hard}}\n"
        "  b: {device: /dev/video1, trigger: {}}\n"
        "plans:\n  p: {camera: a, group: g}\n  q: {group: x}\ntrigger_modes: {}\n"
    )
    assert places_of(text) == [
        (2, "groups.g.trigger.pulse"),
        (3, "groups.h"),
        (5, "cameras.a.trigger.mode"),
        (6, "cameras.b.trigger"),
        (8, "plans.p.group"),
        (9, "plans.q.group"),
        (10, "trigger_modes"),
    ]
