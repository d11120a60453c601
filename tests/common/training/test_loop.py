"""A run stopped in any way ends as if it had not been; what goes wrong is said in one line."""

import dataclasses
import json
import math
import pathlib
import re
import resource
import shutil
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.errors import InputError
from common.training import loop as training
from common.training import runs
from common.training.loop import Row, RunDirectory, Schedule
from common.training.trainer import Trainer

QUIET = Schedule(log_every=1, save_every=2, sample_every=0)


class Counter(Trainer):
    """Descends on (weight - batch)^2; a batch of NaN stands for a diverged step.

    Its checkpoints weigh ``ballast`` bytes.
    """

    measures = {"a": ("loss",), "b": ("loss",)}

    def __init__(self, ballast=1, shape=()):
        super().__init__({}, {})
        self.weight = keras.Variable(np.zeros(shape, np.float32), name="weight")
        self.ballast = tf.Variable(tf.zeros([ballast], tf.uint8))
        self.begun = []

    def checkpointed(self):
        return {"weight": self.weight, "ballast": self.ballast}

    def begin(self, row):
        super().begin(row)
        self.begun.append(row.phase)

    def a_step(self, batch):
        error = self.weight - batch[0]
        self.weight.assign_sub(0.1 * error)
        return {"loss": error**2}

    b_step = a_step


def numbers(batch_size, first):
    """The image of number n is n."""
    return (
        tf.data.Dataset.range(first, 1000).map(lambda n: tf.cast(n, tf.float32)).batch(batch_size)
    )


def row(steps, phase="a"):
    return Row(phase, steps, 1)


def fit(run_dir, plan, schedule=QUIET, sample=lambda path: None, batches=numbers, **options):
    """Trains a new trainer; (complete, trainer)."""
    trainer = Counter(**options)
    run = RunDirectory(run_dir)
    run.settle_flags("")
    return training.fit(trainer, plan, batches, run, schedule, sample), trainer


def logged(run_dir):
    lines = (pathlib.Path(run_dir) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def kept(run_dir):
    """Steps of the checkpoints of a run."""
    names = (pathlib.Path(run_dir) / "checkpoints").glob("*.index")
    return sorted(int(re.search(r"-(\d+)\.index", name.name).group(1)) for name in names)


def closed_form(steps):
    """Losses and last weight of ``steps`` steps of ``Counter``."""
    weight, losses = 0.0, []
    for n in range(steps):
        losses.append((weight - n) ** 2)
        weight -= 0.1 * (weight - n)
    return losses, weight


def test_rows_follow_each_other_and_every_step_is_logged(tmp_path):
    samples = []
    schedule = dataclasses.replace(QUIET, sample_every=2, keep_checkpoints=3)
    complete, model = fit(tmp_path, [row(3), row(4, "b")], schedule, samples.append)
    losses, weight = closed_form(7)
    lines = logged(tmp_path)
    assert complete
    assert model.begun == ["a", "b"]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert [line["segment"] for line in lines] == ["a"] * 3 + ["b"] * 4
    assert [line["loss"] for line in lines] == pytest.approx(losses, rel=1e-4)
    assert float(model.weight) == pytest.approx(weight, rel=1e-5)
    assert [path.name for path in samples] == [
        f"{step:07d}_{name}.png"
        for step, name in ((2, "a"), (3, "a"), (4, "b"), (6, "b"), (7, "b"))
    ]
    assert kept(tmp_path) == [4, 6, 7]


def test_rows_take_up_the_stream_of_images_where_the_last_one_ended(tmp_path):
    asked = []

    def batches(batch_size, first):
        asked.append((batch_size, first))
        return numbers(batch_size, first)

    plan = [Row("a", 3, 2), Row("b", 4, 5)]
    fit(tmp_path, plan[:1], batches=batches)
    fit(tmp_path, plan, batches=batches)
    fit(tmp_path, [plan[0], Row("b", 6, 5)], batches=batches)  # as if it had been stopped there
    assert asked == [(2, 0), (5, 6), (5, 26)]


def test_a_line_of_the_log_is_the_mean_since_the_last_one(tmp_path):
    fit(tmp_path, [row(7)], dataclasses.replace(QUIET, log_every=3))
    losses, _ = closed_form(7)
    expected = [np.mean(losses[:3]), np.mean(losses[3:6]), losses[6]]
    assert [line["step"] for line in logged(tmp_path)] == [3, 6, 7]
    assert [line["loss"] for line in logged(tmp_path)] == pytest.approx(expected, rel=1e-4)


def test_a_finished_run_is_left_as_it_is(tmp_path):
    fit(tmp_path, [row(3)])
    before = (tmp_path / "metrics.jsonl").read_bytes()
    complete, model = fit(tmp_path, [row(3)])
    assert complete
    assert int(model.step) == 3
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_its_checkpoints(tmp_path):
    def diverging(*which):
        return numbers(*which).map(lambda n: tf.where(n == 4, math.nan, n))

    with pytest.raises(InputError, match=r"step 5: loss is not finite.*ckpt-4.*--learning_rate"):
        fit(tmp_path, [row(9)], batches=diverging)
    assert [line["step"] for line in logged(tmp_path)] == [1, 2, 3, 4]
    assert kept(tmp_path) == [2, 4]
    complete, model = fit(tmp_path, [row(9)])  # with better settings it goes on
    assert complete
    assert float(model.weight) == pytest.approx(closed_form(9)[1], rel=1e-5)


@pytest.mark.parametrize("reading", range(1, 6))
def test_whenever_ctrl_c_comes_the_step_it_stops_at_is_saved(tmp_path, monkeypatch, reading):
    class Interruption(training.Interruption):
        """Ctrl-C came just before somebody asks for the n-th time."""

        readings = 0

        @property
        def requested(self):
            self.readings += 1
            return self.readings >= reading

        @requested.setter
        def requested(self, value):
            pass

    with monkeypatch.context() as patch:
        patch.setattr(training, "Interruption", Interruption)
        schedule = dataclasses.replace(QUIET, save_every=1000)
        complete, model = fit(tmp_path, [row(4), row(2)], schedule)
    stopped = int(model.step)
    assert not complete and stopped < 6
    assert kept(tmp_path)[-1:] == [stopped] * (stopped > 0)
    complete, model = fit(tmp_path, [row(4), row(2)])
    assert complete
    assert [line["step"] for line in logged(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert float(model.weight) == pytest.approx(closed_form(6)[1], rel=1e-5)


def test_ruined_weights_are_not_saved(tmp_path):
    class Ruined(Counter):
        def a_step(self, batch):
            values = super().a_step(batch)  # the loss is that of the weights before
            self.weight.assign(tf.where(self.step == 3, math.inf, self.weight))
            return values

    RunDirectory(tmp_path).settle_flags("")
    with pytest.raises(InputError, match="step 4: .*weight is not finite.*ckpt-2"):
        training.fit(Ruined(), [row(9)], numbers, tmp_path, QUIET, lambda path: None)
    assert kept(tmp_path) == [2]


def test_a_checkpoint_that_cannot_be_written_leaves_the_earlier_ones(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def small_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))

    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    first, rest = row(2), [row(3)]
    try:
        fit(tmp_path, [first], ballast=1_000_000)
        small_disk()
        with pytest.raises(InputError, match=r"checkpoints.*step 4.*[Ff]ree space"):
            fit(tmp_path, [first, *rest], ballast=1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)
    complete, model = fit(tmp_path, [first, *rest], ballast=1_000_000)
    assert complete
    assert [line["step"] for line in logged(tmp_path)] == [1, 2, 3, 4, 5]
    assert float(model.weight) == pytest.approx(closed_form(5)[1], rel=1e-5)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    fit(tmp_path, [row(2)])
    with pytest.raises(InputError, match="ckpt-2 does not fit.*--run_dir"):
        fit(tmp_path, [row(3)], shape=2)


def test_an_unfinished_or_later_line_of_the_log_is_forgotten(tmp_path):
    run = RunDirectory(tmp_path)
    lines = [json.dumps({"step": step, "loss": 0.5}) + "\n" for step in (1, 2, 3)]
    for rest in (lines[2], '{"step": 3, "lo', '{"step"', "\n"):
        run.metrics.write_text("".join(lines[:2]) + rest)
        run.forget_after(2)
        assert run.metrics.read_text() == "".join(lines[:2])


def test_a_damaged_line_of_the_log_costs_that_line_only(tmp_path):
    run = RunDirectory(tmp_path)
    lines = [json.dumps({"step": step, "loss": 0.1 * step}) + "\n" for step in range(1, 6)]
    for damaged in (b"\xff\0\n", b'{"step": 2, "lo\n', b"[2]\n", b'{"loss": 0.5}\n'):
        rest = "".join(lines[2:])[:-1]  # the last one, too, is whole
        run.metrics.write_bytes(lines[0].encode() + damaged + rest.encode())
        assert [line["step"] for line in run.logged()] == [1, 3, 4, 5]
        run.forget_after(4)
        assert run.metrics.read_text() == "".join([lines[0], *lines[2:4]])


def shorten(path):
    path.write_bytes(path.read_bytes()[:-10])


def overwrite(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)


@pytest.fixture(scope="module")
def four_steps(tmp_path_factory):
    """A run that is to be copied, not changed."""
    run_dir = tmp_path_factory.mktemp("four_steps")
    fit(run_dir, [row(4)])
    return run_dir


@pytest.mark.parametrize(
    ("name", "damage", "begins"),
    [
        ("checkpoint", lambda path: path.write_bytes(b""), 4),
        ("checkpoint", lambda path: path.write_bytes(b"\xff\0" * 99), 4),
        ("checkpoint", lambda path: path.unlink(), 4),
        ("ckpt-4.index", lambda path: path.write_bytes(b""), 2),
        ("ckpt-4.index", lambda path: path.unlink(), 2),
        ("ckpt-4.data-00000-of-00001", shorten, 2),
        ("ckpt-4.data-00000-of-00001", overwrite, 2),
    ],
)
def test_a_run_goes_on_from_the_latest_checkpoint_that_is_whole(
    tmp_path, four_steps, name, damage, begins
):
    shutil.copytree(four_steps, tmp_path, dirs_exist_ok=True)
    run, log = RunDirectory(tmp_path), (tmp_path / "metrics.jsonl").read_text()
    damage(run.checkpoints / name)
    assert run.checkpoint().endswith(f"ckpt-{begins}")
    asked = []

    def batches(batch_size, first):
        asked.append(first)
        return numbers(batch_size, first)

    fit(tmp_path, [row(6)], batches=batches)
    assert asked == [begins]
    assert float(fit(tmp_path, [row(6)])[1].weight) == pytest.approx(closed_form(6)[1], rel=1e-5)
    assert [line["step"] for line in logged(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert (tmp_path / "metrics.jsonl").read_text().startswith(log[: log.index('{"step": 3')])
    assert tf.train.latest_checkpoint(str(run.checkpoints)).endswith("ckpt-6")
    assert kept(tmp_path) == [2, 4, 6]


def test_a_run_without_a_whole_checkpoint_never_begins_anew(tmp_path, four_steps):
    shutil.copytree(four_steps, tmp_path, dirs_exist_ok=True)
    run = RunDirectory(tmp_path)
    log = run.metrics.read_bytes()
    for path in run.checkpoints.glob("*.data*"):
        shorten(path)
    with pytest.raises(InputError, match="no checkpoint that is whole"):
        fit(tmp_path, [row(6)])
    for path in run.checkpoints.glob("ckpt*"):
        path.unlink()
    with pytest.raises(InputError, match="no checkpoint that is whole"):
        fit(tmp_path, [row(6)])
    assert run.metrics.read_bytes() == log and run.has_checkpoint()


def test_a_run_counts_what_flags_stand_for_where_that_is_known(tmp_path):
    run = RunDirectory(tmp_path)
    run.settle_flags("--dataset=a\n--precision=auto\n")  # of a time when it was not recorded
    with pytest.raises(InputError, match="--dataset=a, not b"):
        run.check_flags("--dataset=b\n--precision=auto\n", resolved={"dataset": "2 files 12"})
    now = {"dataset": "2 files 12", "precision": "float32"}
    run.settle_flags("--dataset=a\n--precision=auto\n", resolved=now)
    text = "--dataset=b\n--precision=float32\n--mask=holes\n"
    run.settle_flags(text, ("mask",), resolved={**now, "mask": "1 files 0"})
    assert run.read_flags()["dataset"] == "b"
    for changed in ({"dataset": "3 files 45"}, {"precision": "mixed_bfloat16"}, {"mask": "x"}):
        ((name, text),) = changed.items()
        with pytest.raises(InputError, match=f"--{name} is {text} here, and was"):
            run.check_flags(run.flags.read_text(), resolved={**now, **changed})
    with pytest.raises(InputError, match="--mask=holes, not None"):  # it is not even given now
        run.check_flags(run.flags.read_text().replace("--mask=holes\n", ""), resolved=now)
    run.resolved.write_bytes(b"\xff{")
    with pytest.raises(InputError, match="resolved.json: damaged; delete it"):
        run.check_flags(run.flags.read_text(), resolved=now)


def test_a_folder_is_the_same_elsewhere_and_another_one_with_other_files(tmp_path):
    names = ("a/0.png", "a/1.png", "b.jpg")
    for name in names:
        for folder in ("here", "there"):
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(len(name)))
    listed = runs.listing(str(tmp_path / "here"))
    assert listed.startswith("3 files ") and runs.listing("celeb_a") == "celeb_a"
    there = tmp_path / "there"
    assert runs.listing(str(there)) == listed == runs.listing(f"{there}/**/*")
    (there / "b.jpg").write_bytes(b"longer than before")
    longer = runs.listing(str(there))
    (there / "b.jpg").write_bytes(bytes(len("b.jpg")))
    (there / "b.jpg").rename(there / "c.jpg")
    assert len({listed, longer, runs.listing(str(there))}) == 3


def test_what_is_passed_of_a_plan():
    plan = [Row("a", 3, 2), Row("b", 4, 5)]
    assert runs.passed(plan, 0) == []
    assert runs.passed(plan, 5) == [Row("a", 3, 2), Row("b", 2, 5)]
    assert runs.passed([Row("a", 9, 2)], 3) == runs.passed(plan, 3) != runs.passed(plan, 4)
    assert runs.passed(plan, 8) == plan


def test_a_run_directory_belongs_to_one_set_of_flags(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.settle_flags("--batch_size=4\n--noflip\n--xla=off\n", free=("xla",))
    run.settle_flags("--batch_size=4\n--noflip\n--xla=on\n", free=("xla",))
    assert run.flags.read_text() == "--batch_size=4\n--noflip\n--xla=on\n"
    for text, words in (
        ("--batch_size=8\n--noflip\n", "--batch_size=4.*8"),
        ("--batch_size=4\n--flip\n", "flip"),
        ("--batch_size=4\n--noflip\n--mask=a=b\n", "mask.*a=b"),
    ):
        with pytest.raises(InputError, match=words) as error:
            run.settle_flags(text, free=("xla",))
        assert "\n" not in str(error.value)
        assert str(run.path) in str(error.value)


def test_a_run_is_read_by_its_flags_and_checkpoints(tmp_path):
    run = RunDirectory(tmp_path)
    for nothing in (run.read_flags, run.checkpoint):
        with pytest.raises(InputError, match=str(tmp_path)):
            nothing()
    schedule = dataclasses.replace(QUIET, save_every=1, keep_checkpoints=20)
    fit(tmp_path, [row(12)], schedule)
    assert run.checkpoint().endswith("ckpt-12")
    assert run.checkpoint(2).endswith("ckpt-2")
    with pytest.raises(InputError, match="step 13"):
        run.checkpoint(13)
    run.flags.write_text("--mask=a=b\n--noflip\n--deterministic\n--width=0.5\n")
    expected = {"mask": "a=b", "flip": "false", "deterministic": "true", "width": "0.5"}
    assert run.read_flags() == expected


def test_a_run_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="--run_dir=.*file/run"):
        RunDirectory(tmp_path / "file" / "run").settle_flags("")
