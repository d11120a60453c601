"""The command completes what it is given, reports what it cannot, and needs no flags."""

import numpy as np
import pytest
import tensorflow as tf

from common import classical
from common.completion import blending, models
from common.evaluation import metrics
from common.pictures import masks
from common.pictures.images import center_crop_resize, list_images, read_image, write_image
from common.pictures.mask_spec import MaskSpec
from tests import commands
from tests.common.completion.test_clips import played, record
from tests.common.completion.test_propagation import logo, pan

SHIPPED = commands.ROOT / "glcic" / "shipped" / "faces"


class MeanFill(tf.Module):
    """Fills the hole with the mean of the known pixels."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None, 3], tf.float32, name="images"),
            tf.TensorSpec([None, None, None, 1], tf.float32, name="masks"),
        ]
    )
    def complete(self, images, masks):
        known = tf.reduce_sum(1 - masks, axis=[1, 2], keepdims=True)
        mean = tf.reduce_sum(images * (1 - masks), axis=[1, 2], keepdims=True) / known
        return {"completed": images * (1 - masks) + mean * masks}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "saved_model"
    module = MeanFill()
    tf.saved_model.save(module, str(folder), signatures={"complete": module.complete})
    return folder


def complete(folder, *arguments):
    return commands.run("glcic.complete", *arguments, cwd=folder)


def picture(seed, height=40, width=33):
    return np.random.default_rng(seed).random((height, width, 3), np.float32)


def test_one_corrupt_file_of_three_costs_the_exit_code_but_not_the_others(model, tmp_path):
    write_image(tmp_path / "photos" / "a.png", picture(0))
    write_image(tmp_path / "photos" / "deep" / "c.jpg", picture(1))
    (tmp_path / "photos" / "b.png").write_bytes(b"\x89PNG")
    mask = np.zeros((40, 33, 1), np.float32)
    mask[10:20, 5:25] = 1
    write_image(tmp_path / "hole.png", mask)
    done = complete(
        tmp_path, "--input=photos", "--mask=hole.png", f"--model={model.parent}", "--blend=none"
    )
    assert done.returncode == 1
    assert done.stdout == "2 of 3 completed: completed\n"
    errors = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert len(errors) == 1 and errors[0].startswith("error: photos/b.png: corrupt")
    assert "Traceback" not in done.stderr
    written = sorted(path for path in (tmp_path / "completed").rglob("*") if path.is_file())
    assert written == [tmp_path / "completed" / name for name in ("a.png", "deep/c.png")]
    before, after = read_image(tmp_path / "photos" / "a.png"), read_image(written[0])
    known = mask[..., 0] == 0
    np.testing.assert_array_equal(after[known], before[known])
    mean = np.broadcast_to(before[known].mean(axis=0), after[~known].shape)
    np.testing.assert_allclose(after[~known], mean, atol=0.51 / 255)


def test_without_input_it_completes_the_portrait_and_draws_the_steps(model, tmp_path):
    done = complete(tmp_path, f"--model={model}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "completed/grace_hopper.png",
        "completed/grace_hopper_figure.png",
    ]
    assert read_image(tmp_path / "completed" / "grace_hopper.png").shape == (128, 128, 3)
    height, width, _ = read_image(tmp_path / "completed" / "grace_hopper_figure.png").shape
    assert width > 3 * height


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--input=nowhere"], "error: nowhere: no such file"),
        (["--input=a.png", "--output=."], "error: a.png: would be overwritten"),
        (["--input=a.png", "--mask=a.png", "--mask_kind=center"], "error: --mask is read with"),
        (["--input=a.png", "--model=shipped:nobody"], "error: shipped:nobody: there is no such"),
        (["--input=a.png", "--model=shipped:glcic/cats"], "error: shipped:glcic/cats: there is no"),
    ],
)
def test_mistakes_end_in_one_line(tmp_path, arguments, reason):
    write_image(tmp_path / "a.png", picture(0))
    done = complete(tmp_path, *arguments)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(reason) and "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.fixture(scope="module")
def without_flags(tmp_path_factory):
    """The command in an empty folder, in a Python of its own: the folder, and its process."""
    folder = tmp_path_factory.mktemp("empty")
    return folder, commands.run_alone("glcic.complete", cwd=folder)


@pytest.mark.skipif(not SHIPPED.is_dir(), reason="glcic/shipped/faces holds no trained model")
def test_the_shipped_model_beats_a_flat_fill_on_the_portrait(without_flags):
    from common.pictures.samples import portrait

    folder, done = without_flags
    assert done.returncode == 0, done.stderr
    truth, result = portrait(128), read_image(folder / "completed" / "grace_hopper.png")
    hidden = np.zeros((128, 128), bool)
    hidden[32:96, 32:96] = True
    np.testing.assert_allclose(result[~hidden], truth[~hidden], atol=0.51 / 255)
    flat = truth[~hidden].mean(axis=0)
    error = np.square(result - truth)[hidden].mean()
    assert error < np.square(flat - truth)[hidden].mean()


@pytest.mark.parametrize(
    ("arguments", "taken"),
    [
        ((), "shipped:glcic/faces (upright faces"),
        (("--input=a.png",), "shipped:glcic/photographs (photographs"),
        (("--input=a.png", "--model=shipped:glcic/faces"), "shipped:glcic/faces (upright faces"),
        (("--model=shipped:glcic/photographs",), "shipped:glcic/photographs (photographs"),
    ],
)
def test_a_picture_of_ones_own_is_completed_by_the_network_for_photographs(
    tmp_path, arguments, taken, without_flags
):
    write_image(tmp_path / "a.png", picture(0))
    done = complete(tmp_path, *arguments) if arguments else without_flags[1]
    assert done.returncode == 0, done.stderr
    assert f"model: {taken}" in done.stderr


def test_the_network_for_photographs_is_ahead_of_opencv_and_of_its_own_beginning(shared_data):
    paths = list_images(str(shared_data / "photos"))[:6]
    truth = np.stack([center_crop_resize(read_image(path), 160) for path in paths])
    holes = masks.draw(MaskSpec(("freeform",), strokes=4), len(truth), 160, 160, [1, 2]).numpy()
    damaged = np.where(holes > 0, np.float32(0), truth)
    model = models.load_model("shipped:glcic/photographs", "float32")

    def decibels(completed, blend):
        each = zip(damaged, completed, holes, strict=True)
        blended = [blending.blend(*one, blend) for one in each]
        return np.mean([metrics.psnr(*three) for three in zip(truth, blended, holes, strict=True)])

    completed = model.complete(damaged, holes)
    ours = decibels(completed, "none")
    for name, margin in (("telea", 0.7), ("diffusion", 0.2)):
        assert ours > decibels(classical.method(name)(damaged, holes), "poisson") + margin
    # It is brought to the level of its surroundings already.
    assert abs(decibels(completed, "poisson") - ours) < 0.2


def test_a_clip_comes_back_as_one(model, tmp_path):
    frames = pan()
    record(tmp_path / "clip.mkv", frames)
    write_image(tmp_path / "hole.png", logo()[0, ..., None].astype(np.float32))
    told = ("--input=clip.mkv", "--mask=hole.png", f"--model={model}", "--blend=none")
    done = complete(tmp_path, *told)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "completed/clip.mkv\n"
    result, _ = played(tmp_path / "completed" / "clip.mkv")
    np.testing.assert_array_equal(result[~logo()], frames[~logo()])
    assert np.abs(result[logo()].astype(int) - frames[logo()]).mean() < 3
    assert list((tmp_path / "completed").iterdir()) == [tmp_path / "completed" / "clip.mkv"]
    again = complete(tmp_path, *told, "--output=.")
    assert again.returncode == 1 and "clip.mkv: would be overwritten" in again.stderr
