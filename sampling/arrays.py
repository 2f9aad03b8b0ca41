"""Drawn images as numbers, dB over velocity and time, and as labelled figures of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy
from PIL import Image

from configs.errors import UserError
from data.atomic import replacing
from data.axes import Axes
from data.examination import LOOKED_AT, colour_map_of
from data.progress import progress
from radar.colormap import ENTRIES, from_rgb, to_rgb

SHOWN = 4  # images in a figure
CELL, MARGIN, BAR = (1.9, 2.3), (0.7, 0.55), 0.75  # inches: an image, left and below of all, colour bar
DPI = 300


def require_axes(axes: Axes | None, checkpoint: str) -> Axes:
    """Axes by which images become dB; UserError where they, or the range of the colours, are not known."""
    if axes is None or axes.range_db is None:
        lacking = "axes" if axes is None else "range in dB"
        raise UserError(
            f"dB (--arrays) require the images' axes and range in dB, {checkpoint} carries no {lacking}; "
            "give them by --axes, like --axes -1.2 5.2 2.1 30"
        )
    return axes


def with_colour_map(axes: Axes, images: Iterable[numpy.ndarray], first: object) -> Axes:
    """Axes that name the colour map: the training images' or, where these were not told, that of `images`,
    (H, W, 3) uint8 each.

    UserError, after the name of the `first` image: these have no map that is known.
    """
    counts = Counter(map(colour_map_of, islice(images, 0 if axes.colour_map else LOOKED_AT)))
    if not counts:
        return axes
    colour_map = counts.most_common(1)[0][0]
    if colour_map is None:
        raise UserError(f"{first} has the colours of no known map, so dB are not known; leave --arrays out")
    return replace(axes, colour_map=colour_map)


def with_map_of_files(axes: Axes, images: Sequence[Path]) -> Axes:
    """`with_colour_map` of image files."""
    return with_colour_map(axes, map(pixels_of, images), next(iter(images), None))


def pixels_of(path: Path) -> numpy.ndarray:
    """(H, W, 3) uint8 of an image file."""
    return numpy.asarray(Image.open(path).convert("RGB"))


def to_decibels(pixels: numpy.ndarray, axes: Axes) -> numpy.ndarray:
    """Image (H, W, 3) uint8 to power (velocity, time) float32 in dB below the brightest colour, velocity
    ascending.
    """
    assert axes.range_db and axes.colour_map
    return (from_rgb(pixels, axes.colour_map)[::-1] - 1) * numpy.float32(axes.range_db)


def write_arrays(folder: Path, names: Sequence[str], axes: Axes) -> int:
    """Put beside each image of `names` that lacks it an .npz of `arrays_of`. How many were written."""
    axes = with_map_of_files(axes, [folder / name for name in names])
    lacking = [path for name in names if not (path := folder / name).with_suffix(".npz").is_file()]
    for path in progress(lacking, description="arrays", unit="img"):
        arrays = arrays_of(pixels_of(path), axes)
        with replacing(path.with_suffix(".npz")) as temporary, open(temporary, "wb") as file:
            numpy.savez_compressed(file, **arrays)
    return len(lacking)


def arrays_of(pixels: numpy.ndarray, axes: Axes) -> dict[str, Any]:
    """Of an image (H, W, 3) uint8: db (velocity, time) float32, velocity_mps and time_s (the middles of rows
    and columns), range_db and colour_map.
    """
    power_db = to_decibels(pixels, axes)
    velocity, time = middles(axes, power_db.shape)
    colours = {"range_db": axes.range_db, "colour_map": axes.colour_map}
    return {"db": power_db, "velocity_mps": velocity, "time_s": time, **colours}


def middles(axes: Axes, shape: tuple[int, ...]) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Velocities (V,) in m/s, ascending, and times (T,) in s at the middles of cells."""
    shares = [(numpy.arange(count) + 0.5) / count for count in shape]
    return axes.lowest_mps + shares[0] * (axes.highest_mps - axes.lowest_mps), shares[1] * axes.duration_s


def write_figure(path: Path, title: str, images: Sequence[Path], axes: Axes) -> None:
    """A figure of the first SHOWN `images` of a person, with axes in s and m/s and a colour bar in dB."""
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    axes = with_map_of_files(axes, images)
    assert axes.range_db and axes.colour_map
    shown = images[:SHOWN]
    colours = ListedColormap(to_rgb(numpy.linspace(0, 1, ENTRIES), axes.colour_map) / 255)
    size = MARGIN[0] + len(shown) * CELL[0] + BAR, MARGIN[1] + CELL[1]
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for panel, image in zip(panels, shown):
        drawn = panel.imshow(
            to_decibels(pixels_of(image), axes),
            origin="lower",
            aspect="auto",
            extent=(0, axes.duration_s, axes.lowest_mps, axes.highest_mps),
            cmap=colours,
            vmin=-axes.range_db,
            vmax=0,
            interpolation="nearest",
        )
        panel.set_xlabel("Time (s)")
    panels[0].set_ylabel("Radial velocity (m/s)")
    figure.suptitle(title, fontsize="medium", parse_math=False)
    figure.colorbar(drawn, ax=panels, label="Power (dB)", pad=0.02)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
