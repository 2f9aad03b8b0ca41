"""How well answers tell what they were asked: shares of right ones and d′, of everybody and by person.

d′ is the distance between two kinds of images in standard deviations of what an observer sees (Macmillan and
Creelman, Detection Theory, 2nd edition, 2005); 0: they cannot be told apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy
from scipy.stats import norm

from data.labels import natural_key
from evaluation.estimates import share_of, shown

REAL, GENERATED = "real", "generated"
KIND, WHICH = "real or generated", "which of two"  # the questions
EVERYBODY = "everybody"
HEAD = ("question", "images", "person", "right", "d′")


class Sensitivity(NamedTuple):
    """d′ with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def yes_no(hits: int, signals: int, false_alarms: int, noises: int) -> Sensitivity:
    """d′ = z(hit rate) - z(false alarm rate), where `hits` of `signals` and `false_alarms` of `noises` were
    called signals.

    Rates have the log-linear correction, (k + 1/2) / (n + 1), by which all and none right are finite (Hautus,
    Behavior Research Methods, Instruments & Computers 27, 1995); the variance is Gourevitch and Galanter's
    (Psychometrika 32, 1967).
    """
    counts = (hits, signals), (false_alarms, noises)
    (z_hits, variance_hits), (z_alarms, variance_alarms) = (_z_of(*pair) for pair in counts)
    return _sensitivity(z_hits - z_alarms, variance_hits + variance_alarms)


def two_alternatives(right: int, count: int) -> Sensitivity:
    """d′ = √2 z(share right) of `count` choices between two images, of which one is meant; correction and
    variance as of `yes_no`.
    """
    z, variance = _z_of(right, count)
    return _sensitivity(math.sqrt(2) * z, 2 * variance)


def _z_of(hits: int, count: int) -> tuple[float, float]:
    """Normal quantile of a corrected rate, and its variance."""
    rate = (hits + 0.5) / (count + 1)
    z = float(norm.ppf(rate))
    return z, rate * (1 - rate) / (count * float(norm.pdf(z)) ** 2)


def _sensitivity(value: float, variance: float) -> Sensitivity:
    half = float(norm.ppf(0.975)) * math.sqrt(variance)
    return Sensitivity(value, value - half, value + half)


# Tables of answers


def table(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Lines of text cells under HEAD from `rows` of question, person, kind, truth and answer: of each
    question, everybody's and each person's images.
    """
    asked = [(KIND, (REAL, GENERATED)), (WHICH, (REAL,)), (WHICH, (GENERATED,))]
    lines: list[tuple[str, ...]] = []
    for question, kinds in asked:
        of_question = [row for row in rows if row["question"] == question and row["kind"] in kinds]
        people = sorted({row["person"] for row in of_question}, key=natural_key)
        for person in [EVERYBODY, *people] if of_question else []:
            of_person = [row for row in of_question if person in (EVERYBODY, row["person"])]
            right = share_of(numpy.array([row["answer"] == row["truth"] for row in of_person]))
            cells = shown(right, interval=True), str(_d_prime(question, of_person) or "-")
            lines.append((question, " and ".join(kinds), person, *cells))
    return lines


def _d_prime(question: str, rows: Sequence[Mapping[str, Any]]) -> Sensitivity | None:
    """None where one of the two kinds was not shown."""
    if question == WHICH:
        return two_alternatives(sum(row["answer"] == row["truth"] for row in rows), len(rows))
    called = {
        kind: [row["answer"] == GENERATED for row in rows if row["kind"] == kind]
        for kind in (REAL, GENERATED)
    }
    if not all(called.values()):
        return None
    signals, noises = called[GENERATED], called[REAL]
    return yes_no(sum(signals), len(signals), sum(noises), len(noises))
