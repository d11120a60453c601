"""One way to train: the rows of a plan, a run directory, exact resume.

A run directory holds ``flags.txt`` (a valid ``--flagfile``), ``resolved.json`` (what flags that
name files, and ``precision``, stood for), ``metrics.jsonl`` (a line every
``log_every`` steps: step, segment, mean of each metric since the last line, seconds),
``samples/`` (the same images and holes, or the same z, at fixed steps), ``checkpoints/`` and,
at the end, ``saved_model/``. Training that was stopped in any way goes on from the last
checkpoint when ``fit`` is called again with the same directory.
"""

import json
import math
import shutil
import sys
import time

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from common.errors import InputError, reason
from common.runtime import Interruption, progress_bar
from common.training.runs import Row, RunDirectory, Schedule  # noqa: F401


class _Supervisor(keras.callbacks.Callback):
    """Progress bar, log, samples, checkpoints and the stop on NaN or Ctrl-C of one row."""

    def __init__(self, run, schedule, title, first, last, manager, sample, interruption):
        super().__init__()
        self.run, self.schedule, self.title = run, schedule, title
        self.step, self.first, self.last = first, first, last
        self.manager, self.sample, self.interruption = manager, sample, interruption
        self.board = _summary_writer(run.path / "tensorboard")
        self.progress = progress_bar(last - first, "step", interval=1)
        self.judged = {}  # what the last sample measured
        self.began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        values = {name: float(value) for name, value in (logs or {}).items()}
        self.progress(self.step - self.first, [*values.items(), *self.judged.items()])
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            self._stop(bad[0])
        done = self.step == self.last
        if done or self._due(self.schedule.sample_every):
            name = f"{self.step:07d}_{self.title}.png"
            self.judged = self.sample(self.run.samples / name) or {}
            values |= self.judged
        if done or self._due(self.schedule.log_every):
            self._log(values)
        stop = self.interruption.requested  # asked once: it may come while this is carried out
        if done or stop or self._due(self.schedule.save_every):
            self._save()
        if stop:
            self.model.stop_training = True

    def _due(self, every):
        return bool(every) and self.step % every == 0

    def _log(self, values):
        now = time.perf_counter()
        line = {"step": self.step, "segment": self.title, **values}
        line["seconds"] = round(now - self.began, 3)
        self.began = now
        with open(self.run.metrics, "a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        if self.board:
            with self.board.as_default():
                for name, value in values.items():
                    tf.summary.scalar(name, value, step=self.step)
        self.model.reset_metrics()

    def _stop(self, what):
        saved = self.manager.latest_checkpoint
        raise InputError(
            f"step {self.step}: {what} is not finite; the last checkpoint "
            f"({saved or 'none'}) is sound. Lower --learning_rate or use --precision=float32"
        )

    def _save(self):
        for variable in self.model.weights:  # a step may ruin them after its loss was measured
            if not np.isfinite(variable.numpy()).all():
                self._stop(variable.path)
        try:
            self.manager.save(checkpoint_number=self.step)
        except (tf.errors.OpError, OSError) as error:
            shutil.rmtree(self.run.checkpoints / f"ckpt-{self.step}_temp", ignore_errors=True)
            raise InputError(
                f"{self.run.checkpoints}: the checkpoint of step {self.step} could not be written "
                f"({reason(error)}); earlier ones are untouched. Free space and start again"
            ) from error


def _summary_writer(folder):
    """TensorBoard's writer if the extra is installed, else None."""
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        return None
    return tf.summary.create_file_writer(str(folder))


def fit(trainer, plan, batches, run_dir, schedule, sample, jit_compile=False):
    """Trains through the rows of a plan, going on where an earlier call was stopped.

    Args:
      trainer: a ``common.training.trainer.Trainer``.
      plan: list of ``Row``.
      batches: from (batch size, number of the first image) to a dataset that begins with it; the
        images go on from row to row.
      run_dir: a folder, or a ``RunDirectory``.
      schedule: a ``Schedule``.
      sample: called with a path to write a sample picture.
      jit_compile: compile the step with XLA.

    Returns:
      Whether training is complete; False after Ctrl-C, when everything has been saved.

    Raises:
      InputError: a loss is not finite, a checkpoint does not fit or cannot be written, or none of
        those that there are is whole.
    """
    run = run_dir if isinstance(run_dir, RunDirectory) else RunDirectory(run_dir)
    latest = run.resume()
    checkpoint = tf.train.Checkpoint(step=trainer.step, **trainer.checkpointed())
    manager = tf.train.CheckpointManager(
        checkpoint, str(run.checkpoints), max_to_keep=schedule.keep_checkpoints
    )
    if latest:
        try:
            checkpoint.restore(latest).assert_consumed()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise InputError(
                f"{latest} does not fit this run ({reason(error)}); take a new --run_dir"
            ) from error
        logging.info("going on from step %d (%s)", int(trainer.step), latest)
    run.forget_after(int(trainer.step))

    with Interruption() as interruption:
        end = seen = 0
        for row in plan:
            done = max(0, int(trainer.step) - end)
            first, end = seen + done * row.batch_size, end + row.steps
            seen += row.steps * row.batch_size
            if done >= row.steps or interruption.requested:
                continue
            trainer.begin(row)
            # Setting it makes Keras trace the step anew for the phase's networks.
            trainer.jit_compile = jit_compile
            trainer.make_train_function(force=True)
            logging.info("%s: %d steps", row.title, row.steps - done)
            supervisor = _Supervisor(
                run, schedule, row.title, int(trainer.step), end, manager, sample, interruption
            )
            try:
                trainer.fit(
                    batches(row.batch_size, first),
                    steps_per_epoch=row.steps - done,
                    shuffle=False,  # the data comes in its order
                    verbose=0,
                    callbacks=[supervisor],
                )
            except (InputError, tf.errors.OpError):
                print(file=sys.stderr)  # the message is not to end up in the progress bar
                raise
    complete = int(trainer.step) == sum(row.steps for row in plan)
    if interruption.requested and not complete:
        logging.info("stopped at step %d; start the same command again to go on", int(trainer.step))
    return complete
