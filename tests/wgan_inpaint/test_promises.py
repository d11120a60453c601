"""A run tells from its folder alone how training went, and can be compared with another."""

import dataclasses
import json
import random

import numpy as np
import pytest
import tensorflow as tf

from common import figures
from common.errors import InputError
from common.pictures import images as image_files
from common.pictures.masks import MaskSpec
from common.training import driver
from common.training import loop as training
from common.training.loop import RunDirectory, Schedule
from common.training.optimizers import optimizer
from wgan_inpaint import adversarial, loading, networks, promises
from wgan_inpaint.settings import Adversarial
from wgan_inpaint.studies import compare_runs, history

SETTINGS = Adversarial(
    image_size=32, width=4, latent=6, critic_norm="none", batch_size=4, critic_steps=2,
    generator_steps=6, encoder_steps=2,
)  # fmt: skip
FLAGS = (
    "--architecture=dcgan\n--image_size=32\n--width=4\n--latent=6\n--generator_norm=batch\n"
    "--critic_norm=none\n--averaging={}\n--objective={}\n"
)


def noise(_, first):
    pictures = np.random.default_rng(first).integers(0, 256, (4, 32, 32, 3), np.uint8)
    return tf.data.Dataset.from_tensors(pictures).repeat()


def train(folder, name="wgan_gp", averaging=0.0, settings=SETTINGS):
    """A run: by default six generator updates, two of the critic's each, two of the encoder's."""
    random.seed(1)
    objective = adversarial.Objective(name, critic_steps=2)
    holes = MaskSpec(kinds=("center",))
    trainer = adversarial.AdversarialTrainer(
        adversarial.networks(settings),
        {network: optimizer("adam", 1e-3) for network in ("generator", "critic", "encoder")},
        objective,
        holes,
        averaging,
    )
    trainer.run_eagerly = True  # tracing takes longer than so few steps
    run = RunDirectory(folder)
    run.settle_flags(FLAGS.format(averaging, name))
    plan = adversarial.plan(settings)
    schedule = Schedule(log_every=2, save_every=4, sample_every=4, keep_checkpoints=9)
    assert training.fit(trainer, plan, noise, run, schedule, trainer.sampler(None, run))
    return run, trainer


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def trained_gan(tmp_path_factory):
    """Four updates, for what is told of any run with this objective."""
    short = dataclasses.replace(SETTINGS, generator_steps=4, encoder_steps=0)
    return train(tmp_path_factory.mktemp("gan"), "gan", settings=short)[0]


def test_what_was_trained_is_restored(trained):
    run, trainer = trained
    restored = driver.restore(loading.METHOD, run)
    assert (restored.settings.networks, restored.settings.objective) == (
        SETTINGS.networks, "wgan_gp"
    )  # fmt: skip
    for name, network in loading.trained(restored).items():
        original = trainer.networks[name]  # the generator is not averaged
        for a, b in zip(network.get_weights(), original.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_encoder_that_has_not_been_trained_is_none(trained):
    run, trainer = trained
    early = loading.trained(driver.restore(loading.METHOD, run, 4))
    assert early["encoder"] is None
    assert not np.array_equal(early["critic"].get_weights()[0], trainer.critic.get_weights()[0])


def test_only_an_average_gets_statistics_of_its_own(trained, tmp_path):
    run = RunDirectory(tmp_path)
    run.flags.write_text(FLAGS.format(0.5, "wgan_gp"))
    run.checkpoints.symlink_to(trained[0].checkpoints)
    averaged, plain = (
        loading.trained(driver.restore(loading.METHOD, r, 8))["generator"]
        for r in (run, trained[0])
    )
    for a, b in zip(averaged.weights, plain.weights, strict=True):
        assert np.array_equal(a, b) == ("moving" not in a.path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("--width=4\n", "--width=8\n"),
        ("--latent=6\n", ""),
        ("--objective=wgan_gp", "--objective=vae"),
        ("--architecture=dcgan", "--architecture=wang2020"),
        ("--critic_norm=none", "--critic_norm=batch"),
    ],
)
def test_a_run_that_does_not_fit_is_refused_in_one_line(trained, tmp_path, old, new):
    run = RunDirectory(tmp_path)
    run.flags.write_text(FLAGS.format(0.0, "wgan_gp").replace(old, new))
    run.checkpoints.symlink_to(trained[0].checkpoints)
    with pytest.raises(InputError, match="latent_search") as error:
        driver.restore(loading.METHOD, run)
    assert "\n" not in str(error.value)


def test_there_is_no_run_and_no_such_step(trained, tmp_path):
    with pytest.raises(InputError, match="flags.txt"):
        driver.restore(loading.METHOD, RunDirectory(tmp_path))
    with pytest.raises(InputError, match="step 5"):
        driver.restore(loading.METHOD, trained[0], 5)


def test_the_history_is_the_logs_estimate_and_the_samples_at_the_time(trained, trained_gan):
    run = trained[0]
    past = history.read(run)
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    own = [line for line in lines if line["segment"] == "adversarial"]
    assert past.estimate == "wasserstein"
    assert past.updates == [1, 2, 3, 4, 5, 6]
    assert past.values == [line["wasserstein"] for line in own]
    assert [(n, path.name) for n, path in past.samples] == [
        (2, "0000004_adversarial.png"),
        (4, "0000008_adversarial.png"),
        (6, "0000012_adversarial.png"),
    ]
    assert history.read(trained_gan).estimate == "jensen_shannon"
    assert history.read(RunDirectory("nowhere")) is None


def test_an_unfinished_line_and_samples_of_forgotten_steps_are_left_out(trained, tmp_path):
    run, whole = RunDirectory(tmp_path), trained[0]
    lines = whole.metrics.read_text().splitlines(keepends=True)
    run.metrics.write_text("".join(lines[:4]) + lines[4][:20])
    run.samples.symlink_to(whole.samples)
    past = history.read(run)
    assert past.updates == [1, 2, 3, 4]
    assert [n for n, _ in past.samples] == [2, 4]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
def test_the_figure_shows_the_ends_and_a_middle(count):
    chosen = history.first_middle_last(list(range(count)))
    assert (chosen[0], chosen[-1]) == (0, count - 1)
    assert len(chosen) == min(count, 3)
    assert history.first_middle_last([]) == []


def test_the_figure_is_drawn_whenever_samples_are(trained, trained_gan, monkeypatch):
    assert (trained[0].path / "wasserstein.png").is_file()
    assert (trained_gan.path / "jensen_shannon.png").is_file()
    drawn = {}
    monkeypatch.setattr(
        figures,
        "save_progress",
        lambda path, curve, pictures, **labels: drawn.update(
            curve=curve, labels=[label for _, label, _ in pictures], **labels
        ),
    )
    history.drawing(lambda path: drawn.update(sample=path), trained[0])("a.png")
    assert drawn["sample"] == "a.png"
    assert len(drawn["curve"][0]) == len(drawn["curve"][1]) == 6
    assert [label.split()[1] for label in drawn["labels"]] == ["2", "4", "6"]
    assert drawn["ylabel"] == "Wasserstein estimate"


def test_nothing_is_drawn_before_something_is_logged(tmp_path):
    assert history.draw(RunDirectory(tmp_path)) is None
    with pytest.raises(InputError, match=str(tmp_path)):
        history.last(RunDirectory(tmp_path))


def test_similarity_tells_a_collapsed_generator_from_a_diverse_one():
    rng = np.random.default_rng(0)
    diverse = rng.random((20, 32, 32, 3), np.float32)
    modes = diverse[rng.integers(0, 2, 20)]
    one = np.repeat(diverse[:1], 20, axis=0)
    values = [compare_runs.similarity(pictures) for pictures in (diverse, modes, one)]
    assert abs(values[0]) < 0.05
    assert values[0] < values[1] < values[2]
    assert values[2] == pytest.approx(1)


def test_generated_pictures_are_those_of_uniform_latents(trained):
    generator = trained[1].average
    pictures = compare_runs.generated(generator, 150)
    z = networks.random_latents(150, 6, [compare_runs.SEED, 0])
    np.testing.assert_allclose(pictures, generator(z, training=False), atol=1e-5)


def test_runs_are_drawn_side_by_side(trained, trained_gan, tmp_path):
    panels = [
        compare_runs.panel("GAN", trained_gan, 0.5),
        compare_runs.panel("WGAN-GP", trained[0], 0.25, reference=0.125),
    ]
    assert panels[0].notes == ("mean SSIM of pairs of pictures: 0.500",)
    assert panels[1].notes[1] == "of pairs of real images: 0.125"
    assert [panel.ylabel for panel in panels] == ["Jensen-Shannon estimate", "Wasserstein estimate"]
    figures.save_panels(tmp_path / "a.png", panels, "updates")
    figure = image_files.read_image(tmp_path / "a.png")
    # Both grids stand in it pixel by pixel, twice as large.
    for panel in panels:
        grid = panel.picture.repeat(2, axis=0).repeat(2, axis=1)[4:68, 4:68]
        assert found(figure, grid)


def found(figure, piece):
    """Whether a piece of a picture stands somewhere in a figure, to the rounding."""
    height, width = piece.shape[:2]
    for top, left in np.argwhere(np.abs(figure - piece[0, 0]).max(-1) < 0.01):
        window = figure[top : top + height, left : left + width]
        if window.shape == piece.shape and np.abs(window - piece).max() < 0.01:
            return True
    return False


def test_runs_are_named():
    runs = promises.parse_runs(["gan=a/b", "wgan=c=d"])
    assert [(name, str(run.path)) for name, run in runs] == [("gan", "a/b"), ("wgan", "c=d")]
    for wrong in ("gan", "=a", "gan="):
        with pytest.raises(InputError, match="NAME=RUN_DIR"):
            promises.parse_runs([wrong])
