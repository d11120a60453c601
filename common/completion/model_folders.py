"""Where trained networks lie, and what they were made for. No TensorFlow."""

import importlib
import importlib.util
import json
import math
import os
import pathlib
import re

from common.errors import InputError
from common.pictures.images import require_folder

SHIPPED = "shipped:"
SETTINGS_FILE = pathlib.PurePath("assets.extra", "inpainting.json")
# What ``tf.saved_model.contains_saved_model`` looks for.
_SAVED_MODELS = ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb")

# All that an export consists of.
_EXPORTED = re.compile(
    r"saved_model\.pb|fingerprint\.pb|assets\.extra(/inpainting\.json)?|assets"
    r"|variables(/variables\.(index|data-\d{5}-of-\d{5}))?"
)


def is_saved_model(folder):
    """Whether a folder holds a SavedModel."""
    return any((folder / name).exists() for name in _SAVED_MODELS)


def split_values(source):
    """Parts a model from what is to be set of it.

    Args:
      source: as ``find_model`` takes it, with or without ?NAME=NUMBER&NAME=NUMBER behind it.

    Returns:
      (the source alone, {name: float}).

    Raises:
      InputError: something else stands behind the question mark.
    """
    alone, marked, words = str(source).rpartition("?")
    if not marked or pathlib.Path(str(source)).is_dir():
        return str(source), {}
    values = {}
    for word in words.split("&"):
        name, _, number = word.partition("=")
        try:
            values[name] = float(number)
        except ValueError as error:
            raise InputError(f"{source}: {word!r} is not of the form NAME=NUMBER") from error
        if not math.isfinite(values[name]):
            raise InputError(f"{source}: {word!r}: need a finite number")
    return alone, values


def find_model(source):
    """The folder of the SavedModel that ``source`` names, as ``load_model`` takes it.

    Raises:
      InputError: there is none.
    """
    source = str(source)
    if source.startswith(SHIPPED):
        return _find_shipped(source)
    folder = pathlib.Path(source).expanduser()
    if not folder.is_dir():
        raise InputError(f"{source}: no such folder; give a SavedModel or a run directory")
    for candidate in (folder, folder / "saved_model"):
        if is_saved_model(candidate):
            return candidate
    raise InputError(f"{source}: neither a SavedModel nor a run directory with a saved_model")


def _find_shipped(source):
    """``PACKAGE/shipped/NAME`` of "shipped:PACKAGE/NAME"; NAME may be left to the package.

    Only the package's default, the constant ``SHIPPED`` of its ``__init__.py``, needs its import.
    """
    package, named, name = source.removeprefix(SHIPPED).partition("/")
    # A dotted name would make find_spec import the parent.
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    networks = {
        folder.name: folder
        for place in (spec and spec.submodule_search_locations) or ()
        for folder in sorted(pathlib.Path(place, "shipped").glob("*"))
        if is_saved_model(folder)
    }
    if not networks:
        why = "it comes without a model" if spec else "there is no such package"
        raise InputError(f"{source}: {why}; give the folder of a SavedModel")
    if not named:
        name = getattr(importlib.import_module(package), "SHIPPED", None)
    if name not in networks:
        there_are = ", ".join(f"{SHIPPED}{package}/{other}" for other in networks)
        why = "the package has no default" if name is None else f"there is no network {name!r}"
        raise InputError(f"{source}: {why}; choose from {there_are}")
    return networks[name]


def read_settings(folder):
    """What a SavedModel was made for: see ``Model.settings``.

    Raises:
      InputError: the file is broken.
    """
    path = folder / SETTINGS_FILE
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if not isinstance(settings, dict):
        raise InputError(f"{path}: holds no JSON object; write one, or remove the file")
    for key in ("hole_size", "image_size"):
        value = settings.get(key, 1)
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{path}: {key} is {value!r}, not a positive number of pixels")
    if not isinstance(settings.get("about", ""), str):
        raise InputError(f"{path}: about is {settings['about']!r}, not a text")
    return settings


def require_replaceable(path, named=None):
    """Refuses a place for an export where something lies that is no earlier export.

    One consists of the files that an export writes, ``inpainting.json`` among them, and no other.
    An empty folder is taken, too.

    Args:
      path: of the folder to write.
      named: what messages call it; None for the path.

    Raises:
      InputError: something else is there, or would be above the folder.
      OSError: what is there cannot be looked at.
    """
    path, named = pathlib.Path(path), named or path
    advice = "give a new folder, or an earlier export that is to be replaced"
    if path.is_symlink():
        raise InputError(f"{named}: a symbolic link; {advice}")
    require_folder(path)
    if not path.exists():
        return
    here = pathlib.Path.cwd()
    if path.resolve() in (pathlib.Path(os.path.expanduser("~")).resolve(), here, *here.parents):
        raise InputError(f"{named}: your home, or around where this command runs; {advice}")
    found = set()
    for name in _below(path):
        if not _EXPORTED.fullmatch(name):
            raise InputError(f"{named}: holds {name}, which no export wrote; {advice}")
        found.add(name)
    if found and not {"saved_model.pb", str(SETTINGS_FILE)} <= found:
        raise InputError(f"{named}: not an earlier export; {advice}")


def _below(folder):
    """Yields the relative paths of all files and folders in a folder, the outer ones first."""

    def give_up(error):
        raise error

    for at, folders, files in os.walk(folder, onerror=give_up):
        for name in sorted(folders + files):
            yield pathlib.PurePath(at, name).relative_to(folder).as_posix()
