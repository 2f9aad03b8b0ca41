"""Images of an evaluation: real beside generated, the closest pairs, and where both lie."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy

from data.atomic import replacing
from data.images import ImageRecord, open_rgb
from data.labels import LabelTable
from data.sheets import GAP, NAME_WIDTH, grid, save_png
from evaluation.examples import MOST, Example

SHOWN, CELL, PAIRS_A_ROW = 4, 128, 5
SMALL, PEOPLE, GLANCE = 96, 4, 3  # side of a cell, people, and images of a kind at the top of the page
NAME_LENGTH = 17  # of a name beside a row, in letters a line
MARKERS = "os^Dv<>P"  # another for every ten people, whose colours repeat


def _tile(record: ImageRecord | None) -> numpy.ndarray:
    """The image, or white where there is none."""
    return numpy.full((8, 8, 3), 255, numpy.uint8) if record is None else numpy.asarray(open_rgb(record))


def real_beside_generated(
    path: Path, real: Sequence[ImageRecord], generated: Sequence[ImageRecord], people: LabelTable
) -> None:
    """A row per person: SHOWN real held-out images, a gap, as many generated ones."""
    rows = [
        [*_some(real, person, SHOWN), _tile(None), *_some(generated, person, SHOWN)]
        for person in people.names
    ]
    save_png(grid(rows, [f"{person}\nreal | generated" for person in people.names], CELL), path)


def generators_beside_real(path: Path, sets: Mapping[str, Sequence[ImageRecord]], people: LabelTable) -> None:
    """Of each person a row of each set: held-out real images, then every generator's by its name."""
    shown = [(person, name) for person in people.names for name in sets]
    rows = [_some(sets[name], person, 2 * SHOWN) for person, name in shown]
    names = [textwrap.fill(name, NAME_LENGTH) for _, name in shown]
    save_png(grid(rows, [f"{person}\n{name}" for (person, _), name in zip(shown, names)], CELL), path)


def _some(records: Sequence[ImageRecord], person: str, count: int) -> list[numpy.ndarray]:
    """`count` tiles of a person, spread over all images, white ones where they are fewer."""
    of_person = [record for record in records if record.user == person]
    picked = numpy.linspace(0, len(of_person) - 1, min(count, len(of_person))).round().astype(int)
    return _padded([_tile(of_person[place]) for place in picked], count)


def _padded(tiles: list[numpy.ndarray], count: int) -> list[numpy.ndarray]:
    return tiles + [_tile(None)] * (count - len(tiles))


def at_the_top(section: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """People whose images are at the top of the page, spread over all of the section "examples" of whom there
    are real ones, too.
    """
    people = [name for name, example in section.items() if "real" in example] or [*section]
    picked = numpy.linspace(0, len(people) - 1, min(PEOPLE, len(people))).round().astype(int)
    return [people[place] for place in picked]


def first_look(
    path: Path, real: Sequence[ImageRecord], generated: Sequence[ImageRecord], people: Sequence[str]
) -> None:
    """A row of each of `people`: GLANCE real held-out images, then as many generated ones."""
    rows = [[tile for part in (real, generated) for tile in _some(part, name, GLANCE)] for name in people]
    save_png(grid(rows, [f"{name}\nreal, generated" for name in people], SMALL), path)


def examples(
    path: Path, real: Sequence[ImageRecord], generated: Sequence[ImageRecord], chosen: Mapping[str, Example]
) -> None:
    """A row per person: a real image, the generated one most like another person, a real one of that other;
    then MOST of the best, and of the worst.
    """

    def tiles(one: Example) -> list[numpy.ndarray]:
        beside = [_tile(None if place is None else real[place]) for place in (one.real, one.other_real)]
        best, worst = ([_tile(generated[place]) for place in part] for part in (one.best, one.worst))
        return [
            beside[0],
            _tile(generated[one.confused]),
            beside[1],
            *_padded(best, MOST),
            *_padded(worst, MOST),
        ]

    rows = [tiles(one) for one in chosen.values()]
    save_png(grid(rows, [f"{name}\nconfused, best,\nworst" for name in chosen], SMALL), path)


def corners(row: int, column: int, count: int = 1) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of `count` neighbouring cells on a sheet of SMALL ones, as Pillow crops."""
    step = SMALL + GAP
    left, top = NAME_WIDTH + column * step, GAP + row * step
    return left, top, left + count * step - GAP, top + SMALL


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
    import matplotlib
    from matplotlib.figure import Figure

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
