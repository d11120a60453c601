"""The stream of training images is a function of (seed, number) and prepares them as promised."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from common.errors import InputError
from common.pictures import datasets
from common.pictures.datasets import Preparation


def smooth(height, width, seed=0):
    """uint8 RGB without fine detail, different everywhere."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def flat(value, height=8, width=8):
    return np.full((height, width, 3), value, np.uint8)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def folder(tmp_path):
    """Ten flat pictures in nested folders, number n of the grey level 20 n."""
    for n in range(10):
        path = tmp_path / "pictures" / f"{n % 3}" / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), flat(20 * n, 8 + n, 10))
    return str(tmp_path / "pictures")


SMALL = Preparation(8)


def stream(folder, count, batch=2, prepare=SMALL, seed=3, first=0, **options):
    """The first ``count`` images, [count, size, size, 3]."""
    batches = datasets.training_batches(folder, prepare, batch, seed, first, **options)
    return np.concatenate(list(batches.take(count // batch).as_numpy_iterator()))


def test_images_of_the_right_size_are_left_alone():
    image = smooth(16, 16)
    np.testing.assert_array_equal(Preparation(16)(image, rng()), image)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (40, 24), (9, 31), (218, 178)])
def test_every_size_becomes_the_training_size(height, width):
    for prepare in (Preparation(16), Preparation(16, 20, 30), Preparation(16, crop="center")):
        image = prepare(smooth(height, width), rng())
        assert (image.shape, image.dtype) == ((16, 16, 3), np.uint8)


def test_the_centre_crop_does_not_shift():
    image = smooth(60, 84)
    image[:, :42] //= 2
    image[:30] //= 2
    prepare = Preparation(20, 30, 30, crop="center")
    once, turned = prepare(image, rng()), prepare(image[::-1, ::-1], rng())
    np.testing.assert_array_equal(turned, once[::-1, ::-1])


def test_shrinking_averages_what_it_drops():
    checkers = np.indices((64, 64)).sum(0) % 2 * 255
    image = np.repeat(checkers[..., None], 3, -1).astype(np.uint8)
    assert np.abs(Preparation(16)(image, rng()).astype(int) - 127.5).max() < 1


def test_random_crops_reach_every_place_and_size():
    rows, columns = np.indices((20, 40))
    image = np.stack([rows, columns, 0 * rows], -1).astype(np.uint8)
    corners = {tuple(Preparation(18, 20, 20)(image, rng(n))[0, 0, :2]) for n in range(300)}
    assert {top for top, _ in corners} == {0, 1, 2}
    assert {left for _, left in corners} == set(range(23))
    wide = Preparation(18, 18, 20)
    widths = {np.ptp(wide(image, rng(n))[0, :, 1].astype(int)) for n in range(30)}
    assert {16, 17} & widths  # from a larger scale
    assert {18, 19} & widths  # from a smaller one


def test_flip_mirrors_half_of_the_images():
    image = smooth(16, 16)
    results = [Preparation(16, flip=True)(image, rng(n)) for n in range(100)]
    same = sum((r == image).all() for r in results)
    mirrored = sum((r == image[:, ::-1]).all() for r in results)
    assert same + mirrored == 100
    assert 30 < mirrored < 70


def test_recolouring_turns_hues_and_stretches_saturations_of_its_share():
    red = np.full((4, 4, 3), (200, 100, 100), np.uint8)
    options = {"recolor": 0.7, "hue": 90.0, "saturation_min": 0.5, "saturation_max": 1.5}
    prepare = Preparation(4, **options)
    results = np.stack([prepare(red, rng(n)) for n in range(400)])
    assert (results == results[:, :1, :1]).all(), "one angle and one factor for a whole picture"
    same = (results == red).all((1, 2, 3))
    assert 0.2 < same.mean() < 0.4
    hsv = cv2.cvtColor(results[~same, :1, 0].astype(np.float32) / 255, cv2.COLOR_RGB2HSV)[:, 0]
    hue = (hsv[:, 0] + 180) % 360 - 180
    assert -91 < hue.min() < -75 and 75 < hue.max() < 91 and abs(np.median(hue)) < 15
    assert 0.24 < hsv[:, 1].min() < 0.28 and 0.7 < hsv[:, 1].max() < 0.76
    np.testing.assert_allclose(hsv[:, 2], 200 / 255, atol=0.003)  # the brightest channel
    damaged = np.dstack([red / np.float32(255), np.eye(4, dtype=np.float32)])
    turned = Preparation(4, recolor=1.0, hue=90.0)(damaged, rng())
    np.testing.assert_array_equal(turned[..., 3], damaged[..., 3])
    assert turned.dtype == np.float32 and (turned[..., :3] != damaged[..., :3]).any()


@pytest.mark.parametrize(
    "options",
    [{"hue": 30.0}, {"recolor": 0.5}, {"recolor": 0.5, "saturation_min": 2.0}],
)
def test_contradicting_recolouring_is_refused(options):
    with pytest.raises(InputError, match="saturation_min"):
        Preparation(16, **options)


@pytest.mark.parametrize(("low", "high"), [(15, 30), (30, 20), (0, 12)])
def test_contradicting_sizes_are_refused(low, high):
    with pytest.raises(InputError, match="resize_min.*resize_max.*16"):
        Preparation(16, low, high)


def test_every_epoch_shows_every_file_once_in_a_new_order(folder):
    levels = stream(folder, 40)[:, 0, 0, 0] // 20
    epochs = levels.reshape(4, 10)
    for epoch in epochs:
        assert sorted(epoch) == list(range(10))
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_several_folders_count_as_often_as_is_said(folder, tmp_path):
    (tmp_path / "more,=2").mkdir()
    cv2.imwrite(str(tmp_path / "more,=2" / "a.png"), flat(250))
    (tmp_path / "link").symlink_to(tmp_path / "more,=2")
    both = f"{folder},{tmp_path}/link=3"
    assert datasets.count(both) == 13
    levels = stream(both, 26)[:, 0, 0, 0].reshape(2, 13)
    for epoch in levels:
        assert sorted(epoch) == [*range(0, 200, 20), 250, 250, 250]
    assert (stream(f"{tmp_path}/more,=2", 2) == 250).all(), "a folder of that name comes first"
    for wrong, words in (
        (f"{folder},{folder}=0", "=0"),
        (f"{folder},", "''"),
        (f"{folder},mnist", "mnist"),
        (f"{folder},{tmp_path}/nowhere=2", "nowhere"),
    ):
        with pytest.raises(InputError, match=words):
            stream(wrong, 2)


def test_the_seed_decides_the_stream(folder):
    prepare = Preparation(6, 8, 12, flip=True)
    once = stream(folder, 20, prepare=prepare)
    np.testing.assert_array_equal(stream(folder, 20, prepare=prepare, threads=1), once)
    assert (stream(folder, 20, prepare=prepare, seed=4) != once).any()


@pytest.mark.parametrize("first", [4, 10, 13])
def test_a_resumed_stream_is_the_tail_of_an_uninterrupted_one(tmp_path, first):
    for n in range(5):
        cv2.imwrite(str(tmp_path / f"{n}.png"), smooth(12, 14, n))
    prepare = Preparation(6, 8, 12, flip=True)
    whole = stream(str(tmp_path), 24, batch=1, prepare=prepare)
    tail = stream(str(tmp_path), 24 - first, batch=1, prepare=prepare, first=first)
    np.testing.assert_array_equal(tail, whole[first:])


def test_all_kinds_of_files_are_read_together(tmp_path):
    cv2.imwrite(str(tmp_path / "a.jpg"), flat(40, 20, 30))
    cv2.imwrite(str(tmp_path / "b.png"), flat(80)[..., 0])
    cv2.imwrite(str(tmp_path / "c.tif"), flat(0).astype(np.uint16) + 120 * 257)
    cv2.imwrite(str(tmp_path / "d.webp"), flat(160, 9, 50))
    cv2.imwrite(str(tmp_path / "e.png"), np.dstack([flat(200), flat(9)[..., :1]]))
    images = stream(str(tmp_path), 5, batch=5)
    levels = np.sort(images.reshape(5, -1), axis=0)
    assert np.abs(levels.astype(int) - [[40], [80], [120], [160], [200]]).max() <= 2


def test_colours_keep_their_order(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((8, 8, 3), (30, 20, 10), np.uint8))  # BGR
    np.testing.assert_array_equal(stream(str(tmp_path), 2)[0, 0, 0], [10, 20, 30])
    color = datasets.mean_color(datasets.first_images(3, str(tmp_path), Preparation(8), 0))
    np.testing.assert_allclose(color, np.float32([10, 20, 30]) / 255, rtol=1e-6)
    assert color.dtype == np.float32


def test_a_corrupt_file_stops_the_stream_by_name(folder, tmp_path):
    bad = tmp_path / "pictures" / "1" / "broken.jpg"
    bad.write_bytes(b"\xff\xd8 not a picture")
    with pytest.raises(tf.errors.OpError, match=r"InputError: .*broken\.jpg"):
        stream(folder, 12)


def test_an_empty_folder_is_refused_at_once(tmp_path):
    with pytest.raises(InputError, match="no image"):
        datasets.training_batches(str(tmp_path), Preparation(8), 2, 0)
    with pytest.raises(InputError, match="nowhere"):
        datasets.training_batches(str(tmp_path / "nowhere"), Preparation(8), 2, 0)


def test_a_name_that_is_neither_folder_nor_data_set_is_refused_in_one_line():
    pytest.importorskip("tensorflow_datasets")
    with pytest.raises(InputError) as error:
        datasets.training_batches("no_such_folder", Preparation(8), 2, 0)
    assert "no_such_folder" in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


@pytest.fixture(scope="module")
def tfds_dir(tmp_path_factory):
    """Where a tfds data set of seven grey pictures, number n of the level 30 n, is kept."""
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("importlib_resources")  # 4.9.10 needs it, and does not ask for it

    class GreySquares(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {"image": tfds.features.Image(shape=(None, None, 1))}
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for n in range(7):
                yield n, {"image": flat(30 * n, 8 + n, 10)[..., :1]}

    return tmp_path_factory.mktemp("tfds")


def test_a_tfds_data_set_is_streamed_and_resumed_like_a_folder(tfds_dir):
    tf.random.set_seed(0)

    def levels(count, **options):
        images = stream("grey_squares", count, batch=1, data_dir=str(tfds_dir), **options)
        return (images[:, 0, 0, 0] // 30).tolist()

    whole = levels(28)
    epochs = [whole[n : n + 7] for n in range(0, 28, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) > 1
    for first in (3, 7, 12):
        assert levels(28 - first, first=first) == whole[first:]
    assert levels(7, seed=4) != whole[:7]
    assert set(levels(6, split="train[:3]")) != set(whole)
    told = {"data_dir": str(tfds_dir), "damage": None}
    assert [datasets.count("grey_squares", s, **told) for s in ("train", "train[:3]")] == [7, 3]
    with pytest.raises(InputError, match="grey_squares.*validation"):
        levels(1, split="validation")
