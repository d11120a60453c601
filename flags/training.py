"""Flags of a training run."""

import copy
import dataclasses
import pathlib

from absl import flags

from common import methods as common_methods
from common import settings
from common.completion import model_folders
from common.errors import InputError
from common.training import runs
from flags import data as data_flags
from flags import masks as mask_flags

FLAGS = flags.FLAGS

# The modules whose flags make up a run's flags.txt.
GROUPS = ("flags.data", "flags.runtime", "flags.masks", "flags.training", "flags.methods")

# May change between two starts of one run: they do not change what is trained.
FREE = (
    "run_dir",
    "log_every",
    "save_every",
    "sample_every",
    "keep_checkpoints",
    "vgg19_weights",
    "data_dir",
    "xla",
    "export",
)

# Name what is trained on, which may have been moved since a run began.
PLACES = ("dataset", "mask", "validation", "damage")


def define(batch_size=96, optimizer="adadelta", learning_rate=1.0):
    """Defines the flags of this group; the arguments are defaults."""
    flags.DEFINE_string("run_dir", None, "Folder of the run; an existing one is resumed.")
    flags.DEFINE_string(
        "init_from",
        None,
        "Run directory, exported model or shipped:PACKAGE/NAME: a new run begins with its weights, "
        "as far as names and shapes fit.",
    )
    flags.DEFINE_integer("batch_size", batch_size, "Images in a step.", lower_bound=1)
    flags.DEFINE_enum("optimizer", optimizer, runs.OPTIMIZERS, "Of every network.")
    flags.DEFINE_float("learning_rate", learning_rate, "Peak learning rate.", lower_bound=0.0)
    flags.DEFINE_enum(
        "decay", "none", ["none", "cosine"], "How the learning rate falls over the run."
    )
    flags.DEFINE_integer("log_every", 50, "Steps between lines of metrics.jsonl.", lower_bound=1)
    flags.DEFINE_integer("save_every", 500, "Steps between checkpoints.", lower_bound=1)
    flags.DEFINE_integer(
        "sample_every", 500, "Steps between sample grids; 0: at phase ends.", lower_bound=0
    )
    flags.DEFINE_integer("keep_checkpoints", 3, "Checkpoints to keep.", lower_bound=1)
    flags.DEFINE_bool(
        "export", True, "Write saved_model/ at the end; --noexport: leave what is there as it is."
    )
    flags.DEFINE_bool("dry_run", False, "Print settings and parameter counts, then stop.")


def schedule():
    """The ``Schedule`` that the flags describe."""
    return runs.Schedule(
        FLAGS.log_every, FLAGS.save_every, FLAGS.sample_every, FLAGS.keep_checkpoints
    )


def resolved(modules=GROUPS, defaults=False):
    """The values of the flags that ``modules`` define, as the text of a flagfile.

    Args:
      modules: names.
      defaults: their defaults instead.
    """
    own, lines = FLAGS.flags_by_module_dict(), {}
    for flag in (flag for module in modules for flag in own.get(module, [])):
        if defaults:
            flag = copy.deepcopy(flag)
            flag.value = flag.default
        if flag.value is not None and flag.name != "dry_run":
            lines[flag.name] = flag.serialize()
    return "".join(f"{lines[name]}\n" for name in sorted(lines) if lines[name])


def job(own, methods):
    """The ``common.training.runs.Job`` that the flags describe, checked without TensorFlow.

    Args:
      own: the method's settings of training.
      methods: a package's ``METHODS``, for ``--init_from``.

    Raises:
      InputError: contradictory flags, a data set that is not there, another run's directory.
    """
    size = own.size
    found = runs.Job(
        run=runs.RunDirectory(FLAGS.run_dir),
        flags=resolved(),
        defaults=resolved(defaults=True),
        free=FREE,
        lengths=tuple(settings.lengths(type(own))),
        schedule=schedule(),
        dataset=FLAGS.dataset,
        source={"split": FLAGS.split, "data_dir": FLAGS.data_dir},
        prepare=data_flags.preparation(size),
        holes=mask_flags.spec(size, size),
        precision=FLAGS.precision,
        xla=FLAGS.xla,
        deterministic=FLAGS.deterministic,
        dry_run=FLAGS.dry_run,
        export=FLAGS.export,
        init_from=_beginning(methods),
    )
    if not found.dry_run:
        data_flags.check()
        found = dataclasses.replace(found, resolved=_resolved_files())
        found.check()
        if found.export:  # at the end
            model_folders.require_replaceable(found.run.saved_model)
    return found


def _beginning(methods):
    if not FLAGS.init_from:
        return None
    if runs.RunDirectory(FLAGS.run_dir).has_checkpoint():
        return None  # it goes on with its own weights; the others may be gone
    try:
        run = runs.RunDirectory(pathlib.Path(FLAGS.init_from).expanduser())
        if run.flags.is_file() and run.has_checkpoint():  # has more than its exported model
            return methods[common_methods.method_of_run(run, methods)], run
        found = common_methods.described(FLAGS.init_from, methods)
    except InputError as error:
        raise InputError(f"--init_from: {error}") from error
    return methods[found.method], found.found


def _resolved_files():
    """{flag: which files it stands for} of the flags that name what is trained on."""
    given = [name for name in PLACES if name in FLAGS and FLAGS[name].value]
    found = {}
    for name in given:
        value = FLAGS[name].value
        parts = value.split(",") if name == "damage" else [value]
        found[name] = ",".join(map(runs.listing, parts))
    if "vgg19_weights" in FLAGS and pathlib.Path(FLAGS.vgg19_weights).is_file():
        found["vgg19_weights"] = runs.contents(FLAGS.vgg19_weights)
    return found


def required(*names):
    """Raises ``InputError`` for the first of the flags that has no value."""
    for name in names:
        if not FLAGS[name].value:
            raise InputError(f"--{name} is missing: {FLAGS[name].help}")
