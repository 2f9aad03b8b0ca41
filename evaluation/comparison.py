"""Several generators beside the same held-out images: what differs between any two, and which one is closer.

Sets of a distance give equally many images of each person, and both generators of a pair are held against
the same held-out ones, half by half: what these have of luck is in both distances and largely leaves their
difference. Which generator is closer is said by `evaluation.relative_mmd` where p, corrected for all tests of
a report (Holm, Scandinavian Journal of Statistics 6, 1979), is below LEVEL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy

from data.labels import LabelTable
from evaluation.distances import REFERENCE, Draws, Values, draw_equal, range_of, values_of
from evaluation.estimates import share_difference, share_of
from evaluation.relative_mmd import relative_test

LEVEL = 0.05
Sets = Mapping[str, numpy.ndarray]  # features (N, D) of REFERENCE and of every generator


def compare_generators(
    spaces: Mapping[str, Sets],
    labels: Mapping[str, numpy.ndarray],
    flags: Mapping[str, Mapping[str, numpy.ndarray]],
    people: LabelTable,
    seed: int = 0,
) -> dict[str, Any]:
    """Section "comparison" of metrics.json. `labels` (N,) are those of REFERENCE and of every generator, as
    are the features of each of `spaces`; `flags` {generator: {name: (N,) bool}} are what shares are of.

    People of whom a set has no image are left out, and with them all distances where nobody is left.
    """
    names = [name for name in labels if name != REFERENCE]
    draws = draw_equal(dict(labels), seed)
    count = len(draws.full[0].people)
    distances = {space: distances_of(sets, draws, names) for space, sets in spaces.items()} if count else {}
    pairs = [_pair(one, other, distances, labels, flags, count) for one, other in combinations(names, 2)]
    for pair in pairs:
        pair["tests"] = {
            space: relative_test(sets, labels, *pair["generators"]) for space, sets in spaces.items()
        }
    correct([test for pair in pairs for test in pair["tests"].values()])
    for pair in pairs:
        for test in pair["tests"].values():
            sure = test["adjusted_p"] is not None and test["adjusted_p"] < LEVEL
            test["closer"] = pair["generators"][int(test["value"] > 0)] if sure else None
        pair["sentence"] = sentence(pair, sum(len(one["tests"]) for one in pairs))
    return {
        "generators": names,
        "people": [people.names[label] for label in numpy.unique(draws.full[0].people)],
        "count": count,
        "distances": {
            space: {
                measure: {name: values[name].estimate(count, *range_of(measure)) for name in names}
                for measure, values in measures.items()
            }
            for space, measures in distances.items()
        },
        "pairs": pairs,
        "summary": [pair["sentence"] for pair in pairs],
    }


def distances_of(sets: Sets, draws: Draws, names: Sequence[str]) -> dict[str, dict[str, Values]]:
    """{measure: {generator: values}}, all from the same held-out images."""
    measures: dict[str, dict[str, Values]] = {}
    for name in names:
        for measure, values in values_of(sets, draws, name).items():
            measures.setdefault(measure, {})[name] = values
    return measures


def correct(tests: Sequence[dict[str, Any]]) -> None:
    """Give each test the "adjusted_p" of Holm's procedure over all of them whose p is known."""
    for test in tests:
        test["adjusted_p"] = None
    known, largest = [test for test in tests if test["p"] is not None], 0.0
    for place, test in enumerate(sorted(known, key=lambda test: test["p"])):
        largest = max(largest, min(1.0, (len(known) - place) * test["p"]))
        test["adjusted_p"] = largest


def _pair(
    one: str,
    other: str,
    distances: Mapping[str, Mapping[str, Mapping[str, Values]]],
    labels: Mapping[str, numpy.ndarray],
    flags: Mapping[str, Mapping[str, numpy.ndarray]],
    count: int,
) -> dict[str, Any]:
    places = equal_places(labels[one], labels[other])
    shares = {
        name: share_difference(share_of(flags[one][name][places[0]]), share_of(flags[other][name][places[1]]))
        | {"count": len(places[0])}
        for name in flags[one]
        if name in flags[other] and len(places[0])
    }
    return {
        "generators": [one, other],
        "shares": shares,
        "distances": {
            space: {key: values[one].less(values[other]).estimate(count) for key, values in measures.items()}
            for space, measures in distances.items()
        },
    }


def equal_places(one: numpy.ndarray, other: numpy.ndarray) -> list[numpy.ndarray]:
    """Places of the first images of each person in both sets of labels, equally many in one and the other."""
    both: list[list[numpy.ndarray]] = [[], []]
    for label in numpy.intersect1d(one, other):
        places = [numpy.flatnonzero(labels == label) for labels in (one, other)]
        for kept, part in zip(both, places):
            kept.append(part[: min(map(len, places))])
    return [numpy.concatenate([numpy.empty(0, dtype=int), *kept]) for kept in both]


def sentence(pair: Mapping[str, Any], tests: int) -> str:
    """What may be said of a pair."""
    one, other = pair["generators"]
    known = {space: test for space, test in pair["tests"].items() if test["adjusted_p"] is not None}
    if not known:
        return f"{one} and {other}: which is closer cannot be said (too few images of people in both)."
    corrected = f"p corrected for {tests} tests" if tests > 1 else "p"
    said = []
    for name, behind in ((one, other), (other, one)):
        ahead = [
            f"{space} ({_p(test['adjusted_p'])})" for space, test in known.items() if test["closer"] == name
        ]
        if ahead:
            said.append(f"{name} is closer to held-out images than {behind} by {' and '.join(ahead)}")
    if said:
        return f"{', but '.join(said)} features (relative MMD test, {corrected}).{_named(pair)}"
    least = min(test["adjusted_p"] for test in known.values())
    return (
        f"{one} and {other}: neither is measurably closer to held-out images (smallest {corrected}: "
        f"{least:.2g}); this does not show that they are equal.{_named(pair)}"
    )


def _named(pair: Mapping[str, Any]) -> str:
    """A sentence on what the judge names right, where the two differ in it."""
    difference = pair["shares"].get("judged_right")
    if not difference or difference["interval"][0] <= 0 <= difference["interval"][1]:
        return ""
    more = "more" if difference["value"] > 0 else "less"
    low, high = sorted(100 * abs(end) for end in difference["interval"])
    points = f"{100 * abs(difference['value']):.0f} points ({low:.0f} to {high:.0f})"
    return f" The judge names {pair['generators'][0]} right {more} often, by {points}."


def _p(value: float) -> str:
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.2g}"
