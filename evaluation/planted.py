"""Can the copy tests fail a generator? Near-copies of training images, planted among the generated ones.

Every kind of copy is made of images that are spread over the training ones. Whether one of them is found does
not depend on how many others there are; whether a whole set is called "Copies" does, so that is asked of sets
in which a part of the generated images is replaced by copies, DRAWS times by others.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy
from PIL import Image

from data.axes import USUAL_RANGE_DB
from data.images import ImageRecord, open_rgb
from data.labels import LabelTable
from data.tables import aligned
from evaluation.data_copying import three_samples
from evaluation.estimates import share_of, shown
from evaluation.features import ImageSet
from evaluation.judge import reduced
from evaluation.memorisation import MANY, NONE, Nearness, luma, memorised, nearness, usual_left, verdict
from radar.colormap import from_rgb, to_rgb

MOST = 60  # training images that are copied
PARTS = (0.01, 0.02, 0.05)
DRAWS = 20
GAIN_DB = 2.0
WEIGHT, QUALITY = 0.7, 50
ROLLED, ENCODED = "rolled in time", "re-encoded"
TWIN = "of a twin"  # rolled, while training holds a re-encoded twin of the original


class Planted(NamedTuple):
    """Copies by kind, as the judge sees images (N, 128, 64, 3), and the places (N,) of their originals."""

    images: dict[str, numpy.ndarray]
    places: dict[str, numpy.ndarray]


# Copies


def plant(
    training: Sequence[ImageRecord], colour_map: str, range_db: float | None = None, seed: int = 0
) -> Planted:
    """Of up to MOST training images. `range_db`: from the darkest to the brightest colour.

    Blends are of images of one person, so there are none of a person with a single image.
    """
    rng = numpy.random.default_rng(seed)
    images: dict[str, list[numpy.ndarray]] = {}
    places: dict[str, list[int]] = {}
    for number, place in enumerate(numpy.unique(numpy.linspace(0, len(training) - 1, MOST).astype(int))):
        decibels = GAIN_DB * (-1) ** number / (range_db or USUAL_RANGE_DB)
        for kind, copy in _copies(training, int(place), decibels, colour_map, rng).items():
            images.setdefault(kind, []).append(reduced(Image.fromarray(copy)))
            places.setdefault(kind, []).append(int(place))
    stacked = {kind: numpy.stack(part) for kind, part in images.items()}
    return Planted(stacked, {kind: numpy.array(part) for kind, part in places.items()})


def _copies(
    training: Sequence[ImageRecord], place: int, gain: float, colour_map: str, rng: numpy.random.Generator
) -> dict[str, numpy.ndarray]:
    """RGB images by kind; `gain` as a part of the colours' range."""
    image = numpy.asarray(open_rgb(training[place]))
    made = {
        "exact": image,
        ROLLED: numpy.roll(image, int(rng.integers(1, image.shape[1])), axis=1),
        "gain of 2 dB": to_rgb(from_rgb(image, colour_map) + gain, colour_map),
        ENCODED: encoded(image),
    }
    near = [at for at in (place + 1, place - 1) if 0 <= at < len(training)]
    near = [at for at in near if training[at].user == training[place].user]
    others = [at for at, one in enumerate(training) if one.user == training[place].user and at != place]
    if near:
        made["blend with the next, 70 to 30"] = blended(image, training[near[0]], WEIGHT)
    if others:
        made["blend of two of a person"] = blended(image, training[int(rng.choice(others))], 0.5)
    return made


def blended(image: numpy.ndarray, record: ImageRecord, weight: float) -> numpy.ndarray:
    """An image by its weight, the record's by the rest."""
    other = numpy.asarray(open_rgb(record).resize(image.shape[1::-1]), dtype=float)
    return numpy.rint(weight * image + (1 - weight) * other).astype(numpy.uint8)


def encoded(image: numpy.ndarray) -> numpy.ndarray:
    """As a JPEG file of QUALITY gives it back."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=QUALITY)
    return numpy.asarray(Image.open(file).convert("RGB"))


# What is found of them


class Searched(NamedTuple):
    """Of N images of the people `labels`: which are copies, and the distances to the nearest of training."""

    flags: numpy.ndarray
    distances: numpy.ndarray
    labels: numpy.ndarray

    def replaced(self, places: numpy.ndarray, others: Searched, chosen: numpy.ndarray) -> Searched:
        """Those at `places` by the `chosen` ones of others."""
        parts = [part.copy() for part in self]
        for part, other in zip(parts, others):
            part[places] = other[chosen]
        return Searched(*parts)


def searched(near: Nearness, usual: float, labels: numpy.ndarray) -> Searched:
    return Searched(memorised(near, usual), near.distances[:, 0], labels)


def planted_table(
    copies_of: Mapping[str, tuple[Nearness, numpy.ndarray]],
    sets: Mapping[str, ImageSet],
    near: Mapping[str, Nearness],
    people: LabelTable,
    seed: int = 0,
) -> dict[str, Any]:
    """The section "planted" of metrics.json: what the tests find of each kind of `copies_of`, as
    `beside_their_originals` gives them, and how often they call a set of which PARTS are planted. "held_out"
    and "generated" of `sets` are `near` "train".
    """
    rng, usual = numpy.random.default_rng(seed), usual_left(near["held_out"])
    held_out, generated = (
        searched(near[name], usual, sets[name].labels) for name in ("held_out", "generated")
    )
    kinds = {}
    for kind, (one, places) in copies_of.items():
        copies = searched(one, usual, sets["train"].labels[places])
        kinds[kind] = {
            "found": share_of(copies.flags),
            "by_ratio": share_of(memorised(one, numpy.nan)),
            "sets": [called(part, copies, generated, held_out, people, rng) for part in PARTS],
        }
    alarms = {"generated": share_of(generated.flags), "held_out": share_of(held_out.flags)}
    return {"unplanted": alarms, "kinds": kinds}


def beside_their_originals(
    planted: Planted, images: numpy.ndarray
) -> dict[str, tuple[Nearness, numpy.ndarray]]:
    """By kind, TWIN among them: copies beside the training images (N, 128, 64, 3), and the places of the
    originals.
    """
    training, lines = luma(images), {kind: luma(part) for kind, part in planted.images.items()}
    near = {kind: nearness(part, training, quiet=True) for kind, part in lines.items()}
    near[TWIN] = nearness(lines[ROLLED], numpy.concatenate([training, lines[ENCODED]]), quiet=True)
    return {kind: (one, planted.places.get(kind, planted.places[ROLLED])) for kind, one in near.items()}


def called(
    part: float,
    copies: Searched,
    generated: Searched,
    held_out: Searched,
    people: LabelTable,
    rng: numpy.random.Generator,
) -> dict[str, Any]:
    """What is said where `part` of the generated images is replaced by copies: in which share of the draws
    "Copies" ("many") and in which that or "Copies among them" ("some"); mean z of the three-sample test.
    """
    count, real = max(1, round(part * len(generated.flags))), share_of(held_out.flags)
    verdicts, z = [], []
    for _ in range(DRAWS):
        places = rng.choice(len(generated.flags), count, replace=False)
        chosen = rng.choice(len(copies.flags), count, replace=count > len(copies.flags))
        mixed = generated.replaced(places, copies, chosen)
        verdicts.append(verdict(share_of(mixed.flags), real))
        tested = three_samples(mixed.distances, mixed.labels, held_out.distances, held_out.labels, people)
        z.append(numpy.nan if tested["z"] is None else tested["z"])
    levels, mean = numpy.array(verdicts), float(numpy.mean(z))
    return {
        "planted": {"share": part, "count": count},
        "some": {"share": float((levels > NONE).mean())},
        "many": {"share": float((levels == MANY).mean())},
        "z": None if numpy.isnan(mean) else mean,
    }


def planted_lines(table: dict[str, Any]) -> list[str]:
    """For the screen: a line for each kind."""
    kinds = table["kinds"]
    planted = [one["planted"] for one in next(iter(kinds.values()))["sets"]]
    heads = [f"{one['share']:.0%} ({one['count']})" for one in planted]
    rows = [["planted copies", "found", "by the ratio", *heads]]
    for kind, figures in kinds.items():
        shares = [f"{one['some']['share']:.0%} ({one['many']['share']:.0%})" for one in figures["sets"]]
        rows.append([kind, shown(figures["found"], True), shown(figures["by_ratio"]), *shares])
    alarms = [f"{shown(one, True)} {name.replace('_', '-')}" for name, one in table["unplanted"].items()]
    return [
        *aligned(rows, left=True),
        f"on the right: sets with so many planted that are called out (as Copies); without any, counted as "
        f"copies: {', '.join(alarms)}",
    ]
