import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent import errors
from agent.cli.main import _VERBS as VERBS
from agent.cli.main import run

REPOSITORY = Path(__file__).parents[2]
HEAVY = ("numpy", "cv2", "PIL", "rich", "linuxpy", "agent.simulation")


def python(*arguments, **environment):
    return subprocess.run(
        (sys.executable, *arguments),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
    )


def test_help_tells_the_verbs_examples_and_exit_codes(cli):
    result = cli("--help")
    assert result.code == 0
    for verb in VERBS:
        assert f"  {verb} " in result.out
        assert f"camera-agent {verb}" in result.out
    kinds = [getattr(errors, name) for name in dir(errors)]
    codes = {kind.exit_code for kind in kinds if isinstance(kind, type) and issubclass(kind, errors.AgentError)}
    listed = {int(word) for word in result.out.partition("Exit codes:")[2].split() if word.isdecimal()}
    assert codes < listed
    assert {0, 130, 143} < listed


def test_no_arguments_is_help(cli):
    assert cli().out == cli("--help").out


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_verb_has_help(cli, verb, flag):
    result = cli(verb, flag)
    assert result.code == 0
    assert "--json" in result.out
    assert VERBS[verb]


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), *((verb, "--help") for verb in VERBS)])
def test_help_imports_nothing_heavy(arguments):
    program = (
        "import sys; from agent.cli.main import run; run(sys.argv[1:]);"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    ended = python("-c", program, *arguments)
    assert ended.stderr == "[]\n"


def test_version(cli):
    result = cli("--version")
    assert result.code == 0
    assert result.out.startswith("camera-agent, version ")


def test_an_unknown_verb_names_the_known_ones(cli):
    result = cli("frobnicate")
    assert result.code == 2
    assert "no such command 'frobnicate'" in result.err
    assert "devices, controls, capture, record, timeline, plan, trigger, config, serve, status, " in result.err


def test_unexpected_exceptions_are_not_swallowed():
    def broken(_simulate):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(["devices"], broken)


def test_completion_of_bash():
    done = python(
        "-m", "agent.cli", _CAMERA_AGENT_COMPLETE="bash_complete", COMP_WORDS="camera-agent cap", COMP_CWORD="1"
    )
    assert done.stdout == "plain,capture\n"


def test_an_output_encoding_that_knows_no_boxes(tmp_path):
    options = ("capture", "--simulate", "--output", tmp_path)
    ended = python("-m", "agent.cli", *options, PYTHONIOENCODING="ascii")
    assert ended.returncode == 0
    assert "within ?2 ms" in ended.stdout


def test_a_message_of_several_lines_keeps_them_and_nothing_else(capsys):
    def refuse(_simulate):
        raise errors.InputError("plans.yaml: 2 problems\n  one\x1b[31m\n  two", hint="correct them")

    assert run(["devices"], refuse) == 2
    assert capsys.readouterr().err == "camera-agent: plans.yaml: 2 problems\n  one?[31m\n  two\n  correct them\n"
