"""`recordings:` of the configuration: what they come to, and what is wrong with them, with file, line and key."""

from fractions import Fraction
from pathlib import Path

import pytest
from config.service import service, told

from agent.config.changes import applied, diff
from agent.config.recordings import RecordingWish
from agent.recording.order import OnFull, RecordFormat, Target, Trigger
from agent.recording.wished import order_of
from agent.units import NS_PER_MS, NS_PER_S

TOP = "cameras: {top: {device: /dev/video0, group: line}}\nplans: {lapse: {camera: top, every: 1s}}\n"
WHOLE = """recordings:
  night:
    camera: top
    folder: /srv/night
    format: mkv
    codec: ffv1
    quality: 80
    template: "{date}/{camera}-{number:06d}"
    every: 200ms
    segment: {every: 10min, size: 1GiB}
    keep: 7d
    limit: 20GiB
    on_full: drop-oldest
    on: plan:lapse
    before: 5s
    after: 2s
    memory: 64MiB
    synced: true
    encode_limit: 500ms
"""


def test_the_shortest():
    found = service(TOP, "recordings: {a: {camera: top}}").recordings
    assert found == {"a": RecordingWish(target="camera", name="top", folder=Path("recordings/a"))}
    order = order_of(found["a"])
    assert (order.target, order.format, order.on_full, order.on) == (Target.CAMERA, RecordFormat.JPG, OnFull.STOP, None)
    assert order.encode_limit_ns == 800 * NS_PER_MS


def test_every_key():
    order = order_of(service(TOP, WHOLE).recordings["night"])
    assert (order.folder, order.format, str(order.codec), order.quality) == (Path("/srv/night"), "mkv", "ffv1", 80)
    assert (order.rate, order.segment_ns, order.segment_bytes) == (Fraction(5), 600 * NS_PER_S, 1 << 30)
    assert (order.keep_ns, order.limit_bytes) == (7 * 86400 * NS_PER_S, 20 << 30)
    assert (order.on, order.on_name, order.before_ns, order.after_ns) == (
        Trigger.PLAN,
        "lapse",
        5 * NS_PER_S,
        2 * NS_PER_S,
    )
    assert (order.ring_bytes, str(order.durability), order.encode_limit_ns) == (64 << 20, "synced", 500 * NS_PER_MS)
    assert order.template == "{date}/{camera}-{number:06d}"


def test_they_may_stand_in_several_files_and_of_groups_and_plans():
    found = service(
        TOP, "recordings: {a: {group: line}}", "recordings: {b: {plan: lapse, rate: 30000/1001}}"
    ).recordings
    assert {name: wish.target for name, wish in found.items()} == {"a": "group", "b": "plan"}


@pytest.mark.parametrize(("text", "key", "message"), [
    ("a: {}", "recordings.a", "has no camera, group or plan"),
    ("a: {camera: tpo}", "recordings.a.camera", "there is no camera 'tpo'"),
    ("a: {group: x}", "recordings.a.group", "there is no group 'x'"),
    ("a: {plan: x}", "recordings.a.plan", "there is no plan 'x'"),
    ("a: {camera: top, group: line}", "recordings.a.group", "stands beside camera"),
    ("a: {camera: top, format: gif}", "recordings.a.format", "'gif' is not allowed"),
    ("a: {camera: top, template: '../{number}'}", "recordings.a.template", "leads out of its folder"),
    ("a: {camera: top, template: '{camra}{number}'}", "recordings.a.template", "unknown field"),
    ("a: {camera: top, segment: {every: 1s}}", "recordings.a.segment", "jpg files have none"),
    ("a: {camera: top, codec: h264}", "recordings.a.codec", "jpg files have none"),
    ("a: {camera: top, format: mp4, codec: ffv1}", "recordings.a.codec", "mp4 does not hold ffv1"),
    ("{a: {camera: top}, b: {camera: top, folder: recordings/./a}}", "recordings.b.folder", "that of recording 'a'"),
    ("a: {camera: top, folder: photos/top/}", "recordings.a.folder", "that of the agent's own pictures"),
    ("a: {camera: top, rate: 5, every: 1s}", "recordings.a.every", "stands beside rate"),
    ("a: {camera: top, before: 5s}", "recordings.a.before", "none is named"),
    ("a: {camera: top, on: edge}", "recordings.a.on", "nothing before or after"),
    ("a: {camera: top, on: noise, after: 1s}", "recordings.a.on", "nothing to wait for"),
    ("a: {camera: top, keep: 7}", "recordings.a.keep", "no unit"),
    ("a: {camera: top, colour: red}", "recordings.a.colour", "no such key"),
])  # fmt: skip
def test_what_is_wrong(text, key, message):
    [(file, line, found, said)] = told(TOP, f"recordings:\n  {text}")
    assert (file, found) == ("f1.yaml", key)
    assert line == 2
    assert message in said


def test_a_change_is_told_and_concerns_no_camera():
    old, new = service(TOP), service(TOP, WHOLE)
    changes = diff(old, new)
    assert changes.settings.changed == ("recordings",)
    assert (*changes.starts, *changes.stops, *changes.anew) == ()
    assert applied(changes, old) == new
