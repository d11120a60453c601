"""Results on disk as they are made, so that a comparison that was killed goes on where it was.

A ``Store`` is a folder, ``NAME-KEY``, whose key is a hash of everything that its results depend
on: the model's files, the holes, the data set, the code that measures. Change any of it, and the
key, hence the folder, is another one; change it back, and the old results are there again.

    settings.json        what the key is a hash of, for people
    scores.jsonl         a line per image, in the data set's order, appended batch by batch
    vectors/000016.npy   feature vectors of the batch that begins with image 16, float32 [B, D]
    pictures/000003.png  completions that a figure shows

A kill loses one batch at most: a line that it cut short is dropped.
"""

import hashlib
import io
import json
import pathlib
import re
import shutil

import numpy as np

from common.errors import InputError
from common.pictures import images as image_files

KEY_LENGTH = 16
_KEY = re.compile(rf"[0-9a-f]{{{KEY_LENGTH}}}")
# Of ``common``, what presents results, serves or trains, and hence changes no score.
UNMEASURED = (
    "compare.py",
    "completion/crops.py",
    "completion/files.py",
    "evaluation/benchmarking.py",
    "evaluation/discrimination.py",
    "evaluation/reports.py",
    "evaluation/results_cache.py",
    "evaluation/tables.py",
    "flag_checks.py",
    "locks.py",
    "figures.py",
    "pictures/samples.py",
    "serving/*",
    "training/*",
)


def fingerprint(settings):
    """A short hash of JSON values, whatever the order of the keys."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def of_contents(paths, root):
    """A hash of files: their places below ``root`` and every byte.

    Raises:
      InputError: one cannot be read.
    """
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode(errors="surrogateescape"))
        try:
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
        digest.update(b"\0")
    return digest.hexdigest()


def of_folder(folder):
    """A hash of a folder: the names and contents of all files in it."""
    folder = pathlib.Path(folder)
    return of_contents([path for path in folder.rglob("*") if path.is_file()], folder)


def of_listing(paths, root):
    """A hash of many or large files by place, size and time of change, without reading them."""
    digest = hashlib.sha256()
    for path in paths:
        state = path.stat()
        line = f"{path.relative_to(root).as_posix()}\0{state.st_size}\0{state.st_mtime_ns}\n"
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def of_code():
    """A hash of the modules that complete and measure."""
    package = pathlib.Path(__file__).parents[1]
    unmeasured = {path for name in UNMEASURED for path in package.glob(name)}
    # Of the training room, one file reads the networks that give features.
    unmeasured.discard(package / "training" / "vgg19.py")
    return of_contents(set(package.rglob("*.py")) - unmeasured, package)


class Store:
    """The results of one method on one kind of holes.

    Attributes:
      key: hash of the settings.
      rows: a list of dictionaries, one for each of the first images of the data set.
    """

    def __init__(self, folder, name, settings):
        """Opens the store, with what an earlier run left in it.

        Args:
          folder: of all stores.
          name: for people; part of the folder's name.
          settings: JSON values, everything that the results depend on.

        Raises:
          InputError: the folder cannot be written or read.
        """
        self.key = fingerprint(settings)
        self.folder = pathlib.Path(folder, f"{name}-{self.key}")
        self._path = self.folder / "scores.jsonl"
        if not (self.folder / "settings.json").is_file():
            text = json.dumps(settings, indent=1, sort_keys=True)
            image_files.write_bytes_atomically(self.folder / "settings.json", text.encode())
        self.rows = self._read()

    def _read(self):
        """The whole lines; what a kill left of another is cut off the file."""
        try:
            lines = self._path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        rows = []
        for line in lines:
            row = _parse(line)
            if row.pop("index", None) != len(rows):
                with open(self._path, "r+b") as file:
                    file.truncate(sum(map(len, lines[: len(rows)])))
                break
            rows.append(row)
        return rows

    def append(self, rows, vectors=None):
        """Adds the results of the next images.

        Args:
          rows: list of dictionaries of JSON values.
          vectors: None, or float32 [B, D], a feature vector for each of them.
        """
        if vectors is not None:
            buffer = io.BytesIO()
            np.save(buffer, np.asarray(vectors, np.float32))
            path = self.folder / "vectors" / f"{len(self.rows):06d}.npy"
            image_files.write_bytes_atomically(path, buffer.getbuffer())
        lines = [
            json.dumps({"index": index, **row}) + "\n"
            for index, row in enumerate(rows, start=len(self.rows))
        ]
        # In one call, behind the vectors: rows on disk are whole.
        with open(self._path, "ab") as file:
            file.write("".join(lines).encode())
        self.rows += rows

    def vectors(self, count):
        """Yields the feature vectors of the first ``count`` images, float32 [B, D] each."""
        for path in sorted((self.folder / "vectors").glob("*.npy")):
            first = int(path.stem)
            if first < min(count, len(self.rows)):
                yield np.load(path)[: count - first]

    def picture_path(self, index):
        """Where the picture of image number ``index`` is kept for figures."""
        return self.folder / "pictures" / f"{index:06d}.png"


def _parse(line):
    """The row that a line holds; an empty one if it is broken or cut short."""
    try:
        row = json.loads(line) if line.endswith(b"\n") else {}
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _text(path):
    """What a file says; nothing if there is none."""
    return path.read_text(encoding="ascii", errors="replace") if path.is_file() else ""


def _remove_pictures(folder):
    """Removes a folder that a comparison filled, and refuses one with anything but pictures."""
    for path in sorted(folder.iterdir()):
        if path.name != ".key" and (path.suffix != ".png" or not path.is_file()):
            raise InputError(f"{path}: no comparison wrote it; give another --output, or move it")
    shutil.rmtree(folder)


class ImageFolder:
    """A folder of pictures that is emptied when they would be of another comparison.

    Evaluation tools want nothing but the images in it; the key stands in a hidden file.
    """

    def __init__(self, folder, key, names):
        """Claims the folder.

        Args:
          folder: where the pictures go.
          key: of what they show; see ``Store``.
          names: of their files.

        Raises:
          InputError: there are files in it that no comparison wrote.
        """
        self.folder, self._names = pathlib.Path(folder), names
        mark = self.folder / ".key"
        # Where there are folders of kinds and blends now, there may have been pictures.
        for outer in self.folder.parents[:2]:
            if _KEY.fullmatch(_text(outer / ".key")):
                _remove_pictures(outer)
        found = _text(mark)
        if found and found != key:
            _remove_pictures(self.folder)
        elif not found and self.folder.is_dir() and any(self.folder.iterdir()):
            raise InputError(f"{self.folder}: holds other files; give another --output, or move it")
        image_files.write_bytes_atomically(mark, key.encode("ascii"))

    def path(self, index):
        """Where image number ``index`` goes."""
        return self.folder / self._names[index]


def file_names(names):
    """Flat names of PNG files, each another one, for images named by their places in folders."""
    flat = [pathlib.PurePath(name.replace("/", "__")).with_suffix(".png").name for name in names]
    if len(set(flat)) == len(flat):
        return flat
    return [f"{index:06d}_{name}" for index, name in enumerate(flat)]
