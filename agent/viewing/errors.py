"""What may be wrong with a picture that is asked for, or with whoever makes it."""

from __future__ import annotations

from agent.errors import AgentError, InputError


class SizeUnsupported(InputError):
    """A picture larger than the camera's. Details: width_px, height_px as asked; most_width_px, most_height_px."""

    code = "size_unsupported"


class NoFrame(AgentError):
    """No frame came that is late enough. Details: camera, after_ns, timeout_ns."""

    code = "no_frame"
    exit_code = 6


class ViewerFailed(AgentError):
    """The process that makes pictures of a camera failed, also when it was started anew. Details: camera."""

    code = "viewer_failed"
