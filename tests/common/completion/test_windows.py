"""The completer works at any size and hole, shifts nothing and leaves known pixels alone."""

import json
import sys

import numpy as np
import pytest
import tensorflow as tf

from common.completion.models import Model, find_model, load_model
from common.completion.windows import Completer
from common.errors import InputError
from common.pictures import images


def ramp(height, width):
    """A picture whose channels are planes, from 0.1 to 0.9."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y, x = (y + 0.5) / height, (x + 0.5) / width
    return np.stack([0.1 + 0.8 * x, 0.1 + 0.8 * y, 0.5 + 0.4 * (x - y)], -1).astype(np.float32)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).random((height, width, 3), np.float32)


def fit_planes(images, masks):
    """A model that continues a ramp exactly: the plane through the known pixels of each image."""
    batch, height, width, _ = images.shape
    y, x = np.mgrid[:height, :width]
    terms = np.stack([np.ones_like(y), y / height - 0.5, x / width - 0.5], -1).reshape(-1, 3)
    completed = []
    for image, mask in zip(images, masks, strict=True):
        known = mask.ravel() == 0
        plane = np.linalg.lstsq(terms[known], image.reshape(-1, 3)[known], rcond=None)[0]
        completed.append((terms @ plane).reshape(height, width, 3))
    return np.float32(completed).reshape(batch, height, width, 3)


class Spy:
    """A model that remembers what it was shown."""

    def __init__(self, function=fit_planes, size=None, **settings):
        self.calls = []
        self.function = function
        self.model = Model(self.complete, settings, "spy", size)

    def complete(self, images, masks):
        assert images.dtype == masks.dtype == np.float32
        assert np.isfinite(images).all() and set(np.unique(masks)) <= {0, 1}
        assert not images[np.repeat(masks == 1, 3, axis=-1)].any()
        self.calls.append((images.copy(), masks.copy()))
        return self.function(images, masks)

    @property
    def sides(self):
        return [images.shape[1:3] for images, _ in self.calls]


def rectangle(height, width, top, left, rows, columns):
    mask = np.zeros((height, width, 1), np.float32)
    mask[top : top + rows, left : left + columns] = 1
    return mask


def dots(height, width, share):
    return np.float32(np.random.default_rng(1).random((height, width, 1)) < share)


CASES = {
    "centre": rectangle(128, 128, 32, 32, 64, 64),
    "odd": rectangle(101, 77, 13, 20, 31, 27),
    "corner": rectangle(90, 131, 0, 0, 85, 70),
    "left half": rectangle(128, 128, 0, 0, 128, 64),
    "bottom, thick": rectangle(201, 97, 90, 0, 111, 97),
    "all but a few columns": rectangle(67, 130, 0, 0, 67, 95),
    "one pixel": rectangle(1, 2, 0, 1, 1, 1),
    "one row": rectangle(1, 700, 0, 40, 1, 500),
    "one column": rectangle(699, 1, 650, 0, 49, 1),
    "tiny": rectangle(3, 5, 1, 1, 1, 2),
    "most pixels": dots(150, 170, 0.8),
    "thick and thin": np.maximum(
        rectangle(300, 310, 60, 60, 150, 150), rectangle(300, 310, 5, 230, 290, 3)
    ),
    "thick with a tail": np.maximum(
        rectangle(300, 310, 60, 10, 150, 150), rectangle(300, 310, 130, 50, 4, 250)
    ),
    "dots around a thick hole": np.maximum(
        rectangle(250, 250, 50, 50, 100, 100), dots(250, 250, 0.6)
    ),
}
every_case = pytest.mark.parametrize("mask", CASES.values(), ids=CASES.keys())


@every_case
@pytest.mark.parametrize("max_side", [64, 512])
def test_known_pixels_stay_to_the_bit_and_hidden_ones_do_not_matter(mask, max_side):
    image = noise(*mask.shape[:2])
    hidden = np.where(mask == 1, np.float32("nan"), image)
    completer = Completer(Spy(lambda images, _: images.mean() + 0.1 * images).model, 32, max_side)
    completed = completer(image, mask)
    assert completed.dtype == np.float32
    known = np.broadcast_to(mask == 0, image.shape)
    np.testing.assert_array_equal(completed[known], image[known])
    assert np.isfinite(completed).all()
    np.testing.assert_array_equal(completer(hidden, mask), completed)


@every_case
def test_every_pixel_of_the_hole_comes_from_the_network(mask):
    image = noise(*mask.shape[:2]) / 4
    completer = Completer(Spy(lambda images, _: np.ones_like(images)).model, 32, 64)
    inside = np.broadcast_to(mask == 1, image.shape)
    # Where a thick hole was shrunk, its rim is mixed from the network's and the known pixels.
    assert completer(image, mask)[inside].min() > 0.25
    assert (completer(image, mask)[inside] == 1).mean() > 0.7


def test_where_nothing_is_known_nothing_is_completed():
    completer, image = Completer(Spy().model), noise(20, 30)
    mask = np.ones((20, 30, 1), np.float32)
    with pytest.raises(InputError, match="no known"):
        completer(image, mask)
    with pytest.raises(InputError, match="no known"):
        completer.batch(np.stack([image] * 2), np.stack([0 * mask, mask]))


def test_a_rim_that_is_all_that_is_known_is_still_seen_when_shrunk():
    image = np.full((300, 300, 3), 0.25, np.float32)
    mask = rectangle(300, 300, 3, 3, 294, 294)
    spy = Spy(lambda images, masks: images.sum() / (1 - masks).sum() / 3 + 0 * images, hole_size=32)
    completed = Completer(spy.model)(image, mask)
    assert all(masks.min() == 0 for _, masks in spy.calls)
    np.testing.assert_allclose(completed, 0.25, atol=1e-4)


def test_the_network_sees_a_picture_like_its_training_images_as_it_is_in_one_call():
    image = noise(128, 128)
    for top, left in ((32, 32), (0, 0), (64, 64), (64, 13), (1, 0), (0, 40)):
        mask = rectangle(128, 128, top, left, 64, 64)
        spy = Spy(hole_size=64, image_size=128)
        completed = Completer(spy.model)(image, mask)
        ((images, masks),) = spy.calls
        np.testing.assert_array_equal(images[0], np.where(mask == 1, 0, image))
        np.testing.assert_array_equal(masks[0], mask)
        expected = np.where(mask == 1, fit_planes(images, masks)[0], image)
        np.testing.assert_array_equal(completed, expected)


@pytest.mark.parametrize("size", [(255, 257), (331, 254), (200, 600)])
@pytest.mark.parametrize("hole", [(60, 50, 111, 101), (91, 80, 64, 160), (33, 70, 150, 151)])
def test_nothing_shifts_when_a_thick_hole_is_completed_in_a_smaller_picture(size, hole):
    image, mask = ramp(*size), rectangle(*size, *hole)
    spy = Spy(hole_size=25)
    completed = Completer(spy.model)(np.where(mask == 1, 0, image), mask)
    (shown,) = spy.sides
    assert max(shown) < max(size) / 2
    # OpenCV's cubic bends a ramp by up to 0.047 shrunk pixels, to both sides alike.
    error = (completed - image)[mask[..., 0] == 1]
    assert np.abs(error).max() < 0.055 * 0.8 / min(shown)
    assert np.abs(error.mean(axis=0)).max() < 0.05 * 0.8 / max(size)


@pytest.mark.parametrize("side", ["top", "left", "bottom", "right"])
def test_a_thick_hole_at_the_border_is_completed_up_to_the_border(side):
    mask = rectangle(201, 203, 0, 40, 90, 110)
    mask = np.rot90(mask, ["top", "left", "bottom", "right"].index(side)).copy()
    image = ramp(*mask.shape[:2])
    spy = Spy(hole_size=30)
    completed = Completer(spy.model)(image, mask)
    (shown,) = spy.sides
    # At the border itself cubic interpolation has nothing to go on: half a shrunk pixel.
    np.testing.assert_allclose(completed, image, atol=0.8 * 0.5 / min(shown))


def test_a_hole_at_the_border_is_as_thick_as_its_pixels_are_far_from_known_ones():
    half, inner = rectangle(128, 400, 0, 0, 128, 64), rectangle(128, 400, 0, 100, 128, 64)
    spy = Spy(hole_size=64)
    for mask in (half, inner):
        Completer(spy.model)(ramp(128, 400), mask)
    shrunk, whole = spy.sides
    assert shrunk == (65, 202)
    assert whole == (128, 400)


@pytest.mark.parametrize(
    "mask",
    [dots(301, 420, 0.8), dots(301, 420, 0.05), rectangle(301, 420, 140, 3, 9, 410)],
    ids=["most pixels", "few pixels", "a scratch"],
)
def test_windows_leave_no_seam(mask):
    image = ramp(301, 420)
    spy = Spy(hole_size=16)
    completed = Completer(spy.model, max_side=96)(image, mask)
    assert len(spy.calls) > 1
    assert max(max(side) for side in spy.sides) <= 96
    np.testing.assert_allclose(completed, image, atol=1e-5)


def test_a_step_between_two_windows_is_faded_over_their_overlap():
    """Each window answers a level of its own; none sees what another one answered."""
    mask = rectangle(120, 420, 50, 10, 20, 400)
    levels = iter(np.linspace(0, 1, 9, dtype=np.float32))
    spy = Spy(lambda images, _: np.full_like(images, next(levels)), hole_size=32)
    completed = Completer(spy.model, max_side=96)(0 * noise(120, 420), mask)
    inside = completed[50:70, 10:410]
    assert len(spy.calls) == 9 and inside[0, 0, 0] == 0 and inside[0, -1, 0] == 1
    assert np.abs(np.diff(inside, axis=0)).max() < 1e-6
    # The context is 24 pixels; the answers reach 6 pixels over the cut.
    assert 0 <= np.diff(inside, axis=1).max() <= 1.01 / 8 / 12
    assert all(masks.sum() == 20 * masks.shape[2] for _, masks in spy.calls[1:-1])


def test_the_packaged_network_leaves_no_seam_where_a_band_is_cut(faces_and_photographs):
    photos = map(images.read_image, sorted(faces_and_photographs["photos"].iterdir()))
    # The band and 48 pixels of context.
    image = next(photo for photo in photos if photo.shape[1] >= 288)[:126, :288]
    mask = rectangle(*image.shape[:2], 48, 0, 30, image.shape[1])
    completer = Completer(load_model("shipped:glcic", "float32"), max_side=192)
    completed = completer(image, mask)
    jumps = np.abs(np.diff(completed[48:78], axis=1)).mean(axis=(0, 2))
    at_cuts = np.array([95, 191])  # 48 pixels of context leave 96 of a window
    assert jumps[at_cuts].mean() < 1.3 * np.delete(jumps, at_cuts).mean()


def test_many_small_holes_share_few_windows():
    for share in (0.003, 0.2, 0.8):
        spy = Spy(lambda images, _: images, hole_size=32)
        Completer(spy.model, max_side=256)(noise(600, 800), dots(600, 800, share))
        assert len(spy.calls) <= 60  # the inner parts of 35 windows cover the picture


def test_a_hole_that_fits_into_a_window_is_not_cut():
    mask = np.zeros((600, 600, 1), np.float32)
    for top, left in ((10, 10), (100, 37), (120, 300), (290, 200), (500, 550), (569, 7)):
        mask[top : top + 30, left : left + 30] = 1
    spy = Spy(lambda images, masks: np.full_like(images, len(spy.calls)))
    completed = Completer(spy.model, hole_size=32, max_side=200)(noise(600, 600) * 0, mask)
    for top, left in ((10, 10), (100, 37), (120, 300), (290, 200), (500, 550), (569, 7)):
        assert len(np.unique(completed[top : top + 30, left : left + 30])) == 1
    assert len(spy.calls) > 1


def test_a_scratch_keeps_full_resolution_beside_a_thick_hole_and_as_its_tail():
    for name in ("thick and thin", "thick with a tail"):
        mask = CASES[name]
        spy = Spy(hole_size=48)
        Completer(spy.model)(ramp(*mask.shape[:2]), mask)
        (_, first), (_, second) = spy.calls
        np.testing.assert_array_equal(first[0], mask)
        assert second.shape[1:3] == tuple(round(side * 48 / 149) for side in mask.shape[:2])
        # Of the scratch, 4 pixels wide and 250 or more long, nothing is left but a stump.
        assert 48**2 <= second.sum() <= 51**2 + 40


def test_a_picture_without_a_hole_is_returned_without_asking_the_network():
    spy = Spy()
    image = noise(40, 50)
    np.testing.assert_array_equal(Completer(spy.model)(image, np.zeros((40, 50, 1))), image)
    assert not spy.calls


def test_a_batch_equals_its_pictures_one_by_one_and_is_one_call_where_nothing_is_scaled():
    images = np.stack([noise(64, 72, seed) for seed in range(3)])
    masks = np.stack([rectangle(64, 72, 10 * n, 20, 20, 30) for n in range(3)])
    for hole_size, calls in ((32, 1), (12, 3)):
        spy = Spy(hole_size=hole_size)
        completer = Completer(spy.model)
        completed = completer.batch(images, masks)
        assert len(spy.calls) == calls
        single = np.stack([completer(*pair) for pair in zip(images, masks, strict=True)])
        np.testing.assert_allclose(completed, single, atol=1e-6)


def test_a_network_of_one_size_sees_the_whole_picture_at_that_size():
    spy = Spy(size=(64, 64))
    for size in ((64, 64), (40, 50), (200, 131)):
        image, mask = ramp(*size), rectangle(*size, 12, 15, 20, 21)
        completed = Completer(spy.model)(image, mask)
        np.testing.assert_allclose(completed, image, atol=1e-3)
    assert spy.sides == [(64, 64)] * 3


@pytest.mark.parametrize(
    ("image", "mask", "reason"),
    [
        (noise(8, 8), np.zeros((8, 9, 1)), r"mask \(8, 9, 1\) does not fit"),
        (noise(8, 8)[..., :2], np.zeros((8, 8, 1)), "shape"),
        (noise(8, 8), np.full((8, 8, 1), 0.5), "other values"),
        (noise(8, 8), np.full((8, 8, 1), np.nan), "other values"),
    ],
)
def test_wrong_arguments_are_named(image, mask, reason):
    with pytest.raises(InputError, match=reason):
        Completer(Spy().model)(image, mask)


def test_a_window_must_have_room_for_a_hole():
    with pytest.raises(InputError, match="--max_side=3"):
        Completer(Spy().model, max_side=3)


class MeanFill(tf.Module):
    """Fills the hole with the mean of the known pixels; in bfloat16, with zero."""

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

    @tf.function(input_signature=complete.input_signature)
    def complete_bfloat16(self, images, masks):
        return {"completed": images * (1 - masks)}

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.float32, name="images")])
    def other(self, images):
        return {"completed": images}


def save(folder, settings=None, **signatures):
    module = MeanFill()
    chosen = {name: getattr(module, method) for name, method in signatures.items()}
    tf.saved_model.save(module, str(folder), signatures=chosen)
    if settings is not None:
        (folder / "assets.extra").mkdir()
        (folder / "assets.extra" / "inpainting.json").write_text(settings)
    return folder


@pytest.fixture(scope="module")
def mean_fill(tmp_path_factory):
    settings = json.dumps({"hole_size": 32, "image_size": 64, "method": "mean"})
    folder = tmp_path_factory.mktemp("run") / "saved_model"
    return save(folder, settings, complete="complete", complete_bfloat16="complete_bfloat16")


def test_a_saved_model_is_found_in_its_folder_and_in_a_run_directory(mean_fill):
    image, mask = noise(64, 48), rectangle(64, 48, 8, 8, 20, 20)
    mean = image[mask[..., 0] == 0].mean(axis=0)
    for source in (mean_fill, str(mean_fill.parent)):
        model = load_model(source, "float32")
        assert model.settings == {"hole_size": 32, "image_size": 64, "method": "mean"}
        completer = Completer(model)
        assert completer.hole_size == 32
        np.testing.assert_allclose(completer(image, mask)[10, 10], mean, atol=1e-6)


def test_bfloat16_takes_its_own_signature(mean_fill):
    model = load_model(mean_fill, "bfloat16")
    completed = model.complete(np.ones((1, 8, 8, 3), np.float32), np.ones((1, 8, 8, 1), np.float32))
    assert isinstance(completed, np.ndarray) and not completed.any()


def test_without_settings_the_hole_size_has_a_default(tmp_path):
    model = load_model(save(tmp_path / "model", complete="complete"))
    assert model.settings == {}
    assert Completer(model).hole_size == 64


def test_a_shipped_model_is_found_by_name_without_importing_its_package(tmp_path, monkeypatch):
    package = tmp_path / "package_with_model"
    save(package / "shipped" / "faces", complete="complete")
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    source = "shipped:package_with_model/faces"
    assert load_model(source).name == source
    assert "package_with_model" not in sys.modules
    for unknown in ("shipped:no_such_package", "shipped:", "shipped:a.b", "shipped:json"):
        with pytest.raises(InputError, match=unknown):
            load_model(unknown)


@pytest.mark.parametrize(
    ("package", "default"), [("ships_two", "SHIPPED = 'faces'"), ("ships_two_unsaid", "")]
)
def test_a_package_ships_several_networks_and_names_its_default(
    tmp_path, monkeypatch, package, default
):
    shipped = tmp_path / package / "shipped"
    for name in ("faces", "cats"):
        (shipped / name).mkdir(parents=True)
        (shipped / name / "saved_model.pb").touch()
    (shipped / "notes").mkdir()
    (tmp_path / package / "__init__.py").write_text(default)
    monkeypatch.syspath_prepend(tmp_path)
    assert find_model(f"shipped:{package}/cats") == shipped / "cats"
    names = f"choose from shipped:{package}/cats, shipped:{package}/faces$"
    for unknown in ("notes", "", "../shipped/cats"):
        with pytest.raises(InputError, match=f"there is no network '{unknown}'; {names}"):
            find_model(f"shipped:{package}/{unknown}")
    if default:
        assert find_model(f"shipped:{package}") == shipped / "faces"
    else:
        with pytest.raises(InputError, match=f"{package}: the package has no default; {names}"):
            find_model(f"shipped:{package}")


def test_what_is_wrong_with_a_saved_model_is_named_with_its_folder(tmp_path, mean_fill):
    with pytest.raises(InputError, match="nowhere: no such folder"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(InputError, match="neither a SavedModel"):
        load_model(tmp_path)
    unsigned = save(tmp_path / "unsigned", serving_default="complete")
    with pytest.raises(InputError, match="unsigned.*without.*'complete'.*serving_default"):
        load_model(unsigned)
    other = save(tmp_path / "other", complete="other")
    with pytest.raises(InputError, match="other.*does not take"):
        load_model(other)
    (other / "saved_model.pb").write_bytes(b"\x00 not a protocol buffer")
    with pytest.raises(InputError, match="other.*cannot be read"):
        load_model(other)
    broken = save(tmp_path / "broken", '{"hole_size": -4}', complete="complete")
    with pytest.raises(InputError, match=r"inpainting\.json: hole_size is -4"):
        load_model(broken)
