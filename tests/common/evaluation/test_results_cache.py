"""Results survive a kill, and never outlive what they depend on."""

import json

import numpy as np
import pytest

from common.errors import InputError
from common.evaluation import results_cache


def test_rows_and_vectors_come_back(tmp_path):
    store = results_cache.Store(tmp_path, "m", {"a": 1})
    vectors = np.arange(10, dtype=np.float32).reshape(5, 2)
    store.append([{"x": float("inf")}, {"x": 0.1}], vectors[:2])
    store.append([{"x": 1 / 3}] * 3, vectors[2:])
    again = results_cache.Store(tmp_path, "m", {"a": 1})
    assert again.rows == [{"x": float("inf")}, {"x": 0.1}] + [{"x": 1 / 3}] * 3
    np.testing.assert_array_equal(np.concatenate(list(again.vectors(5))), vectors)
    np.testing.assert_array_equal(np.concatenate(list(again.vectors(3))), vectors[:3])


@pytest.mark.parametrize("damage", [b'{"index": 2, "x"', b"\0\0\0\n", b'{"index": 7, "x": 1}\n'])
def test_a_line_that_a_kill_cut_short_is_dropped(tmp_path, damage):
    store = results_cache.Store(tmp_path, "m", {})
    store.append([{"x": 0}, {"x": 1}])
    with open(store.folder / "scores.jsonl", "ab") as file:
        file.write(damage)
    again = results_cache.Store(tmp_path, "m", {})
    assert again.rows == [{"x": 0}, {"x": 1}]
    again.append([{"x": 2}])
    lines = (store.folder / "scores.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"index": n, "x": n} for n in range(3)]


def test_vectors_without_their_rows_are_written_again(tmp_path):
    """A kill between the two: the next run's batches may be of another size."""
    store = results_cache.Store(tmp_path, "m", {})
    store.append([{}] * 2, np.zeros((2, 1)))
    np.save(store.folder / "vectors" / "000002.npy", np.full((4, 1), 9, np.float32))
    again = results_cache.Store(tmp_path, "m", {})
    again.append([{}] * 1, np.ones((1, 1)))
    again.append([{}] * 3, np.full((3, 1), 2))
    np.testing.assert_array_equal(np.concatenate(list(again.vectors(6)))[:, 0], [0, 0, 1, 2, 2, 2])


def test_other_settings_are_another_store(tmp_path):
    results_cache.Store(tmp_path, "m", {"a": 1, "b": [2]}).append([{"x": 0}])
    assert results_cache.Store(tmp_path, "m", {"b": [2], "a": 1}).rows
    assert not results_cache.Store(tmp_path, "m", {"a": 1, "b": [3]}).rows


def test_a_changed_byte_or_name_changes_a_folders_hash(tmp_path):
    (tmp_path / "a").write_bytes(b"12")
    (tmp_path / "b").write_bytes(b"")
    before = results_cache.of_folder(tmp_path)
    assert results_cache.of_folder(tmp_path) == before
    (tmp_path / "a").write_bytes(b"13")
    changed = results_cache.of_folder(tmp_path)
    (tmp_path / "a").write_bytes(b"12")
    (tmp_path / "b").rename(tmp_path / "c")
    assert len({before, changed, results_cache.of_folder(tmp_path)}) == 3


def test_a_folder_of_pictures_is_emptied_for_others_and_never_of_strange_files(tmp_path):
    names = results_cache.file_names(["a/0.png", "1.jpg"])
    assert names == ["a__0.png", "1.png"]
    folder = results_cache.ImageFolder(tmp_path / "m", "one", names)
    folder.path(0).write_bytes(b"picture")
    assert results_cache.ImageFolder(tmp_path / "m", "one", names).path(0).is_file()
    assert not results_cache.ImageFolder(tmp_path / "m", "two", names).path(0).is_file()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.png").write_bytes(b"picture")
    with pytest.raises(InputError, match="other files"):
        results_cache.ImageFolder(tmp_path / "photos", "one", names)
    assert (tmp_path / "photos" / "mine.png").is_file()


def test_a_folder_of_pictures_is_emptied_of_pictures_alone(tmp_path):
    key, other = ("a" * results_cache.KEY_LENGTH, "b" * results_cache.KEY_LENGTH)
    results_cache.ImageFolder(tmp_path / "m", key, ["0.png"]).path(0).write_bytes(b"picture")
    (tmp_path / ".key").write_text("of the user's house")  # in the folder around it
    notes = tmp_path / "m" / "notes.txt"
    notes.write_text("mine")
    for place in (tmp_path / "m", tmp_path / "m" / "kind"):
        with pytest.raises(InputError, match="notes.txt: no comparison wrote it"):
            results_cache.ImageFolder(place, other, ["0.png"])
    assert (tmp_path / "m" / "0.png").is_file() and notes.is_file()
    notes.unlink()
    results_cache.ImageFolder(tmp_path / "m" / "kind", other, ["0.png"])
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["kind"]
    assert (tmp_path / ".key").is_file()


def test_file_names_are_unique():
    names = results_cache.file_names(["0.png", "0.jpg", "a/b.png", "a__b.png"])
    assert len(set(names)) == 4 and all(name.endswith(".png") for name in names)


def test_modules_that_measure_count_and_those_that_draw_do_not(monkeypatch, tmp_path):
    names = ("evaluation/metrics.py", "figures.py", "training/loop.py", "training/vgg19.py")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    file = tmp_path / "evaluation" / "results_cache.py"
    monkeypatch.setattr(results_cache, "__file__", str(file))
    before = results_cache.of_code()
    for name in ("figures.py", "training/loop.py"):
        (tmp_path / name).write_text("2")
        assert results_cache.of_code() == before
    for name in ("evaluation/metrics.py", "training/vgg19.py"):
        (tmp_path / name).write_text("2")
        changed, before = before, results_cache.of_code()
        assert before != changed
