"""The index of a recording as a Parquet file, for programs that read columns. Through pyarrow, an optional extra."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from agent.errors import AgentError, InputError
from agent.pipeline.calls import LINUX, Files
from agent.pipeline.files import write_file
from agent.pipeline.frame_log import LOG_NAME

PARQUET_NAME = "frames.parquet"


class ParquetUnavailable(AgentError):
    """Pyarrow is not installed."""

    code = "parquet_unavailable"
    exit_code = 2


def load_pyarrow() -> tuple[Any, Any]:
    """The modules pyarrow.json and pyarrow.parquet. Raises ParquetUnavailable."""
    try:
        import pyarrow.json as reading
        import pyarrow.parquet as writing
    except ImportError as error:
        raise ParquetUnavailable(
            f"an index in parquet needs pyarrow, which cannot be imported: {error}",
            hint="install the extra `parquet`: pip install 'camera-agent[parquet]'; frames.jsonl is written anyway",
        ) from error
    return reading, writing


def write_parquet(folder: Path, files: Files = LINUX) -> Path:
    """`frames.jsonl` of a folder as `frames.parquet` beside it, which is replaced; whole or not at all.

    Raises ParquetUnavailable, InputError for an index without a line, StorageError.
    """
    reading, writing = load_pyarrow()
    index, target = folder / LOG_NAME, folder / PARQUET_NAME
    if not index.exists() or not index.stat().st_size:
        raise InputError(f"{index} has no line", hint="record something first", path=str(index))
    out = io.BytesIO()
    writing.write_table(reading.read_json(index), out)
    part = folder / f".{PARQUET_NAME}.part"
    part.unlink(missing_ok=True)
    write_file(part, (out.getbuffer(),), files=files)
    files.rename(str(part), str(target))
    return target
