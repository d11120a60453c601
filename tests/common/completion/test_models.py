"""A SavedModel, whoever wrote it, that fails or returns what it should not is an error of ours."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from common.completion.models import load_model
from common.errors import InputError
from tests import commands

PAIR = [
    tf.TensorSpec([None, None, None, 3], tf.float32, name="images"),
    tf.TensorSpec([None, None, None, 1], tf.float32, name="masks"),
]
# What it does to images; a picture is dark if it is the one that goes wrong.
DOES = {
    "raises": lambda x: tf.debugging.check_numerics(x / 0, "divided by nothing"),
    "shrinks": lambda x: x[:, 1:],
    "widens": lambda x: tf.cast(x, tf.float64),
    "forgets": lambda x: tf.where(
        tf.reduce_mean(x, axis=[1, 2, 3], keepdims=True) < 0.2, np.nan, x
    ),
}
SAYS = {
    "raises": "fails .*divided by nothing",
    "shrinks": r"returns float32 \[.*, not float32 \[",
    "widens": "returns float64",
    "forgets": "completion is not finite",
}


class Wrong(tf.Module):
    """A model with ``complete`` and ``complete_samples``."""

    def __init__(self, does):
        super().__init__()
        self.one = tf.function(lambda images, masks: {"completed": does(images)}, PAIR)
        self.several = tf.function(
            lambda images, masks, seeds: {"completed": tf.repeat(does(images)[:, None], 2, axis=1)},
            [*PAIR, tf.TensorSpec([None], tf.int32, name="seeds")],
        )


@pytest.fixture(scope="module", params=DOES)
def wrong(request, tmp_path_factory):
    module, folder = Wrong(DOES[request.param]), tmp_path_factory.mktemp("wrong") / request.param
    signatures = {"complete": module.one, "complete_samples": module.several}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


def test_the_error_names_the_model(wrong):
    model, masks = load_model(wrong), np.ones((1, 16, 16, 1), np.float32)
    images = np.full((1, 16, 16, 3), 0.1, np.float32)
    message = f"^{wrong}: the model.*{SAYS[wrong.name]}"
    with pytest.raises(InputError, match=message):
        model.complete(images, masks)
    if wrong.name == "forgets":  # is for the caller to tell, picture by picture
        assert np.isnan(model.complete(images, masks, finite=False)).all()
        assert np.isnan(model.complete_samples(images, masks, [0, 1])["completed"]).all()
        return
    with pytest.raises(InputError, match=message):
        model.complete_samples(images, masks, [0, 1])


def test_what_it_makes_of_known_pixels_is_of_no_account(tmp_path):
    module = Wrong(lambda x: tf.where(x < 0.2, np.nan, x))
    tf.saved_model.save(module, str(tmp_path), signatures={"complete": module.one})
    images, masks = np.full((1, 4, 4, 3), 0.1, np.float32), np.zeros((1, 4, 4, 1), np.float32)
    images[:, 1], masks[:, 1] = 0.5, 1
    assert (load_model(tmp_path).complete(images, masks)[:, 1] == 0.5).all()


def test_an_attention_that_fails_names_the_model_too(tmp_path):
    module, failing = Wrong(tf.identity), Wrong(DOES["raises"])
    tf.saved_model.save(
        module, str(tmp_path), signatures={"complete": module.one, "attention": failing.one}
    )
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "inpainting.json").write_text('{"attention_pixels": 4}')
    images, masks = np.full((1, 4, 4, 3), 0.1, np.float32), np.ones((1, 4, 4, 1), np.float32)
    with pytest.raises(InputError, match=f"^{tmp_path}: the model fails .*divided by nothing"):
        load_model(tmp_path).where_it_looks(images, masks)


def test_a_picture_that_it_fails_on_does_not_stop_the_others(wrong, tmp_path):
    for name, level in (("a", 20), ("b", 200), ("c", 200)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((32, 32, 3), level, np.uint8))
    result = commands.run(
        "glcic.complete", f"--model={wrong}", f"--input={tmp_path}", f"--output={tmp_path}/out"
    )
    written = [path.name for path in sorted((tmp_path / "out").glob("*"))]
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert written == (["b.png", "c.png"] if wrong.name == "forgets" else [])
    assert len(lines) == 3 - len(written) and all(str(wrong) in line for line in lines)
