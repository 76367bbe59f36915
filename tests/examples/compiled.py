"""The C example, compiled as its first line says, and strictly; once for all tests."""

import atexit
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "examples" / "frames.c"
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-O2")


@functools.cache
def _folder():
    folder = Path(tempfile.mkdtemp(prefix="examples-"))
    atexit.register(shutil.rmtree, folder)
    return folder


def compiler():
    found = shutil.which("cc")
    if found is None:
        pytest.skip("no C compiler: apt-get install gcc libc6-dev linux-libc-dev")
    return found


def compiled(source=SOURCE, *options):
    """The program of a C file; raises with the compiler's words."""
    target = _folder() / f"{Path(source).stem}{abs(hash(options))}"
    if not target.exists():
        done = subprocess.run(
            [compiler(), *STRICT, *options, str(source), "-o", str(target)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    return target


@functools.cache
def sanitizers():
    """The options for a checked program, none where the compiler has no such library."""
    options = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
    probe = _folder() / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    done = subprocess.run(
        [compiler(), *options, str(probe), "-o", str(probe.with_suffix(""))], capture_output=True, check=False
    )
    return options if done.returncode == 0 else ()
