"""How people move in the images: QUANTITIES of each, what walkers show, and distances between sets."""

from __future__ import annotations

from typing import Any

import numpy
import scipy

from data.labels import LabelTable
from evaluation.distances import BLOCK, NEIGHBOURS, OTHERS, REFERENCE, Draw, Draws, compare
from radar.kinematics import Kinematics, finite_mean

QUANTITIES = ("torso_velocity", "upper_envelope", "lower_envelope", "bandwidth", "cadence", "periodicity")
TAIL, RARE = 0.05, 0.01  # shares of training images: that lie as far out, that cannot be measured
RULE = (
    "outside the real range: the quantities of the walk together, each in training deviations, lie farther "
    f"from the {NEIGHBOURS}th nearest training image than {1 - TAIL:.0%} of training images do from other "
    f"moments, or one cannot be measured that can in all but {RARE:.0%} of them; so about {TAIL:.0%} of "
    "other real images are called so"
)


def quantities(kinematics: Kinematics) -> tuple[float, ...]:
    """QUANTITIES of one image, with velocities positive in the direction of walking."""
    upper, lower = (finite_mean(line) for line in (kinematics.upper_mps, kinematics.lower_mps))
    if kinematics.torso_velocity_mps < 0:
        upper, lower = -lower, -upper
    return (
        abs(kinematics.torso_velocity_mps),
        upper,
        lower,
        kinematics.bandwidth_mps,
        kinematics.cadence_hz,
        kinematics.periodicity,
    )


def outside_real_range(motion: numpy.ndarray, training: numpy.ndarray) -> numpy.ndarray:
    """Which of `motion` (N, Q) no real walker of `training` (M, Q), people and times in order, shows: (N,)
    bool, by RULE. A quantity alone says little: a slow walk is real, and so is a fast cadence.
    """
    unknown = numpy.isnan(training)
    usual = numpy.nanmedian(numpy.where(unknown.all(0), 0.0, training), axis=0)
    scale = numpy.where(unknown, usual, training).std(0)

    def scaled(values: numpy.ndarray) -> numpy.ndarray:
        return numpy.where(numpy.isnan(values), usual, values) / numpy.where(scale > 1e-9, scale, 1.0)

    tree = scipy.spatial.KDTree(scaled(training))
    distances, places = tree.query(scaled(training), k=NEIGHBOURS + 2 * BLOCK + 1)
    near = numpy.abs(places - numpy.arange(len(training))[:, None]) <= BLOCK  # windows of the same steps
    reach = numpy.sort(numpy.where(near, numpy.inf, distances), axis=1)[:, NEIGHBOURS - 1]
    bound = numpy.quantile(reach, 1 - TAIL) if numpy.isfinite(reach).all() else numpy.inf
    far = tree.query(scaled(motion), k=[NEIGHBOURS])[0][:, 0] > bound
    return far | (numpy.isnan(motion) & (unknown.mean(0) <= RARE)).any(1)


def differences(x: numpy.ndarray, y: numpy.ndarray, draw: Draw | None = None) -> dict[str, float]:
    """Wasserstein-1 distance of each quantity between motions (N, Q) and (M, Q), in its own unit."""
    columns = [(a[numpy.isfinite(a)], b[numpy.isfinite(b)]) for a, b in zip(x.T, y.T)]
    distances = [
        scipy.stats.wasserstein_distance(a, b) if len(a) and len(b) else numpy.nan for a, b in columns
    ]
    return dict(zip(QUANTITIES, distances))


def kinematics_distance(
    motion: dict[str, numpy.ndarray], draws: Draws, people: LabelTable, units: dict[str, str]
) -> dict[str, Any]:
    """Per quantity: unit, estimates of generated images and of the baseline ("floor"), and both per person
    (where mixed up people show); from motions {set: (N, Q)}.
    """
    everybody = compare(motion, draws, differences)
    section = {name: {"unit": units[name], **both} for name, both in everybody.items()}
    for key, kind in (("per_person", "generated"), ("per_person_floor", "floor")):
        for label in numpy.unique(draws.full[0].people):
            sets = [
                [draw.of(motion, name, label) for name in (REFERENCE, OTHERS[kind])] for draw in draws.full
            ]
            each = [differences(x, y) for x, y in sets]
            for name in QUANTITIES:
                mean = float(numpy.mean([one[name] for one in each]))
                value = mean if numpy.isfinite(mean) else None
                section[name].setdefault(key, {})[people.names[label]] = value
    return section
