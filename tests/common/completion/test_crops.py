"""A network of one size completes pictures of any size, several times, whoever else is there."""

import functools
import gc
import pathlib
import weakref

import numpy as np
import pytest
import tensorflow as tf

from common.completion import crops, files
from common.errors import InputError
from common.pictures.images import read_image, write_image

SIZE = 16
SPECS = [
    tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32, name="images"),
    tf.TensorSpec([None, SIZE, SIZE, 1], tf.float32, name="masks"),
    tf.TensorSpec([None], tf.int32, name="seeds"),
]


class Colours(tf.Module):
    """Fills the hole with the known mean, mixed with sixteen colours drawn from the seed."""

    def __init__(self):
        super().__init__()
        self.batches = tf.Variable(tf.zeros([0], tf.int32), shape=[None], trainable=False)

    @tf.function(input_signature=SPECS, autograph=False)
    def complete_samples(self, images, masks, seeds):
        self.batches.assign(tf.concat([self.batches, tf.shape(images)[:1]], 0))
        drawn = tf.map_fn(
            lambda seed: tf.random.stateless_uniform([4, 4, 3], [seed, 0]),
            seeds,
            fn_output_signature=tf.float32,
        )
        drawn = tf.image.resize(drawn, [SIZE, SIZE], "nearest")  # [K, S, S, 3]
        known = tf.reduce_sum(images, [1, 2]) / tf.maximum(tf.reduce_sum(1 - masks, [1, 2]), 1.0)
        mixed = 0.5 * (known[:, None, None, None] + drawn)  # [B, K, S, S, 3]
        return {"completed": tf.where(masks[:, None] > 0, mixed, 1.0 - images[:, None])}


colours = functools.cache(Colours)


@pytest.fixture
def model():
    """One that has not been asked for anything."""
    colours().batches.assign([])
    return colours()


def picture(seed, height, width):
    return np.random.default_rng(seed).random((height, width, 3), np.float32)


def hole(height, width, top=6, left=5, side=9):
    mask = np.zeros((height, width, 1), np.float32)
    mask[top : top + side, left : left + side] = 1
    return mask


def complete(folder, model, images, masks, samples=3, blend="none", figure=False, **options):
    """Completes in a folder; returns (exit code, {name: result})."""
    for name, image in images.items():
        write_image(folder / "in" / name, image)
    pictures = files.find_pictures(folder / "in")
    endings = files.sample_endings(samples)
    outputs = files.plan_outputs(pictures, folder / "out", figure=figure, endings=endings)
    sample = getattr(model, "complete_samples", model)
    work = crops.Samples(sample, SIZE, blend, samples, **options)
    code = files.complete(pictures, lambda n, *_: masks[n], outputs, work)
    return code, {path.name: read_image(path) for path in (folder / "out").glob("*.png")}


def given(folder, name):
    return read_image(folder / "in" / name)


SHAPES = {"a.png": (16, 16), "b.png": (50, 41), "c.png": (90, 130)}
IMAGES = {name: picture(n, *shape) for n, (name, shape) in enumerate(SHAPES.items())}
MASKS = [hole(*shape) for shape in SHAPES.values()]
MASKS[2][40:75, 60:100] = 1  # the crop is larger than the network's pictures


@pytest.mark.parametrize("blend", ["none", "poisson"])
def test_samples_differ_and_known_pixels_stay(tmp_path, model, blend, capsys):
    code, results = complete(tmp_path, model, IMAGES, MASKS, blend=blend, figure=True)
    assert code == 0 and capsys.readouterr().out == f"3 of 3 completed: {tmp_path / 'out'}\n"
    endings = ("", "_figure", "_sample1", "_sample2", "_sample3", "_samples")
    assert set(results) == {f"{name}{end}.png" for name in "abc" for end in endings}
    for name, mask in zip(IMAGES, MASKS, strict=True):
        photo, hidden = given(tmp_path, name), mask[..., 0] == 1
        drawn = [results[name.replace(".png", f"_sample{n}.png")] for n in (1, 2, 3)]
        for result in drawn:
            np.testing.assert_array_equal(result[~hidden], photo[~hidden])
        for first, second in ((0, 1), (0, 2), (1, 2)):
            assert np.abs(drawn[first] - drawn[second])[hidden].mean() > 0.03
        np.testing.assert_array_equal(results[name], drawn[0])
        gallery = results[name.replace(".png", "_samples.png")]
        assert gallery.shape[1] > gallery.shape[0] and gallery.std() > 0.05


def test_a_completion_is_put_back_at_full_resolution(tmp_path):
    def ramp(images, masks, seeds):
        """From left to right as bright as the place in the crop."""
        del masks
        line = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE
        picture = np.broadcast_to(line[:, None], (SIZE, SIZE, 3))
        return {"completed": tf.tile(picture[None, None], [len(images), len(seeds), 1, 1, 1])}

    mask = np.zeros((90, 130, 1), np.float32)
    mask[40:70, 60:92] = 1  # in the middle of a crop of 64 pixels from column 44 on
    code, results = complete(tmp_path, ramp, {"c.png": IMAGES["c.png"]}, [mask], samples=1)
    assert code == 0 and set(results) == {"c.png"}
    line = (np.arange(60, 92) + 0.5 - 44) / 64
    expected = np.broadcast_to(line[:, None], (30, 32, 3))
    np.testing.assert_allclose(results["c.png"][40:70, 60:92], expected, atol=0.51 / 255)


def test_hidden_pixels_do_not_matter(tmp_path, model):
    other = {
        name: np.where(mask == 1, 1 - image, image)
        for (name, image), mask in zip(IMAGES.items(), MASKS, strict=True)
    }
    first = complete(tmp_path / "1", model, IMAGES, MASKS, blend="poisson")[1]
    second = complete(tmp_path / "2", model, other, MASKS, blend="poisson")[1]
    for name, result in first.items():
        np.testing.assert_array_equal(result, second[name])


def batches_and_sample(folder, model, names, **options):
    """(sizes of the batches that were asked for, the second sample of the picture "b")."""
    model.batches.assign([])
    images = {f"{n}.png": IMAGES[f"{name}.png"] for n, name in enumerate(names)}
    masks = [MASKS["abc".index(name)] for name in names]
    code, results = complete(folder, model, images, masks, **options)
    assert code == 0
    return model.batches.numpy().tolist(), results[f"{names.index('b')}_sample2.png"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The sample of a picture that has no company."""
    sizes, sample = batches_and_sample(tmp_path_factory.mktemp("alone"), colours(), "b")
    assert sizes == [1]
    return sample


@pytest.mark.parametrize(
    ("names", "options", "expected"),
    [
        ("abc", {"samples": 8}, [2, 2]),  # 16 rows of the network's batch
        ("abc", {"samples": 3}, [5]),
        ("ab", {"samples": 17}, [1, 1]),
        ("abc", {"batch_size": 4}, [4]),
        ("cb", {"batch_size": 4}, [4]),
        ("b", {"batch_size": 4}, [4]),
    ],
)
def test_every_batch_has_one_size_and_company_does_not_matter(
    tmp_path, alone, model, names, options, expected
):
    sizes, sample = batches_and_sample(tmp_path, model, names, **options)
    assert sizes == expected
    np.testing.assert_array_equal(sample, alone)


def test_one_photograph_is_in_memory_at_a_time(tmp_path, model):
    read = []

    def reader(name):
        def image():
            gc.collect()
            assert not any(other() is not None for other in read)
            photo = picture(0, 60, 50)
            read.append(weakref.ref(photo))
            return photo

        return files.Picture(name, image, pathlib.PurePath(name))

    pictures = [reader(f"{n}.png") for n in range(3)]
    endings = files.sample_endings(2)
    outputs = files.plan_outputs(pictures, tmp_path, figure=True, endings=endings)
    work = crops.Samples(model.complete_samples, SIZE, "poisson", 2)
    # What there was before need not be looked through six times. It stays so: with it would thaw
    # what ``preloaded`` has frozen.
    gc.freeze()
    assert files.complete(pictures, lambda *_: hole(60, 50), outputs, work) == 0
    assert len(read) == 6


def test_a_sample_is_that_of_its_seed(tmp_path, model):
    images, masks = {"a.png": IMAGES["a.png"]}, MASKS[:1]
    several = complete(tmp_path / "0", model, images, masks, seed=2**31 - 2)[1]
    for n, seed in enumerate((2**31 - 2, 2**31 - 1, 0), 1):
        alone = complete(tmp_path / str(n), model, images, masks, samples=1, seed=seed)[1]
        np.testing.assert_array_equal(alone["a.png"], several[f"a_sample{n}.png"])


def test_a_signature_of_a_saved_model_completes_too(tmp_path, model):
    signatures = {"complete_samples": model.complete_samples}
    tf.saved_model.save(model, str(tmp_path / "model"), signatures=signatures)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    signature = loaded.signatures["complete_samples"]
    first = complete(tmp_path / "1", model, IMAGES, MASKS)[1]
    second = complete(tmp_path / "2", signature, IMAGES, MASKS)[1]
    assert first.keys() == second.keys()
    for name, result in first.items():
        np.testing.assert_array_equal(result, second[name])


def test_bad_pictures_have_a_line_each(tmp_path, model, capsys):
    images = {**IMAGES, "full.png": picture(3, 20, 20), "none.png": picture(4, 20, 20)}
    images["small.png"] = picture(5, 15, 40)
    masks = [*MASKS, np.ones((20, 20, 1)), np.zeros((20, 20, 1)), hole(15, 40)]
    code, results = complete(tmp_path, model, images, masks, batch_size=2)
    said = capsys.readouterr()
    assert code == 1 and said.out == f"3 of 6 completed: {tmp_path / 'out'}\n"
    reasons = ("its mask has no known", "nothing to complete", "the image is 40x15")
    errors = [line for line in said.err.splitlines() if line.startswith("error")]
    for line, name, reason in zip(errors, ("full", "none", "small"), reasons, strict=True):
        assert f"{name}.png: {reason}" in line
    assert {name[0] for name in results} == set("abc")
    # Of a batch, two pictures, none is left: nothing is asked of the network.
    assert model.batches.numpy().tolist() == [2, 2]


def test_what_is_no_number_is_reported(tmp_path, capsys):
    def broken(images, masks, seeds):
        del masks
        return {"completed": tf.fill([len(images), len(seeds), SIZE, SIZE, 3], np.nan)}

    images, masks = {"a.png": IMAGES["a.png"]}, MASKS[:1]
    code, results = complete(tmp_path, broken, images, masks)
    assert code == 1 and not results
    assert "a.png: the network returned NaN or infinity" in capsys.readouterr().err


def test_a_hole_that_is_everything_and_a_picture_too_small_are_refused():
    with pytest.raises(InputError, match="no known"):
        crops.HoleView(picture(0, 20, 20), np.ones((20, 20, 1), np.float32), SIZE, "none")
    with pytest.raises(InputError, match="20x15 pixels"):
        crops.HoleView(picture(0, 15, 20), hole(15, 20), SIZE, "none")
