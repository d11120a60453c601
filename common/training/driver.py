"""What the commands that train and export do, whatever the method."""

import dataclasses

import cv2
import tensorflow as tf

from common import runtime, settings
from common.errors import InputError, reason
from common.pictures import datasets
from common.serving import export as serving
from common.training import loop, runs, starting
from common.training.runs import RunDirectory
from common.training.trainer import describe


@dataclasses.dataclass(frozen=True)
class Restored:
    """What a run has trained, in float32.

    Attributes:
      method: a ``common.methods.Method``.
      settings: of its training.
      networks: {name: ``keras.Model``}.
      checkpoint: path of the checkpoint.
    """

    method: object
    settings: object
    networks: dict
    checkpoint: str


def restore(method, run, step=0):
    """Builds a run's networks and reads their weights.

    Args:
      method: a ``common.methods.Method``.
      run: a ``common.training.runs.RunDirectory``.
      step: of the checkpoint; 0 is the latest.

    Returns:
      ``Restored``.

    Raises:
      InputError: no such run or checkpoint, or one that does not fit.
    """
    texts, checkpoint = run.read_flags(), run.checkpoint(step)
    try:
        own = settings.parse(method.training, texts)
        networks = method.load().networks(own)
        reader = tf.train.Checkpoint(**networks).restore(checkpoint)
        reader.assert_existing_objects_matched().expect_partial()
    except (ValueError, AssertionError, InputError, tf.errors.OpError) as error:
        raise InputError(
            f"{checkpoint}: no checkpoint of {method.name} that fits {run.flags} ({reason(error)})"
        ) from error
    return Restored(method, own, networks, checkpoint)


def export(method, run, path, completing, step=0, storage="float32", jit_compile=False, about=""):
    """Writes the SavedModel of a run, and says where.

    Args:
      method: a ``common.methods.Method``.
      run: a ``common.training.runs.RunDirectory``.
      path: folder to write.
      completing: the method's settings of that name.
      step: of the checkpoint; 0 is the latest.
      storage: type of the stored weights, "float32" or "float16".
      jit_compile: compile with XLA wherever the model is run, if the method's graph can ask for it.
      about: what it knows, in a line that commands log when they take the model; may be empty.

    Raises:
      InputError: no such run or checkpoint, or one that does not fit.
    """
    restored = restore(method, run, step)
    module, described = method.load().exported(
        restored, completing, tf.as_dtype(storage), jit_compile
    )
    described = {"method": method.name, **described, **({"about": about} if about else {})}
    serving.save(module, path, described)
    print(f"SavedModel: {path}")


def begin(trainer, method, found, first):
    """Gives a new run's networks the weights of another run or of an exported model.

    Args:
      trainer: a ``common.training.trainer.Trainer``.
      method: the other one's ``common.methods.Method``.
      found: its ``common.training.runs.RunDirectory``, or the folder of its SavedModel.
      first: from a number to so many first training images, uint8 [N, S, S, 3].

    Raises:
      InputError: it cannot be read, lacks what training needs, or nothing of it fits.
    """
    if isinstance(found, RunDirectory):
        given, found = restore(method, found).networks, found.path
        result = starting.from_networks(given, trainer.networks)
    else:
        kept = getattr(method.load(), "KEPT", None)
        if kept is None:
            raise InputError(
                f"--init_from={found}: a model of {method.name} lacks what training needs; give "
                "its run directory"
            )
        result = starting.from_model(found, kept, trainer, first)
    starting.report(found, result)


def train(method, own, job):
    """Trains, going on where an earlier start was stopped, then exports if the job says so.

    Args:
      method: a ``common.methods.Method``.
      own: its settings of training.
      job: a ``common.training.runs.Job``.

    Returns:
      The exit code: 130 if it was interrupted, when everything has been saved.

    Raises:
      InputError: bad data, a run with other settings, a loss that is not finite.
    """
    room = method.load()
    cv2.setNumThreads(1)  # several pictures are prepared at a time
    runtime.seed_everything(own.seed, job.deterministic)
    policy = runtime.choose_precision(job.precision)
    jit_compile = runtime.choose_xla(job.xla, policy)
    if job.dry_run:
        print(job.flags + describe(room.networks(own, policy)))
        return 0
    trainer = room.build(own, job.holes, policy)

    damage = trainer.damage(job)
    source = {**job.source, "damage": damage}

    def batches(batch_size, first):
        return datasets.training_batches(
            job.dataset, job.prepare, batch_size, own.seed, first, **source
        )

    def first(count):
        return datasets.first_images(count, job.dataset, job.prepare, own.seed, **source)

    # Reads pictures: a data set that cannot be read leaves no run behind.
    if fresh := not job.run.has_checkpoint():
        first(1)
    visible = damage.visible(batches) if damage and fresh else None
    sample = trainer.sampler(first, job.run)
    with job.run.hold():
        _check_lengths(method, own, job)
        if fresh:
            trainer.prepare(first, datasets.count(job.dataset, **job.source))
            if job.init_from:  # what does not fit leaves no run behind that had its flags
                begin(trainer, *job.init_from, first)
        job.settle(policy)
        if visible is not None:
            damage.report(visible, job.run.path)
        plan = room.plan(own)
        if not loop.fit(trainer, plan, batches, job.run, job.schedule, sample, jit_compile):
            return 130
        if job.export:
            export(method, job.run, job.run.saved_model, method.completing())
    return 0


def _check_lengths(method, own, job):
    """Refuses other lengths than those that a run began with, if it would be another one by now."""
    latest = job.run.resume()
    if not latest or not job.run.flags.exists():
        return
    done = int(latest.rpartition("-")[2])
    plan, texts = method.load().plan, job.run.read_flags()
    try:
        before = settings.parse(method.training, texts)
    except ValueError as error:
        raise InputError(f"{job.run.flags}: no flags of {method.name} ({error})") from error
    names = [name for name in job.lengths if getattr(own, name) != getattr(before, name)]
    if not names:
        return
    told = ", ".join(
        f"--{name}={getattr(own, name)} (was {getattr(before, name)})" for name in names
    )
    if own.decay == "cosine":
        raise InputError(
            f"{told}: --decay=cosine is planned for the whole run; take a new --run_dir"
        )
    if runs.passed(plan(before), done) != runs.passed(plan(own), done):
        raise InputError(
            f"{told}: --run_dir={job.run.path} has done {done} steps, which would be others; only "
            "what is still to come may be longer or shorter"
        )
