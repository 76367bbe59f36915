"""linuxpy's raw definitions, held against the system's own headers by a C program."""

import ctypes
import subprocess
from pathlib import Path

import pytest

from agent.v4l2 import uapi

HEADERS = ("linux/videodev2.h", "linux/dma-buf.h", "linux/dma-heap.h", "linux/udmabuf.h")
CONSTANTS = {
    f"{prefix}{name}": member.value
    for prefix, enum, names in (
        (
            "V4L2_CAP_",
            uapi.Capability,
            ("VIDEO_CAPTURE", "VIDEO_CAPTURE_MPLANE", "META_CAPTURE", "STREAMING", "DEVICE_CAPS"),
        ),
        ("V4L2_BUF_TYPE_", uapi.BufType, ("VIDEO_CAPTURE", "VIDEO_CAPTURE_MPLANE")),
        ("V4L2_MEMORY_", uapi.Memory, ("MMAP", "USERPTR", "DMABUF")),
        (
            "V4L2_BUF_FLAG_",
            uapi.BufferFlag,
            (
                "ERROR", "MAPPED", "QUEUED", "DONE", "TIMESTAMP_MASK", "TIMESTAMP_UNKNOWN", "TIMESTAMP_MONOTONIC",
                "TIMESTAMP_COPY", "TSTAMP_SRC_MASK", "TSTAMP_SRC_EOF", "TSTAMP_SRC_SOE",
            ),
        ),
        (
            "V4L2_CTRL_FLAG_",
            uapi.ControlFlag,
            (
                "DISABLED", "GRABBED", "READ_ONLY", "UPDATE", "INACTIVE", "WRITE_ONLY", "VOLATILE", "HAS_PAYLOAD",
                "EXECUTE_ON_WRITE", "NEXT_CTRL", "NEXT_COMPOUND",
            ),
        ),
        ("V4L2_CTRL_WHICH_", uapi.ControlWhichValue, ("CUR_VAL", "DEF_VAL")),
        (
            "V4L2_CID_",
            uapi.ControlID,
            (
                "EXPOSURE_AUTO", "EXPOSURE_ABSOLUTE", "EXPOSURE_AUTO_PRIORITY", "EXPOSURE", "AUTOGAIN", "GAIN",
                "ANALOGUE_GAIN", "DIGITAL_GAIN", "HBLANK", "VBLANK", "PIXEL_RATE", "AUTO_WHITE_BALANCE",
                "WHITE_BALANCE_TEMPERATURE", "FOCUS_AUTO", "FOCUS_ABSOLUTE", "ISO_SENSITIVITY_AUTO", "HUE_AUTO",
            ),
        ),
        ("V4L2_EVENT_", uapi.EventType, ("CTRL",)),
        ("V4L2_EVENT_SUB_FL_", uapi.EventSubscriptionFlag, ("SEND_INITIAL", "ALLOW_FEEDBACK")),
        ("V4L2_EVENT_CTRL_CH_", uapi.EventControlChange, ("VALUE", "FLAGS", "RANGE")),
        ("V4L2_SEL_TGT_", uapi.SelectionTarget, ("CROP", "CROP_DEFAULT", "CROP_BOUNDS")),
        ("V4L2_EXPOSURE_", uapi.ExposureAutoType, ("AUTO", "MANUAL", "SHUTTER_PRIORITY", "APERTURE_PRIORITY")),
        ("V4L2_FIELD_", uapi.Field, ("ANY", "NONE")),
    )
    for name in names
    for member in (enum[name],)
} | {
    name: getattr(uapi, name)
    for name in (
        "VIDEO_MAX_PLANES", "V4L2_CAP_TIMEPERFRAME", "V4L2_BUF_CAP_SUPPORTS_MMAP", "V4L2_BUF_CAP_SUPPORTS_USERPTR",
        "V4L2_BUF_CAP_SUPPORTS_DMABUF", "V4L2_BUF_CAP_SUPPORTS_ORPHANED_BUFS", "DMA_BUF_SYNC_READ",
        "DMA_BUF_SYNC_WRITE",
        "DMA_BUF_SYNC_START", "DMA_BUF_SYNC_END", "UDMABUF_FLAGS_CLOEXEC",
    )
}  # fmt: skip


def fields(structure, prefix="", base=0):
    """Every field by its C name, with offset and size; anonymous unions flattened, reserved words left out."""
    anonymous = getattr(structure, "_anonymous_", ())
    for name, kind, *_ in structure._fields_:
        descriptor = getattr(structure, name)
        if name.startswith("reserved"):
            continue
        if name in anonymous:
            yield from fields(kind, prefix, base + descriptor.offset)
        else:
            yield f"{prefix}{name}", base + descriptor.offset, ctypes.sizeof(kind)


# not used by us, and younger than the headers of supported distributions (carved from reserved words: 6.9)
UNUSED = {("v4l2_create_buffers", "max_num_buffers")}


def expectations():
    for structure in uapi.STRUCTURES:
        name = structure.__name__
        yield f"sizeof(struct {name})", ctypes.sizeof(structure)
        for field, offset, size in fields(structure):
            # pointers to codec payloads: one union, of which we use value, value64 and string
            if (name == "v4l2_ext_control" and field.startswith("p_")) or (name, field) in UNUSED:
                continue
            yield f"offsetof(struct {name}, {field})", offset
            yield f"sizeof(((struct {name} *)0)->{field})", size
    for request in uapi.REQUESTS.values():
        yield request.name, request.number
    yield from CONSTANTS.items()


def test_every_size_offset_and_number_is_the_kernels(tmp_path: Path):
    expected = dict(expectations())
    source = tmp_path / "uapi.c"
    lines = [f"#include <{header}>" for header in HEADERS]
    lines += ["#include <stddef.h>", "#include <stdio.h>", "int main(void) {"]
    lines += [f'printf("%llu\\n", (unsigned long long)({expression}));' for expression in expected]
    source.write_text("\n".join([*lines, "return 0; }"]))
    program = tmp_path / "uapi"
    built = subprocess.run(["cc", "-o", program, source], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    answers = [int(line) for line in subprocess.check_output([program], text=True).split()]
    wrong = {
        expression: (value, answer)
        for (expression, value), answer in zip(expected.items(), answers, strict=True)
        if value != answer
    }
    assert not wrong, f"ours, the kernel's: {wrong}"
    assert len(expected) > 300


@pytest.mark.parametrize(("text", "number"), [("YUYV", 0x56595559), ("Y16", 0x20363159), ("NV12", 0x3231564E)])
def test_four_character_codes(text, number):
    assert uapi.fourcc(text) == number
    assert uapi.fourcc_text(number) == text


def test_a_big_endian_code_says_so():
    assert uapi.fourcc_text(uapi.fourcc("Y16") | 1 << 31) == "Y16-BE"
