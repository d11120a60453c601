"""Which mask belongs to which picture, where results go, and what one bad file does."""

import pathlib

import cv2
import numpy as np
import pytest

from common.completion import windows
from common.completion.files import (
    Answer,
    DrawnMasks,
    MaskFiles,
    complete,
    find_pictures,
    plan_outputs,
    read_damaged,
    sample_endings,
)
from common.errors import InputError
from common.pictures.images import read_image, write_bytes_atomically, write_image
from common.pictures.masks import MaskSpec

SIZE = 24


def picture(seed=0, size=(SIZE, SIZE)):
    return np.random.default_rng(seed).random((*size, 3), np.float32)


def hole(row=8, size=(SIZE, SIZE)):
    mask = np.zeros((*size, 1), np.float32)
    mask[row : row + 8, 8:16] = 1
    return mask


def grey(image, mask):
    return np.where(mask == 1, np.float32(0.5), image)


@pytest.fixture
def folder(tmp_path):
    """Three pictures, two of them in sub-folders and of one name."""
    for seed, name in enumerate(("a.png", "left/b.png", "right/b.png")):
        write_image(tmp_path / "photos" / name, picture(seed))
    return tmp_path / "photos"


def test_one_mask_file_serves_all_pictures(folder, tmp_path):
    write_image(tmp_path / "hole.png", hole())
    masks = MaskFiles.match(str(tmp_path / "hole.png"), find_pictures(folder))
    assert masks.paths == (tmp_path / "hole.png",) * 3
    np.testing.assert_array_equal(masks(2, SIZE, SIZE), hole())


def test_masks_are_matched_by_place_then_by_name(folder, tmp_path):
    for name in ("right/b.png", "left/b.bmp", "elsewhere/a.png"):
        write_image(tmp_path / "holes" / name, hole())
    masks = MaskFiles.match(tmp_path / "holes", find_pictures(folder))
    names = [path.relative_to(tmp_path / "holes").as_posix() for path in masks.paths]
    assert names == ["elsewhere/a.png", "left/b.bmp", "right/b.png"]


def test_masks_of_other_names_are_paired_in_order_if_there_are_as_many(folder, tmp_path):
    for name in ("1.png", "2.png", "3.png"):
        write_image(tmp_path / "holes" / name, hole())
    masks = MaskFiles.match(tmp_path / "holes", find_pictures(folder))
    assert [path.name for path in masks.paths] == ["1.png", "2.png", "3.png"]
    (tmp_path / "holes" / "3.png").unlink()
    with pytest.raises(InputError, match="2 masks do not pair with 3 images"):
        MaskFiles.match(tmp_path / "holes", find_pictures(folder))


def test_a_mask_of_another_size_is_refused_with_both_sizes_or_resized(tmp_path):
    write_image(tmp_path / "hole.png", hole())
    with pytest.raises(InputError, match="image is 48x36 but the mask .*hole.png is 24x24"):
        MaskFiles((tmp_path / "hole.png",))(0, 36, 48)
    resized = MaskFiles((tmp_path / "hole.png",), resize=True)(0, 36, 48)
    assert resized.shape == (36, 48, 1)
    assert resized.sum() == 12 * 16


def test_a_drawn_hole_depends_on_seed_and_number_alone():
    masks = DrawnMasks(MaskSpec(kinds=("pixels",)), seed=3)
    np.testing.assert_array_equal(masks(1, 20, 30), masks(1, 20, 30))
    assert (masks(1, 20, 30) != masks(2, 20, 30)).any()


def test_results_keep_sub_folders_and_suffixes_as_asked(folder):
    write_image(folder / "left" / "c.jpg", picture())
    found = find_pictures(folder)
    outputs = plan_outputs(found, "out", figure=True)
    assert [output.image.as_posix() for output in outputs] == [
        "out/a.png", "out/left/b.png", "out/left/c.png", "out/right/b.png",
    ]  # fmt: skip
    assert outputs[1].figure.as_posix() == "out/left/b_figure.png"
    same = plan_outputs(found, "out", same_format=True)
    assert same[2].image.as_posix() == "out/left/c.jpg" and same[2].figure is None


def test_a_pattern_keeps_the_folders_below_its_fixed_part(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    outputs = plan_outputs(find_pictures("photos/*/b.*"), "out")
    assert [output.image for output in outputs] == [
        pathlib.Path("out/left/b.png"),
        pathlib.Path("out/right/b.png"),
    ]


def test_nothing_that_is_read_is_overwritten(folder, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="a.png: would be overwritten"):
        plan_outputs(find_pictures(folder), folder)
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match="a.png: would be overwritten"):
        plan_outputs(find_pictures(folder / "a.png"), ".")
    with pytest.raises(InputError, match="a.png: would be overwritten"):
        plan_outputs(find_pictures(folder), tmp_path / "x", protected=(tmp_path / "x" / "a.png",))


def test_two_pictures_never_share_a_result(folder):
    write_image(folder / "a.jpg", picture())
    with pytest.raises(InputError, match=r"out/a.png: .*a.jpg and .*a.png"):
        plan_outputs(find_pictures(folder), "out")
    assert len(plan_outputs(find_pictures(folder), "out", same_format=True)) == 4


def test_bad_files_are_reported_in_one_line_each_and_the_others_are_done(folder, tmp_path, capsys):
    (folder / "broken.png").write_bytes(b"not a picture")
    write_image(folder / "whole.png", picture())
    found = find_pictures(folder)
    holes = [np.zeros_like(hole()) if item.path.name == "whole.png" else hole() for item in found]
    outputs = plan_outputs(found, tmp_path / "out", figure=True)
    work = windows.Files(grey, "none")
    assert complete(found, lambda n, *size: holes[n], outputs, work) == 1
    said = capsys.readouterr()
    assert said.out == f"3 of 5 completed: {tmp_path / 'out'}\n"
    lines = [line for line in said.err.splitlines() if "error" in line]
    assert len(lines) == 2
    assert lines[0].startswith(f"error: {folder / 'broken.png'}: corrupt")
    assert lines[1].startswith(f"error: {folder / 'whole.png'}: nothing to complete")
    written = {path.relative_to(tmp_path / "out").as_posix() for path in out_files(tmp_path)}
    results = ("a", "left/b", "right/b")
    assert written == {f"{name}{end}.png" for name in results for end in ("", "_figure")}
    completed = read_image(tmp_path / "out" / "a.png")
    np.testing.assert_array_equal(
        completed[hole()[..., 0] == 0], read_image(folder / "a.png")[hole()[..., 0] == 0]
    )
    assert np.ptp(completed[8:16, 8:16]) == 0


def out_files(tmp_path):
    return [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [(1, 40), (33, 1), (3, 5), (1, 1)])
@pytest.mark.parametrize("method", ["none", "poisson", "telea_poisson"])
def test_the_smallest_pictures_are_completed_and_blended(tmp_path, size, method):
    write_image(tmp_path / "small.png", picture(size=size))
    found = find_pictures(tmp_path / "small.png")
    mask = np.zeros((*size, 1), np.float32)
    mask[-1:, -1:] = 1
    outputs = plan_outputs(found, tmp_path / "out")
    assert complete(found, lambda *_: mask, outputs, windows.Files(grey, method)) == 0
    assert read_image(outputs[0].image).shape == (*size, 3)


class Recorder:
    """A method that completes in batches of two, and writes down what it is asked."""

    def __init__(self, folder, iterations=0, wrong=()):
        self.folder, self.iterations, self.wrong, self.asked = folder, iterations, wrong, []

    def batch_size(self, count):
        return min(count, 2)

    def written(self):
        return sorted(path.name for path in self.folder.rglob("*") if path.is_file())

    def note(self, path):
        write_bytes_atomically(path, str(self.written()).encode())

    def target(self, index, picture, masks):
        self.asked.append(("target", index))
        read_damaged(index, picture, masks)
        return index

    def find(self, targets, size, progress):
        self.asked.append(("find", targets, size, self.written()))
        if self.iterations:
            progress(self.iterations, [("loss", 0.5)])
        return [10 * target for target in targets]

    def finish(self, index, picture, masks, found):
        self.asked.append(("finish", index, found))
        if index in self.wrong:
            raise InputError("no")
        image, mask = read_damaged(index, picture, masks)
        pictures = [np.where(mask == 1, np.float32(level), image) for level in (0.2, 0.8)]
        return Answer(
            pictures,
            lambda: {"before": image, "after": pictures[0]},
            captions=["dark", "bright"],
            window=(slice(4, 20), slice(4, 20)),
            files={"_note.txt": self.note},
        )


@pytest.mark.parametrize("iterations", [0, 7])
def test_a_batch_is_on_disk_before_the_next_begins(folder, tmp_path, capsys, iterations):
    (folder / "b.png").write_bytes(b"not a picture")
    found = find_pictures(folder)
    work = Recorder(tmp_path / "out", iterations, wrong=(3,))
    endings = ("_note.txt", *sample_endings(2))
    outputs = plan_outputs(found, work.folder, figure=True, endings=endings)
    assert complete(found, lambda *_: hole(), outputs, work) == 1
    first = ["a.png", "a_figure.png", *(f"a{ending}" for ending in endings)]
    assert work.asked == [
        *(("target", 0), ("target", 1), ("find", [0], 2, []), ("finish", 0, 0)),
        *(("target", 2), ("target", 3), ("find", [2, 3], 2, first)),
        *(("finish", 2, 20), ("finish", 3, 30)),
    ]
    said = capsys.readouterr()
    assert said.out == f"2 of 4 completed: {work.folder}\n"
    assert said.err.count("error: ") == 2 and f"error: {found[3].name}: no" in said.err
    assert ("14/14" if iterations else "4/4") in said.err


def test_samples_a_gallery_and_further_files_come_before_the_result(folder, tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(
        "common.completion.files.write_image",
        lambda path, image, bits=8: order.append((path.name, image)),
    )
    monkeypatch.setattr(
        "common.figures.save_gallery", lambda path, cells, columns: order.append((path.name, cells))
    )
    monkeypatch.setattr(
        "common.figures.save_comparison", lambda path, rows, names: order.append((path.name, names))
    )
    found = find_pictures(folder / "a.png")
    endings = ("_note.txt", *sample_endings(2))
    outputs = plan_outputs(found, tmp_path / "out", figure=True, endings=endings)
    assert complete(found, lambda *_: hole(), outputs, Recorder(tmp_path / "out")) == 0
    names, things = zip(*order, strict=True)
    assert names == (
        "a_sample1.png", "a_sample2.png", "a_samples.png", "a_figure.png", "a.png",
    )  # fmt: skip
    assert (tmp_path / "out" / "a_note.txt").read_text() == "[]"
    assert [text for text, _ in things[2]] == ["dark", "bright"]
    np.testing.assert_array_equal(things[2][1][1], things[1][4:20, 4:20])
    assert things[3] == ["before", "after"]
    np.testing.assert_array_equal(things[4], things[0])


def test_of_a_single_picture_every_file_is_named(folder, tmp_path, capsys):
    found = find_pictures(folder / "a.png")
    outputs = plan_outputs(found, tmp_path, figure=True, endings=("_note.txt", *sample_endings(2)))
    work = Recorder(tmp_path)
    assert complete(found, lambda *_: hole(), outputs, work) == 0
    endings = (".png", "_figure.png", "_note.txt", "_sample1.png", "_sample2.png", "_samples.png")
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / f"a{end}") for end in endings]
    assert complete(found, lambda *_: 0 * hole(), outputs, work) == 1
    assert not capsys.readouterr().out


def test_what_an_interruption_leaves_is_whole(folder, tmp_path):
    work = Recorder(tmp_path / "out")

    def note(path):
        if path.parent.name == "left":
            raise KeyboardInterrupt

    work.note = note
    found = find_pictures(folder)
    outputs = plan_outputs(found, work.folder, endings=("_note.txt", *sample_endings(2)))
    with pytest.raises(KeyboardInterrupt):
        complete(found, lambda *_: hole(), outputs, work)
    assert work.written() == ["a.png", "a_sample1.png", "a_sample2.png", "a_samples.png"]


def test_sample_endings():
    assert sample_endings(1) == ()
    assert sample_endings(2) == ("_sample1.png", "_sample2.png", "_samples.png")


@pytest.mark.parametrize("pattern", ["photos/*/../../elsewhere/*.png", "photos/left/../../*/c.png"])
def test_results_lie_below_the_output_folder_wherever_a_pattern_leads(
    folder, tmp_path, monkeypatch, pattern
):
    write_image(tmp_path / "elsewhere" / "c.png", picture())
    monkeypatch.chdir(tmp_path)
    for source in (pattern, tmp_path / pattern):
        found = find_pictures(source)[:1]
        (output,) = plan_outputs(found, "some/out", figure=True, endings=("_loss.csv",))
        for path in (output.image, output.figure, *output.more.values()):
            assert path.resolve().is_relative_to(tmp_path / "some" / "out")


def test_a_link_out_of_the_output_folder_is_not_followed(folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "left").symlink_to(tmp_path / "precious")
    with pytest.raises(InputError, match="out/left/b.png: leads out of --output"):
        plan_outputs(find_pictures(folder), tmp_path / "out")
    # The folder itself may be one.
    (tmp_path / "link").symlink_to(tmp_path / "out", target_is_directory=True)
    plan_outputs(find_pictures(folder / "right"), tmp_path / "link")


@pytest.mark.parametrize("blend", ["none", "poisson", "telea_poisson"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_picture_of_sixteen_bits_stays_one(tmp_path, blend, suffix):
    pixels = np.random.default_rng(0).integers(0, 65536, (SIZE, SIZE, 3), np.uint16)
    cv2.imwrite(str(tmp_path / f"deep{suffix}"), pixels)
    found = find_pictures(tmp_path / f"deep{suffix}")
    (output,) = outputs = plan_outputs(found, tmp_path / "out", same_format=True)
    assert complete(found, lambda *_: hole(), outputs, windows.Files(grey, blend)) == 0
    completed = cv2.imread(str(output.image), cv2.IMREAD_UNCHANGED)
    known = hole()[..., 0] == 0
    assert completed.dtype == np.uint16
    np.testing.assert_array_equal(completed[known], pixels[known])


def test_too_large_a_picture_or_mask_has_its_line_and_the_others_are_done(folder, tmp_path, capsys):
    write_image(folder / "big.png", picture(size=(SIZE, SIZE + 1)))
    for name in ("a", "big", "b"):
        write_image(tmp_path / "holes" / f"{name}.png", hole(size=(SIZE, SIZE + 2 * (name == "b"))))
    found = find_pictures(folder, max_pixels=SIZE * SIZE)
    masks = MaskFiles.match(tmp_path / "holes", found, resize=True, max_pixels=SIZE * SIZE)
    outputs = plan_outputs(found, tmp_path / "out")
    assert complete(found, masks, outputs, windows.Files(grey, "none")) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 3 and all("more than 576 pixels" in line for line in lines)
    assert "big.png: 25x24 is" in lines[0] and "holes/b.png: 26x24 is" in lines[1]
    assert [path.name for path in out_files(tmp_path)] == ["a.png"]
