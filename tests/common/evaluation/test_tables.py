"""Tables say what the scores say, and intervals are those of the theory."""

import csv
import io
import math
import re
from typing import NamedTuple

import numpy as np
import pytest

from common.evaluation import tables


class Cell(NamedTuple):
    method: str
    holes: str = "center"
    blend: str = "none"


class Score(NamedTuple):
    image: str
    missing: float
    psnr: float
    ssim: float
    l1: float
    psnr_hole: float
    l1_hole: float
    lpips: float | None = None
    psnr_gradient: float | None = None


def scores(psnr, missing=None):
    missing = [0.25] * len(psnr) if missing is None else missing
    return [
        Score(f"{n}_a.png", share, float(value), float(value) / 40, 0.1, float(value) - 6, 0.2)
        for n, (value, share) in enumerate(zip(psnr, missing, strict=True))
    ]


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_interval_of_many_images_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal([0.3, -1], [1, 5], (900, 2))
    expected = values.mean(0) + np.outer([-1.96, 1.96], values.std(0) / 30)
    intervals = tables.bootstrap(values, seed=1)
    np.testing.assert_allclose(intervals.T, expected, atol=0.02 * values.std(0).max() / 5)
    np.testing.assert_array_equal(intervals, tables.bootstrap(values, seed=1))


def test_two_images_give_the_closed_form():
    """Of two, a quarter of the resamples holds one image alone, and a quarter the other."""
    np.testing.assert_array_equal(tables.bootstrap([[1.0], [3.0]]), [[1, 3]])


def test_missing_values_do_not_count():
    values = np.random.default_rng(0).normal(size=(40, 1))
    gaps = np.concatenate([values, np.full((40, 1), np.nan)])
    np.testing.assert_allclose(tables.bootstrap(gaps), tables.bootstrap(values), atol=0.1)
    assert np.isnan(tables.bootstrap(np.full((3, 1), np.nan))).all()


def test_chunks_only_bound_memory(monkeypatch):
    values = np.random.default_rng(0).normal(size=(50, 2))
    expected = tables.bootstrap(values, resamples=500)
    monkeypatch.setattr(tables, "_CHUNK", 120)
    np.testing.assert_allclose(tables.bootstrap(values, resamples=500), expected)


def test_differences_are_of_pairs_with_the_same_holes():
    spread, more = np.linspace(10, 30, 50), np.linspace(0.9, 1.1, 50)
    cells = {
        Cell("a"): scores(spread + more),
        Cell("ref"): scores(spread),
        Cell("a", "half"): scores(spread),
        Cell("ref", "half"): scores(spread),
    }
    found = tables.differences(cells, ("ref", "none"))
    by_cell = {d.cell: d for d in found if d.measure == "psnr"}
    assert set(by_cell) == {Cell("a"), Cell("a", "half")}
    better, same = by_cell[Cell("a")], by_cell[Cell("a", "half")]
    assert better.mean == pytest.approx(1)
    # Far narrower than the spread of the images: they are paired.
    assert 0.97 < better.low < 1 < better.high < 1.03
    assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_identical_completions_are_counted_and_left_out_of_means():
    cells = {Cell("m"): scores([math.inf, 20]), Cell("ref"): scores([math.inf, 18])}
    summary, _ = tables.summarize(cells)
    assert (summary.images, summary.identical, summary.mean["psnr"]) == (2, 1, 20)
    (difference,) = (d for d in tables.differences(cells, ("ref", "none")) if d.measure == "psnr")
    assert (difference.images, difference.mean) == (1, 2)
    text = tables.markdown(tables.summary_table([summary]))
    assert "m: 1 of 2 completions equal the original" in text
    assert read(tables.scores_csv(cells))[0]["psnr"] == "inf"
    (alone,) = tables.summarize({Cell("m"): scores([math.inf] * 2)})
    assert (alone.mean["psnr"], alone.std["psnr"], alone.identical) == (math.inf, 0, 2)


def test_a_papers_table_has_its_images_the_mean_and_the_difference():
    cells = {Cell("auto"): scores([20, 22, 24]), Cell("glcic"): scores([21, 21, 27])}
    found = tables.differences(cells, ("glcic", "none"))
    table = tables.measure_table("psnr", cells, found, ("glcic", "none"), images=2)
    assert table.heads[:4] == ["Method", "0_a.png", "1_a.png", "All 3"]
    assert table.heads[4].startswith("Difference to glcic")
    assert table.rows[0][:5] == ["auto", "20.00", "**22.00**", "22.00 ± 1.63", "-1.00"]
    assert table.rows[1] == ["glcic", "**21.00**", "21.00", "**23.00 ± 2.83**", "", ""]
    (auto, _) = read(tables.measure_csv("psnr", cells, found, images=2))
    assert (auto["0_a.png"], auto["mean"], auto["difference"]) == ("20.0", "22.0", "-1.0")


def test_kinds_of_holes_are_columns_and_blends_are_rows():
    cells = {
        Cell(method, holes, blend): scores([value])
        for value, (method, holes, blend) in enumerate(
            [(m, h, b) for h in ("center", "half") for m in "ab" for b in ("none", "poisson")], 10
        )
    }
    table = tables.measure_table("psnr", cells, [], ("b", "none"))
    assert table.heads == ["Method", "Blend", "center", "half"]
    assert [row[:2] for row in table.rows] == [
        ["a", "raw"], ["a", "Poisson"], ["b", "raw"], ["b", "Poisson"]
    ]  # fmt: skip
    assert [row[2] for row in table.rows][:2] == ["10.00 ± 0.00", "11.00 ± 0.00"]
    assert table.rows[3][3] == "**17.00 ± 0.00**"


def test_latex_is_balanced_and_escaped():
    names = ["a_b & 100% #1 {x} $y^2~ \\z", "ref"]
    cells = {Cell(name): scores([20, 22]) for name in names}
    found = tables.differences(cells, ("ref", "none"))
    drawn = [
        tables.measure_table("ssim", cells, found, ("ref", "none"), images=1),
        tables.summary_table(tables.summarize(cells), dict.fromkeys(cells, 1.5)),
        tables.differences_table(found, ("ref", "none"), tables.summarize(cells)),
    ]
    for table in drawn:
        text = tables.latex(table)
        body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
        assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
        plain = re.sub(r"\\[\\{}&%$#_]", "", body)
        assert plain.count("{") == plain.count("}")
        assert plain.count("$") % 2 == 0
        assert not re.search(r"[_#%]", plain)
        lines = [line for line in body.splitlines() if line.endswith(r"\\")]
        cells_in = {len(re.findall(r"(?<!\\)&", line)) for line in lines}
        assert cells_in == {len(table.heads) - 1}
        assert not any(line.startswith("[") for line in lines)
        assert r"a\_b \& 100\% \#1 \{x\} \$y" in body
    assert r"$\pm$" in tables.latex(drawn[0])


def test_bars_do_not_break_markdown():
    (line,) = tables.markdown(tables.Table(["a"], [["x|y"]], 1, [])).splitlines()[2:]
    assert line == r"| x\|y |"


def test_values_fall_into_bins_of_area():
    shares = [0.05, 0.1, 0.15, 0.3, 0.31, 0.95]
    cells = {Cell("m"): scores([30, 28, 26, 20, math.inf, 5], shares)}
    rows = tables.by_area(cells, 0.1)
    assert [row[3:6] for row in rows] == [
        (1, pytest.approx(0.05), 30),
        (2, pytest.approx(0.125), 27),
        (1, pytest.approx(0.3), 20),
        (1, pytest.approx(0.95), 5),
    ]
    first = read(tables.area_csv(rows))[2]
    assert (first["low"], first["high"], first["psnr_mean"]) == ("0.3", "0.4", "20.0")


def test_lpips_is_a_column_where_it_was_measured():
    plain = {Cell("m"): scores([20])}
    deep = {Cell("m"): [score._replace(lpips=0.5) for score in plain[Cell("m")]]}
    assert "lpips" not in tables.scores_csv(plain)
    assert read(tables.summary_csv(tables.summarize(deep), {Cell("m"): 2.0}))[0] | {
        "lpips_mean": "0.5", "frechet": "2.0"
    } == read(tables.summary_csv(tables.summarize(deep), {Cell("m"): 2.0}))[0]  # fmt: skip
