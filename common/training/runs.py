"""A training run from outside: its directory, how often it writes, its optimizers' names.

Only what reads checkpoints needs TensorFlow, and imports it then.
"""

import dataclasses
import errno
import json
import os
import pathlib

from common.errors import InputError
from common.pictures import images as image_files

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


class RunDirectory:
    """Paths of a run, its log and its samples."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.flags = self.path / "flags.txt"
        self.metrics = self.path / "metrics.jsonl"
        self.samples = self.path / "samples"
        self.checkpoints = self.path / "checkpoints"
        self.saved_model = self.path / "saved_model"

    def check_flags(self, text, free=(), defaults=""):
        """Refuses a directory that is not this run's.

        Args:
          text: one ``--name=value`` a line.
          free: names that may differ between starts of one run.
          defaults: the same of the flags' defaults: what a run meant that was started before there
            was such a flag. A line of the run whose flag is gone is of no account.

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
        for name in sorted(known - set(free)):
            if old.get(name) != new.get(name):
                raise InputError(
                    f"--run_dir={self.path} was started with --{name}={old.get(name)}, "
                    f"not {new.get(name)}: repeat that, or take a new --run_dir"
                )

    def settle_flags(self, text, free=(), defaults=""):
        """Writes ``flags.txt``, or compares it with what an earlier start wrote.

        Args:
          text: one ``--name=value`` a line.
          free: names that may differ between starts of one run.
          defaults: see ``check_flags``.

        Raises:
          InputError: the directory belongs to a run with other settings, or cannot be made.
        """
        self.check_flags(text, free, defaults)
        try:
            self.samples.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--run_dir={self.path}: {error.strerror}") from error
        image_files.write_bytes_atomically(self.flags, text.encode())

    def read_flags(self):
        """{name: value} of ``flags.txt``; a bool is "true" or "false"."""
        if not self.flags.is_file():
            raise InputError(f"{self.path} is no training run: it has no flags.txt")
        try:
            return _parse_flags(self.flags.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise InputError(f"{self.flags}: no text; it was damaged") from error

    def checkpoint(self, step=0):
        """Path of the checkpoint of ``step``, or of the latest one."""
        import tensorflow as tf

        state = tf.train.get_checkpoint_state(str(self.checkpoints))
        paths = list(state.all_model_checkpoint_paths) if state else []
        if step:
            paths = [path for path in paths if path.endswith(f"-{step}")]
        if not paths:
            wanted = f" of step {step}" if step else ""
            raise InputError(f"{self.checkpoints}: no checkpoint{wanted}")
        return paths[-1]

    def has_checkpoint(self):
        """Whether there is something to go on from."""
        import tensorflow as tf

        return tf.train.latest_checkpoint(str(self.checkpoints)) is not None

    def forget_after(self, step):
        """Drops logged lines after ``step``: the steps that a killed run must repeat."""
        if not self.metrics.exists():
            return
        kept = []
        for line in self.metrics.read_text().splitlines(keepends=True):
            try:
                if json.loads(line)["step"] > step:
                    break
            except (ValueError, KeyError):
                break
            kept.append(line)
        image_files.write_bytes_atomically(self.metrics, "".join(kept).encode())


@dataclasses.dataclass(frozen=True)
class Job:
    """A training as a command describes it, whatever its method.

    Attributes:
      run: the ``RunDirectory``.
      flags: all flags' values, the text of its ``flags.txt``.
      defaults: the same of their defaults.
      free: names of flags that may differ between starts of one run.
      schedule: a ``Schedule``.
      dataset: see ``common.pictures.datasets.training_batches``, as is
      source: its further arguments by name.
      prepare: a ``common.pictures.preparation.Preparation``.
      holes: a ``common.pictures.mask_spec.MaskSpec``.
      precision, xla, deterministic: see ``common.runtime``.
      dry_run: print settings and parameter counts, and stop.
      export: write the SavedModel at the end.
    """

    run: RunDirectory
    flags: str
    defaults: str
    free: tuple
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

    def check(self):
        """Refuses a run directory that is another run's."""
        self.run.check_flags(self.flags, self.free, self.defaults)

    def settle(self):
        """Makes the run directory and writes its ``flags.txt``."""
        self.run.settle_flags(self.flags, self.free, self.defaults)
