"""What the documents say is so: examples run, commands parse, links and names lead somewhere.

The documents are README.md and each package's; names are also looked up in every docstring of the
project and in the comments of the flagfiles.
"""

import ast
import collections
import importlib
import inspect
import pkgutil
import re
import shlex
import types
import urllib.parse

import numpy as np
import pytest

import common
import flags
import glcic
import wgan_inpaint
from common.completion import models
from common.errors import InputError
from common.pictures import images
from tests import commands, test_start

ROOT = commands.ROOT
PACKAGES = (common, flags, glcic, wgan_inpaint)
PACKAGE_NAMES = {package.__name__ for package in PACKAGES}
DOCUMENTS = tuple(
    path
    for path in (ROOT / "README.md", *(ROOT / p.__name__ / "README.md" for p in PACKAGES))
    if path.is_file()
)
SOURCES = tuple(sorted(path for p in PACKAGES for path in (ROOT / p.__name__).rglob("*.py")))
FLAGFILES = tuple(sorted((ROOT / "flags/papers").glob("*.flags")))
PICTURES = ROOT / ".pictures"

FRONT_PAGE_LINES = 200
PICTURE_BYTES, ALL_PICTURES_BYTES = 400_000, 1_500_000

# What looks like an attribute and is a file's ending.
SUFFIXES = {
    *("csv", "flags", "gif", "h5", "jpg", "json", "jsonl", "keras", "md", "npz", "pb", "pdf"),
    *("png", "py", "svg", "tex", "txt", "webp"),
}
# What commands write, or is somebody's own: not among the project's files.
NOT_OURS = ("common/cache",)


def relative(path):
    return path.relative_to(ROOT).as_posix()


def read(path):
    return path.read_text(encoding="utf-8")


def blocks(text, languages):
    """The code blocks of a document in these languages."""
    return re.findall(rf"^```(?:{languages})\n(.*?)^```", text, re.M | re.S)


def prose(text):
    """A document without its code blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


# Commands


def command_lines(text):
    """(module, arguments) of each ``python -m`` line of the project in a document."""
    for line in "\n".join(blocks(text, "bash|sh")).replace("\\\n", "").splitlines():
        words = shlex.split(line, comments=True)
        if "&&" in words:
            words = words[len(words) - words[::-1].index("&&") :]
        if words[:2] == ["python", "-m"] and words[2].split(".")[0] in PACKAGE_NAMES:
            assert all(word.startswith("-") for word in words[3:]), line
            yield words[2], tuple(words[3:])


def documented_commands():
    """Every command line of all documents once, with the document it stands in."""
    found = {}
    for path in DOCUMENTS:
        for line in command_lines(read(path)):
            found.setdefault(line, relative(path))
    return found


def test_every_command_is_shown():
    assert {module for module, _ in documented_commands()} == set(commands.COMMANDS)


def test_documented_commands_parse():
    """``--only_check_args`` parses the flags and flagfiles, then exits."""
    found = documented_commands()
    calls = [(module, (*arguments, "--only_check_args")) for module, arguments in found]
    answers = test_start.answers_to(calls)
    for ((module, arguments), place), (code, text) in zip(found.items(), answers, strict=True):
        shown = f"{place}: {module} {' '.join(arguments)}: {text[-500:]}"
        assert code == 0 and "Traceback" not in text, shown


# Examples

EXAMPLES = [
    pytest.param(block, id=f"{relative(path)}-{number}")
    for path in DOCUMENTS
    for number, block in enumerate(blocks(read(path), "python"), start=1)
]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with what the examples name: pictures, holes and a model."""
    generator = np.random.default_rng(0)
    hole = np.zeros((96, 128, 1), np.float32)
    hole[30:60, 40:80] = 1
    for name in ("photo.jpg", "photos/photo.jpg"):
        images.write_image(tmp_path / name, generator.random((96, 128, 3), np.float32))
    images.write_image(tmp_path / "hole.png", hole.repeat(3, axis=-1))
    (tmp_path / "models").mkdir()
    (tmp_path / "models/wang").symlink_to(models.find_model("shipped:glcic"))
    monkeypatch.chdir(tmp_path)
    # An example sets it; so it is as before afterwards.
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    return tmp_path


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.parametrize("code", EXAMPLES)
def test_examples_run(code, workplace):
    before = set(workplace.iterdir())
    exec(compile(code, "example", "exec"), {"__name__": "example"})
    if "completed.png" not in code:
        assert all(path.stat().st_size for path in set(workplace.iterdir()) - before)
        assert set(workplace.iterdir()) > before
        return
    photo, completed = images.read_image("photo.jpg"), images.read_image("completed.png")
    change = np.abs(photo - completed).mean(axis=-1)
    hole = images.read_mask("hole.png")[..., 0] == 1
    # Another reader of JPEG rounds otherwise.
    assert change[~hole].mean() < 0.02 < change[hole].mean()


# Links and pictures


def anchors(text):
    """The anchors that a page on the web gives to the headings of a document."""
    taken, found = collections.Counter(), set()
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", prose(text), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.add(f"{slug}-{taken[slug]}" if taken[slug] else slug)
        taken[slug] += 1
    return found


def links(text):
    """Where the links and pictures of a document lead."""
    text = re.sub(r"`[^`\n]*`", "", prose(text))
    found = re.findall(r"\]\(([^)\s]+)[^)]*\)", text)
    return found + re.findall(r"<(?:img|a)\b[^>]*?(?:src|href)=\"([^\"]+)\"", text)


def broken_links(path, text):
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = urllib.parse.unquote(link).partition("#")
        target = (path.parent / place).resolve() if place else path
        if not target.exists():
            yield f"{link}: no such file"
        elif anchor and anchor not in anchors(text if target == path else read(target)):
            yield f"{link}: no such heading"


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_links_lead_somewhere(path):
    assert not list(broken_links(path, read(path)))


def test_a_broken_link_is_found():
    text = "# A b, `c`\n[x](#a-b-c) [y](#a-b) ![z](.pictures/none.png) [s](setup.py)\n"
    assert list(broken_links(ROOT / "README.md", text)) == [
        "#a-b: no such heading",
        ".pictures/none.png: no such file",
    ]


def test_pictures_are_small_and_shown():
    sizes = {path: path.stat().st_size for path in PICTURES.rglob("*") if path.is_file()}
    assert not [path for path, size in sizes.items() if size >= PICTURE_BYTES]
    assert sum(sizes.values()) <= ALL_PICTURES_BYTES
    shown = {(path.parent / link).resolve() for path in DOCUMENTS for link in links(read(path))}
    assert shown >= set(sizes)


def test_front_page_is_short():
    assert len(read(ROOT / "README.md").splitlines()) <= FRONT_PAGE_LINES


# Names


def project_modules():
    """{full name: module}, all of the project."""
    found = {package.__name__: package for package in PACKAGES}
    for package in PACKAGES:
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            found[info.name] = importlib.import_module(info.name)
    return found


MODULES = project_modules()
BY_LAST_NAME = collections.defaultdict(list)
for _name, _module in MODULES.items():
    BY_LAST_NAME[_name.rpartition(".")[2]].append(_module)

ABSOLUTE = re.compile(rf"(?<![\w./-])(?:{'|'.join(sorted(PACKAGE_NAMES))})(?:\.[A-Za-z_]\w*)+")
RELATIVE = re.compile(r"`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)(?:\([^`\n]*\))?`")
PATH = re.compile(
    rf"(?<![\w./:-])(?:{'|'.join(sorted(PACKAGE_NAMES))}|tests)/(?:[\w*.-]+/)*[\w*.-]*[\w*]"
)
SHIPPED = re.compile(r"shipped:[a-z]\w*(?:/\w+)?")
FLAGFILE = re.compile(r"(?<![\w./-])\w+\.flags\b")


def has(thing, name):
    """Whether an object has the attribute, if only once it is made."""
    if hasattr(thing, name) or name in getattr(thing, "__annotations__", {}):
        return True
    return inspect.isclass(thing) and bool(
        re.search(rf"\bself\.{name}\b", inspect.getsource(thing))
    )


def resolves(thing, names):
    """Whether the attributes lead from one to the next; what is behind a field is not known."""
    for name in names:
        if not has(thing, name):
            return False
        if not hasattr(thing, name):
            return True
        thing = getattr(thing, name)
    return True


def wrong_names(text, module=None):
    """The dotted names in a text that lead nowhere.

    Args:
      text: what is searched.
      module: whose names the text may use, or None.
    """
    for name in dict.fromkeys(ABSOLUTE.findall(text)):
        first, *rest = name.split(".")
        if rest[-1] in SUFFIXES:
            continue
        if name not in MODULES and not resolves(MODULES[first], rest):
            yield name
    for name in dict.fromkeys(RELATIVE.findall(text)):
        first, *rest = name.split(".")
        if rest[-1] in SUFFIXES or first in PACKAGE_NAMES:
            continue
        roots = [getattr(module, first)] if hasattr(module, first) else BY_LAST_NAME.get(first, [])
        if roots and not any(resolves(root, rest) for root in roots):
            yield name


def missing_paths(text):
    """The project's files and shipped networks that a text names and that are not there."""
    found = PATH.findall(text) + [f"flags/papers/{name}" for name in FLAGFILE.findall(text)]
    for name in dict.fromkeys(found):
        if not any(ROOT.glob(name)) and name not in NOT_OURS:
            yield name
    for name in dict.fromkeys(SHIPPED.findall(text)):
        try:
            models.find_model(name)
        except InputError:
            yield name


def docstrings(source):
    """All docstrings of a module's source, as one text."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    return "\n\n".join(filter(None, map(ast.get_docstring, nodes)))


def module_of(path):
    name = relative(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return MODULES[name]


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_docstrings_name_what_exists(path):
    text = docstrings(read(path))
    assert not [*wrong_names(text, module_of(path)), *missing_paths(text)]


@pytest.mark.parametrize("path", FLAGFILES, ids=relative)
def test_flagfiles_name_what_exists(path):
    text = "\n".join(line for line in read(path).splitlines() if line.startswith("#"))
    assert not [*wrong_names(text), *missing_paths(text)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_documents_name_what_exists(path):
    assert not [*wrong_names(read(path)), *missing_paths(read(path))]


def test_a_wrong_name_is_found():
    module = types.ModuleType("here")
    module.np = np
    text = """``common.figures.save_curves`` and ``common.figures.save_nothing``, `metrics.psnr` and
    `metrics.psmr(a, b)`, ``np.mean``, ``np.none``, `unknown.thing`, `comparison.png`, flags.txt,
    setup.py, flags/papers/wang2020.flags, flags/papers/none.flags, `none2.flags`, tests/none.py,
    shipped:glcic, `shipped:glcic/faces`, shipped:glcic/none."""
    assert list(wrong_names(text, module)) == [
        "common.figures.save_nothing",
        "metrics.psmr",
        "np.none",
    ]
    assert list(missing_paths(text)) == [
        "flags/papers/none.flags",
        "tests/none.py",
        "flags/papers/none2.flags",
        "shipped:glcic/none",
    ]
