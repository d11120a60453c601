"""Every module imports, every command explains itself."""

import importlib
import pkgutil
import re

import pytest

import common
import flags
import glcic
import wgan_inpaint
from tests import commands

PACKAGES = (common, flags, glcic, wgan_inpaint)


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


@pytest.mark.parametrize("command", commands.COMMANDS)
def test_help_shows_how_a_command_is_called(command):
    result = commands.run(command, "--help")
    assert result.returncode == 1 and "Traceback" not in result.stderr, result.stderr
    assert f"python -m {command}" in result.stdout
