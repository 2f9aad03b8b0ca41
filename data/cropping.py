"""Figures with axes, ticks and colour bars: refused, or cut to their plot areas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy
from PIL import Image, ImageDraw

from configs.errors import UserError
from data.examination import Box, Examination, colour_map_of, plot_area
from data.images import ImageRecord, open_rgb
from data.labels import listing
from data.sheets import grid

SHEET = "cropped.png"  # beside train/, what was cut from one image of each person
SAME = 3  # pixels by which boxes of one kind of figure may differ


def refuse_margins(examination: Examination, folder: str, way_out: str) -> None:
    """UserError, with `way_out`, where images looked at have margins."""
    if examination.margins:
        bars = f" and {examination.colour_bars} colour bars" * bool(examination.colour_bars)
        raise UserError(
            f"{folder}: {len(examination.margins)} of {examination.count} images looked at, like "
            f"{examination.margins[0]}, are figures with margins (axes, ticks, titles){bars}, from "
            f"which a wrong velocity would be read; {way_out}"
        )


def boxes_of(records: Sequence[ImageRecord]) -> dict[str, Box]:
    """The plot area of each figure, by its relative path; images without margins have none.

    Figures of one size whose areas differ by SAME pixels at most get one area. UserError: figures in whose
    plot area no known map's colours are, such as three-dimensional plots.
    """
    boxes: dict[str, Box] = {}
    sizes, unknown = {}, []
    for record in records:
        image = open_rgb(record)
        box, _ = plot_area(numpy.asarray(image))
        if box:
            boxes[record.relative], sizes[record.relative] = box, image.size
            unknown += [record.relative] * (colour_map_of(numpy.asarray(image.crop(box))) is None)
    if unknown:
        raise UserError(
            f"--crop auto: {len(unknown)} figures ({listing(unknown, 3)}) hold no plot area "
            f"in the colours of a known map; go on without them by --leave_out '{unknown[0]}'"
        )
    usual = {
        size: Counter(boxes[name] for name in boxes if sizes[name] == size).most_common(1)[0][0]
        for size in set(sizes.values())
    }
    alike = {name: _alike(box, usual[sizes[name]]) for name, box in boxes.items()}
    return {name: usual[sizes[name]] if alike[name] else box for name, box in boxes.items()}


def _alike(box: Box, other: Box) -> bool:
    return max(abs(a - b) for a, b in zip(box, other)) <= SAME


def contact_sheet(records: Sequence[ImageRecord], boxes: Mapping[str, Box]) -> Image.Image:
    """The first figure of each person with its box in red, and what is cut from it."""
    first = {record.user: record for record in reversed(records) if record.relative in boxes}
    tiles = []
    for record in first.values():
        image, box = open_rgb(record), boxes[record.relative]
        cut = image.crop(box)
        around = box[0] - 2, box[1] - 2, box[2] + 1, box[3] + 1
        ImageDraw.Draw(image).rectangle(around, outline="red", width=2)
        tiles.append((record.user, [numpy.asarray(image), numpy.asarray(cut)]))
    tiles.reverse()
    return grid([pair for _, pair in tiles], [name for name, _ in tiles])


def cropped_name(path: str) -> str:
    """What an image is called once it is cut, as PNG."""
    return path if Path(path).suffix == ".png" else f"{path}.png"
