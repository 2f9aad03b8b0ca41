"""What an image's edges and colours stand for: m/s, s and dB. axes.csv keeps it beside images; latents,
trained models and drawn images carry it on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from configs.command_line import say
from configs.errors import UserError
from data.labels import listing
from data.tables import csv_text, read_rows

AXES = "axes.csv"  # path, start_s, end_s, lowest_mps, highest_mps, perhaps range_db, frames_per_s
SAME = 0.01  # of the shown range or length, by which axes of one kind may differ
FLAG = "--axes"
USUAL_RANGE_DB = 30.0  # from the darkest to the brightest colour, where nobody tells it


@dataclass(frozen=True)
class Axes:
    """Radial velocities at the lower and the upper edge (m/s) and length (s) of an image, from left to right.

    `range_db` is how far below the brightest colour of `colour_map` the darkest one lies; `frames_per_s` how
    many frames a second an image was drawn from, whatever its width in pixels; None: not known.
    """

    lowest_mps: float
    highest_mps: float
    duration_s: float
    range_db: float | None = None
    colour_map: str | None = None
    frames_per_s: float | None = None

    def __post_init__(self) -> None:
        known = [1.0 if value is None else value for value in (self.range_db, self.frames_per_s)]
        numbers = [*self.edges(), *known]
        if not all(map(math.isfinite, numbers)) or self.lowest_mps >= self.highest_mps:
            raise UserError(f"{self}: expected the lowest velocity first, in finite numbers")
        if min(self.duration_s, *known) <= 0:
            raise UserError(f"{self}: expected a length, a range and a rate of frames above 0")

    def __str__(self) -> str:
        decibels = "" if self.range_db is None else f", {self.range_db:.3g} dB"
        return f"{self.lowest_mps:.3g} to {self.highest_mps:.3g} m/s in {self.duration_s:.3g} s{decibels}"

    def edges(self) -> list[float]:
        """Lowest and highest velocity (m/s) and length (s)."""
        return [self.lowest_mps, self.highest_mps, self.duration_s]

    def scales(self) -> list[float]:
        """What measures of motion depend on: `edges`, and the frames a second where they are known."""
        return self.edges() + ([] if self.frames_per_s is None else [self.frames_per_s])

    def known(self) -> dict[str, Any]:
        """What is known, as JSON values or cells of a table."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def of(cls, values: Mapping[str, Any] | None, source: str) -> Axes | None:
        """Inverse of `known`, other values aside; None where there are none. UserError naming `source`:
        damaged ones.
        """
        try:
            cells = {item.name: (values or {}).get(item.name) for item in fields(cls)}
            present = {name: value for name, value in cells.items() if value not in (None, "")}
            colour_map = str(present.pop("colour_map")) if "colour_map" in present else None
            numbers = {name: float(value) for name, value in present.items()}
            return cls(**numbers, colour_map=colour_map) if numbers else None
        except (AttributeError, TypeError, ValueError) as error:
            raise UserError(f"{source}: its axes are damaged ({error})") from error

    def unlike(self, other: Axes) -> bool:
        """Whether one differs from the other where both are known; colours aside."""
        height = SAME * (self.highest_mps - self.lowest_mps)
        bounds = height, height, SAME * self.duration_s
        ranges = self.range_db, other.range_db
        return any(abs(a - b) > bound for a, b, bound in zip(self.edges(), other.edges(), bounds)) or (
            ranges[0] is not None and ranges[1] is not None and abs(ranges[0] - ranges[1]) > SAME * ranges[0]
        )


def agreed(*sources: tuple[str, Axes | None]) -> Axes | None:
    """The axes that all sources (name, axes) tell together, the first one first; None: nobody knows.

    UserError: two of them tell different ones.
    """
    known = [(name, axes) for name, axes in sources if axes]
    if not known:
        return None
    first, merged = known[0]
    for name, axes in known[1:]:
        if merged.unlike(axes):
            way_out = f"leave {FLAG} out" if FLAG in name else "give images of one kind"
            raise UserError(f"{name}: {axes}, but {first}: {merged}; expected one kind of axes: {way_out}")
        merged = replace(merged, **(axes.known() | merged.known()))
    return merged


def given_axes(values: Sequence[float]) -> Axes | None:
    """What the flag --axes says; None without it. UserError: anything but three or four fitting numbers."""
    try:
        if len(values) not in (0, 3, 4):
            raise UserError("three or four numbers")
        names = ("lowest_mps", "highest_mps", "duration_s", "range_db")
        return Axes.of(dict(zip(names, values)), FLAG)
    except UserError as error:
        raise UserError(
            f"{FLAG} {' '.join(map(str, values))}: expected the lowest and the highest velocity in m/s and "
            "an image's length in s, like -1.2 5.2 2.1, and perhaps the range of its colours in dB"
        ) from error


# The table beside images


def read_axes(folder: str | Path) -> dict[str, dict[str, str]]:
    """Rows of the folder's axes.csv by the path of the image; none where there is no such file."""
    path = Path(folder) / AXES
    if not path.is_file():
        return {}
    kind = "a table of path, start_s, end_s, lowest_mps, highest_mps"
    rows = read_rows(path, kind, "run stage0_prepare.py spectrogram again, or remove it", "path")
    return {row["path"]: row for row in rows}


def axes_row(path: str, edges: Mapping[str, float], range_db: float, frames_per_s: float) -> dict[str, str]:
    """Row of axes.csv for an image with `edges` start_s, end_s, lowest_mps, highest_mps."""
    numbers = {**edges, "range_db": range_db, "frames_per_s": frames_per_s}
    # A start that rounding left at 1e-18 s is 0; adding 0.0 takes the sign from -0.
    return {"path": path} | {key: f"{round(value, 9) + 0.0:.6g}" for key, value in numbers.items()}


def carried(rows: Mapping[str, Mapping[str, str]], placed: Mapping[str, str]) -> str | None:
    """The table for images that were `placed` (old path → new one); None where one of them has no row."""
    if not all(old in rows for old in placed):
        return None
    return csv_text([{**rows[old], "path": new} for old, new in placed.items()])


def common_axes(folder: str | Path, images: Iterable[Path]) -> Axes | None:
    """The axes of all `images` by axes.csv in `folder`; None without that file, and where it lacks some of
    them, which is said.

    UserError: images of different axes, which one network or one figure cannot mix.
    """
    rows, path = read_axes(folder), Path(folder) / AXES
    if not rows:
        return None
    names = [image.relative_to(folder).as_posix() for image in images]
    lacking = [name for name in names if name not in rows]
    if lacking:
        say(
            f"warning: {path} has no row of {len(lacking)} of {len(names)} images ({listing(lacking, 3)}): "
            f"axes are not known; add rows, or remove the file and tell the axes of all by {FLAG}"
        )
        return None
    common = first = _of_row(path, rows[names[0]])
    for name in names[1:]:
        axes = _of_row(path, rows[name])
        if first.unlike(axes):
            raise UserError(
                f"{path}: {name} shows {axes}, {names[0]} {first}; expected one kind of axes: draw all "
                "recordings alike by stage0_prepare.py spectrogram --velocity_range, or --leave_out some"
            )
        common = common if axes.range_db else replace(common, range_db=None)
        rates = [rate for rate in (common.frames_per_s, axes.frames_per_s) if rate is not None]
        common = replace(common, frames_per_s=min(rates) if len(rates) == 2 else None)
    return common


def axes_of_images(
    folder: str | Path, images: Iterable[Path], given: Sequence[float], *further: tuple[str, Axes | None]
) -> Axes | None:
    """What axes.csv in `folder` says of its `images`, `further` sources say, and the flag's values `given`.

    Errors of `common_axes`, `given_axes` and `agreed`.
    """
    table = str(Path(folder) / AXES), common_axes(folder, images)
    return agreed(table, *further, (FLAG, given_axes(given)))


def _of_row(path: Path, row: Mapping[str, str]) -> Axes:
    try:
        start, end, low, high = (float(row[key]) for key in ("start_s", "end_s", "lowest_mps", "highest_mps"))
        range_db, frames = (float(row[key]) if row.get(key) else None for key in ("range_db", "frames_per_s"))
        return Axes(low, high, end - start, range_db, frames_per_s=frames)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: row of {row['path']} is not of numbers start_s, end_s, lowest_mps, "
            "highest_mps; mend it, or remove the file"
        ) from error
