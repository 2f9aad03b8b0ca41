"""Velocities and times at the edges of images, as axes.csv keeps them beside these."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from configs.errors import UserError
from data.tables import csv_text

AXES = "axes.csv"  # path, start_s, end_s, lowest_mps, highest_mps
SAME = 0.01  # of the shown range or length, by which axes of one kind may differ


def read_axes(folder: str | Path) -> dict[str, dict[str, str]]:
    """Rows of the folder's axes.csv by the path of the image; none where there is no such file."""
    path = Path(folder) / AXES
    if not path.is_file():
        return {}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return {row["path"]: row for row in csv.DictReader(file)}
    except (UnicodeDecodeError, csv.Error, KeyError) as error:
        raise UserError(
            f"{path}: not readable as a table of path, start_s, end_s, lowest_mps, highest_mps; "
            "run stage0_prepare.py spectrogram again, or remove it"
        ) from error


def carried(rows: Mapping[str, Mapping[str, str]], placed: Mapping[str, str]) -> str | None:
    """The table for images that were `placed` (old path → new one); None where one of them has no row."""
    if not all(old in rows for old in placed):
        return None
    return csv_text([{**rows[old], "path": new} for old, new in placed.items()])


def common_axes(folder: str | Path) -> list[float]:
    """Lowest and highest velocity (m/s) and length (s) of all images that axes.csv names; none without one.

    UserError: images of different axes, which one network or one figure cannot mix.
    """
    first: list[float] = []
    rows = read_axes(folder)
    for name, row in rows.items():
        axes = _numbers(folder, name, row)
        first = first or axes
        bounds = SAME * (first[1] - first[0]), SAME * (first[1] - first[0]), SAME * first[2]
        if any(abs(a - b) > bound for a, b, bound in zip(axes, first, bounds)):
            raise UserError(
                f"{Path(folder) / AXES}: {name} shows {told(axes)}, {next(iter(rows))} "
                f"{told(first)}; expected one kind of axes: draw all recordings alike by "
                "stage0_prepare.py spectrogram --velocity_range"
            )
    return first


def _numbers(folder: str | Path, name: str, row: Mapping[str, str]) -> list[float]:
    try:
        start, end, low, high = (float(row[key]) for key in ("start_s", "end_s", "lowest_mps", "highest_mps"))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{Path(folder) / AXES}: row of {name} is not of numbers start_s, end_s, lowest_mps, "
            "highest_mps; mend it, or remove the file"
        ) from error
    return [low, high, end - start]


def told(axes: list[float]) -> str:
    """For people to read."""
    return f"{axes[0]:.3g} to {axes[1]:.3g} m/s in {axes[2]:.3g} s"
