"""Where an export may be written: what is there and is none of its own stays."""

import pathlib

import pytest

from common.completion.model_folders import require_replaceable
from common.errors import InputError

FILES = (
    "saved_model.pb",
    "fingerprint.pb",
    "assets.extra/inpainting.json",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
)


def fill(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return folder


def test_an_earlier_export_an_empty_folder_and_a_new_one_are_taken(tmp_path):
    (tmp_path / "empty").mkdir()
    (fill(tmp_path / "export", FILES) / "assets").mkdir()
    for name in ("empty", "export", "new", "new/deeper"):
        require_replaceable(tmp_path / name)


@pytest.mark.parametrize(
    "names",
    [
        ("notes.txt",),
        ("flags.txt", "checkpoints/ckpt-8.index", "saved_model/saved_model.pb"),  # a run
        (*FILES, "notes.txt"),
        (*FILES, "assets.extra/tf_serving_warmup_requests"),  # the user's own, beside ours
        (*FILES, "variables/deeper/variables.index"),
        tuple(name for name in FILES if "json" not in name),  # somebody else's SavedModel
        tuple(name for name in FILES if name != "saved_model.pb"),
    ],
)
def test_what_no_export_wrote_is_refused(names, tmp_path):
    fill(tmp_path / "place", names)
    with pytest.raises(InputError, match=r"^--output=there: .*give a new folder"):
        require_replaceable(tmp_path / "place", "--output=there")


def test_places_that_are_no_folder_of_ones_own_are_refused(tmp_path, monkeypatch):
    export = fill(tmp_path / "outer/export", FILES)
    (tmp_path / "link").symlink_to(export)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_text("mine")
    for name in ("link", "dangling", "file", "file/deeper", "outer"):
        with pytest.raises(InputError):
            require_replaceable(tmp_path / name)
    require_replaceable(export)
    monkeypatch.setenv("HOME", str(export))
    with pytest.raises(InputError, match="your home"):
        require_replaceable(export)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for here in (export / "variables", export):
        monkeypatch.chdir(here)
        for place in (export, pathlib.Path("/")):
            with pytest.raises(InputError, match="where this command runs"):
                require_replaceable(place)
    with pytest.raises(InputError, match="where this command runs"):
        require_replaceable(pathlib.Path())
