"""Images to look at of each person: the one most like somebody else, the best and the worst by the judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from data.images import ImageRecord
from data.labels import LabelTable

MOST = 5  # best, and worst, images of a person


@dataclass(frozen=True)
class Example:
    """Of one person's `count` generated images: the `other` (a label) whom the judge takes them for most
    often, how often, and the place of the image most like this other; places of typical real images of both,
    None without any; places of the best and worst ones; what the judge thinks of all images (N, people).
    """

    label: int
    other: int
    taken: int
    count: int
    confused: int
    real: int | None
    other_real: int | None
    best: list[int]
    worst: list[int]
    opinions: numpy.ndarray

    def entry(
        self, real: Sequence[ImageRecord], generated: Sequence[ImageRecord], people: LabelTable
    ) -> dict[str, Any]:
        """As JSON: files, probabilities of the person asked for, whom the judge names instead."""

        def of(place: int) -> dict[str, Any]:
            opinion = self.opinions[place]
            row = {"image": generated[place].path.name, "probability": float(opinion[self.label])}
            named = int(opinion.argmax())
            return row | ({"named": people.names[named]} if named != self.label else {})

        typical = {
            key: real[place].relative
            for key, place in (("real", self.real), ("other_real", self.other_real))
            if place is not None
        }
        return {
            "other": people.names[self.other],
            "taken_for_other": self.taken,
            "count": self.count,
            "confused": of(self.confused),
            **typical,
            "best": [of(place) for place in self.best],
            "worst": [of(place) for place in self.worst],
        }


def examples_of(
    drawn: numpy.ndarray, real: numpy.ndarray, labels: Mapping[str, numpy.ndarray], people: LabelTable
) -> dict[str, Example]:
    """{person: example} from the judge's probabilities (N, people) of generated and of held-out images, whose
    `labels` are under "generated" and "held_out".

    The other person is the one whom the judge names most often in place of the person asked for, of several
    and of none the one of the highest mean probability.
    """
    return {
        people.names[label]: _example(label, drawn, real, labels)
        for label in numpy.unique(labels["generated"])
    }


def _example(
    label: int, drawn: numpy.ndarray, real: numpy.ndarray, labels: Mapping[str, numpy.ndarray]
) -> Example:
    places = numpy.flatnonzero(labels["generated"] == label)
    named = numpy.bincount(drawn[places].argmax(1), minlength=drawn.shape[1])
    score = named + drawn[places].mean(0)  # means lie below 1: they decide between equal counts alone
    score[label] = -1
    other = int(score.argmax())
    falling = places[numpy.argsort(-drawn[places, label], kind="stable")].tolist()
    half = len(falling) // 2
    return Example(
        int(label),
        other,
        int(named[other]),
        len(places),
        int(places[drawn[places, other].argmax()]),
        _typical(real, labels["held_out"], label),
        _typical(real, labels["held_out"], other),
        falling[: min(MOST, len(falling) - half)],
        falling[::-1][: min(MOST, half)],
        drawn,
    )


def _typical(real: numpy.ndarray, labels: numpy.ndarray, label: int) -> int | None:
    """The image of a person whose probability of being theirs is the median; None without any."""
    places = numpy.flatnonzero(labels == label)
    order = numpy.argsort(real[places, label], kind="stable")
    return int(places[order[(len(places) - 1) // 2]]) if len(places) else None
