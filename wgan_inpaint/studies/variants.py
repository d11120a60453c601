r"""Trains variants of one recipe, one after another, and tabulates what they have learnt.

    python -m wgan_inpaint.studies.variants --flagfile=flags/papers/cnnlg_robustness.flags \
        --dataset=FOLDER --validation=FOLDER --output=FOLDER

Every ``--variant`` is a run that differs from the other flags in what it names. The output folder
then holds

    NAME/               the run directory of a variant
    variants.csv .md    a row per variant: the last value of each of ``--measures``, and the seconds
    variants.png        the first measure over the steps

The same command on the same folder goes on where it was stopped; finished runs stay as they are.
"""

import pathlib
import sys

from absl import flags, logging

from common import compare, flag_checks, runtime
from common.errors import InputError
from flags import methods as method_flags
from flags import studies as study_flags
from flags import training as training_flags
from wgan_inpaint import METHODS, train

FLAGS = flags.FLAGS
PARSER = method_flags.parser(METHODS, "training")
# What no variant can have of its own.
OF_ALL = ("method", "run_dir", "output", "variant", "measures", "flagfile", "dry_run", "export")


def define_flags():
    """Defines the flags that all methods share."""
    train.define_flags()
    study_flags.define_variants()
    FLAGS.set_default("export", False)


def parse_variants(texts):
    """{name: {flag: text}} of ``--variant``.

    Raises:
      InputError: one of another form, or a name that is given twice or is no folder's.
    """
    found = {}
    for text in texts:
        name, colon, changes = (part.strip() for part in text.partition(":"))
        words = [word.partition("=") for word in changes.split()]
        if not (name and colon and all(flag and value for flag, _, value in words)):
            raise InputError(f"--variant={text}: need NAME: FLAG=VALUE ...")
        if set(name) & set("/\\") or name.startswith(".") or name in found:
            raise InputError(f"--variant={text}: the name is given twice or is no folder's")
        found[name] = {flag: value for flag, _, value in words}
    return found


def job_of(folder, name, changes):
    """(settings, ``common.training.runs.Job``) of a variant; the flags stay as they were.

    Raises:
      InputError: a flag that the method does not have, or a value that it cannot have.
    """
    for flag in changes:
        if flag not in FLAGS:
            raise InputError(f"--variant={name}: there is no flag --{flag}")
        if flag in OF_ALL:
            raise InputError(f"--variant={name}: --{flag} is one for all variants")
    changes = {**changes, "run_dir": str(folder / name)}
    before = {flag: FLAGS[flag].value for flag in changes}
    try:
        for flag, text in changes.items():
            FLAGS[flag].parse(text)
        flag_checks.check_values()
        _, own = method_flags.chosen(METHODS, "training")
        return own, training_flags.job(own, METHODS)
    except flags.IllegalFlagValueError as error:
        raise InputError(f"--variant={name}: {error}") from error
    finally:
        for flag, value in before.items():
            FLAGS[flag].value = value


def main():
    """Trains every variant; writes and prints the table, but for ``--dry_run``."""
    training_flags.required("dataset", "output", "variant", "measures")
    method, _ = method_flags.chosen(METHODS, "training")
    folder = pathlib.Path(FLAGS.output)
    variants = parse_variants(FLAGS.variant)
    jobs = {name: job_of(folder, name, changes) for name, changes in variants.items()}
    if not FLAGS.dry_run:
        compare.prepare_output(folder)

    runtime.import_tensorflow()
    from common.training import driver
    from wgan_inpaint.studies import measured

    for name, (own, job) in jobs.items():
        logging.info("variant %s", name)
        code = driver.train(method, own, job)
        if code:
            sys.exit(code)
    if FLAGS.dry_run:
        return
    runs = {name: job.run for name, (_, job) in jobs.items()}
    print(measured.save(folder, runs, FLAGS.measures), end="")


if __name__ == "__main__":
    define_flags()
    runtime.run(main, PARSER)
