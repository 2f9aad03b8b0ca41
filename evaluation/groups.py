"""Held-out images of a day that training has, too, and of another one, told apart; so for sessions, rooms,
recordings, and whatever else split.csv names.

An image is of the "same" day where training has images of this person of that day; else it is of an "other".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy

from data.images import ImageRecord
from data.labels import LabelTable, natural_key
from evaluation.estimates import figures, share_difference
from evaluation.features import ImageSet
from evaluation.judge import Judge

SAME, OTHER = KINDS = ("same", "other")
PARTS = ("val", "test")


class Grouped(NamedTuple):
    """Of one group ("day"): places of the images of each kind among those of val and test, in this order;
    the parts that they lie in, the values of each kind, and how many images tell none.
    """

    places: dict[str, numpy.ndarray]
    parts: list[str]
    values: dict[str, list[str]]
    unknown: int

    @property
    def both(self) -> bool:
        return len(self.places) == len(KINDS)


def group_images(
    table: Mapping[str, Mapping[str, str]], records: Mapping[str, Sequence[ImageRecord]]
) -> dict[str, Grouped]:
    """Every group that `table` (file → groups) knows of; of val only where test alone lacks one of the kinds,
    because val has chosen among the judge's epochs.
    """
    known: dict[tuple[str, str], set[str]] = {}
    for record in records["train"]:
        for name, value in table.get(f"train/{record.relative}", {}).items():
            known.setdefault((record.user, name), set()).add(value)
    held_out = [(part, record) for part in PARTS for record in records.get(part, ())]
    rows = [table.get(f"{part}/{record.relative}", {}) for part, record in held_out]
    groups: dict[str, Grouped] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        trained = [known.get((record.user, name), set()) for _, record in held_out]
        kinds = [
            None if not values or name not in row else SAME if row[name] in values else OTHER
            for values, row in zip(trained, rows)
        ]
        group = _grouped([part for part, _ in held_out], kinds, [row.get(name, "") for row in rows])
        groups |= {name: group} if group.places else {}
    return groups


def _grouped(parts: Sequence[str], kinds: Sequence[str | None], values: Sequence[str]) -> Grouped:
    """Of images in these parts, of these kinds (None: not known) and values."""
    tested = {kind for kind, part in zip(kinds, parts) if part == "test" and kind}
    taken = [place for place, part in enumerate(parts) if part == "test" or tested != set(KINDS)]
    places = {kind: numpy.array([i for i in taken if kinds[i] == kind], dtype=int) for kind in KINDS}
    places = {kind: chosen for kind, chosen in places.items() if len(chosen)}
    used = {parts[i] for chosen in places.values() for i in chosen}
    return Grouped(
        places,
        [part for part in PARTS if part in used],
        {kind: sorted({values[i] for i in chosen}, key=natural_key) for kind, chosen in places.items()},
        sum(kinds[i] is None for i in taken),
    )


def pieces_of(
    table: Mapping[str, Mapping[str, str]], records: Sequence[tuple[str, ImageRecord]]
) -> numpy.ndarray | None:
    """Which day, session or recording each image (part, record) is of, as numbers (N,): by the coarsest group
    of `table` that is known of all and of which everybody has two; None where there is none.
    """
    rows = [table.get(f"{part}/{record.relative}", {}) for part, record in records]
    whose = [record.user for _, record in records]
    candidates: list[tuple[int, list[Hashable]]] = []
    for name in dict.fromkeys(name for row in rows for name in row):
        if all(name in row for row in rows):
            # a recording's name is its own within a day only
            keys: list[Hashable] = [tuple(row.values()) if name == "recording" else row[name] for row in rows]
            pieces = set(zip(whose, keys))
            if min(Counter(user for user, _ in pieces).values()) > 1:
                candidates.append((len(pieces), keys))
    if not candidates:
        return None
    _, keys = min(candidates, key=lambda one: one[0])
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return numpy.array([numbers[key] for key in keys])


def group_figures(
    judge: Judge, held_out: ImageSet, groups: Mapping[str, Grouped], people: LabelTable
) -> dict[str, Any]:
    """The section "groups" of metrics.json: of each group and kind the share that `judge` names right, and
    what another day costs.
    """
    right = judge.predict(held_out.seen).argmax(1) == held_out.labels
    section: dict[str, Any] = {}
    for name, group in groups.items():
        section[name] = {"parts": group.parts, "unknown": group.unknown}
        for kind, places in group.places.items():
            shares = figures(right[places], held_out.labels[places], people)
            section[name][kind] = {"values": group.values[kind], "judged_right": shares}
        if group.both:
            shares, others = (section[name][kind]["judged_right"] for kind in KINDS)
            section[name]["difference"] = share_difference(shares, others)
    return section
