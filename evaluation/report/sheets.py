"""Images of an evaluation: real beside generated, the closest pairs, and where both lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy
from matplotlib.figure import Figure

from data.atomic import replacing
from data.images import ImageRecord, open_rgb
from data.labels import LabelTable
from data.sheets import grid, save_png

SHOWN, CELL, PAIRS_A_ROW = 4, 128, 5
MARKERS = "os^Dv<>P"  # another for every ten people, whose colours repeat


def _tile(record: ImageRecord | None) -> numpy.ndarray:
    """The image, or white where there is none."""
    return numpy.full((8, 8, 3), 255, numpy.uint8) if record is None else numpy.asarray(open_rgb(record))


def real_beside_generated(
    path: Path, real: Sequence[ImageRecord], generated: Sequence[ImageRecord], people: LabelTable
) -> None:
    """A row per person: SHOWN real held-out images, a gap, as many generated ones."""
    rows = []
    for person in people.names:
        row = []
        for records in (real, generated):
            of_person = [record for record in records if record.user == person]
            picked = numpy.linspace(0, len(of_person) - 1, min(SHOWN, len(of_person))).round().astype(int)
            row += [of_person[place] for place in picked] + [None] * (SHOWN - len(picked))
        rows.append([_tile(record) for record in [*row[:SHOWN], None, *row[SHOWN:]]])
    save_png(grid(rows, [f"{person}\nreal | generated" for person in people.names], CELL), path)


def closest_pairs(
    path: Path, pairs: list[dict[str, Any]], generated: Sequence[ImageRecord], training: Sequence[ImageRecord]
) -> None:
    """Generated images above their nearest training images, the closest first."""
    rows, names = [], []
    for first in range(0, len(pairs), PAIRS_A_ROW):
        part = pairs[first : first + PAIRS_A_ROW]
        rows.append([_tile(generated[pair["generated"]]) for pair in part])
        rows.append([_tile(training[pair["train"]]) for pair in part])
        names += [f"generated\n{first + 1} to {first + len(part)}", "nearest in\ntraining"]
    save_png(grid(rows, names, CELL), path)


def overlap(
    path: Path, features: dict[str, numpy.ndarray], labels: dict[str, numpy.ndarray], people: LabelTable
) -> None:
    """The first two principal components of the real training features (N, D): held-out images as rings,
    generated ones filled, a colour per person.
    """
    centre = features["train"].mean(0)
    _, values, axes = numpy.linalg.svd(features["train"] - centre, full_matrices=False)
    share = values**2 / (values**2).sum()
    figure = Figure(figsize=(7, 6), layout="constrained")
    plot, colours = figure.subplots(), matplotlib.colormaps["tab10"](numpy.arange(10))
    for label, person in enumerate(people.names):
        colour, marker = colours[label % 10], MARKERS[label // 10 % len(MARKERS)]
        for name, face in (("held_out", "none"), ("generated", colour)):
            x, y = ((features[name][labels[name] == label] - centre) @ axes[:2].T).T
            plot.scatter(
                x, y, s=22, marker=marker, facecolors=face, edgecolors=[colour], linewidths=0.9, alpha=0.8
            )
        plot.scatter([], [], marker=marker, color=colour, label=person)
    plot.set_title("judge's features: real held-out (rings), generated (filled)", fontsize=10)
    plot.set_xlabel(f"first principal component of real training images ({share[0]:.0%} of their variance)")
    plot.set_ylabel(f"second ({share[1]:.0%})")
    figure.legend(loc="outside right upper", fontsize=8, ncols=1 + (len(people) - 1) // 32)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
