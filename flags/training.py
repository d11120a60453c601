"""Flags of a training run."""

from absl import flags

from common.errors import InputError
from common.training import runs

FLAGS = flags.FLAGS

# The modules whose flags make up a run's flags.txt.
GROUPS = (
    "flags.data",
    "flags.runtime",
    "flags.masks",
    "flags.training",
    "flags.glcic",
    "flags.wgan",
)

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
)


def define(batch_size=96, optimizer="adadelta", learning_rate=1.0):
    """Defines the flags of this group; the arguments are defaults."""
    flags.DEFINE_string("run_dir", None, "Folder of the run; an existing one is resumed.")
    flags.DEFINE_integer("batch_size", batch_size, "Images in a step.", lower_bound=1)
    flags.DEFINE_enum("optimizer", optimizer, runs.OPTIMIZERS, "Of every network.")
    flags.DEFINE_float("learning_rate", learning_rate, "Peak learning rate.", lower_bound=0.0)
    flags.DEFINE_float(
        "discriminator_learning_rate",
        0.0,
        "Of discriminators and critics; 0: learning_rate.",
        lower_bound=0.0,
    )
    flags.DEFINE_enum(
        "decay", "none", ["none", "cosine"], "How the learning rate falls over the run."
    )
    flags.DEFINE_integer("log_every", 50, "Steps between lines of metrics.jsonl.", lower_bound=1)
    flags.DEFINE_integer("save_every", 500, "Steps between checkpoints.", lower_bound=1)
    flags.DEFINE_integer("sample_every", 500, "Steps between sample grids; 0: at phase ends.")
    flags.DEFINE_integer("keep_checkpoints", 3, "Checkpoints to keep.", lower_bound=1)
    flags.DEFINE_bool("dry_run", False, "Print settings and parameter counts, then stop.")


def schedule():
    """The ``Schedule`` that the flags describe."""
    return runs.Schedule(
        FLAGS.log_every, FLAGS.save_every, FLAGS.sample_every, FLAGS.keep_checkpoints
    )


def resolved(modules):
    """The values of the flags that ``modules`` define, as the text of a flagfile."""
    own = FLAGS.flags_by_module_dict()
    lines = {
        flag.name: flag.serialize()
        for module in modules
        for flag in own.get(module, [])
        if flag.value is not None and flag.name != "dry_run"
    }
    return "".join(f"{lines[name]}\n" for name in sorted(lines) if lines[name])


def required(*names):
    """Raises ``InputError`` for the first of the flags that has no value."""
    for name in names:
        if not FLAGS[name].value:
            raise InputError(f"--{name} is missing: {FLAGS[name].help}")
