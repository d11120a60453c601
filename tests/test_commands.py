"""Every module imports, every command explains itself, every command in the README is valid."""

import concurrent.futures
import importlib
import pathlib
import pkgutil
import re
import shlex

import pytest

import common
import flags
import glcic
import wgan_inpaint
from tests import commands

PACKAGES = (common, flags, glcic, wgan_inpaint)
README = (commands.ROOT / "README.md").read_text(encoding="utf-8")


def modules():
    for package in PACKAGES:
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield info.name


@pytest.mark.parametrize("name", sorted(modules()))
def test_every_module_imports_and_says_what_it_is(name):
    module = importlib.import_module(name)
    assert module.__doc__ and module.__doc__.strip()


def test_no_command_is_left_out():
    found = {name for name in modules() if hasattr(importlib.import_module(name), "define_flags")}
    assert found == set(commands.COMMANDS)


def test_floors():
    """common knows no method, methods do not know each other, and only commands know flags."""
    floors = {"common": "glcic|wgan_inpaint", "glcic": "wgan_inpaint", "wgan_inpaint": "glcic"}
    for package, forbidden in floors.items():
        for path in (commands.ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(rf"^\s*(from|import) ({forbidden})\b", text, re.M), path
            if re.search(r"^from flags\b", text, re.M):
                assert "def define_flags" in text, f"{path} reads flags but is no command"


def readme_commands():
    """(module, arguments) of each ``python -m`` line in the README's code blocks."""
    blocks = re.findall(r"^```(?:bash|sh)\n(.*?)^```", README, re.M | re.S)
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if "&&" in words:
            words = words[len(words) - words[::-1].index("&&") :]
        if words[:2] == ["python", "-m"] and words[2].split(".")[0] in (
            "common",
            "glcic",
            "wgan_inpaint",
        ):
            yield words[2], tuple(words[3:])


def test_readme_shows_every_command():
    assert {module for module, _ in readme_commands()} == set(commands.COMMANDS)


def test_help_and_readme_commands_parse():
    """``--only_check_args`` parses the flags and flagfiles, then exits."""
    calls = [(module, ("--help",)) for module in commands.COMMANDS]
    calls += [
        (module, (*arguments, "--only_check_args"))
        for module, arguments in dict.fromkeys(readme_commands())
    ]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda call: commands.run(call[0], *call[1]), calls))
    for (module, arguments), result in zip(calls, results, strict=True):
        shown = f"{module} {' '.join(arguments)}: {result.stderr[-500:]}"
        assert result.returncode == (1 if arguments == ("--help",) else 0), shown
        assert "Traceback" not in result.stderr, shown
        if arguments == ("--help",):
            assert f"python -m {module}" in result.stdout, shown


@pytest.mark.parametrize(
    "path", sorted((commands.ROOT / "flags/papers").glob("*.flags")), ids=lambda path: path.name
)
def test_every_number_of_a_flagfile_has_a_source(path):
    """A comment stands above every group of flags."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    names = [line[2:].partition("=")[0] for line in lines if line.startswith("--")]
    assert len(names) == len(set(names)), "a flag is set twice"
    assert isinstance(path, pathlib.Path) and names
