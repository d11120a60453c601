"""A method's settings are its flags, in a command line as in a run's ``flags.txt``."""

import dataclasses
import json

import pytest
from absl import flags

import glcic
import wgan_inpaint
from common import methods as common_methods
from common import settings
from common.errors import InputError
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


@pytest.mark.parametrize(
    ("package", "name"), [(p, name) for p in (glcic, wgan_inpaint) for name in p.METHODS]
)
def test_every_method_is_what_its_table_says(package, name):
    method = package.METHODS[name]
    assert method.name == name
    own = method.training()
    assert own.size == (128 if package is glcic else 64)
    room = method.load()
    assert all(callable(getattr(room, part)) for part in ("networks", "build", "plan", "exported"))
    assert sum(row.steps for row in room.plan(own)) >= 100_000
    assert {row.batch_size for row in room.plan(own)} == {own.batch_size}


def test_an_integer_may_be_one_of_a_few():
    kind = dataclasses.make_dataclass(
        "Sizes", [("size", int, setting(64, "Side.", choices=(32, 64)))], frozen=True
    )
    values = flags.FlagValues()
    methods.define(kind, values)
    values(["command", "--size=32"])
    assert methods.read(kind, values) == kind(32) == settings.parse(kind, {"size": "32"})
    assert values["size"].serialize() == "--size=32"
    with pytest.raises(flags.IllegalFlagValueError, match=r"32\|64"):
        values(["command", "--size=48"])
    with pytest.raises(ValueError, match="size=48"):
        settings.parse(kind, {"size": "48"})


def write_model(folder, **described):
    (folder / "assets.extra").mkdir(parents=True)
    (folder / "saved_model.pb").touch()
    (folder / "assets.extra" / "inpainting.json").write_text(json.dumps(described))
    return folder


def test_a_model_says_which_method_it_is_of_and_what_it_was_exported_with(tmp_path):
    table = wgan_inpaint.METHODS
    now = write_model(tmp_path / "now", method="latent_search", completing={"iterations": 7})
    before = write_model(tmp_path / "before", method="wgan_inpaint", search={"iterations": 7})
    for folder in (now, before):
        said = common_methods.described(folder, table)
        assert (said.found, said.method, said.stored) == (
            folder, "latent_search", {"iterations": 7}
        )  # fmt: skip
    run = tmp_path / "run"
    run.mkdir()
    (run / "flags.txt").write_text("--latent=6\n")  # of a time when runs did not say their method
    said = common_methods.described(run, table)
    assert isinstance(said.found, RunDirectory) and said.method == "latent_search"
    with pytest.raises(InputError, match="'latent_search', not of glcic or"):
        common_methods.described(now, glcic.METHODS)
    broken = write_model(tmp_path / "broken", method="latent_search", completing=[1])
    with pytest.raises(InputError, match="no JSON object"):
        common_methods.described(broken, table)


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
