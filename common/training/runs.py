"""A training run from outside: its directory, how often it writes, its optimizers' names.

Only what reads checkpoints needs TensorFlow, and imports it then.
"""

import dataclasses
import errno
import hashlib
import json
import os
import pathlib
import re

from absl import logging

from common import locks
from common.errors import InputError, reason
from common.pictures import images as image_files
from common.pictures.preparation import folders, is_folder

OPTIMIZERS = ("adadelta", "adam", "rmsprop")


@dataclasses.dataclass(frozen=True)
class Row:
    """A stretch of a run in which nothing but the data changes: a row of its plan.

    Attributes:
      phase: name of what is trained, as the method's trainer knows it.
      steps: optimizer steps.
      batch_size: images in a step.
      size: side of the images in pixels; 0 is the method's own.
      name: for logs and sample files; "" is the phase's.
    """

    phase: str
    steps: int
    batch_size: int
    size: int = 0
    name: str = ""

    @property
    def title(self):
        """What logs and sample files call it."""
        return self.name or self.phase


def passed(plan, steps):
    """What the first steps of a plan are: its rows, as far as they go."""
    rows = []
    for row in plan:
        rows.append(dataclasses.replace(row, steps=min(row.steps, steps)))
        steps -= rows[-1].steps
    return [row for row in rows if row.steps]


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How often, in steps, what is written; 0 is never."""

    log_every: int = 50
    save_every: int = 500
    sample_every: int = 500
    keep_checkpoints: int = 3


def _parse_flags(text):
    """{name: value} of a flagfile's lines; ``--name`` and ``--noname`` are "true" and "false"."""
    pairs = {}
    for line in text.splitlines():
        name, equals, value = line.removeprefix("--").partition("=")
        if not equals:
            value = "false" if name.startswith("no") else "true"
            name = name.removeprefix("no") if value == "false" else name
        pairs[name] = value
    return pairs


def listing(source):
    """What a folder, file or glob pattern holds, wherever it is: "9 files 0f3c...".

    Args:
      source: of pictures; anything else, as the name of a tfds data set, stands for itself.

    Returns:
      Their number and a hash of their names below the folder and of their sizes, not of what is in
      them.

    Raises:
      InputError: there is no such file.
    """
    if not is_folder(source):
        return source
    count, digest = 0, hashlib.sha256()
    for part, times in folders(source):
        root, paths = image_files.root_of(part), image_files.list_images(part)
        digest.update(b"" if times == 1 else b"%d\n" % times)
        for path in paths:
            line = f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\n"
            digest.update(line.encode(errors="surrogateescape"))
        count += times * len(paths)
    return f"{count} files {digest.hexdigest()[:16]}"


def contents(path):
    """A hash of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return f"file {digest.hexdigest()[:16]}"


def _damage(checkpoint):
    """What is wrong with a checkpoint; "" if all of it can be read and has its checksums."""
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(checkpoint)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except Exception as error:  # TensorFlow's, and a few of Python's own types
        return reason(error)
    return ""


class RunDirectory:
    """Paths of a run, its log and its samples."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.flags = self.path / "flags.txt"
        self.resolved = self.path / "resolved.json"
        self.metrics = self.path / "metrics.jsonl"
        self.samples = self.path / "samples"
        self.checkpoints = self.path / "checkpoints"
        self.saved_model = self.path / "saved_model"

    def hold(self):
        """Makes the folder, and claims it for this process: see ``common.locks.hold``."""
        self._make()
        return locks.hold(self.path, f"--run_dir={self.path}")

    def _make(self):
        try:
            self.samples.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--run_dir={self.path}: {error.strerror}") from error

    def check_flags(self, text, free=(), defaults="", resolved=None):
        """Refuses a directory that is not this run's.

        Args:
          text: one ``--name=value`` a line.
          free: names that may differ between starts of one run.
          defaults: the same of the flags' defaults: what a run meant that was started before there
            was such a flag. A line of the run whose flag is gone is of no account.
          resolved: {name: text} of flags that count for what they stand for here, as ``listing``
            says it, and not for their own text.

        Raises:
          InputError: it belongs to a run with other settings, or is a file.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"--run_dir={self.path}: {os.strerror(errno.ENOTDIR)}")
        if not self.flags.exists():
            return
        usual, new = _parse_flags(defaults), _parse_flags(text)
        old = {**usual, **self.read_flags()}
        known = new.keys() | usual.keys() if defaults else new.keys() | old.keys()
        recorded = self.read_resolved()
        for name, now in (resolved or {}).items():
            if (then := recorded.get(name, now)) != now:
                raise InputError(
                    f"--run_dir={self.path}: --{name} is {now} here, and was {then} when the run "
                    "began; bring that back, or take a new --run_dir"
                )
        for name in sorted(known - set(free) - (recorded.keys() & (resolved or {}).keys())):
            if old.get(name) != new.get(name):
                raise InputError(
                    f"--run_dir={self.path} was started with --{name}={old.get(name)}, "
                    f"not {new.get(name)}: repeat that, or take a new --run_dir"
                )

    def settle_flags(self, text, free=(), defaults="", resolved=None):
        """Writes ``flags.txt``, or compares it with what an earlier start wrote.

        Args:
          text: one ``--name=value`` a line.
          free: names that may differ between starts of one run.
          defaults, resolved: see ``check_flags``.

        Raises:
          InputError: the directory belongs to a run with other settings, or cannot be made.
        """
        self.check_flags(text, free, defaults, resolved)
        self._make()
        image_files.write_bytes_atomically(self.flags, text.encode())
        if resolved:
            known = json.dumps({**resolved, **self.read_resolved()}, indent=1)
            image_files.write_bytes_atomically(self.resolved, known.encode())

    def read_flags(self):
        """{name: value} of ``flags.txt``; a bool is "true" or "false"."""
        if not self.flags.is_file():
            raise InputError(f"{self.path} is no training run: it has no flags.txt")
        try:
            return _parse_flags(self.flags.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise InputError(f"{self.flags}: no text; it was damaged") from error

    def read_resolved(self):
        """{name: text} of what flags stood for when the run began; a run of before has none."""
        try:
            found = json.loads(self.resolved.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise InputError(f"{self.resolved}: damaged; delete it to go on without its checks")
        return found

    def _named(self):
        """Names of the checkpoints that TensorFlow's own list has, the oldest first."""
        try:
            text = (self.checkpoints / "checkpoint").read_bytes().decode(errors="replace")
        except FileNotFoundError:
            return []
        return re.findall(r'^all_model_checkpoint_paths: "(?:.*/)?(ckpt-[0-9]+)"$', text, re.M)

    def _saved(self):
        """Paths of all checkpoints, the latest first; some may be damaged."""
        listed = self._named()[::-1]
        others = {path.stem for path in self.checkpoints.glob("ckpt-*.index")} - {*listed}
        others = sorted(others, key=lambda name: int(name.removeprefix("ckpt-")), reverse=True)
        return [str(self.checkpoints / name) for name in [*listed, *others]]

    def checkpoint(self, step=0):
        """Path of the checkpoint of ``step``, or of the latest one that is whole.

        One that is damaged is passed over with a warning, and so is TensorFlow's list of them.

        Raises:
          InputError: there is none.
        """
        paths = [path for path in self._saved() if not step or path.endswith(f"-{step}")]
        for path in paths:
            if not (wrong := _damage(path)):
                return path
            logging.warning("%s is damaged: %s", path, wrong)
        wanted = f" of step {step}" if step else ""
        whole = " that is whole; take a new --run_dir, or bring one back" if paths else ""
        raise InputError(f"{self.checkpoints}: no checkpoint{wanted}{whole}")

    def has_checkpoint(self):
        """Whether something was saved, be it damaged: such a run must not begin anew."""
        return bool(self._saved()) or (self.checkpoints / "checkpoint").exists()

    def resume(self):
        """Finds where a run goes on, and makes TensorFlow's list of its checkpoints end there.

        Returns:
          The path of ``checkpoint``; None if nothing was saved.

        Raises:
          InputError: nothing that was saved is whole.
        """
        if not self.has_checkpoint():
            return None
        import tensorflow as tf

        latest = self.checkpoint()
        try:
            state = tf.train.get_checkpoint_state(str(self.checkpoints))
        except (ValueError, tf.errors.OpError):
            state = None
        if not state or pathlib.Path(state.model_checkpoint_path).name != pathlib.Path(latest).name:
            paths = self._saved()
            names = [pathlib.Path(path).name for path in paths[paths.index(latest) :]]
            lines = [f'model_checkpoint_path: "{names[0]}"\n']
            lines += [f'all_model_checkpoint_paths: "{name}"\n' for name in reversed(names)]
            image_files.write_bytes_atomically(
                self.checkpoints / "checkpoint", "".join(lines).encode()
            )
        return latest

    def logged(self):
        """The lines of the log as dicts; damaged and unfinished ones are left out."""
        found = []
        for line in self.metrics.read_bytes().splitlines() if self.metrics.exists() else []:
            try:
                values = json.loads(line)
            except ValueError:
                continue
            if isinstance(values, dict) and isinstance(values.get("step"), int):
                found.append(values)
        return found

    def forget_after(self, step):
        """Drops logged lines after ``step``: the steps that a killed run must repeat."""
        if self.metrics.exists():
            kept = [json.dumps(line) + "\n" for line in self.logged() if line["step"] <= step]
            image_files.write_bytes_atomically(self.metrics, "".join(kept).encode())


@dataclasses.dataclass(frozen=True)
class Job:
    """A training as a command describes it, whatever its method.

    Attributes:
      run: the ``RunDirectory``.
      flags: all flags' values, the text of its ``flags.txt``.
      defaults: the same of their defaults.
      free: names of flags that may differ between starts of one run.
      lengths: names of flags that may differ as long as what was trained would be the same.
      schedule: a ``Schedule``.
      dataset: see ``common.pictures.datasets.training_batches``, as is
      source: its further arguments by name.
      prepare: a ``common.pictures.preparation.Preparation``.
      holes: a ``common.pictures.mask_spec.MaskSpec``.
      precision, xla, deterministic: see ``common.runtime``.
      dry_run: print settings and parameter counts, and stop.
      export: write the SavedModel at the end.
      init_from: None, or (method, what ``common.methods.described`` found): a model or a run, with
        whose weights a new run begins.
      resolved: what flags stand for here, see ``RunDirectory.check_flags``.
    """

    run: RunDirectory
    flags: str
    defaults: str
    free: tuple
    lengths: tuple
    schedule: Schedule
    dataset: str
    source: dict
    prepare: object
    holes: object
    precision: str = "auto"
    xla: str = "auto"
    deterministic: bool = False
    dry_run: bool = False
    export: bool = True
    init_from: tuple | None = None
    resolved: dict = dataclasses.field(default_factory=dict)

    def check(self):
        """Refuses a run directory that is another run's, or that another process trains in."""
        locks.check_free(self.run.path, f"--run_dir={self.run.path}")
        # What the precision is here is known when TensorFlow is there.
        free = (*self.free, *self.lengths, "precision")
        self.run.check_flags(self.flags, free, self.defaults, self.resolved)

    def settle(self, policy):
        """Writes the run's ``flags.txt``; the run is held.

        Args:
          policy: what ``precision`` is here, a Keras dtype policy.

        Raises:
          InputError: it is another run's directory, or other files are trained on.
        """
        resolved = {**self.resolved, "precision": policy}
        self.run.settle_flags(self.flags, (*self.free, *self.lengths), self.defaults, resolved)
