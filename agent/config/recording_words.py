"""The words of recordings: the values of the enumerations of `agent.recording`, which this room does not import."""

from __future__ import annotations

TARGETS = ("camera", "group", "plan")
FORMATS = ("jpg", "png", "tiff", "dng", "raw", "mp4", "mkv")
CODECS = ("h264", "ffv1", "copy")
ON_FULL = ("stop", "drop-oldest", "alarm")
EVENTS = ("edge", "plan", "signal")
