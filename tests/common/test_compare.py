"""The comparison measures what it says, of the same holes for all, whatever the batches."""

import csv
import io
import math
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from common import blending, compare, metrics
from common.errors import InputError
from common.images import read_image, write_image
from common.masks import MaskSpec, draw_one

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPEC = MaskSpec(("rectangle",), hole_min=4, hole_max=9)
SIZES = ((24, 20), (24, 20), (16, 18), (24, 20), (24, 20), (24, 20))
COLUMNS = "method,image,psnr,ssim,l1,psnr_hole,l1_hole"
IMAGES = tf.TensorSpec([None, None, None, 3], tf.float32)
MASKS = tf.TensorSpec([None, None, None, 1], tf.float32)


def picture(height, width, number):
    """Smooth colours with some noise, different for every number."""
    y, x = np.mgrid[:height, :width] / (height + width)
    smooth = np.stack([x, y, np.abs(np.sin(number + x * 6))], axis=-1)
    noise = np.random.default_rng(number).normal(0, 0.05, smooth.shape)
    return np.clip(smooth + noise, 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six PNG files of two sizes, some in a sub-folder."""
    place = tmp_path_factory.mktemp("pictures")
    for n, size in enumerate(SIZES):
        write_image(place / ("b" if n > 3 else "a") / f"{n}.png", picture(*size, n))
    return place


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two SavedModels: the mean colour of what is known, and plain grey."""
    place = tmp_path_factory.mktemp("models")
    for model in (MeanColor(), Grey()):
        signatures = {"complete": model.complete}
        tf.saved_model.save(model, str(place / model.name), signatures=signatures)
    return place


class MeanColor(tf.Module):
    @tf.function(input_signature=[IMAGES, MASKS])
    def complete(self, images, masks):
        known = tf.reduce_sum(1 - masks, [1, 2], keepdims=True)
        mean = tf.reduce_sum(images * (1 - masks), [1, 2], keepdims=True) / known
        return {"completed": masks * mean + (1 - masks) * images}


class Grey(tf.Module):
    @tf.function(input_signature=[IMAGES, MASKS])
    def complete(self, images, masks):
        return {"completed": masks * 0.5 + (1 - masks) * images}


def mean_color(images, masks):
    mean = (images * (1 - masks)).sum((1, 2), keepdims=True) / (1 - masks).sum((1, 2, 3))[
        :, None, None, None
    ]
    return np.broadcast_to(mean, images.shape)


def telea(images, masks):
    return np.stack([blending.telea(*pair) for pair in zip(images, masks, strict=True)])


def stream(folder, seed=3, batch_size=4, limit=0):
    pictures = compare.open_pictures(str(folder))
    pictures = pictures.first(limit) if limit else pictures
    return compare.batches(pictures, lambda height, width: SPEC, seed, batch_size)


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def command(*flags):
    return subprocess.run(
        [sys.executable, "-m", "common.compare", *flags], cwd=ROOT, capture_output=True, text=True
    )


def test_scores_are_the_metrics_of_the_picture_with_its_known_pixels_put_back(folder):
    scores, _ = compare.compare({"mean": mean_color, "telea": telea}, stream(folder))
    assert [(s.image, s.method) for s in scores[:3]] == [
        ("a/0.png", "mean"),
        ("a/0.png", "telea"),
        ("a/1.png", "mean"),
    ]
    assert len(scores) == 2 * len(SIZES)
    for index, score in enumerate(scores[::2]):
        original = read_image(folder / score.image)
        mask = draw_one(SPEC, *original.shape[:2], 3, index)
        mean = original[mask[..., 0] == 0].mean(axis=0)
        pasted = np.where(mask == 1, mean, original)
        inside = (pasted - original)[mask[..., 0] == 1]
        assert score.psnr == pytest.approx(metrics.psnr(original, pasted), rel=1e-5)
        assert score.ssim == pytest.approx(metrics.ssim(original, pasted), rel=1e-5)
        assert score.l1 == pytest.approx(np.abs(pasted - original).mean(), rel=1e-4)
        assert score.psnr_hole == pytest.approx(-10 * np.log10(np.square(inside).mean()), rel=1e-4)
        assert score.l1_hole == pytest.approx(np.abs(inside).mean(), rel=1e-4)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_batch_size_changes_no_score(folder, batch_size):
    methods = {"telea": telea}
    expected, _ = compare.compare(methods, stream(folder, batch_size=16))
    assert compare.compare(methods, stream(folder, batch_size=batch_size))[0] == expected


def test_batches_hold_consecutive_images_of_one_size(folder):
    assert [batch.images.shape for batch in stream(folder, batch_size=2)] == [
        (2, 24, 20, 3),
        (1, 16, 18, 3),
        (2, 24, 20, 3),
        (1, 24, 20, 3),
    ]


def test_large_pictures_come_in_smaller_batches(folder, monkeypatch):
    monkeypatch.setattr(compare, "MAX_BATCH_PIXELS", 24 * 20 - 1)
    assert [len(batch.names) for batch in stream(folder)] == [1] * len(SIZES)


def test_images_are_read_one_batch_ahead_at_most(folder):
    read = []

    def images():
        for n in range(6):
            read.append(n)
            yield str(n), picture(16, 16, n)

    batches = compare.batches(compare.Pictures(6, images), lambda *size: SPEC, 0, 2)
    next(batches)
    assert len(read) == 3


def test_the_hole_depends_on_the_seed_and_the_place_alone(folder):
    seen = {"one": [], "two": []}

    def recorder(name):
        def method(images, masks):
            seen[name].extend(masks)
            return images

        return method

    compare.compare({name: recorder(name) for name in seen}, stream(folder))
    expected = [draw_one(SPEC, *size, 3, index) for index, size in enumerate(SIZES)]
    for masks in seen.values():
        for mask, own in zip(masks, expected, strict=True):
            np.testing.assert_array_equal(mask, own)
    few = [mask for batch in stream(folder, batch_size=1, limit=2) for mask in batch.masks]
    np.testing.assert_array_equal(few, expected[:2])
    other = [mask for batch in stream(folder, seed=4) for mask in batch.masks]
    assert any((a != b).any() for a, b in zip(other, expected, strict=True))


def test_a_method_sees_nothing_of_the_hole_and_cannot_spoil_the_next_ones_input(folder):
    def spoiler(images, masks):
        assert not images[masks[..., 0] == 1].any()
        images[:], masks[:] = 1, 0
        return images

    alone, _ = compare.compare({"mean": mean_color}, stream(folder))
    both, _ = compare.compare({"spoiler": spoiler, "mean": mean_color}, stream(folder))
    assert both[1::2] == alone


def test_completions_are_clipped_and_blended(folder):
    batch = next(stream(folder))

    def bright(images, masks):
        return images + 2

    completed = compare.complete("bright", bright, batch)
    assert (completed[batch.masks[..., 0] == 1] == 1).all()
    blended = compare.complete("bright", bright, batch, "telea_poisson")
    for image, mask, result in zip(batch.images, batch.masks, blended, strict=True):
        expected = blending.blend(image, np.ones_like(image), mask, "telea_poisson")
        np.testing.assert_array_equal(result, expected)


def test_identical_completions_are_counted_and_left_out_of_the_mean(folder):
    first = next(stream(folder, batch_size=1)).images

    def knows_the_first(images, masks):
        return first if ((images == first) | (masks == 1)).all() else images

    scores, _ = compare.compare({"m": knows_the_first}, stream(folder, batch_size=1, limit=2))
    assert [math.isinf(s.psnr) for s in scores] == [True, False]
    (summary,) = compare.summarize(scores)
    assert (summary.images, summary.identical) == (2, 1)
    assert summary.mean["psnr"] == scores[1].psnr
    assert summary.mean["l1"] == scores[1].l1 / 2
    assert table(compare.scores_csv(scores))[0]["psnr"] == "inf"
    assert table(compare.summary_csv([summary]))[0]["identical"] == "1"
    assert "m: 1 of 2 completions equal the original" in compare.summary_markdown([summary])


def test_all_identical_is_infinite():
    score = compare.Score("m", "i", math.inf, 1.0, 0.0, math.inf, 0.0)
    (summary,) = compare.summarize([score, score])
    assert summary.mean["psnr"] == math.inf
    assert (summary.std["psnr"], summary.identical) == (0, 2)


def test_summaries_are_means_and_standard_deviations(folder):
    scores, _ = compare.compare({"mean": mean_color, "telea": telea}, stream(folder))
    rows = table(compare.summary_csv(compare.summarize(scores)))
    assert [row["method"] for row in rows] == ["mean", "telea"]
    for row, own in zip(rows, (scores[::2], scores[1::2]), strict=True):
        assert row["images"] == str(len(SIZES))
        for name in compare.MEASURES:
            values = [getattr(score, name) for score in own]
            assert float(row[f"{name}_mean"]) == pytest.approx(np.mean(values))
            assert float(row[f"{name}_std"]) == pytest.approx(np.std(values))


def test_names_are_relative_to_the_folder_or_the_pattern(folder):
    for source, name in (
        (folder, "a/0.png"),
        (folder / "*" / "0.png", "a/0.png"),
        (folder / "a" / "0.png", "0.png"),
    ):
        assert next(compare.open_pictures(str(source)).read())[0] == name


def test_a_grey_tfds_data_set_becomes_numbered_rgb_images(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    rows = [np.uint8(picture(12, 14, n)[..., :1] * 255) for n in range(3)]

    class TinyGrey(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = tmp_path
        code_path = None  # there are no checksums beside the code

        def _info(self):
            image = tfds.features.Image(shape=(None, None, 1))
            features = tfds.features.FeaturesDict({"image": image})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            return {"test": ((n, {"image": row}) for n, row in enumerate(rows))}

        def _generate_examples(self):
            raise NotImplementedError

    pictures = compare.open_pictures("tiny_grey", "test", str(tmp_path))
    assert pictures.count == 3
    names, images = zip(*pictures.read(), strict=True)
    assert names == ("000000", "000001", "000002")
    expected = {np.repeat(row, 3, axis=-1).tobytes() for row in rows}
    assert {np.uint8(np.rint(image * 255)).tobytes() for image in images} == expected
    assert {image.dtype for image in images} == {np.dtype(np.float32)}
    with pytest.raises(InputError, match="no tfds split 'train'"):
        compare.open_pictures("tiny_grey", "train", str(tmp_path))


def test_squares_are_taken_before_the_hole():
    pictures = compare.Pictures(1, lambda: iter([("wide", picture(20, 40, 0))])).squares(16)
    (batch,) = compare.batches(pictures, lambda *size: SPEC, 0, 1)
    assert (batch.images.shape, batch.masks.shape) == ((1, 16, 16, 3), (1, 16, 16, 1))


@pytest.mark.parametrize(
    "entries, word",
    [
        (["name"], "NAME=FOLDER"),
        (["=folder"], "NAME=FOLDER"),
        (["name="], "NAME=FOLDER"),
        (["a=x", "b=y", "a=z"], "'a' is given twice"),
        (["a,b=x"], "comma"),
        (["a/b=x"], "slash"),
        (["a\\b=x"], "slash"),
        (["..=x"], "dot"),
        (["a\nb=x"], "printed"),
    ],
)
def test_malformed_models_are_named(entries, word):
    with pytest.raises(InputError, match=word):
        compare.parse_models(entries)


def test_models_keep_their_order_and_their_equals_signs():
    assert list(compare.parse_models(["b=x=1", " a = y"]).items()) == [("b", "x=1"), ("a", "y")]


def test_what_cannot_be_compared_stops_it_by_name(folder, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match="bad.png"):
        compare.compare({"mean": mean_color}, stream(tmp_path))
    small = compare.Pictures(1, lambda: iter([("tiny.png", picture(10, 30, 0))]))
    with pytest.raises(InputError, match="tiny.png: 10x30"):
        list(compare.batches(small, lambda *size: SPEC, 0, 1))
    with pytest.raises(InputError, match="nan: its completion of a/0.png"):
        compare.compare({"nan": lambda images, masks: images * np.nan}, stream(folder))
    with pytest.raises(InputError, match="half: returned"):
        compare.compare({"half": lambda images, masks: images[:, ::2]}, stream(folder))
    with pytest.raises(InputError, match="--limit=7: the data set has only 6"):
        compare.open_pictures(str(folder)).first(7)
    with pytest.raises(InputError, match="--output"):
        compare.prepare_output(folder / "a" / "0.png")


def test_the_command_writes_tables_and_a_figure(folder, models, tmp_path):
    output = tmp_path / "new" / "out"
    done = command(
        f"--models=mean={models / 'mean_color'},grey={models / 'grey'}",
        f"--dataset={folder}",
        "--mask_kind=rectangle",
        "--hole_min=4",
        "--hole_max=9",
        "--seed=3",
        "--figure_images=3",
        f"--output={output}",
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in output.iterdir()) == [
        "comparison.png",
        "per_image.csv",
        "summary.csv",
        "summary.md",
    ]
    assert (output / "summary.md").read_text(encoding="utf-8") in done.stdout
    text = (output / "per_image.csv").read_text(encoding="utf-8")
    assert text.startswith(COLUMNS + "\n")
    expected, _ = compare.compare({"mean": mean_color}, stream(folder))
    rows = [row for row in table(text) if row["method"] == "mean"]
    for row, score in zip(rows, expected, strict=True):
        assert row["image"] == score.image
        for name in compare.MEASURES:
            assert float(row[name]) == pytest.approx(getattr(score, name), rel=1e-4)
    figure = read_image(output / "comparison.png")
    holes = (figure == np.float32([1, 0, 1])).all(axis=-1)
    assert holes.any()
    columns = np.flatnonzero(holes.any(axis=0))  # of four, the second alone
    assert columns.max() - columns.min() < figure.shape[1] / 4


def test_the_command_says_in_one_line_that_a_model_is_missing(folder, tmp_path):
    done = command(
        f"--models=a={tmp_path / 'nothing'}", f"--dataset={folder}", f"--output={tmp_path / 'out'}"
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: --models: a: ")
    assert "Traceback" not in done.stderr


def test_on_faces_surroundings_tell_more_than_the_mean_colour(shared_data, models):
    faces = compare.open_pictures(str(shared_data / "celeba128" / "test")).first(6).squares(64)
    spec = MaskSpec(("rectangle",), hole_min=12, hole_max=20)
    methods = {
        "mean": compare.load_method("mean", models / "mean_color", "float32"),
        "telea": telea,
    }
    scores, rows = compare.compare(
        methods, compare.batches(faces, lambda *size: spec, 0, 4), figure_images=2
    )
    mean, filled = compare.summarize(scores)
    assert [len(row) for row in rows] == [4, 4]
    for name in compare.MEASURES:
        better = filled.mean[name] - mean.mean[name]
        assert better > 0 if name.startswith(("psnr", "ssim")) else better < 0
    assert 5 < mean.mean["psnr_hole"] < mean.mean["psnr"] < 40
