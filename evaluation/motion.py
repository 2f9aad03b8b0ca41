"""How people move in the pictures: six quantities of each, what walkers show, and distances between sets."""

from __future__ import annotations

from typing import Any

import numpy
from scipy.stats import wasserstein_distance

from data.labels import LabelTable
from evaluation.distances import OTHERS, REFERENCE, Draw, Draws, compare
from radar.kinematics import Kinematics

QUANTITIES = ("torso_velocity", "upper_envelope", "lower_envelope", "bandwidth", "cadence", "periodicity")
TAIL = 0.01  # share of training pictures that the rule may call impossible
RULE = (
    "impossible: one of the six quantities lies outside what real training pictures of all people show, "
    f"between their quantiles {TAIL / len(QUANTITIES) / 2:.2%} and {1 - TAIL / len(QUANTITIES) / 2:.2%}, "
    f"or cannot be measured although it can in all but {TAIL:.0%} of them"
)


def quantities(found: Kinematics) -> tuple[float, ...]:
    """The six of one picture, with velocities positive in the direction of walking."""
    upper, lower = (_mean(line) for line in (found.upper_mps, found.lower_mps))
    if found.torso_velocity_mps < 0:
        upper, lower = -lower, -upper
    return (
        abs(found.torso_velocity_mps),
        upper,
        lower,
        found.bandwidth_mps,
        found.cadence_hz,
        found.periodicity,
    )


def _mean(line: numpy.ndarray) -> float:
    known = line[numpy.isfinite(line)]
    return float(known.mean()) if len(known) else numpy.nan


def impossible(motion: numpy.ndarray, training: numpy.ndarray) -> numpy.ndarray:
    """Which of `motion` (N, 6) no real walker of `training` (M, 6) shows, by RULE: (N,) bool.

    The tails of the six together make TAIL, so that about this share of other real pictures is called so.
    """
    tail = TAIL / len(QUANTITIES) / 2
    unknown = numpy.isnan(training).mean(0)
    low, high = numpy.nanquantile(numpy.where(unknown == 1, 0.0, training), (tail, 1 - tail), axis=0)
    always = unknown <= TAIL
    return ((motion < low) | (motion > high) | (numpy.isnan(motion) & always)).any(1)


def differences(x: numpy.ndarray, y: numpy.ndarray, draw: Draw | None = None) -> dict[str, float]:
    """Wasserstein-1 distance of each quantity between motions (N, 6) and (M, 6), in its own unit."""
    columns = [(a[numpy.isfinite(a)], b[numpy.isfinite(b)]) for a, b in zip(x.T, y.T)]
    found = [wasserstein_distance(a, b) if len(a) and len(b) else numpy.nan for a, b in columns]
    return dict(zip(QUANTITIES, found))


def kinematics_distance(
    motion: dict[str, numpy.ndarray], draws: Draws, people: LabelTable, units: dict[str, str]
) -> dict[str, Any]:
    """Per quantity: unit, generated and floor estimates, and both per person (where mixed up people show);
    from motions {set: (N, 6)}.
    """
    everybody = compare(motion, draws, differences)
    found = {name: {"unit": units[name], **both} for name, both in everybody.items()}
    for key, kind in (("per_person", "generated"), ("per_person_floor", "floor")):
        for label in numpy.unique(draws.full[0].people):
            sets = [
                [draw.of(motion, name, label) for name in (REFERENCE, OTHERS[kind])] for draw in draws.full
            ]
            own = [differences(*pair) for pair in sets]
            for name in QUANTITIES:
                mean = float(numpy.mean([one[name] for one in own]))
                value = mean if numpy.isfinite(mean) else None
                found[name].setdefault(key, {})[people.names[label]] = value
    return found
