"""What the API takes and gives, as JSON schemas. What it takes is checked against them before the agent is asked."""

from __future__ import annotations

from agent.control.schema import (
    anything,
    boolean,
    choice,
    document,
    integer,
    listed,
    mapping,
    nullable,
    table,
    text,
)

_WHOLE_UNITS = r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:us|µs|ms|s)|[0-9]{1,9}ns|[0-9]{1,6}(?:min|h)|[0-9]{1,5}d)"
_RATE = r"[0-9]{1,9} ?/ ?[0-9]{0,9}(?:ns|us|µs|ms|s|min|h|d)(?: burst [0-9]{1,9})?"

DURATION = text("A time with its unit.", pattern=_WHOLE_UNITS, longest=32, example="8ms")
GAIN = text(
    "The camera's own number, or decibels.", pattern=r"-?[0-9]{1,9}|-?[0-9]{1,3}(?:\.[0-9]{1,3})?dB", example="6dB"
)
LIMIT = text("So many in how long, and how many may be saved up.", pattern=_RATE, longest=64, example="10/s burst 20")
NAME = text("A name.", pattern=r"[A-Za-z0-9][A-Za-z0-9_-]*", longest=64, example="top")
NANOSECONDS = integer("CLOCK_MONOTONIC, nanoseconds.")

ERROR = document(
    "What went wrong. `code` is stable; `hint` says what to do next; the journal knows the trace id.",
    code={"type": "string"},
    message={"type": "string"},
    hint={"type": "string"},
    trace_id={"type": "string"},
    exit_code=integer("What the command line ends with.", least=1, most=255),
    details=anything("Typed facts; which, depends on the code."),
)

STREAM_ORDER = table(hold=boolean("End the stream when this connection closes."))
STARTED = document(camera={"type": "string"}, was_on=boolean("It was armed already."), at_ns=NANOSECONDS)
STOPPED = document(
    "How a stream ended: the times are those of its STREAMOFF.",
    camera={"type": "string"},
    was_on=boolean("False: it was off, and no call was needed."),
    asked_ns=NANOSECONDS,
    entered_ns=NANOSECONDS,
    returned_ns=NANOSECONDS,
)
CANCELLED = document(
    "What a cancel did; answered after every STREAMOFF of it returned.",
    plans=integer("How many ended.", least=0),
    already=boolean("It was over before."),
    cause={"type": "string"},
    cameras=listed(STOPPED),
    still_on=listed({"type": "string"}, "Cameras that other plans keep on."),
)
CANCEL_ORDER = table(
    required=("kind",),
    kind=choice("plan", "camera", "client", "all"),
    name=text("Which; empty for all."),
)
CAMERA = document(
    name={"type": "string"},
    state=choice("absent", "idle", "prepared", "armed", "stopping", "fault", "gone"),
    group={"type": "string"},
    match={"type": "string"},
    device=nullable({"type": "string"}),
    cause={"type": "string"},
    hint={"type": "string"},
    clients=integer("Of the frame socket, who have its frames now.", least=0),
)
CONTROL = document(name={"type": "string"}, id=integer("V4L2_CID_...", least=0), kind={"type": "string"})
CONTROL_VALUES = mapping(
    {"type": ["integer", "boolean", "string"], "maxLength": 4096}, "Name -> value; all are set, or none.", least=1
)
CONTROLS_SET = document(camera={"type": "string"}, values=anything("What was read back."))
EXPOSURE_ORDER = table(required=("exposure",), exposure=DURATION, gain=GAIN)
EXPOSED = document(
    camera={"type": "string"},
    asked_ns=integer(least=0),
    granted_ns=integer(least=0),
    why=listed({"type": "string"}, "What made them differ."),
)
CAPTURE_ORDER = table(exposure=DURATION, gain=GAIN, timeout=DURATION)
CAPTURED = document(
    "One frame, exposed after it was asked for.",
    camera={"type": "string"},
    trace_id={"type": "string"},
    path={"type": "string"},
    asked_ns=NANOSECONDS,
    exposed_ns=NANOSECONDS,
    sequence=integer(least=0),
    record=anything("As in frames.jsonl."),
)
PLAN = document(
    name={"type": "string"},
    camera={"type": "string"},
    state=choice("waiting", "running", "finished", "cancelled", "refused"),
    client={"type": "string"},
    period_ns=nullable(integer(least=0)),
    priority=integer(),
    account=anything("Ticks by how they ended."),
)
PLANS_ORDER = table(
    required=("plans",),
    plans=mapping(anything("As under `plans:` in a plan file (docs/plan-files.md)."), least=1),
    client=NAME,
    hold=boolean("Cancel them when this connection closes."),
)
PLAN_CHANGE = {
    **table(every=DURATION, priority=integer(least=-1000, most=1000), quota=LIMIT),
    "minProperties": 1,
}
GROUP = document(
    name={"type": "string"},
    cameras=listed({"type": "string"}),
    pid=nullable(integer(least=1)),
    state={"type": "string"},
)
TRIGGER = document(group={"type": "string"}, kind=nullable({"type": "string"}))
RELEASED = document(group={"type": "string"}, released=boolean())
QUOTA = document(bucket={"type": "string"}, limit=nullable({"type": "string"}))
QUOTA_ORDER = table(required=("limit",), limit=LIMIT)
STATS = document(now_ns=NANOSECONDS, cameras={}, plans={}, groups={})
HEALTH = document(
    healthy=boolean(),
    version={"type": "string"},
    pid=integer(least=1),
    since_ns=NANOSECONDS,
    now_ns=NANOSECONDS,
    problems=listed({"type": "string"}),
)
EVENT = document("The data of a server-sent event.", id=integer(least=0), kind={"type": "string"}, at_ns=NANOSECONDS)
CONFIG = document(files=listed({"type": "string"}), loaded_ns=NANOSECONDS, document=anything())
_WORDS = listed({"type": "string"})
DIFFERENCE = document("What a reload does.", starts=_WORDS, stops=_WORDS, changes=_WORDS, same=_WORDS)
RELOADED = document(starts=_WORDS, stops=_WORDS, changes=_WORDS, same=_WORDS, took_ns=integer(least=0))
ANY = anything()
