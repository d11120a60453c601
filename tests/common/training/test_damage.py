"""Nobody ever sees what a damaged pixel holds, and every picture keeps its damage."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from common.errors import InputError
from common.pictures import datasets
from common.pictures import images as image_files
from common.pictures.mask_spec import MaskSpec
from common.pictures.preparation import Preparation
from common.training.damage import FILE, Damage

SIZE = 16
SPEC = MaskSpec(("over_edge",), hole_min=6, hole_max=6)
PLAIN = Preparation(SIZE)


def write(folder, count=12, side=SIZE, junk=None, suffix=".png"):
    """Pictures in ``pictures`` and their masks in ``masks``; the damaged pixels hold junk."""
    for n in range(count):
        generator = np.random.default_rng(n)
        picture = generator.integers(0, 256, (side, side, 3), np.uint8)
        mask = np.zeros((side, side, 1), np.uint8)
        top, left = generator.integers(0, side - side // 3 + 1, 2)
        mask[top : top + side // 3, left : left + side // 3] = 255
        if junk is not None:
            noise = np.random.default_rng([n, junk]).integers(0, 256, picture.shape, np.uint8)
            picture = np.where(mask > 0, noise, picture)
        for name, array in (("pictures", picture), ("masks", mask)):
            ending = suffix if name == "pictures" else ".png"
            path = folder / name / f"{n % 2}" / f"{n}{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), array)
    return str(folder / "pictures"), str(folder / "masks")


def stream(dataset, damage, count=12, prepare=PLAIN, seed=3, **options):
    batches = datasets.training_batches(dataset, prepare, 4, seed, damage=damage, **options)
    return np.concatenate(list(batches.take(count // 4).as_numpy_iterator()))


def visible(dataset, damage):
    def batches(batch_size, first):
        return datasets.training_batches(dataset, PLAIN, batch_size, 3, first, damage=damage)

    return damage.visible(batches)


def of_files(dataset, source, size=SIZE):
    return Damage(dataset, source, SPEC, size, 0)


@pytest.mark.parametrize(
    "prepare", [PLAIN, Preparation(SIZE, 20, 40, flip=True), Preparation(SIZE, crop="center")]
)
def test_what_damaged_pixels_hold_is_read_by_nobody(tmp_path, monkeypatch, prepare):
    for side in (SIZE, 24):
        one, two = (write(tmp_path / f"{side}_{junk}", 4, side, junk) for junk in (1, 2))
        first, second = (stream(d, of_files(d, m), 4, prepare) for d, m in (one, two))
        np.testing.assert_array_equal(first, second)
        assert first.shape == (4, SIZE, SIZE, 4) and set(np.unique(first[..., 3])) == {0, 255}
        assert not first[..., :3][first[..., 3] > 0].any()
    # No number at all, before anything is done with the picture.
    read = image_files.read_image

    def poisoned(path):
        image = read(path)
        mask = image_files.read_mask(str(path).replace("pictures", "masks"))
        return np.where(mask == 1, np.float32(np.nan), image)

    monkeypatch.setattr(image_files, "read_image", poisoned)
    np.testing.assert_array_equal(stream(one[0], of_files(*one), 4, prepare), first)


def test_a_mask_moves_with_its_picture(tmp_path):
    """White pictures: where the stream is known it is white, and damaged where it is black."""
    dataset, source = write(tmp_path)
    for path in (tmp_path / "masks").rglob("*.png"):
        mask = cv2.imread(str(path))
        cv2.imwrite(str(path).replace("masks", "pictures"), 255 - mask)
    found = stream(dataset, of_files(dataset, source), prepare=Preparation(SIZE, 18, 30, flip=True))
    np.testing.assert_array_equal(found[..., :3], np.repeat(255 - found[..., 3:], 3, -1))
    assert 0.02 < (found[..., 3] > 0).mean() < 0.2


def test_drawn_damage_stays_with_its_picture(tmp_path):
    dataset, _ = write(tmp_path)
    damage = Damage(dataset, "drawn", SPEC, SIZE, 5)
    found = stream(dataset, damage, 36)
    whole = stream(dataset, None, 36)
    known = np.broadcast_to(found[..., 3:] == 0, whole.shape)
    np.testing.assert_array_equal(found[..., :3][known], whole[known])
    assert not found[..., :3][~known].any()

    def by_picture(pictures, masks):
        masks_of = {}
        for picture, mask in zip(pictures, masks, strict=True):
            masks_of.setdefault(picture.tobytes(), set()).add(mask.tobytes())
        return masks_of

    kept = by_picture(whole, found[..., 3])
    assert len(kept) == 12 and {len(masks) for masks in kept.values()} == {1}
    assert len(set.union(*kept.values())) > 6
    # Wherever the folder is, in whatever order it is read; another seed damages otherwise.
    moved, _ = write(tmp_path / "别处")
    other = stream(moved, Damage(moved, "drawn", SPEC, SIZE, 5), 12, seed=8)
    assert by_picture(stream(moved, None, 12, seed=8), other[..., 3]) == kept
    assert (stream(dataset, Damage(dataset, "drawn", SPEC, SIZE, 6), 36) != found).any()


def test_drawn_damage_is_stretched_over_a_larger_picture(tmp_path):
    dataset, _ = write(tmp_path, 4, side=4 * SIZE)
    found = stream(dataset, Damage(dataset, "drawn", MaskSpec(("center",)), SIZE, 0), 4)
    expected = np.zeros((SIZE, SIZE), np.uint8)
    expected[4:12, 4:12] = 255
    np.testing.assert_array_equal(found[..., 3], np.repeat(expected[None], 4, 0))


def test_how_often_pixels_were_seen_is_counted_and_written(tmp_path, capsys):
    dataset, source = write(tmp_path)
    damage = of_files(dataset, source)
    share = visible(dataset, damage)
    masks = [cv2.imread(str(p), 0) > 127 for p in sorted((tmp_path / "masks").rglob("*.png"))]
    np.testing.assert_allclose(share[..., 0], 1 - np.mean(masks, 0), atol=1e-6)
    damage.report(share, tmp_path)
    np.testing.assert_allclose(image_files.read_image(tmp_path / FILE)[..., :1], share, atol=0.003)
    text = f"{share.min():.1%} of the pictures or more, {share.mean():.1%} on average"
    assert text in capsys.readouterr().out


def test_pixels_that_are_hardly_seen_are_refused(tmp_path):
    dataset, _ = write(tmp_path)
    damage = Damage(dataset, "drawn", MaskSpec(("center",), hole_size=4), SIZE, 0)
    with pytest.raises(InputError, match=r"--damage=drawn: 16 of 256 pixels .* 1%.*over_edge"):
        visible(dataset, damage)


def test_masks_that_do_not_serve_are_named(tmp_path):
    dataset, source = write(tmp_path)
    with pytest.raises(InputError, match="nowhere"):
        of_files(dataset, str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="--dataset=celeb_a.*folder"):
        of_files("celeb_a", source)
    small = tmp_path / "masks" / "1" / "3.png"
    cv2.imwrite(str(small), np.zeros((8, 9), np.uint8))
    with pytest.raises(tf.errors.OpError, match=r"InputError: .*3\.png.* 9x8 .* 16x16"):
        stream(dataset, of_files(dataset, source))
    small.unlink()
    with pytest.raises(InputError, match=r"1/3\.png: no mask in --damage="):
        of_files(dataset, source)
    for path in (tmp_path / "masks").rglob("*.png"):
        path.rename(path.with_name(f"mask{path.name}"))
    with pytest.raises(InputError, match="--damage=.*11 masks do not pair with 12 images"):
        of_files(dataset, source)


def test_jpeg_that_is_damaged_is_warned_of(tmp_path, caplog):
    dataset, source = write(tmp_path, 2, suffix=".jpg")
    of_files(dataset, source)
    assert "store damaged pictures as PNG" in caplog.text
