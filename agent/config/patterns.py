"""What kinds of scalar are in JSON schema: all that a pattern here lets through, the reader takes.

The other way round not quite: the reader also takes unusual writings, such as `+8ms` or `.5s`. Numbers may be
written without quotes where the reader wants text, since it looks at what stands in the file. Patterns are within
what ECMA 262 and Python understand alike.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.config.problems import shortened

Schema = Mapping[str, object]

_MORE_THAN_ZERO = r"(?=[^a-zµ]*[1-9])"
_NUMBER = (
    r"(0|[1-9][0-9]{0,16}) ?ns|(0|[1-9][0-9]{0,13})(\.[0-9]{1,3})? ?[uµ]s|(0|[1-9][0-9]{0,10})(\.[0-9]{1,6})? ?ms|"
    r"(0|[1-9][0-9]{0,7})(\.[0-9]{1,9})? ?s|(0|[1-9][0-9]{0,6})(\.[0-9]{1,9})? ?min|"
    r"(0|[1-9][0-9]{0,4})(\.[0-9]{1,9})? ?h|(0|[1-9][0-9]{0,3})(\.[0-9]{1,9})? ?d"
)
"""A whole number of nanoseconds, at most ten thousand days."""
_PERIOD = r"[1-9][0-9]{0,16}ns|([1-9][0-9]{0,13})?us|([1-9][0-9]{0,10})?ms|([1-9][0-9]{0,7})?s|([1-9][0-9]{0,6})?min|"
_PERIOD += r"([1-9][0-9]{0,4})?h|([1-9][0-9]{0,3})?d"
_SAVED = r"([1-9][0-9]{0,12}ns|[1-9][0-9]{0,9}us|[1-9][0-9]{0,6}ms|([1-9][0-9]{0,3})?s|([1-9][0-9]{0,2})?min|h|d)"
"""Short enough that a burst of five digits can be counted exactly."""
_PRINTABLE = r"[ -~\u00a1-\u00ac\u00ae-\u0377\u0400-\u052f\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fef\uac00-\ud7a3]"
"""Of letters beyond ASCII: Latin, Cyrillic, Kana, Han, Hangul. The reader takes all that can be seen."""
_DATE = (
    r"(19[7-9][0-9]|20[0-9][0-9])-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
)


def text(pattern: str, **more: object) -> Schema:
    """Text that the pattern fits as a whole."""
    return {"type": "string", "pattern": f"^({pattern})$", **more}


def either(*schemas: Schema) -> Schema:
    """Any of them."""
    return {"anyOf": [dict(schema) for schema in schemas]}


def whole(minimum: int, maximum: int) -> Schema:
    """A whole number in a range."""
    return {"type": "integer", "minimum": minimum, "maximum": maximum}


def words(allowed: tuple[str, ...]) -> Schema:
    """One of some words."""
    return {"enum": [shortened(word) for word in allowed]}


NAME = text(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
BOOLEAN: Schema = {"type": "boolean"}
_TEXT = text(rf"{_PRINTABLE}*", maxLength=4096)
TEXT = either(_TEXT, whole(-(10**15), 10**15), BOOLEAN)
DURATION = text(f"{_MORE_THAN_ZERO}({_NUMBER})")
OFFSET = text(_NUMBER)
START = either(OFFSET, text(_DATE, format="date-time"))
LIMIT = text(rf"[1-9][0-9]{{0,8}}/({_PERIOD}|{_SAVED} burst [1-9][0-9]{{0,4}})")
DEVICE = text(rf"/{_PRINTABLE}*", maxLength=4096)
USB_ID = either(text(r"(0[xX])?[0-9a-fA-F]{4}"), whole(1000, 9999))
PATH = _TEXT
ABSOLUTE = text(rf"/{_PRINTABLE}*", maxLength=4096)
PIXEL_FORMAT = text(r"[!-~][ -~]{3}(-BE)?|[!-~]{1,3}")
SIZE_PX = text(r"[1-9][0-9]{0,8}[xX×][1-9][0-9]{0,8}")
SIZE_BYTES = text(r"[1-9][0-9]{0,8} ?(B|kB|MB|KiB|MiB|GiB)")
RATE = either(
    whole(1, 10**9),
    {"type": "number", "minimum": 0.001, "maximum": 10**6},
    text(r"[1-9][0-9]{0,8}(\.[0-9]{1,9})?|[1-9][0-9]{0,8}/[1-9][0-9]{0,8}"),
)
LINE = text(
    r"[!-9;-~]([ -~]{0,40}[!-~])?:[!-9;-~]([ -9;-~]{0,40}[!-9;-~])?|[!-/;-~]([ -9;-~]{0,40}[!-9;-~])?", maxLength=128
)
GAIN = either(whole(-(10**15), 10**15), text(r"[+-]?[0-9]{1,9}|[+-]?[0-9]{1,9}(\.[0-9]{1,3})? ?dB"))
REGULAR_EXPRESSION: Schema = {"type": "string", "format": "regex", "minLength": 1, "maxLength": 64}
GIVEN_TEXT = text(rf"[!-~]{_PRINTABLE}*", maxLength=64)
"""Not empty."""
