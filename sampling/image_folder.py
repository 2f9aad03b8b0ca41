"""What stands in a folder of drawn images beside them: samples.csv, metadata.csv and the grid."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
from PIL import Image

from configs.command_line import say
from configs.json_text import parse_json
from data.atomic import write_text_if_new
from data.labels import LabelTable, natural_key
from data.sheets import grid, save_png
from data.tables import csv_text
from sampling.image_sampler import METADATA, PATTERNS, Wanted
from sampling.imagenet import class_name

GRID_ROWS, GRID_COLUMNS = 100, 8  # of people, of images of each
DEMO_PICTURE = "demo_samples.png"
TITLE_WIDTH = 18  # characters


def finish(
    folder: Path,
    images: Sequence[Wanted],
    labels: LabelTable,
    users: Sequence[int],
    columns: int | None = None,
    layout: str = "flat",
) -> None:
    """samples.csv and metadata.csv of all there is, and the grid of `images`."""
    rows = sample_rows(folder, layout)
    write_text_if_new(folder / "samples.csv", csv_text(rows))
    write_text_if_new(folder / "metadata.csv", csv_text([metadata_row(row) for row in rows]))
    if images:
        write_grid(folder, images, labels, users, columns)


def write_grid(
    folder: Path, images: Sequence[Wanted], labels: LabelTable, users: Sequence[int], columns: int | None
) -> None:
    """micro_doppler_grid.png: a row for each of the first people asked for, the first few samples each; with
    `columns`, all images side by side in so many columns, also as demo_samples.png, upstream's demo's name.
    """
    if columns:
        tiles = [numpy.asarray(Image.open(folder / image.name)) for image in images]
        parts = [slice(first, first + columns) for first in range(0, len(images), columns)]
        titles = ["\n".join(title(labels, image.label) for image in images[part]) for part in parts]
        picture = grid([tiles[part] for part in parts], titles)
        save_png(picture, folder / DEMO_PICTURE)
        return save_png(picture, folder / "micro_doppler_grid.png")
    first: dict[int, list[Wanted]] = {}
    for image in images:
        first.setdefault(image.label, []).append(image)
    shown = [user for user in users if user in first][:GRID_ROWS]
    if len(shown) < len(first):
        say(f"micro_doppler_grid.png shows the first {GRID_ROWS} of {len(first)} people")
    rows = [
        [numpy.asarray(Image.open(folder / image.name)) for image in first[user][:GRID_COLUMNS]]
        for user in shown
    ]
    cell = 256 if len(shown) * len(rows[0]) <= 64 else 128
    save_png(grid(rows, [title(labels, user) for user in shown], cell), folder / "micro_doppler_grid.png")


def title(labels: LabelTable, label: int) -> str:
    """What stands beside a person's images: the folder's name, of ImageNet's classes number and name."""
    name = class_name(labels, label)
    return textwrap.fill(f"{labels.names[label]} {name}", TITLE_WIDTH) if name else labels.names[label]


def metadata_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """What `datasets.load_dataset("imagefolder", data_dir=folder)` gives beside each image."""
    return {"file_name": row["file"], **{name: row.get(name) for name in ("user", "label", "sample")}}


def sample_rows(folder: Path, layout: str = "flat") -> list[dict[str, Any]]:
    """One row per image in `folder`, read back from the images themselves, so that the table cannot disagree
    with them.
    """
    rows = []
    for path in sorted(folder.glob(PATTERNS[layout]), key=lambda path: natural_key(path.name)):
        with Image.open(path) as image:
            text = image.info.get(METADATA)
        if text is not None:  # the grid carries none
            rows.append(parse_json(text))
    return rows
