"""No command takes a number beyond reason, or a flagfile without end."""

import ast
import contextlib
import importlib
import io
import os
import subprocess
import sys

import pytest
from absl import flags

import glcic
import wgan_inpaint
from common import flag_checks, runtime
from common.errors import InputError
from tests import commands

FLOATS = ("nan", "inf", "-inf", "1e30", "-1e30")
INTEGERS = ("1000000000000", "-1", "nan", "1e30", f"-{10**30}", str(10**30))
ABSL = ("verbosity", "v")  # one flag of two names, from -3 on
METHODS = {"glcic": glcic.METHODS, "wgan_inpaint": wgan_inpaint.METHODS}


def refused(words):
    """Why a command line is refused, "" if it is not."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            runtime.parse_flags(words)
    except InputError as error:
        return str(error)
    except SystemExit:
        return said.getvalue().splitlines()[0]
    return ""


def try_numbers(module, method):
    """In a process of its own: [(flag, text, answer)] of every number that the command takes."""
    command = importlib.import_module(module)
    command.define_flags()
    parse = getattr(command, "PARSER", runtime.parse_flags)
    parse([module, *([f"--method={method}"] if method else [])])
    tried = []
    for name, flag in flags.FLAGS._flags().items():
        real = isinstance(flag.parser, flags.FloatParser)
        if not real and not isinstance(flag.parser, flags.IntegerParser):
            continue
        for text in FLOATS if real else INTEGERS:
            tried.append((name, text, refused([module, f"--{name}={text}"])))
            flag.unparse()
    assert "tensorflow" not in sys.modules
    return tried


def try_all():
    """Prints {command: answers of ``try_numbers``}."""
    answers = {}
    for module in commands.COMMANDS:
        package = module.partition(".")[0]
        methods = METHODS.get(package, [None])
        command = importlib.import_module(module)
        for method in methods if hasattr(command, "PARSER") else [None]:
            inner, outer = os.pipe()
            child = os.fork()
            if not child:
                with os.fdopen(outer, "w") as pipe:
                    pipe.write(repr(try_numbers(module, method)))
                os._exit(0)
            os.close(outer)
            with os.fdopen(inner) as pipe:
                answers[f"{module} {method}"] = ast.literal_eval(pipe.read())
            os.waitpid(child, 0)
    print(repr(answers))


def test_every_number_of_every_command_has_bounds():
    script = "from tests import test_numbers; test_numbers.try_all()"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=commands.ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = ast.literal_eval(done.stdout)
    assert len(answers) == len(commands.COMMANDS) + 6 * (3 - 1), "six have three methods each"
    for command, tried in answers.items():
        assert len(tried) > 2 * len(INTEGERS), command
        for name, text, answer in tried:
            if name in ABSL:
                assert answer or text == "-1", f"{command} --{name}={text}"
            else:
                assert f"--{name}=" in answer and "\n" not in answer, f"{command} --{name}={text}"


def test_a_flagfile_may_come_twice_but_not_in_a_circle(tmp_path):
    inner, left, right = (tmp_path / name for name in ("inner", "left", "right"))
    inner.write_text("--missing=0.5\n")
    left.write_text(f"# both\n--flagfile={inner}\n--flagfile={right}\n")
    right.write_text(f"--flagfile={inner}\n")
    flag_checks.check_flagfiles([f"--flagfile={left}", "--flagfile", str(right)])
    right.write_text(f"--flagfile={left}\n")
    for words in ([f"--flagfile={left}"], ["-flagfile", str(right)]):
        with pytest.raises(InputError, match="names itself"):
            flag_checks.check_flagfiles(words)
