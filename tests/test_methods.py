"""A method's settings are its flags, in a command line as in a run's ``flags.txt``."""

import dataclasses

import pytest
from absl import flags

import glcic
from common import settings
from common.settings import setting
from common.training.runs import RunDirectory
from flags import methods


@dataclasses.dataclass(frozen=True)
class Toy:
    """One field of every kind."""

    batch_size: int = 7
    names: tuple = ("shared", "list")
    alpha: float = setting(0.5, "A number.", least=0.0, most=1.0)
    steps: int = setting(3, "A count.", least=1)
    flip: bool = setting(True, "A switch.")
    words: tuple = setting(("a", "b"), "A list.")
    kind: str = setting("one", "A choice.", choices=("one", "two"))
    file: str = setting("none", "A text.")


def shared_flags():
    values = flags.FlagValues()
    flags.DEFINE_integer("batch_size", 96, "", flag_values=values)
    flags.DEFINE_list("names", "x", "", flag_values=values)
    return values


def parsed(*arguments):
    values = shared_flags()
    methods.define(Toy, values)
    values(["command", *arguments])
    return values


LINES = (
    "--alpha=0.25", "--steps=9", "--noflip", "--words=c,d,e", "--kind=two", "--file=a=b.txt",
    "--batch_size=2", "--names=y",
)  # fmt: skip


def test_without_a_flag_a_field_has_its_default_and_so_has_the_shared_flag():
    assert methods.read(Toy, parsed()) == Toy() == settings.parse(Toy, {})
    assert parsed()["batch_size"].value == 7


def test_a_command_line_and_a_runs_flags_say_the_same(tmp_path):
    expected = Toy(2, ("y",), 0.25, 9, False, ("c", "d", "e"), "two", "a=b.txt")
    values = parsed(*LINES)
    assert methods.read(Toy, values) == expected
    run = RunDirectory(tmp_path)
    run.flags.write_text("".join(f"{values[name].serialize()}\n" for name in values))
    assert settings.parse(Toy, run.read_flags()) == expected


@pytest.mark.parametrize("line", ["--alpha=1.5", "--steps=0", "--kind=three", "--alpha=many"])
def test_values_out_of_bounds_are_refused(line):
    with pytest.raises(flags.IllegalFlagValueError):
        parsed(line)
    if line not in ("--alpha=1.5", "--steps=0"):  # bounds are the command line's
        name, _, text = line[2:].partition("=")
        with pytest.raises(ValueError, match=name if "three" in line else "many"):
            settings.parse(Toy, {name: text})


def test_a_misspelt_shared_flag_is_noticed():
    wrong = dataclasses.make_dataclass("Wrong", [("batchsize", int, 3)], frozen=True)
    with pytest.raises(flags.UnrecognizedFlagError):
        methods.define(wrong, shared_flags())


@pytest.mark.parametrize("name", glcic.METHODS)
def test_every_method_is_what_its_table_says(name):
    method = glcic.METHODS[name]
    assert method.name == name
    assert method.training().size == 128
    room = method.load()
    assert all(callable(getattr(room, part)) for part in ("networks", "build", "plan", "exported"))
    assert sum(row.steps for row in room.plan(method.training())) >= 100_000


def test_a_flag_is_known_before_the_others(tmp_path):
    inner, outer = tmp_path / "inner.flags", tmp_path / "outer.flags"
    inner.write_text("--method=inner\n--alpha=3\n")
    outer.write_text(f"--flagfile={inner}\n--beta=1\n")
    for arguments, expected in (
        ((), None),
        (("--method=a",), "a"),
        (("--method", "a", "--dataset", "b"), "a"),
        (("--dataset", "b", "--method", "a"), "a"),
        ((f"--flagfile={outer}",), "inner"),
        ((f"--flagfile={outer}", "--method=last"), "last"),
        (("--nothing", "--alpha=3", "--method=a"), "a"),
    ):
        assert methods.early(["command", *arguments], "method") == expected, arguments
