"""The comparison measures what it says, of the same holes for all, whatever the batches."""

import csv
import functools
import io
import pathlib
import sys
import tracemalloc
import types

import numpy as np
import pytest
import tensorflow as tf

from common import classical, compare
from common.completion import blending
from common.errors import InputError
from common.evaluation import comparison, metrics, reports, tables
from common.evaluation.comparison import Cell, Method, Options, Pictures
from common.pictures.images import read_image, write_image
from common.pictures.masks import Holes, MaskSpec, draw_one, spec_from_source
from tests import commands

SPEC = MaskSpec(("rectangle",), hole_min=4, hole_max=9)
SIZES = ((24, 20), (24, 20), (16, 18), (24, 20), (24, 20), (24, 20))
COLUMNS = "method,holes,blend,image,missing,psnr,ssim,l1,psnr_hole,l1_hole"
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


mean_color, telea = classical.method("mean_color"), classical.method("telea")


@functools.cache
def holes(seed=3, *kinds, **settings):
    """One object for all tests: it makes a graph of its own for every size of a picture."""
    return Holes(kinds or SPEC.kinds, seed=seed, hole_min=4, hole_max=9, **settings)


def stream(folder, seed=3, batch_size=4, limit=0, first=0):
    pictures = comparison.open_pictures(str(folder))
    pictures = pictures.first(limit) if limit else pictures
    return comparison.batches(pictures, holes(seed), batch_size, first)


def run(functions, pictures, cache, kinds=None, **options):
    """Compares functions {name: (images, masks) -> completed}."""
    if isinstance(pictures, pathlib.Path):
        pictures = comparison.open_pictures(str(pictures))
    methods = [Method(name, {"test": name}, lambda f=f: f) for name, f in functions.items()]
    return comparison.compare(
        methods, kinds or {"rectangle": holes()}, pictures, cache, Options(**options)
    )


def scores_of(functions, pictures, cache, **options):
    """The scores of each method, in order."""
    return list(run(functions, pictures, cache, **options).scores.values())


class Counter:
    """A method that counts the images it was given, and may fail after some."""

    def __init__(self, function=mean_color, limit=10**9):
        self.function, self.limit, self.images = function, limit, 0

    def __call__(self, images, masks):
        if self.images + len(images) > self.limit:
            raise KeyboardInterrupt
        self.images += len(images)
        return self.function(images, masks)


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def command(*flags):
    return commands.run("common.compare", *flags)


def test_scores_are_the_metrics_of_the_picture_with_its_known_pixels_put_back(folder, tmp_path):
    results = run({"mean": mean_color, "telea": telea}, folder, tmp_path)
    assert list(results.scores) == [
        Cell("mean", "rectangle", "none"),
        Cell("telea", "rectangle", "none"),
    ]
    scores = results.scores[Cell("mean", "rectangle", "none")]
    assert [score.image for score in scores[:2]] == ["a/0.png", "a/1.png"]
    assert len(scores) == len(SIZES)
    for index, score in enumerate(scores):
        original = read_image(folder / score.image)
        mask = draw_one(SPEC, *original.shape[:2], 3, index)
        mean = original[mask[..., 0] == 0].mean(axis=0)
        pasted = np.where(mask == 1, mean, original)
        inside = (pasted - original)[mask[..., 0] == 1]
        assert score.missing == pytest.approx(mask.mean())
        assert score.psnr == pytest.approx(metrics.psnr(original, pasted), rel=1e-5)
        assert score.ssim == pytest.approx(metrics.ssim(original, pasted), rel=1e-5)
        assert score.l1 == pytest.approx(np.abs(pasted - original).mean(), rel=1e-4)
        assert score.psnr_hole == pytest.approx(-10 * np.log10(np.square(inside).mean()), rel=1e-4)
        assert score.l1_hole == pytest.approx(np.abs(inside).mean(), rel=1e-4)


def test_the_batch_size_changes_no_score(folder, tmp_path):
    expected, one, three = (
        scores_of({"telea": telea}, folder, tmp_path / str(size), batch_size=size)
        for size in (16, 1, 3)
    )
    assert one == three == expected


def test_batches_hold_consecutive_images_of_one_size(folder):
    assert [batch.images.shape for batch in stream(folder, batch_size=2)] == [
        (2, 24, 20, 3),
        (1, 16, 18, 3),
        (2, 24, 20, 3),
        (1, 24, 20, 3),
    ]


def test_large_pictures_come_in_smaller_batches(folder, monkeypatch):
    monkeypatch.setattr(comparison, "MAX_BATCH_PIXELS", 24 * 20 - 1)
    assert [len(batch.names) for batch in stream(folder)] == [1] * len(SIZES)


def test_images_are_read_one_batch_ahead_at_most():
    read = []

    def images(first):
        for n in range(first, 6):
            read.append(n)
            yield picture(16, 16, n)

    batches = comparison.batches(Pictures(tuple("012345"), images), holes(), 2)
    next(batches)
    assert len(read) == 3


def test_the_hole_depends_on_the_seed_and_the_place_alone(folder, tmp_path):
    seen = {"one": [], "two": []}

    def recorder(name):
        def method(images, masks):
            seen[name].extend(masks)
            return images

        return method

    run({name: recorder(name) for name in seen}, folder, tmp_path)
    expected = [draw_one(SPEC, *size, 3, index) for index, size in enumerate(SIZES)]
    for drawn in seen.values():
        for mask, own in zip(drawn, expected, strict=True):
            np.testing.assert_array_equal(mask, own)
    few = [mask for batch in stream(folder, batch_size=1, limit=2) for mask in batch.masks]
    np.testing.assert_array_equal(few, expected[:2])
    (late,) = (mask for batch in stream(folder, first=5) for mask in batch.masks)
    np.testing.assert_array_equal(late, expected[5])
    other = [mask for batch in stream(folder, seed=4) for mask in batch.masks]
    assert any((a != b).any() for a, b in zip(other, expected, strict=True))


def test_a_method_sees_nothing_of_the_hole_and_cannot_spoil_the_next_ones_input(folder, tmp_path):
    def spoiler(images, masks):
        assert not images[masks[..., 0] == 1].any()
        images[:], masks[:] = 1, 0
        return images

    (alone,) = scores_of({"mean": mean_color}, folder, tmp_path / "a")
    _, beside = scores_of({"spoiler": spoiler, "mean": mean_color}, folder, tmp_path / "b")
    assert beside == alone


def test_completions_are_clipped_and_blended(folder):
    batch = next(stream(folder))

    def bright(images, masks):
        return images + 2

    completed = comparison.complete("bright", bright, batch)
    assert (completed[batch.masks[..., 0] == 1] == 1).all()
    blended = comparison.blend(batch, completed, "telea_poisson")
    for image, mask, result in zip(batch.images, batch.masks, blended, strict=True):
        expected = blending.blend(image, np.ones_like(image), mask, "telea_poisson")
        np.testing.assert_array_equal(result, expected)


def test_several_blends_and_kinds_are_cells_of_one_completion(folder, tmp_path):
    method = Counter(telea)
    kinds = {"rectangle": holes(), "half": holes(3, "half")}
    blends = ("none", "telea_poisson")
    results = run({"m": method}, folder, tmp_path, kinds, blends=blends)
    assert method.images == 2 * len(SIZES)
    assert list(results.scores) == [Cell("m", kind, how) for kind in kinds for how in blends]
    table = tables.measure_table("psnr", results.scores, [], ("m", "none"))
    assert table.heads == ["Method", "Blend", "rectangle", "half"]
    (alone,) = scores_of(
        {"m": telea}, folder, tmp_path / "b", kinds={"half": kinds["half"]}, blends=blends[1:]
    )
    assert results.scores[Cell("m", "half", "telea_poisson")] == alone


def test_after_a_kill_only_what_is_missing_is_computed(folder, tmp_path):
    done, killed = Counter(), Counter(telea, limit=3)
    with pytest.raises(KeyboardInterrupt):
        run({"mean": done, "telea": killed}, folder, tmp_path, batch_size=1)
    assert (done.images, killed.images) == (6, 3)
    done, resumed = Counter(), Counter(telea)
    scores = scores_of({"mean": done, "telea": resumed}, folder, tmp_path, batch_size=2)
    assert (done.images, resumed.images) == (0, 3)
    fresh = scores_of({"mean": mean_color, "telea": telea}, folder, tmp_path / "fresh")
    assert scores == fresh


def test_what_has_changed_is_computed_again_and_nothing_else(folder, tmp_path, monkeypatch):
    def computed(pictures=folder, kind=None, settings="m", blends=("none",)):
        counter = Counter()
        if isinstance(pictures, pathlib.Path):
            pictures = comparison.open_pictures(str(pictures))
        method = Method("m", {"files": settings}, lambda: counter)
        kinds = {"rectangle": kind or holes()}
        comparison.compare([method], kinds, pictures, tmp_path / "cache", Options(blends=blends))
        return counter.images

    few = comparison.open_pictures(str(folder)).first(2)
    assert [computed(few), computed(), computed(few), computed()] == [2, 4, 0, 0]
    assert computed(settings="other weights") == 6
    assert computed(kind=holes(4)) == 6
    assert computed(kind=Holes(("rectangle",), seed=3, hole_min=4, hole_max=8)) == 6
    assert computed(few.squares(16)) == 2
    assert computed(blends=("none", "poisson")) == 6
    assert computed() == 0
    monkeypatch.setattr(comparison.results_cache, "of_code", lambda: "another version")
    assert computed() == 6


def test_a_changed_model_mask_or_picture_file_is_noticed(folder, models, tmp_path):
    grey = comparison.open_method("m", str(models / "grey"))
    mean = comparison.open_method("m", str(models / "mean_color"))
    assert grey.settings == comparison.open_method("n", str(models / "grey")).settings
    assert grey.settings != mean.settings
    assert grey.settings != comparison.open_method("m", str(models / "grey"), "bfloat16").settings

    mask = np.zeros((8, 8, 1), np.float32)
    mask[2:4] = 1
    write_image(tmp_path / "masks" / "a.png", mask)
    source = str(tmp_path / "masks")
    before = Holes(("files",), source).settings
    assert Holes(("files",), source).settings == before
    write_image(tmp_path / "masks" / "a.png", 1 - mask)
    assert Holes(("files",), source).settings != before

    write_image(tmp_path / "set" / "a.png", picture(16, 16, 0))
    before = comparison.open_pictures(str(tmp_path / "set")).settings
    write_image(tmp_path / "set" / "a.png", picture(16, 16, 1))
    assert comparison.open_pictures(str(tmp_path / "set")).settings != before


def test_ten_thousand_images_are_not_held(tmp_path):
    count, size = 10_000, 64  # 470 MiB

    def read(first):
        return (np.full((size, size, 3), n / count, np.float32) for n in range(first, count))

    pictures = Pictures(tuple(map(str, range(count))), read)
    stream = comparison.batches(pictures, lambda *_: np.ones((size, size, 1), np.float32), 16)
    tracemalloc.start()
    try:
        assert sum(len(batch.names) for batch in stream) == count
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


def test_a_mask_file_is_the_one_that_the_whole_folder_would_give(tmp_path):
    generator = np.random.default_rng(0)
    for n in range(5):
        mask = (generator.random((9 + n, 12, 1)) < 0.4).astype(np.float32)
        write_image(tmp_path / f"{n}.png", mask)
    kinds = ("files", "center")
    lazy = Holes(kinds, str(tmp_path), seed=7)
    for index, (height, width) in enumerate([(16, 20), (16, 20), (24, 11)] * 3):
        spec = spec_from_source(kinds, str(tmp_path), height, width)
        expected = draw_one(spec, height, width, 7, index)
        np.testing.assert_array_equal(lazy(index, height, width), expected)


class FakeExtractor:
    """The mean colour, as vectors and as maps; counts its images."""

    images = 0

    def vectors(self, images):
        FakeExtractor.images += len(images)
        return images.mean((1, 2))

    def maps(self, images):
        return [images]


@pytest.fixture
def fake_features(monkeypatch):
    module = types.ModuleType("common.evaluation.features")
    module.load_extractor = lambda source: FakeExtractor()
    module.lpips = lambda extractor, a, b: np.abs(a - b).mean((1, 2, 3))
    module.frechet_distance = lambda a, b: np.square(np.mean(a.all, 0) - np.mean(b.all, 0)).sum()
    module.FrechetStatistics = FakeStatistics
    monkeypatch.setitem(sys.modules, "common.evaluation.features", module)
    monkeypatch.setattr("common.evaluation.features", module, raising=False)
    FakeExtractor.images = 0


class FakeStatistics:
    def __init__(self):
        self.all = []

    def update(self, vectors):
        self.all.extend(vectors)


def test_deep_features_are_measured_and_resumed(folder, tmp_path, fake_features):
    features = comparison.DeepFeatures("keras:Any")
    first = run({"m": mean_color, "best": lambda i, m: i}, folder, tmp_path, features=features)
    cell = Cell("m", "rectangle", "none")
    for score in first.scores[cell]:
        assert score.lpips == pytest.approx(score.l1, rel=1e-5)
    extracted = FakeExtractor.images
    assert extracted == 3 * len(SIZES)  # the originals once
    assert 0 < first.frechet[cell] < 1
    again = run({"m": mean_color}, folder, tmp_path, features=features)
    assert FakeExtractor.images == extracted
    assert again.frechet[cell] == pytest.approx(first.frechet[cell])


def test_images_are_saved_where_evaluation_tools_read_them(folder, tmp_path):
    place = tmp_path / "images"
    run({"m": telea}, folder, tmp_path / "cache", image_folder=place)
    names = {path.name for path in (place / "original").glob("*.png")}
    assert names == {path.name for path in (place / "m").glob("*.png")}
    assert len(names) == len(SIZES)
    original = read_image(place / "original" / "a__0.png")
    np.testing.assert_array_equal(original, read_image(folder / "a" / "0.png"))
    hole = draw_one(SPEC, *SIZES[0], 3, 0)[..., 0] == 1
    saved = read_image(place / "m" / "a__0.png")
    np.testing.assert_array_equal(saved[~hole], original[~hole])
    assert (saved[hole] != original[hole]).any()
    # One that was deleted comes back; the others are not made again.
    (place / "m" / "b__5.png").unlink()
    counter = Counter(telea)
    run({"m": counter}, folder, tmp_path / "cache", image_folder=place)
    assert counter.images == 1 and (place / "m" / "b__5.png").is_file()


def test_names_are_relative_to_the_folder_or_the_pattern(folder):
    for source, name in (
        (folder, "a/0.png"),
        (folder / "*" / "0.png", "a/0.png"),
        (folder / "a" / "0.png", "0.png"),
    ):
        assert comparison.open_pictures(str(source)).names[0] == name


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

    pictures = comparison.open_pictures("tiny_grey", "test", str(tmp_path))
    assert pictures.names == ("000000", "000001", "000002")
    images = list(pictures.read())
    np.testing.assert_array_equal(next(pictures.read(2)), images[2])
    expected = {np.repeat(row, 3, axis=-1).tobytes() for row in rows}
    assert {np.uint8(np.rint(image * 255)).tobytes() for image in images} == expected
    assert {image.dtype for image in images} == {np.dtype(np.float32)}
    with pytest.raises(InputError, match="no tfds split 'train'"):
        comparison.open_pictures("tiny_grey", "train", str(tmp_path))


def test_squares_are_taken_before_the_hole():
    pictures = Pictures(("wide",), lambda first: iter([picture(20, 40, 0)])).squares(16)
    (batch,) = comparison.batches(pictures, holes(), 1)
    assert (batch.images.shape, batch.masks.shape) == ((1, 16, 16, 3), (1, 16, 16, 1))


@pytest.mark.parametrize(
    "value, word",
    [
        ("=folder", "NAME=SOURCE"),
        ("name=", "NAME=SOURCE"),
        ("a=x,b=y,a=z", "'a' is given twice"),
        ("a/b=x", "slash"),
        ("a\\b=x", "slash"),
        ("..=x", "dot"),
        ("a\nb=x", "printed"),
        ("original=x", "original"),
    ],
)
def test_malformed_methods_are_named(value, word):
    with pytest.raises(InputError, match=word):
        compare.parse_methods([value])


def test_methods_have_names_of_their_own_or_of_their_source():
    assert compare.parse_methods(
        ["b=x=1, a = y,telea,shipped:glcic,shipped:glcic/faces,runs/wang,c/saved_model"]
    ) == {
        "b": "x=1",
        "a": "y",
        "telea": "telea",
        "glcic": "shipped:glcic",
        "glcic_faces": "shipped:glcic/faces",
        "wang": "runs/wang",
        "c": "c/saved_model",
    }


def test_what_is_set_of_a_model_is_part_of_its_source():
    value = "shipped:a/b?x=1&y=2,mine=run?x=3"
    assert compare.parse_methods([value]) == {
        "a_b?x=1&y=2": "shipped:a/b?x=1&y=2",
        "mine": "run?x=3",
    }


def test_later_methods_join_and_replace_those_of_a_flagfile():
    added = compare.parse_methods(["dcgan=a,glcic=b", "context=c,glcic=d"])
    assert list(added.items()) == [("dcgan", "a"), ("context", "c"), ("glcic", "d")]


def test_an_unknown_method_says_what_there_is():
    with pytest.raises(InputError, match="teleaa: no such folder.*one of .*telea"):
        comparison.open_method("teleaa", "teleaa")


def test_what_cannot_be_compared_stops_it_by_name(folder, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match="bad.png"):
        run({"mean": mean_color}, tmp_path / "set", tmp_path)
    small = Pictures(("tiny.png",), lambda first: iter([picture(10, 30, 0)]))
    with pytest.raises(InputError, match="tiny.png: 10x30"):
        list(comparison.batches(small, holes(), 1))
    with pytest.raises(InputError, match="nan: its completion of a/0.png"):
        run({"nan": lambda images, masks: images * np.nan}, folder, tmp_path)
    with pytest.raises(InputError, match="half: returned"):
        run({"half": lambda images, masks: images[:, ::2]}, folder, tmp_path)
    with pytest.raises(InputError, match="--limit=7: the data set has only 6"):
        comparison.open_pictures(str(folder)).first(7)
    with pytest.raises(InputError, match="--output"):
        compare.prepare_output(folder / "a" / "0.png")


def test_the_command_writes_tables_and_figures(folder, models, tmp_path):
    output = tmp_path / "new" / "out"
    arguments = (
        f"--methods=mean_color,grey={models / 'grey'}",
        f"--methods=mean={models / 'mean_color'}",
        f"--dataset={folder}",
        "--mask_kind=rectangle",
        "--hole_min=4",
        "--hole_max=9",
        "--seed=3",
        "--figure_images=3",
        "--table_images=2",
        "--area_bin=0.1",
        f"--output={output}",
    )
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    named = ("summary", "differences", "table_psnr", "table_ssim")
    assert {path.name for path in output.iterdir()} == {
        ".lock",
        *(f"{name}.{suffix}" for name in named for suffix in ("csv", "md", "tex")),
        "per_image.csv",
        "comparison.png",
        "area.csv",
        "area.png",
        "cache",
    }
    assert (output / "summary.md").read_text(encoding="utf-8") in done.stdout
    text = (output / "per_image.csv").read_text(encoding="utf-8")
    assert text.startswith(COLUMNS + "\n")
    (expected,) = scores_of({"mean": mean_color}, folder, tmp_path / "cache")
    for name in ("mean", "mean_color"):
        rows = [row for row in table(text) if row["method"] == name]
        for row, score in zip(rows, expected, strict=True):
            assert row["image"] == score.image
            for measure in ("psnr", "ssim", "l1", "psnr_hole", "l1_hole"):
                assert float(row[measure]) == pytest.approx(getattr(score, measure), rel=1e-4)
    figure = read_image(output / "comparison.png")
    magenta = (figure == np.float32([1, 0, 1])).all(axis=-1)
    assert magenta.any()
    columns = np.flatnonzero(magenta.any(axis=0))  # of five, the second alone
    assert columns.max() - columns.min() < figure.shape[1] / 5


def test_the_figure_has_methods_for_rows_if_asked(tmp_path):
    cells = [Cell(method, kind, "none") for kind in ("half", "center") for method in "ab"]
    shown = [np.full((16, 16, 3), (n / 8, 1, 0), np.float32) for n in range(8)]
    rows = [("half", "x", *shown[:2], shown[2:4]), ("center", "x", *shown[4:6], shown[6:])]
    drawn = {}
    for transposed in (False, True):
        path = tmp_path / f"{transposed}.png"
        reports.save_figure(path, rows, cells, "last", transposed, pixels=16)
        figure = read_image(path)
        # Where each picture's colour is.
        drawn[transposed] = [
            np.argwhere((np.abs(figure - image[0, 0]) < 5e-3).all(axis=-1)) for image in shown[1:]
        ]
    wide, high = drawn[False], drawn[True]
    first, completed, original = wide[0].mean(0), wide[1].mean(0), high[0].mean(0)
    assert abs(first[0] - completed[0]) < 1 < completed[1] - first[1]
    assert abs(high[1].mean(0)[1] - original[1]) < 1 < high[1].mean(0)[0] - original[0]


def test_samples_are_a_data_set():
    pictures = comparison.open_pictures("sample:astronaut+grace_hopper")
    assert pictures.names == ("astronaut", "grace_hopper")
    assert [image.shape[0] for image in pictures.read(0)] == [199, 370]
    assert [number for number, *_ in pictures.squares(16).numbered(1)] == [1]
    other = comparison.open_pictures("sample:grace_hopper")
    assert other.settings["samples"] == pictures.settings["samples"][1:]
    with pytest.raises(InputError, match="sample:nobody"):
        comparison.open_pictures("sample:nobody")


def test_the_command_says_in_one_line_that_a_model_is_missing(folder, tmp_path):
    done = command(
        f"--methods=a={tmp_path / 'nothing'}", f"--dataset={folder}", f"--output={tmp_path / 'out'}"
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: --methods: a: ")
    assert "Traceback" not in done.stderr


def test_on_faces_surroundings_tell_more_than_the_mean_colour(shared_data, models, tmp_path):
    faces = comparison.open_pictures(str(shared_data / "celeba128" / "test")).first(6).squares(64)
    methods = [
        comparison.open_method("mean", str(models / "mean_color")),
        comparison.open_method("telea", "telea"),
    ]
    kinds = {"rectangle": Holes(("rectangle",), hole_min=12, hole_max=20)}
    results = comparison.compare(methods, kinds, faces, tmp_path, Options(figure_images=2))
    rows = list(comparison.figure_rows(results, faces, kinds, 2))
    assert [len(completions) for *_, completions in rows] == [2, 2]
    mean, filled = tables.summarize(results.scores)
    for name, measure in tables.MEASURES.items():
        if name in mean.mean:
            better = filled.mean[name] - mean.mean[name]
            assert better > 0 if measure.best is max else better < 0
    assert 5 < mean.mean["psnr_hole"] < mean.mean["psnr"] < 40
