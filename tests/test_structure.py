"""Who may import whom: an arrow that runs back up is noticed where it is drawn."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
# What each room may import of the project, besides itself.
ALLOWED = {
    "common": set(),
    "flags": {"common"},
    "glcic": {"common"},
    "wgan_inpaint": {"common"},
}


def imported(tree):
    """The first words of what a module imports, wherever it does so."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide where they lead"
            yield node.module.partition(".")[0]


def is_command(tree):
    """Whether a module is run as one: ``if __name__ == "__main__"``."""
    tests = [node.test for node in tree.body if isinstance(node, ast.If)]
    return any("__name__" in ast.unparse(test) for test in tests)


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_what_lies_below(room):
    for path in sorted((ROOT / room).rglob("*.py")):
        tree = ast.parse(path.read_text())
        allowed = {room, *ALLOWED[room]} | ({"flags"} if is_command(tree) else set())
        wrong = {*imported(tree)} & {*ALLOWED, "tests"} - allowed
        assert not wrong, f"{path.relative_to(ROOT)} imports {', '.join(wrong)}"
