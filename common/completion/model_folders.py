"""Where trained networks lie, and what they were made for. No TensorFlow."""

import importlib
import importlib.util
import json
import math
import pathlib

from common.errors import InputError

SHIPPED = "shipped:"
SETTINGS_FILE = pathlib.PurePath("assets.extra", "inpainting.json")
# What ``tf.saved_model.contains_saved_model`` looks for.
_SAVED_MODELS = ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb")


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
    return settings
