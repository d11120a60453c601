"""The SavedModel keeps the contract for somebody who has TensorFlow and nothing of ours."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import tensorflow as tf

from common.errors import InputError
from common.serving import export
from glcic import inference

STRANGER = """
import importlib.util
import numpy as np, tensorflow as tf
for name in ("common", "glcic", "flags"):
    assert importlib.util.find_spec(name) is None, name
model = tf.saved_model.load({model!r})
data = np.load({data!r})
out = model.signatures["complete"](
    images=tf.constant(data["images"]), masks=tf.constant(data["masks"]))["completed"].numpy()
files = model.signatures["complete_encoded"](images=tf.constant(list(data["png"])),
    masks=tf.constant(list(data["mask_png"])))["completed_bytes"]
np.savez({out!r}, completed=out, encoded=np.array([f for f in files.numpy()], dtype=object))
"""


@pytest.fixture(scope="module")
def folded(lively_network):
    return inference.FoldedCompletion(lively_network())


@pytest.fixture(scope="module")
def saved(folded, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model"
    export.save(folded, path, {"method": "glcic", "hole_size": 64})
    return path


@pytest.fixture(scope="module")
def loaded(saved):
    return tf.saved_model.load(str(saved))


def scene(batch, height, width):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (batch, height, width, 3), np.uint8)
    holes = np.zeros((batch, height, width, 1), np.float32)
    holes[:, height // 4 : height // 2, width // 3 : -2] = 1
    return images, holes


def test_works_where_the_project_cannot_be_imported(folded, saved, tmp_path):
    images, holes = scene(2, 40, 53)

    def png(array):
        return cv2.imencode(".png", array)[1].tobytes()

    np.savez(
        tmp_path / "in.npz",
        images=images.astype(np.float32) / 255,
        masks=holes,
        png=np.array([png(image[..., ::-1]) for image in images]),
        mask_png=np.array([png((hole[..., 0] * 255).astype(np.uint8)) for hole in holes]),
    )
    script = STRANGER.format(
        model=str(saved),
        data=str(tmp_path / "in.npz"),
        out=str(tmp_path / "out.npz"),
    )
    # -S and -I: neither the current folder nor an editable install can be found.
    site = [p for p in sys.path if p.endswith("site-packages")]
    prelude = f"import sys; sys.path += {site!r}\n"
    subprocess.run(
        [sys.executable, "-S", "-I", "-c", prelude + script],
        check=True,
        cwd=tmp_path,
        capture_output=True,
        timeout=300,
    )
    with np.load(tmp_path / "out.npz", allow_pickle=True) as out:
        completed, encoded = out["completed"], out["encoded"]
    expected = folded.complete(images.astype(np.float32) / 255, holes).numpy()
    known = np.broadcast_to(holes == 0, images.shape)
    assert (completed[known] == (images.astype(np.float32) / 255)[known]).all()
    np.testing.assert_allclose(completed[~known], expected[~known], atol=1e-4)
    for n, data in enumerate(encoded):
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert (picture[known[n]] == images[n][known[n]]).all()
        assert np.abs(picture / 255 - completed[n]).max() <= 0.5001 / 255 + 1e-4


def test_hidden_pixels_do_not_matter(loaded):
    images, holes = scene(2, 32, 32)
    images = images.astype(np.float32) / 255
    call = loaded.signatures["complete"]
    first = call(images=images, masks=holes)["completed"].numpy()
    for hidden in (0.0, np.nan, np.inf):
        other = np.where(holes > 0, np.float32(hidden), images)
        again = call(images=other, masks=holes)["completed"].numpy()
        assert (again == first).all()


def test_signatures_compile_with_xla_and_agree(loaded):
    images, holes = scene(2, 32, 32)
    images = images.astype(np.float32) / 255
    call = loaded.signatures["complete"]
    compiled = tf.function(lambda x, m: call(images=x, masks=m), jit_compile=True, autograph=False)
    np.testing.assert_allclose(
        compiled(images, holes)["completed"],
        call(images=images, masks=holes)["completed"],
        atol=1e-4,
    )
    exact = call(images=images, masks=holes)["completed"]

    def error(completed):
        return (np.abs(completed - exact) * holes).sum() / holes.sum() / 3

    bfloat16 = loaded.signatures["complete_bfloat16"](images=images, masks=holes)["completed"]
    assert error(bfloat16) < 0.01
    black = call(images=0 * images, masks=holes)["completed"]
    assert error(black) > 0.05, "another picture is completed in another way"


def test_settings_lie_beside_the_graph(saved):
    settings = json.loads((saved / "assets.extra" / "inpainting.json").read_text())
    assert settings == {"method": "glcic", "hole_size": 64}


def test_a_failed_export_leaves_the_old_one(folded, saved, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in saved.rglob("*")}

    def full_disk(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", full_disk)
    with pytest.raises(InputError, match="No space left"):
        export.save(folded, saved, {})
    assert {path: path.stat().st_mtime_ns for path in saved.rglob("*")} == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


class Grey(tf.Module):
    """A method that is quickly exported."""

    def complete(self, images, masks):
        return 0 * images + 0.5


def test_export_replaces_an_older_one(tmp_path):
    for size in (1, 2):
        export.save(Grey(), tmp_path / "model", {"hole_size": size})
    assert json.loads((tmp_path / "model/assets.extra/inpainting.json").read_text()) == {
        "hole_size": 2
    }
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
