"""Axes go with the images through a split, and images of different axes are refused by name."""

import csv

import pytest
from drawn_walks import drawn, write
from tables import rows_of

import stage0_prepare
from configs.errors import UserError
from data.axes import Axes, agreed, axes_row, common_axes, given_axes

HEAD = ["path", "start_s", "end_s", "lowest_mps", "highest_mps"]


def table(folder, rows):
    with open(folder / "axes.csv", "w", newline="") as file:
        csv.writer(file).writerows([HEAD, *rows])


def split(folder):
    stage0_prepare.main(
        ["split", "--input_dir", str(folder / "in"), "--output_dir", str(folder / "out"), "--guard", "0"]
    )
    return folder / "out"


def test_axes_go_through_a_split(tmp_path):
    records = write(tmp_path / "in", [drawn(seed=seed) for seed in range(10)])
    table(tmp_path / "in", [[r.relative, 0.5 * i, 0.5 * i + 2.1, -1.2, 5.2] for i, r in enumerate(records)])
    out = split(tmp_path)
    assert common_axes(out, out.rglob("*.png")).edges() == pytest.approx([-1.2, 5.2, 2.1])
    rows = rows_of(out / "axes.csv")
    assert len(rows) == 10 and all((out / row["path"]).is_file() for row in rows)


def test_images_of_several_rates_count_as_of_the_slowest(tmp_path):
    rows = [["a", 0, 2, -1, 5, 26], ["b", 0, 2, -1, 5, 5]]
    with open(tmp_path / "axes.csv", "w", newline="") as file:
        csv.writer(file).writerows([[*HEAD, "frames_per_s"], *rows])
    assert common_axes(tmp_path, [tmp_path / "a", tmp_path / "b"]).scales() == [-1, 5, 2, 5]


def test_a_table_that_lacks_images_is_not_carried(tmp_path):
    records = write(tmp_path / "in", [drawn(seed=seed) for seed in range(10)])
    table(tmp_path / "in", [[record.relative, 0, 2, -1, 5] for record in records[1:]])
    out = split(tmp_path)
    assert not (out / "axes.csv").exists() and common_axes(out, out.rglob("*.png")) is None


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (["b", 0, 2, -1, 6], "b shows -1 to 6 m/s in 2 s, a -1 to 5 m/s in 2 s; expected one kind of axes"),
        (["b", 0, 3, -1, 5], "b shows -1 to 5 m/s in 3 s"),
        (["b", 0, "long", -1, 5], "row of b is not of numbers"),
    ],
)
def test_mixed_and_damaged_axes_are_refused(tmp_path, second, said):
    table(tmp_path, [["a", 0, 2, -1, 5], second])
    with pytest.raises(UserError, match=said):
        common_axes(tmp_path, [tmp_path / "a", tmp_path / "b"])


def test_images_without_a_row_are_told(tmp_path, capsys):
    table(tmp_path, [["a", 0, 2, -1, 5]])
    assert common_axes(tmp_path, [tmp_path / "a", tmp_path / "b"]) is None
    assert "has no row of 1 of 2 images (b)" in capsys.readouterr().out


@pytest.mark.parametrize("values", [(1, 2), (1, 2, 3, 4, 5), (2, 1, 3), (1, 2, 0), (1, 2, 3, -4)])
def test_numbers_that_are_no_axes_are_refused(values):
    with pytest.raises(UserError, match="--axes .*expected the lowest and the highest velocity"):
        given_axes(values)


def test_sources_agree_fill_each_other_or_are_refused():
    first, other = Axes(0, 5, 2, range_db=30), Axes(0.01, 5.01, 2.01, colour_map="jet")
    assert agreed(("a", None), ("b", first), ("--axes", other)) == Axes(0, 5, 2, 30, "jet")
    assert agreed(("a", None)) is None
    with pytest.raises(UserError, match="--axes: 0 to 5 m/s in 2 s, 40 dB, but b: .*30 dB.*leave --axes out"):
        agreed(("b", first), ("--axes", Axes(0, 5, 2, 40)))


def test_a_start_that_only_rounding_moved_is_zero():
    edges = {"start_s": 8.7e-19, "end_s": 2.1, "lowest_mps": -1e-17, "highest_mps": 5.0}
    row = axes_row("a.png", edges, 32.0, 30.0)
    assert (row["start_s"], row["end_s"], row["lowest_mps"]) == ("0", "2.1", "0")
