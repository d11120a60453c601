"""A served graph answers whatever it is sent: with a completion, or with what is wrong."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from common.errors import InputError
from common.serving import export

SIDE = 8  # no picture may be smaller


class Blur(tf.Module):
    """Completes by a convolution, which fails on batches of none; a seed is a brightness."""

    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(tf.fill([3, 3, 3, 3], 1 / 27))

    def complete(self, images, holes):
        with tf.control_dependencies([tf.debugging.assert_positive(tf.shape(images)[0])]):
            return tf.nn.conv2d(tf.where(holes > 0, 0.5, images), self.kernel, 1, "SAME")

    complete_bfloat16 = complete

    def complete_samples(self, images, holes, seeds):
        return (
            self.complete(images, holes)[:, None] + tf.cast(seeds, tf.float32)[:, None, None, None]
        )

    complete_samples_bfloat16 = complete_samples


@pytest.fixture(scope="module")
def signatures(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model"
    export.save(Blur(), path, {"whole": True, "image_size": SIDE})
    return tf.saved_model.load(str(path)).signatures


def scene(batch=2, side=SIDE):
    """Pictures that hold in their holes what no picture may hold elsewhere."""
    images = np.random.default_rng(0).random((batch, side, side, 3), np.float32)
    masks = np.zeros((batch, side, side, 1), np.float32)
    masks[:, 2:5, 2:5] = 1
    images[:, 2, 2], images[:, 3, 3], images[:, 4, 4] = np.nan, np.inf, -7
    return images, masks


def call(signature, images, masks, seeds=(0, 1)):
    inputs = {"images": images, "masks": masks, "seeds": np.array(seeds, np.int32)}
    _, named = signature.structured_input_signature
    return signature(**{name: tf.constant(inputs[name]) for name in named})["completed"].numpy()


def changed(array, value):
    array = array.copy()
    array[1, 0, 0, 0] = value
    return array


IMAGES, MASKS = scene()
SHAPES = r"images must be \[B, H, W, 3\] and masks \[B, H, W, 1\].*\[.*8.*\]"
WRONG = {
    "one picture without a batch": (IMAGES[0], MASKS[0], SHAPES),
    "one mask without a batch": (IMAGES, MASKS[0], SHAPES),
    "numbers": (np.float32(0.5), np.float32(1), "images must be"),
    "grey": (IMAGES[..., :1], MASKS, SHAPES),
    "masks of three channels": (IMAGES, np.repeat(MASKS, 3, axis=-1), SHAPES),
    "one picture, two masks": (IMAGES[:1], MASKS, SHAPES),
    "two pictures, one mask": (IMAGES, MASKS[:1], SHAPES),
    "another size": (IMAGES, MASKS[:, :, 1:], SHAPES),
    "small": (*scene(side=SIDE - 1), r"at least 8x8 pixels.*\[7 7\]"),
    "a grey mask": (IMAGES, changed(MASKS, 0.6), "masks must hold 0 "),
    "a mask of 255": (IMAGES, changed(MASKS, 255), "masks must hold 0 "),
    "a mask with NaN": (IMAGES, changed(MASKS, np.nan), "masks must hold 0 "),
    "nothing known": (IMAGES, np.stack([MASKS[0], MASKS[0] * 0 + 1]), "each image known"),
    "0..255": (changed(IMAGES, 255), MASKS, r"within \[0, 1\]"),
    "negative": (changed(IMAGES, -0.01), MASKS, r"within \[0, 1\]"),
    "NaN": (changed(IMAGES, np.nan), MASKS, r"within \[0, 1\]"),
    "infinity": (changed(IMAGES, np.inf), MASKS, r"within \[0, 1\]"),
}
NAMES = ("complete", "complete_bfloat16", "complete_samples", "complete_samples_bfloat16")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_as_the_signature_says_is_an_error(signatures, name):
    assert np.isfinite(call(signatures[name], IMAGES, MASKS)).all()
    for what, (images, masks, message) in WRONG.items():
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            pytest.fail(f"{what}: {call(signatures[name], images, masks).shape}")


def test_seeds_have_one_axis(signatures):
    for seeds in (3, [[0, 1]]):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"seeds must be \[K\]"):
            call(signatures["complete_samples"], IMAGES, MASKS, seeds)


def test_no_pictures_have_no_completions(signatures):
    none = IMAGES[:0], MASKS[:0]
    assert call(signatures["complete"], *none).shape == (0, SIDE, SIDE, 3)
    assert call(signatures["complete_samples"], *none).shape == (0, 2, SIDE, SIDE, 3)
    no_files = tf.zeros([0], tf.string)
    encoded = signatures["complete_encoded"](images=no_files, masks=no_files)
    assert encoded["completed_bytes"].shape == 0


def png(array):
    return cv2.imencode(".png", array)[1].tobytes()


def test_files_that_are_no_pair_of_pictures_are_an_error(signatures):
    picture, mask = png(np.full((9, 8, 3), 70, np.uint8)), png(np.eye(9, 8, dtype=np.uint8) * 255)
    encoded = signatures["complete_encoded"]
    (answer,) = encoded(images=tf.constant([picture]), masks=tf.constant([mask]))[
        "completed_bytes"
    ].numpy()
    assert cv2.imdecode(np.frombuffer(answer, np.uint8), cv2.IMREAD_COLOR).shape == (9, 8, 3)
    white, large = png(np.full((9, 8), 255, np.uint8)), png(np.eye(9, 9, dtype=np.uint8))
    for images, masks, message in (
        (picture, mask, "as many files"),
        ([[picture]], [[mask]], "as many files"),
        ([picture], [mask, mask], "as many files"),
        ([b"no picture"], [mask], "images must be PNG"),
        ([picture], [b""], "masks must be PNG"),
        ([picture[:60]], [mask], "images"),
        ([picture], [large], r"\[1 9 8 3\].*\[1 9 9 1\]"),
        ([picture], [white], "each image known"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            encoded(images=tf.constant(images), masks=tf.constant(masks))


class Grey(tf.Module):
    """A method that is quickly exported."""

    def complete(self, images, holes):
        return 0 * images + 0.5


def test_what_is_no_earlier_export_stays(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "flags.txt").write_text("--alpha=1")
    with pytest.raises(InputError, match="flags.txt"):
        export.save(Grey(), tmp_path / "run", {})
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "flags.txt"]


def test_a_folder_that_cannot_take_the_others_place_leaves_it(tmp_path):
    export.save(Grey(), tmp_path / "model", {})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FileNotFoundError):
        export.replace_folder(tmp_path / "nowhere", tmp_path / "model")
    assert sorted(tmp_path.rglob("*")) == before
