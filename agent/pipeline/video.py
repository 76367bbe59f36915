"""Frames to packets of video: H.264, lossless FFV1, or a camera's own JPEGs. Through PyAV, an optional extra.

One frame in, one packet out: no B-frames, no look-ahead, so that what was handed over is in the file. Presentation
times are the frames' own monotonic stamps in whole microseconds; there is no frame rate. Why so:
docs/decisions/0028-recording.md.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import AgentError, FormatUnsupported
from agent.pipeline.colour import eight_bits, to_bgr
from agent.pipeline.layouts import Grey, Jpeg, Mosaic, PackedYuv, PlanarYuv, SemiPlanarYuv, layout_of
from agent.pipeline.mjpeg import complete_jpeg
from agent.pipeline.pixels import samples, yuv
from agent.units import NS_PER_S, NS_PER_US
from agent.v4l2.format import Format
from agent.v4l2.frame import Frame

if TYPE_CHECKING:
    from av.packet import Packet

TIME_BASE = Fraction(1, 1_000_000)
KEY_EVERY_NS = NS_PER_S
"""From key frame to key frame: as much is lost at most when a file is cut off."""
_GLOBAL_HEADER = 1 << 22
"""AV_CODEC_FLAG_GLOBAL_HEADER: the containers here keep codec settings in their head."""
_NOMINAL_RATE = 1000
"""For codecs that want one; presentation times are what counts."""
_SUBSAMPLED = {(1, 1): "yuv444p", (2, 1): "yuv422p", (2, 2): "yuv420p"}


class VideoUnavailable(AgentError):
    """PyAV is not installed."""

    code = "video_unavailable"
    exit_code = 2


class VideoCodec(enum.StrEnum):
    """How frames lie in a video. COPY: the JPEGs of an MJPG camera, not decoded."""

    H264 = "h264"
    FFV1 = "ffv1"
    COPY = "copy"


@dataclass(slots=True)
class Coded:
    """One frame as a packet. `at_ns`: its stamp. `is_key`: a reader may begin here."""

    packet: Packet[Any]
    at_ns: int
    is_key: bool
    size_bytes: int


def load_av() -> Any:
    """PyAV. Raises VideoUnavailable."""
    try:
        import av
    except ImportError as error:
        raise VideoUnavailable(
            f"video needs PyAV, which cannot be imported: {error}",
            hint="install the extra `video`: pip install 'camera-agent[video]'; or record jpg, png, tiff, dng or raw",
        ) from error
    return av


def check_codec(codec: VideoCodec, form: Format) -> None:
    """Raises FormatUnsupported when frames of this format cannot be coded so: ask before recording."""
    layout = layout_of(form.pixel_format)
    if codec is VideoCodec.COPY and not isinstance(layout, Jpeg):
        raise FormatUnsupported(
            f"{form.pixel_format} has no JPEGs to copy",
            hint="record as h264 or ffv1, or let the camera send MJPG",
            asked=form.pixel_format,
            allowed=["MJPG", "JPEG"],
        )
    if codec is VideoCodec.H264 and (form.width_px % 2 or form.height_px % 2):
        raise FormatUnsupported(
            f"h264 needs an even width and height, and frames are {form.width_px}x{form.height_px}",
            hint="record as ffv1, or choose another frame size",
            asked=f"{form.width_px}x{form.height_px}",
            allowed=["even sizes"],
        )


class VideoEncoding:
    """Codes the frames of one format. Not to be shared between threads; `release()` is idempotent."""

    def __init__(self, form: Format, codec: VideoCodec, *, crf: int = 20) -> None:
        """`crf`: of H.264, 0 (best) to 51. Raises VideoUnavailable, FormatUnsupported."""
        self._av = load_av()
        check_codec(codec, form)
        self.form, self.codec = form, codec
        self._pixels = _pixel_format(codec, form.pixel_format)
        self._container = self._av.open(_Nowhere(), "w", format="null")
        self.stream = self._container.add_stream(_ENCODERS[codec], rate=_NOMINAL_RATE)
        self._set_up(crf)
        self._container.start_encoding()
        self._key_ns: int | None = None

    def encode(self, frame: Frame, *, key: bool = False) -> Coded:
        """The frame as a packet; `key`: as a key frame whenever the last was. Raises PictureDamaged."""
        at_ns = frame.timestamp_ns
        pts = at_ns // NS_PER_US
        if self.codec is VideoCodec.COPY:
            packet = self._av.Packet(b"".join(complete_jpeg(frame)))
            packet.is_keyframe = True
        else:
            picture = self._picture(frame)
            picture.pts, picture.time_base = pts, TIME_BASE
            if key or self._key_ns is None or at_ns - self._key_ns >= KEY_EVERY_NS:
                picture.pict_type = self._av.video.frame.PictureType.I
                self._key_ns = at_ns
            [packet] = self.stream.encode(picture)
        packet.pts = packet.dts = pts
        packet.time_base = TIME_BASE
        return Coded(packet, at_ns, bool(packet.is_keyframe), packet.size)

    def release(self) -> None:
        """Let the codec go."""
        self._container.close()

    def _set_up(self, crf: int) -> None:
        stream, context = self.stream, self.stream.codec_context
        stream.width, stream.height, stream.pix_fmt = self.form.width_px, self.form.height_px, self._pixels
        context.time_base = TIME_BASE
        context.flags |= _GLOBAL_HEADER
        if self.codec is VideoCodec.H264:
            stream.options = {"preset": "veryfast", "tune": "zerolatency", "crf": str(crf), "g": "9999"}
        elif self.codec is VideoCodec.FFV1:
            stream.options = {"level": "3", "g": "1", "slicecrc": "1"}

    def _picture(self, frame: Frame) -> Any:
        """The frame as libav has it, in the format that is coded."""
        layout = layout_of(frame.format.pixel_format)
        if isinstance(layout, PackedYuv | SemiPlanarYuv | PlanarYuv):
            views = yuv(frame)
            divide = (-(-views.y.shape[1] // views.u.shape[1]), -(-views.y.shape[0] // views.u.shape[0]))
            picture = self._filled(_SUBSAMPLED[divide], views.y, views.u, views.v)
        elif isinstance(layout, Grey) or (isinstance(layout, Mosaic) and self.codec is VideoCodec.FFV1):
            deep = self._pixels.startswith("gray")
            picture = self._filled(self._pixels if deep else "gray", samples(frame) if deep else eight_bits(frame))
        else:
            picture = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(to_bgr(frame)), format="bgr24")
        return picture if picture.format.name == self._pixels else picture.reformat(format=self._pixels)

    def _filled(self, name: str, *views: NDArray[Any]) -> Any:
        """A picture of that format from its planes, whatever the strides of both are."""
        picture = self._av.VideoFrame(self.form.width_px, self.form.height_px, name)
        for plane, view in zip(picture.planes, views, strict=True):
            lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
            lines[: view.shape[0]].view(view.dtype)[:, : view.shape[1]] = view
        return picture


_ENCODERS = {VideoCodec.H264: "libx264", VideoCodec.FFV1: "ffv1", VideoCodec.COPY: "mjpeg"}


def _pixel_format(codec: VideoCodec, code: str) -> str:
    """What the codec is given: for FFV1 what holds every bit of the camera's format."""
    layout = layout_of(code)
    if codec is VideoCodec.H264:
        return "yuv420p"
    if codec is VideoCodec.COPY:
        return "yuvj422p"
    if isinstance(layout, PackedYuv):
        return "yuv422p"
    if isinstance(layout, SemiPlanarYuv | PlanarYuv):
        return _SUBSAMPLED[layout.divide_x, layout.divide_y]
    if isinstance(layout, Grey | Mosaic):
        return "gray" if layout.bits == 8 else f"gray{layout.bits}le"
    return "bgr0"


class _Nowhere:
    """A file that takes everything and keeps nothing: codecs are opened by a container."""

    def write(self, data: bytes) -> int:
        return len(data)
