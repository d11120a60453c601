"""Files become arrays as promised, and arrays files, or one line says why not."""

import os
import pathlib
import resource
import signal
import struct
import subprocess
import sys
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from absl import logging

from common.errors import InputError
from common.pictures import images


def noise(*shape, seed=0, dtype=np.uint8):
    levels = np.iinfo(dtype).max + 1
    return np.random.default_rng(seed).integers(0, levels, shape).astype(dtype)


def save(path, pixels):
    """Writes RGB(A) or grey pixels with OpenCV alone."""
    if pixels.ndim == 3:
        order = (2, 1, 0, 3)[: pixels.shape[2]]
        pixels = np.ascontiguousarray(pixels[..., order])
    encoded, data = cv2.imencode(path.suffix, pixels)
    assert encoded
    path.write_bytes(data)
    return path


@pytest.fixture
def warnings(monkeypatch):
    lines = []
    monkeypatch.setattr(logging, "warning", lambda line, *args: lines.append(line % args))
    return lines


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".ppm"])
def test_what_is_written_losslessly_is_read_back_to_the_bit(tmp_path, suffix):
    image = images.from_uint8(noise(20, 31, 3))
    images.write_image(tmp_path / f"a{suffix}", image)
    np.testing.assert_array_equal(images.read_image(tmp_path / f"a{suffix}"), image)


def test_jpeg_is_written_close_to_the_image(tmp_path, shared_data):
    image = images.read_image(sorted((shared_data / "celeba128" / "test").glob("*.jpg"))[0])
    images.write_image(tmp_path / "a.JPG", image)
    assert (tmp_path / "a.JPG").read_bytes().startswith(b"\xff\xd8")
    assert np.abs(images.read_image(tmp_path / "a.JPG") - image).mean() < 0.01


def test_a_mask_is_read_back_to_the_bit(tmp_path):
    mask = (noise(9, 13, 1) > 127).astype(np.float32)
    images.write_image(tmp_path / "mask.png", mask)
    read = images.read_mask(tmp_path / "mask.png")
    np.testing.assert_array_equal(read, mask)
    assert read.dtype == np.float32


def test_colours_come_in_rgb_order(tmp_path):
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[..., 0] = 255
    image = images.read_image(save(tmp_path / "red.png", pixels))
    assert image.dtype == np.float32
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image[0, 0], [1, 0, 0])


def test_grey_is_repeated_and_sixteen_bits_are_scaled(tmp_path):
    grey = noise(8, 9, dtype=np.uint16)
    image = images.read_image(save(tmp_path / "grey.png", grey))
    expected = np.repeat((grey / 65535)[..., np.newaxis], 3, axis=-1)
    np.testing.assert_allclose(image, expected, atol=1e-7)


@pytest.mark.parametrize("pixels", [noise(8, 9), noise(8, 9, 3), noise(8, 9, 3, dtype=np.uint16)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_eight_bits_are_those_of_the_image_whatever_the_depth(tmp_path, suffix, pixels):
    path = save(tmp_path / f"a{suffix}", pixels)
    whole = images.read_uint8(path)
    assert whole.flags.c_contiguous
    np.testing.assert_array_equal(whole, images.to_uint8(images.read_image(path)))


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_alpha_is_dropped_with_a_warning_and_colours_stay(tmp_path, warnings, suffix):
    pixels = noise(8, 9, 4)
    pixels[..., 3] |= 1  # a lossless WebP forgets colours that are fully transparent
    image = images.read_image(save(tmp_path / f"alpha{suffix}", pixels))
    np.testing.assert_array_equal(images.to_uint8(image), pixels[..., :3])
    assert len(warnings) == 1
    assert f"alpha{suffix}" in warnings[0]


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg", ".bmp", ".tif"])
def test_no_alpha_no_warning(tmp_path, warnings, suffix):
    images.read_image(save(tmp_path / f"opaque{suffix}", noise(8, 9, 3)))
    assert not warnings


def test_a_transparent_colour_of_a_png_counts_as_alpha(tmp_path, warnings):
    data = save(tmp_path / "key.png", noise(8, 9, 3)).read_bytes()
    chunk = b"tRNS" + struct.pack(">3H", 1, 2, 3)
    chunk = struct.pack(">I", 6) + chunk + struct.pack(">I", zlib.crc32(chunk))
    at = data.index(b"IDAT") - 4
    (tmp_path / "key.png").write_bytes(data[:at] + chunk + data[at:])
    images.read_image(tmp_path / "key.png")
    assert len(warnings) == 1


def test_exif_orientation_is_applied(tmp_path):
    pixels = noise(16, 24, 3)
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    # A TIFF header and one directory with one entry: tag 0x112 (orientation) is 6.
    exif = b"Exif\0\0" + struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 0x112, 3, 1, 6, 0)
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    (tmp_path / "plain.jpg").write_bytes(encoded)
    (tmp_path / "turned.jpg").write_bytes(encoded[:2] + segment + encoded[2:])
    plain = images.read_image(tmp_path / "plain.jpg")
    turned = images.read_image(tmp_path / "turned.jpg")
    np.testing.assert_array_equal(turned, np.rot90(plain, -1))


def test_unicode_names_work(tmp_path):
    image = images.from_uint8(noise(5, 6, 3))
    path = tmp_path / "größe 写真" / "ø.png"
    images.write_image(path, image)
    np.testing.assert_array_equal(images.read_image(path), image)


def test_a_mask_is_white_from_half_on_at_any_depth(tmp_path):
    for dtype, dark, bright in ((np.uint8, 127, 128), (np.uint16, 32767, 32768)):
        grey = np.array([[0, dark, bright, np.iinfo(dtype).max]], dtype)
        mask = images.read_mask(save(tmp_path / "mask.png", grey))
        np.testing.assert_array_equal(mask[..., 0], [[0, 0, 1, 1]])


def test_a_mask_of_zeros_and_ones_is_warned_about(tmp_path, warnings):
    mask = images.read_mask(save(tmp_path / "mask.png", np.eye(4, dtype=np.uint8)))
    assert not mask.any()
    assert "mask.png" in warnings[0]


def test_every_cut_file_is_refused_by_name_and_in_silence(tmp_path, capfd):
    for suffix in (".png", ".jpg", ".webp", ".bmp", ".ppm", ".tif"):
        data = save(tmp_path / f"cut{suffix}", noise(40, 40, 3)).read_bytes()
        for length in (0, 3, len(data) // 2, len(data) - 4):
            if suffix == ".tif" and length == len(data) - 4:
                continue  # all that is cut off is the end of the directory
            (tmp_path / f"cut{suffix}").write_bytes(data[:length])
            for read in (images.read_image, images.read_mask):
                with pytest.raises(InputError, match=rf"cut\{suffix}"):
                    read(tmp_path / f"cut{suffix}")
    assert capfd.readouterr().err == ""


def test_what_is_no_image_is_refused_by_name(tmp_path):
    (tmp_path / "notes.png").write_text("not an image")
    save(tmp_path / "float.tiff", np.ones((4, 4, 3), np.float32))
    for name in ("notes.png", "float.tiff", "absent.png", ".", "nul\0.png"):
        with pytest.raises(InputError) as refused:
            images.read_image(tmp_path / name)
        assert str(tmp_path / name) in str(refused.value)
        assert "\n" not in str(refused.value)


def test_reading_needs_no_second_float_copy(tmp_path):
    path = save(tmp_path / "large.jpg", np.zeros((1000, 1000, 3), np.uint8))
    tracemalloc.start()
    images.read_image(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 17e6  # 3 MB as uint8 and 12 MB as float32


def test_rounding_goes_to_the_nearest_level_and_clips():
    values = np.array([-0.5, 0, 0.49 / 255, 0.51 / 255, 254.4 / 255, 1, 7], np.float32)
    np.testing.assert_array_equal(images.to_uint8(values), [0, 0, 0, 1, 254, 255, 255])
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(images.to_uint8(images.from_uint8(levels)), levels)


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.pgm"])
def test_an_unknown_suffix_is_refused_before_anything_is_made(tmp_path, name):
    with pytest.raises(InputError, match="png"):
        images.write_image(tmp_path / "new" / name, np.zeros((4, 4, 3), np.float32))
    assert not (tmp_path / "new").exists()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    images.write_bytes_atomically(path, b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match=r"a\.json.*No space left"):
        images.write_bytes_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_cannot_be_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.png").mkdir()
    for path in (tmp_path / "file" / "a.png", tmp_path / "folder.png"):
        with pytest.raises(InputError, match=path.name):
            images.write_image(path, np.zeros((4, 4, 3), np.float32))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.png"]


def test_a_source_is_a_file_a_folder_or_a_pattern(tmp_path):
    for name in ("b.PNG", "a.jpg", "sub/c.tif", "sub/notes.txt", ".hidden.png", ".cache/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    everything = [tmp_path / name for name in ("a.jpg", "b.PNG", "sub/c.tif")]
    assert images.list_images(str(tmp_path)) == everything
    assert images.list_images(f"{tmp_path}/**") == everything
    assert images.list_images(f"{tmp_path}/*.jpg") == everything[:1]
    assert images.list_images(str(tmp_path / "sub" / "notes.txt")) == [tmp_path / "sub/notes.txt"]
    for nothing in ("sub/*.txt", "absent", ".cache/*.jpg"):
        with pytest.raises(InputError, match="no such file"):
            images.list_images(str(tmp_path / nothing))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no image in this folder"):
        images.list_images(str(tmp_path / "empty"))


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(tmp_path):
    (tmp_path / "photo[1].png").touch()
    assert images.list_images(str(tmp_path / "photo[1].png")) == [tmp_path / "photo[1].png"]


def test_folders_behind_symbolic_links_are_searched_once_each(tmp_path):
    (tmp_path / "real/deep").mkdir(parents=True)
    images.write_image(tmp_path / "real/deep/a.png", np.zeros((2, 2, 3), np.float32))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/link").symlink_to(tmp_path / "real")
    (tmp_path / "data/twice").symlink_to(tmp_path / "real/deep")
    (tmp_path / "real/circle").symlink_to(tmp_path / "data")
    assert images.list_images(tmp_path / "data") == [tmp_path / "data/link/deep/a.png"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 10), (32, 40), (8, 40), (32, 10), (16, 20)])
def test_resizing_keeps_channels_range_type_and_constants(size, channels):
    image = images.from_uint8(noise(16, 20, channels) // 128 * 255)
    resized = images.resize(image, *size)
    assert resized.shape == (*size, channels)
    assert resized.dtype == np.float32
    assert resized.min() >= 0
    assert resized.max() <= 1
    constant = images.resize(np.full_like(image, 0.3), *size)
    np.testing.assert_allclose(constant, 0.3, atol=1e-6)


def test_shrinking_averages_areas():
    image = images.from_uint8(noise(12, 8, 3))
    blocks = image.reshape(4, 3, 4, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(images.resize(image, 4, 4), blocks, atol=1e-6)


def test_resizing_to_the_same_size_changes_nothing():
    image = images.from_uint8(noise(7, 5, 3))
    np.testing.assert_array_equal(images.resize(image, 7, 5), image)


def test_the_nearest_pixel_is_copied():
    mask = noise(7, 5, 1)
    np.testing.assert_array_equal(images.resize_nearest(mask, 7, 5), mask)
    enlarged = images.resize_nearest(mask, 14, 15)
    np.testing.assert_array_equal(enlarged, mask.repeat(2, axis=0).repeat(3, axis=1))
    np.testing.assert_array_equal(images.resize_nearest(enlarged, 7, 5), mask)
    assert enlarged.dtype == mask.dtype


def test_a_run_goes_on_finding_the_pixels_of_its_masks():
    """Exact division: OpenCV rounds 34 / 6, and takes other pixels."""
    row = np.arange(6, dtype=np.float32)[None, :, None]
    ours = images.resize_nearest(row, 1, 34)[0, :, 0]
    np.testing.assert_array_equal(ours, [column * 6 // 34 for column in range(34)])


def test_the_crop_is_the_largest_centred_square():
    image = images.from_uint8(noise(6, 10, 3))
    np.testing.assert_array_equal(images.center_crop_resize(image, 6), image[:, 2:8])
    tall = image.transpose(1, 0, 2)
    np.testing.assert_array_equal(images.center_crop_resize(tall, 6), tall[2:8])


def test_an_impossible_size_is_refused():
    with pytest.raises(InputError, match="0x4"):
        images.resize(np.zeros((4, 4, 3), np.float32), 0, 4)
    with pytest.raises(InputError, match="4x0"):
        images.resize_nearest(np.zeros((4, 4, 1), np.float32), 4, 0)


def test_what_is_missing_has_no_part_in_a_resized_picture():
    generator = np.random.default_rng(0)
    image = generator.random((12, 20, 4), np.float32)
    image[..., 3] = generator.random((12, 20)) < 0.6
    image[:4, :4, 3] = 1
    found = images.resize_known(image, 6, 5)
    for row, column in np.ndindex(6, 5):
        block = image[2 * row : 2 * row + 2, 4 * column : 4 * column + 4].reshape(-1, 4)
        known = block[block[:, 3] == 0, :3]
        assert found[row, column, 3] == (len(known) == 0)
        expected = known.mean(0) if len(known) else 0
        np.testing.assert_allclose(found[row, column, :3], expected, atol=1e-6)
    hidden = np.where(image[..., 3:] == 1, np.float32(9), image)
    hidden[..., 3] = image[..., 3]
    for height, width in ((6, 5), (24, 31), (12, 20)):
        small = images.resize_known(image, height, width)
        np.testing.assert_array_equal(images.resize_known(hidden, height, width), small)
        assert set(np.unique(small[..., 3])) <= {0, 1}
    large = images.resize_known(image, 24, 40)
    assert 0.9 < large[..., 3].mean() / image[..., 3].mean() < 1.1
    with pytest.raises(InputError, match="0x5"):
        images.resize_known(image, 0, 5)


def claiming(width, height):
    """The bytes of a small PNG whose header speaks of another size."""
    data = cv2.imencode(".png", noise(8, 9, 3))[1].tobytes()
    header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def test_too_large_a_picture_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    (tmp_path / "bomb.png").write_bytes(claiming(30000, 30000))
    for suffix in (".png", ".jpg", ".webp", ".bmp", ".tif", ".ppm", ".gif", ".jp2"):
        save(tmp_path / f"large{suffix}", noise(64, 80, 3))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    for read in (images.read_image, images.read_mask):
        with pytest.raises(InputError, match=r"bomb.png: 30000x30000 is more than 100,000,000 pix"):
            read(tmp_path / "bomb.png")
        for path in tmp_path.glob("large*"):
            expected = rf"{path.name}: 80x64 is more than 5,119 pixels; .*--max_pixels"
            with pytest.raises(InputError, match=expected):
                read(path, max_pixels=5119)
    monkeypatch.undo()
    for path in tmp_path.glob("large*"):
        assert images.read_image(path, max_pixels=5120).shape == (64, 80, 3)


def test_a_picture_whose_size_nobody_knows_is_refused(tmp_path):
    save(tmp_path / "a.pfm", np.ones((4, 4, 3), np.float32))
    with pytest.raises(InputError, match=r"a\.pfm: .*convert it to PNG"):
        images.read_image(tmp_path / "a.pfm")


@pytest.mark.parametrize("suffix", images.SIXTEEN_BIT_SUFFIXES)
def test_sixteen_bits_are_written_as_they_were_read(tmp_path, suffix):
    pixels = noise(64, 70, 3, dtype=np.uint16)
    pixels[:, :3] = np.arange(3 * 64).reshape(64, 3, 1)  # the darkest levels, one apart
    path = save(tmp_path / f"deep{suffix}", pixels)
    assert images.bits_per_channel(path) == 16
    images.write_image(tmp_path / f"again{suffix}", images.read_image(path), bits=16)
    before, after = (
        cv2.imread(str(tmp_path / f"{name}{suffix}"), cv2.IMREAD_UNCHANGED)
        for name in ("deep", "again")
    )
    assert after.dtype == np.uint16
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif", ".ppm", ".gif"])
def test_eight_bits_stay_eight(tmp_path, suffix):
    image = images.from_uint8(noise(20, 31, 3))
    images.write_image(tmp_path / f"a{suffix}", image)
    assert images.bits_per_channel(tmp_path / f"a{suffix}") == 8
    if suffix not in images.SIXTEEN_BIT_SUFFIXES:
        images.write_image(tmp_path / f"b{suffix}", image, bits=16)
        pair = [(tmp_path / f"{name}{suffix}").read_bytes() for name in "ab"]
        assert pair[0] == pair[1]


def test_levels_between_eight_and_sixteen_bits_are_scaled(tmp_path):
    levels = np.array([1023, 0, 511, 1, 2, 1023], ">u2")
    (tmp_path / "a.ppm").write_bytes(b"P6 # ten bits\n2 1\n1023\n" + levels.tobytes())
    np.testing.assert_allclose(
        images.read_image(tmp_path / "a.ppm").ravel(), levels / 1023, atol=1e-6
    )
    (tmp_path / "few.ppm").write_bytes(b"P6\n1 1\n15\n" + bytes([0, 15, 7]))
    np.testing.assert_array_equal(images.read_uint8(tmp_path / "few.ppm").ravel(), [0, 255, 119])
    (tmp_path / "m.pgm").write_bytes(b"P5\n3 1\n15\n" + bytes([0, 15, 7]))
    np.testing.assert_array_equal(images.read_mask(tmp_path / "m.pgm").ravel(), [0, 1, 0])
    deep = np.full((64, 64, 3), 1023, np.uint16)
    deep[:32] = 512
    encoded, data = cv2.imencode(".avif", deep, [cv2.IMWRITE_AVIF_DEPTH, 10])
    assert encoded
    (tmp_path / "a.avif").write_bytes(data)
    bright = images.read_image(tmp_path / "a.avif")
    assert abs(bright[:20].mean() - 0.5) < 0.02 and bright[44:].min() > 0.97


def test_a_process_that_is_killed_while_it_writes_leaves_nothing(tmp_path):
    try:
        os.close(os.open(tmp_path, os.O_TMPFILE | os.O_WRONLY))
    except (AttributeError, OSError):
        pytest.skip("no files without a name on this file system")
    script = (
        "import sys; from common.pictures import images\n"
        "images.write_bytes_atomically(sys.argv[1], bytes(1 << 22))"
    )

    def limit():  # the kernel kills what writes more
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    (tmp_path / "a.bin").write_bytes(b"old")
    root = pathlib.Path(__file__).parents[3]
    # Python ignores the signal from its start on.
    script = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n" + script
    killed = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "a.bin"], cwd=root, preexec_fn=limit, check=False
    )
    assert killed.returncode == -signal.SIGXFSZ
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"
