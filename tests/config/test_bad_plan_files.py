"""Bad input: for each text exactly these lines and keys, and these words."""

import pytest
from config.told import places_of, problems_of

CAMERAS = "cameras:\n  top: {device: /dev/video0, rate: 30}\n  left: {device: /dev/video2}\n"
GOOD = CAMERAS + "plans:\n  lapse: {camera: top, every: 1s}\n"


def plan(*lines: str) -> str:
    """A plan of camera `top`; `lines` stand on line 7 and on."""
    return f"{CAMERAS}plans:\n  lapse:\n    camera: top\n" + "".join(f"    {line}\n" for line in lines)


def camera(*lines: str) -> str:
    """Camera `top` of GOOD; `lines` stand on line 4 and on."""
    body = "".join(f"    {line}\n" for line in lines)
    return f"cameras:\n  top:\n    device: /dev/video0\n{body}plans: {{lapse: {{camera: top, every: 1s}}}}\n"


def file(*lines: str) -> str:
    """A good file, and `lines` on line 6 and on."""
    return GOOD + "".join(f"{line}\n" for line in lines)


WHOLE = [
    ("", None, "", "the file is empty"),
    ("null", 1, "", "nothing stands here, where a mapping belongs"),
    ("- a\n", 1, "", "this is a list, where a mapping belongs"),
    ("just text\n", 1, "", "this is a single value, where a mapping belongs"),
    (CAMERAS, 1, "", "there are no plans"),
    ("plans:\n  a: {camera: top}\n", 1, "", "there are no cameras"),
    (CAMERAS + "plans: {}\n", 4, "plans", "there is no plan"),
    (CAMERAS + "plans:\n", 4, "plans", "nothing stands here, where a mapping belongs"),
    (CAMERAS + "plans: [lapse]\n", 4, "plans", "this is a list, where a mapping belongs"),
    (CAMERAS + "plans:\n  lapse:\n", 5, "plans.lapse", "nothing stands here, where a mapping belongs"),
    (CAMERAS + "plans:\n  lapse: yes\n", 5, "plans.lapse", "this is a single value, where a mapping belongs"),
    ("cameras: {}\nplans: {a: {camera: top}}\n", 1, "cameras", "there is no camera"),
    ("cameras: no\nplans: {a: {camera: top}}\n", 1, "cameras", "this is a single value, where a mapping belongs"),
    ("cameras:\n  top: 5\nplans: {a: {camera: top}}\n", 2, "cameras.top", "this is a single value"),
    ("cameras:\n  top: {}\nplans: {a: {camera: top}}\n", 2, "cameras.top", "has no `device`"),
    (f"{GOOD}plan: 5\n", 6, "plan", "there is no such key"),
    (f"{GOOD}  lapse: {{camera: left}}\n", 6, "plans.lapse", "written twice: here and on line 5"),
    (
        f"{CAMERAS}  top: {{device: /dev/video3}}\nplans: {{a: {{camera: top}}}}\n",
        4,
        "cameras.top",
        "here and on line 2",
    ),
    (f"{CAMERAS}plans:\n  a/b: {{camera: top}}\n", 5, "plans.a/b", "'a/b' is not a name"),
    (f"{CAMERAS}plans:\n  ../x: {{camera: top}}\n", 5, "plans.../x", "'../x' is not a name"),
    (f'{CAMERAS}plans:\n  "a\\e[31m": {{camera: top}}\n', 5, "plans.a\\x1b[31m", "'a\\x1b[31m' is not a name"),
    (f"{CAMERAS}plans:\n  {'n' * 65}: {{camera: top}}\n", 5, f"plans.{'n' * 57}...", "longer than 64 characters"),
    (f"{CAMERAS}plans:\n  '': {{camera: top}}\n", 5, "plans.", "'' is not a name"),
    (file("output: ''"), 6, "output", "a folder without a name"),
    (file("output: [photos]"), 6, "output", "a list, where a folder belongs"),
    (file("file_type: jpg"), 6, "file_type", "'jpg' is not allowed"),
    (file("file_type: png", "quality: 90"), 7, "quality", "png has no quality"),
    (file("quality: 0"), 6, "quality", "0 is out of range"),
    (file("quality: 101"), 6, "quality", "101 is out of range"),
    (file("ageing: 0s"), 6, "ageing", "'0s' is not more than zero"),
    (file("ageing: 1"), 6, "ageing", "the duration '1' has no unit"),
]

PLANS = [
    ("every: 0s", "every", "'0s' is not more than zero"),
    ("every: -1s", "every", "'-1s' is not more than zero"),
    ("every: 0.5", "every", "the duration '0.5' has no unit"),
    ("every: .inf", "every", "'.inf' is not a duration"),
    ("every: 1e3ms", "every", "'1e3ms' is not a duration"),
    ("every: 1:30", "every", "'1:30' is not a duration"),
    ("every: 0.5ns", "every", "finer than the smallest unit"),
    ("every: 2 weeks", "every", "the unknown unit 'weeks'"),
    ("every: 11000d", "every", "'11000d' is too long"),
    (f"every: {'9' * 5000}s", "every", "is longer than 64 characters"),
    ("every:", "every", "nothing stands here"),
    ("every: null", "every", "nothing stands here"),
    ("every: ~", "every", "nothing stands here"),
    ("every: yes", "every", "'yes' is not a duration"),
    ("every: [1s]", "every", "a list, where a time with its unit belongs"),
    ("every: {s: 1}", "every", "a mapping, where a time with its unit belongs"),
    ("every: 20ms", "every", "beyond the camera"),
    ("rate: 2/s", "rate", "there is no such key"),
    ("evry: 1s", "evry", "there is no such key"),
    ("count: 0", "count", "0 is out of range"),
    ("count: -1", "count", "-1 is out of range"),
    ("count: 1.5", "count", "'1.5' is not a whole number"),
    ("count: 010", "count", "'010' is not a whole number"),
    ("count: 0x10", "count", "'0x10' is not a whole number"),
    ("count: 1_000", "count", "'1_000' is not a whole number"),
    ("count: '20'", "count", "in quotes is text"),
    ("count: true", "count", "'true' is not a whole number"),
    (f"count: {'9' * 5000}", "count", "is longer than 20 characters"),
    ("count: 9999999999999999999", "count", "9999999999999999999 is out of range"),
    ("count: 2", "count", "count is 2, but must be 1"),
    ("burst: 0", "burst", "0 is out of range"),
    ("priority: 101", "priority", "101 is out of range"),
    ("priority: high", "priority", "'high' is not a whole number"),
    ("start: -1s", "start", "'-1s' is less than zero"),
    ("start: 5", "start", "the duration '5' has no unit"),
    ("start: 2020-01-01T00:00:00Z", "start", "is past: it is 2026-11-24 10:15:00+00:00"),
    ("start: 2026-11-24T11:14:59+01:00", "start", "is past"),
    ("start: 2027-01-31T08:00:00", "start", "is not a date and time"),
    ("start: 2027-01-31", "start", "is not a date and time"),
    ("start: 2027-02-29T08:00:00Z", "start", "does not exist"),
    ("start: 2027-01-31T25:00:00Z", "start", "does not exist"),
    ("start: 2027-01-31T08:00:00+99:00", "start", "does not exist"),
    ("start: 2027-01-31T08:00:00.1234567Z", "start", "is not a date and time"),
    ("start: 9999-12-31T23:59:59Z", "start", "too far away"),
    ("start: 0001-01-01T00:00:00+23:59", "start", "is past"),
    ("windows: {to: 1s}", "windows", "this is a mapping, where a list belongs"),
    ("windows: []", "windows", "no window"),
    ("windows: [5s]", "windows[0]", "this is a single value, where a mapping belongs"),
    ("windows: [{from: 5s}]", "windows[0]", "has no `to`"),
    ("windows: [{to: 5s, until: 6s}]", "windows[0].until", "there is no such key"),
    ("windows: [{from: -1s, to: 5s}]", "windows[0].from", "'-1s' is less than zero"),
    ("windows: [{to: 5s, every: 0s}]", "windows[0].every", "'0s' is not more than zero"),
    ("windows: [{to: 1s}, {from: 5s, to: 3s}]", "windows[1]", "window 2"),
    ("windows: [{from: 5s, to: 6s}]", "windows[0]", "never opens"),
    ("windows: [{to: 5s, every: 4s}]", "windows[0]", "open again"),
    ("when_busy: wait", "when_busy", "'wait' is not allowed"),
    ("when_busy: catch_up", "when_busy", "how many ticks may wait is not said"),
    ("when_busy: {catch_up: 0}", "when_busy.catch_up", "0 is out of range"),
    ("when_busy: {catch_up: 1001}", "when_busy.catch_up", "1001 is out of range"),
    ("when_busy: {}", "when_busy", "has no `catch_up`"),
    ("when_busy: {catch_up: 5, skip: 1}", "when_busy.skip", "there is no such key"),
    ("when_busy: [skip]", "when_busy", "this is a list, where a mapping belongs"),
    ("quota: 0/s", "quota", "never grant anything"),
    ("quota: -5/s", "quota", "never grant anything"),
    ("quota: 5/s burst 0", "quota", "never grant anything"),
    ("quota: 5/0s", "quota", "not more than zero"),
    ("quota: 5", "quota", "'5' is not a quota"),
    ("quota: 5 per s", "quota", "'5 per s' is not a quota"),
    ("quota: 2.5/s", "quota", "'2.5/s' is not a quota"),
    ("quota: 5/10", "quota", "'5/10' is not a quota"),
    ("quota: 5/fortnight", "quota", "the unknown unit 'fortnight'"),
    ("quota: 5/9000d burst 999999999", "quota", "too large to be counted exactly"),
    ("quota: {amount: 5}", "quota", "a mapping, where a quota belongs"),
    ("client: a b", "client", "'a b' is not a name"),
    ("client: a.b", "client", "'a.b' is not a name"),
    ("store: yes", "store", "'yes' is neither true nor false"),
    ("store: 1", "store", "'1' is neither true nor false"),
    ("store: 'true'", "store", "in quotes is text"),
    ("copies: 0", "copies", "0 is out of range"),
    ("copies: 200001", "copies", "200001 is out of range"),
    ("copies: 2", "copies", "copies are spread over one period"),
]

CAMERA_LINES = [
    ("device: /dev/video1", "device", "written twice: here and on line 3"),
    ("format: YUYV2", "format", "'YUYV2' is not a pixel format"),
    ("format: ÿUYV", "format", "is not a pixel format"),
    ("size: 640", "size", "'640' is not a frame size"),
    ("size: [640, 480]", "size", "a list, where a frame size belongs"),
    ("rate: 0", "rate", "'0' is not a frame rate"),
    ("rate: 1e999999999", "rate", "is not a frame rate"),
    ("exposure: 8", "exposure", "the duration '8' has no unit"),
    ("exposure: 0ms", "exposure", "not more than zero"),
    ("gain: loud", "gain", "'loud' is not a gain"),
    ("gain: 1.5", "gain", "the gain '1.5' has no unit"),
    (f"gain: {'9' * 5000}", "gain", "is longer than 32 characters"),
    ("controls: [a]", "controls", "this is a list, where a mapping belongs"),
    ("controls: {brightness: }", "controls.brightness", "nothing stands here"),
    ("controls: {brightness: [1]}", "controls.brightness", "a list, where text belongs"),
    ('controls: {name: "a\\nb"}', "controls.name", "line breaks"),
    ("buffers: 1", "buffers", "1 is out of range"),
    ("buffers: 33", "buffers", "33 is out of range"),
    ("settle: -1", "settle", "-1 is out of range"),
    ("memory: mmap", "memory", "this is a single value, where a list belongs"),
    ("memory: []", "memory", "no kind of memory"),
    ("memory: [mmap, mmap]", "memory", "twice"),
    ("memory: [mmap, ram]", "memory[1]", "'ram' is not allowed"),
    ("granularity: 4", "granularity", "the size '4' has no unit"),
    ("group: a/b", "group", "'a/b' is not a name"),
    ("focus: always", "focus", "'always' is not allowed"),
    ("usb_reset: on", "usb_reset", "'on' is neither true nor false"),
    ("exposre: 8ms", "exposre", "there is no such key"),
]

TOP_LINES = [
    ("quotas: 5/s", "quotas", "this is a single value, where a mapping belongs"),
    ("quotas: {agent: 0/s}", "quotas.agent", "never grant anything"),
    ("quotas: {camera: {top: 5/s}}", "quotas.camera", "there is no such key"),
    ("quotas: {cameras: {topp: 5/s}}", "quotas.cameras.topp", "no camera is named 'topp'"),
    ("quotas: {clients: {bench: 5/s}}", "quotas.clients.bench", "no plan has the client 'bench'"),
    ("limits: {session: 0s}", "limits.session", "not more than zero"),
    ("limits: {focus: 3}", "limits.focus", "has no unit"),
    ("limits: {sesion: 3s}", "limits.sesion", "there is no such key"),
    ("limits:", "limits", "nothing stands here, where a mapping belongs"),
    ("realtime: {fifo: 0}", "realtime.fifo", "0 is out of range"),
    ("realtime: {fifo: 100}", "realtime.fifo", "100 is out of range"),
    ("realtime: {cpus: 1}", "realtime.cpus", "this is a single value, where a list belongs"),
    ("realtime: {cpus: []}", "realtime.cpus", "no processor"),
    ("realtime: {cpus: [1, 1]}", "realtime.cpus", "named twice"),
    ("realtime: {cpus: [0, -1]}", "realtime.cpus[1]", "-1 is out of range"),
    ("realtime: {lock_memory: 1}", "realtime.lock_memory", "neither true nor false"),
    ("realtime: {timer_slack: 0ns}", "realtime.timer_slack", "not more than zero"),
]


def check(text: str, line: int | None, key: str, words: str) -> None:
    problems = problems_of(text)
    assert [(problem.line, problem.key) for problem in problems] == [(line, key)]
    assert words in problems[0].message
    assert problems[0].file == "plans.yaml"
    assert problems[0].hint


def test_the_file_around_the_bad_lines_is_good():
    assert problems_of(GOOD) == problems_of(plan("every: 2s")) == problems_of(camera()) == problems_of(file()) == ()


@pytest.mark.parametrize(("text", "line", "key", "words"), WHOLE)
def test_the_whole(text, line, key, words):
    check(text, line, key, words)


@pytest.mark.parametrize(("bad", "key", "words"), PLANS)
def test_plans(bad, key, words):
    every = () if bad.startswith(("every", "count: 2", "copies: 2")) else ("every: 2s",)
    check(plan(*every, "# told apart", bad), 8 + len(every), f"plans.lapse.{key}", words)


@pytest.mark.parametrize(("bad", "key", "words"), CAMERA_LINES)
def test_cameras(bad, key, words):
    check(camera(bad), 4, f"cameras.top.{key}", words)


@pytest.mark.parametrize(("bad", "key", "words"), TOP_LINES)
def test_the_rest(bad, key, words):
    check(file(bad), 6, key, words)


@pytest.mark.parametrize("device", ["/dev/video0", "//dev//video0", "/dev/./video0", "/dev/v4l/../video0"])
def test_two_cameras_on_one_device(device):
    text = GOOD.replace("/dev/video2", device)
    check(text, 3, "cameras.left", f"{device} is the device of top on line 2 already")


@pytest.mark.parametrize("device", ["video0", "dev/video0", "0", "usb-1"])
def test_a_device_is_a_whole_path(device):
    check(GOOD.replace("/dev/video2", device), 3, "cameras.left.device", "is not a device")


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        (GOOD.replace("camera: top", "camera: tpo"), "did you mean top? There is left, top"),
        (GOOD.replace("every", "evry"), "did you mean every? There is camera, "),
        (GOOD.replace("every", "EVERY"), "did you mean every?"),
        (GOOD.replace("plans:", "plan:"), "did you mean plans?"),
        (GOOD.replace("every", "wxyz"), "there is camera, "),
        (GOOD.replace("every: 1s", "rate: 2/s"), "every: 500ms"),
        (GOOD.replace("every: 1s", "every: 1s, repeat: 2"), "copies"),
    ],
)
def test_suggestions(text, suggestion):
    assert any(suggestion in problem.hint for problem in problems_of(text))


def test_a_period_beyond_the_camera_only_where_its_rate_is_told():
    fast = "plans:\n  lapse: {camera: CAMERA, every: 99ms, burst: 3}\n"
    assert places_of(CAMERAS + fast.replace("CAMERA", "top")) == [(5, "plans.lapse.every")]
    assert places_of(CAMERAS + fast.replace("CAMERA", "left")) == []
    assert places_of(CAMERAS + fast.replace("CAMERA", "top").replace("99ms", "100ms")) == []


def test_storing_without_an_output():
    check("output: none\n" + plan("every: 1s", "store: true"), 9, "plans.lapse.store", "without an output")


def test_copies_must_not_meet_other_names():
    text = CAMERAS + "plans:\n  lapse: {camera: top, every: 1s, copies: 3}\n  lapse-1: {camera: top}\n"
    check(text, 6, "plans.lapse-1", "lapse-1 is made here and on line 5")


def test_too_many_plans_are_told_before_they_are_made():
    many = "".join(f"  p{n}: {{camera: top, every: 1s, copies: 200000}}\n" for n in range(1000))
    check(f"{CAMERAS}plans:\n{many}", 5, "plans.p0", "the file makes 200,000,000 plans")


def test_everything_wrong_is_told_at_once_and_by_line():
    text = (
        "cameras:\n  top: {device: video0, gian: 16}\n"
        "plans:\n  a: {camera: tpo, every: 5}\n  a: {}\n  b:\n    every: 1s\n    count: 0\n"
        "realtime: {fifo: 100}\nextra: 1\n"
    )
    assert places_of(text) == [
        (2, "cameras.top.device"),
        (2, "cameras.top.gian"),
        (4, "plans.a.camera"),
        (4, "plans.a.every"),
        (5, "plans.a"),
        (6, "plans.b"),
        (8, "plans.b.count"),
        (9, "realtime.fifo"),
        (10, "extra"),
    ]


def test_one_mistake_is_one_problem():
    assert places_of(
        "cameras:\n  top: 5\nplans:\n  a: {camera: top, every: 1s, burst: 2}\nquotas: {cameras: {top: 5/s}}\n"
    ) == [(2, "cameras.top")]
