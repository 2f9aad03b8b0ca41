"""Does the Doppler follow the speed? People in conditions that change their speed, as an intervention on it
(arXiv 2605.00018 scales the speed).

Within each person the log of the median torso velocity in a condition's images rises with the log of the
speed in the condition: by a slope of 1 where images move as told, of 0 where they ignore it. One slope is
fitted over all people, each with an intercept of their own (fixed effects): the mean of people's slopes,
weighted by how far their speeds lie apart. Its error is that of people drawn at random (cluster-robust, Liang
& Zeger, Biometrika 73, 1986), with Student's t for one degree of freedom less than people.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import scipy

from configs.errors import UserError
from data.conditions import Conditions
from data.labels import LabelTable
from data.tables import read_rows
from evaluation.features import ImageSet
from evaluation.measure import SETS
from evaluation.motion import QUANTITIES

KINDS = ("generated", "unrecorded", "real")
Velocities = Mapping[str, float]  # by folder, above 0


def read_truth(path: Path) -> dict[str, float]:
    """The speed of every folder in m/s, the median of its rows' `speed_mps`, from truth.csv as stage 0's
    simulate writes it. UserError: no such table, or a speed that is none.
    """
    way_out = "give truth.csv of stage0_prepare.py simulate, or a table of user and speed_mps"
    of_folder: dict[str, list[float]] = {}
    for row in read_rows(path, "a table of true speeds", way_out, "user"):
        text = row.get("speed_mps") or ""
        try:
            speed = float(text)
        except ValueError:
            speed = math.nan
        if not 0 < speed < math.inf:
            raise UserError(
                f"{path}: speed_mps {ascii(text[:40])}: expected a speed above 0 in m/s; {way_out}"
            )
        of_folder.setdefault(str(row["user"]), []).append(speed)
    return {folder: float(numpy.median(speeds)) for folder, speeds in of_folder.items()}


def median_velocities(images: ImageSet, folders: LabelTable) -> dict[str, float]:
    """The median torso velocity of each folder's images; none where it can be read in no image."""
    velocity = images.motion[:, QUANTITIES.index("torso_velocity")]
    medians = {}
    for label in numpy.unique(images.labels):
        known = velocity[(images.labels == label) & (velocity > 0)]
        if len(known):
            medians[folders.names[label]] = float(numpy.median(known))
    return medians


def followed_speeds(
    conditions: Conditions,
    sets: Mapping[str, ImageSet],
    unrecorded: ImageSet | None,
    recorded: LabelTable,
    truth: str | None,
) -> dict[str, Any]:
    """The section "velocity_intervention" of metrics.json, from sets "train", "held_out" and "generated" of
    what is `recorded`, and generated images of combinations `unrecorded`, whose labels are of `conditions`;
    beside the speeds in the file `truth`, or the velocities of training images.

    "generated" and "real" are slopes over what is recorded; "unrecorded" is that of combinations which
    training lacks, from the mean of what it has of the same person.
    """
    training, real, ours = (median_velocities(sets[kind], recorded) for kind in SETS)
    speeds = read_truth(Path(truth)) if truth else training
    new = median_velocities(unrecorded, conditions.labels) if unrecorded else {}
    generated = {**ours, **new}
    return {
        "against": "true speeds" if truth else "training images",
        "generated": slope(conditions, ours, ours, speeds),
        **({"unrecorded": slope(conditions, ours, new, speeds)} if new else {}),
        "real": slope(conditions, real, real, speeds),
        "unknown_speed": sorted({*generated, *real} - {*speeds}),
        "folders": {
            folder: {
                "speed": speeds.get(folder),
                "generated": generated.get(folder),
                "real": real.get(folder),
                "combination": "recorded" if folder in recorded.names else "unrecorded",
            }
            for folder in conditions.labels.names
            if folder in recorded.names or folder in generated
        },
    }


def slope_line(section: Mapping[str, Any]) -> str:
    """The slopes of the section in a line."""
    said = ", ".join(f"{kind} {in_words(section[kind])}" for kind in KINDS if kind in section)
    return f"slope of log velocity over log speed ({section['against']}): {said}"


def in_words(estimate: Mapping[str, Any]) -> str:
    """A slope with its interval, as far as they are known."""
    if estimate["value"] is None:
        return "unknown"
    ends = estimate["interval"]
    return f"{estimate['value']:.2f}" + (f" ({ends[0]:.2f} to {ends[1]:.2f})" if ends else "")


def sentence(metrics: Mapping[str, Any]) -> str | None:
    """Whether velocities follow the speed of a condition, as far as real images' do, if these are known."""
    section = metrics.get("velocity_intervention")
    if not section:
        return None
    drawn, real, new = section["generated"], section["real"], section.get("unrecorded")
    if drawn["interval"] is None:
        people = "it takes two people in conditions of different, known speed"
        return f"Speed: whether velocities follow it cannot be told; {people}."
    (low, high), (real_low, real_high) = drawn["interval"], real["interval"] or (1.0, 1.0)
    verdict = "Velocities follow the speed of a condition"
    if low > real_high:
        verdict = "Velocities change by more than the speed of a condition"
    elif high < real_low:
        verdict = f"{verdict} in part" if low > 0 else "Velocities do not follow the speed of a condition"
    elif low <= 0:
        verdict = "Whether velocities follow the speed of a condition cannot be told"
    never = f", {in_words(new)} in combinations that training lacks" if new else ""
    return (
        f"{verdict}: slope {in_words(drawn)} generated{never}, {in_words(real)} real held-out, against "
        f"{section['against']}; {drawn['people']} people in {drawn['combinations']} combinations."
    )


def slope(conditions: Conditions, base: Velocities, moved: Velocities, speeds: Velocities) -> dict[str, Any]:
    """How the log velocities of `moved` folders change with their log speeds, each from the mean of the same
    person's `base` folders: value, 95 % interval, numbers of people and of combinations. Folders of unknown
    speed count nowhere, people whose speeds are all equal tell nothing; None where too few remain.
    """
    points = {kind: _by_person(conditions, part, speeds) for kind, part in (("base", base), ("moved", moved))}
    slopes, weights, combinations = [], [], 0
    for person, logs in points["moved"].items():
        if person in points["base"]:
            x, y = (logs - points["base"][person].mean(0)).T
            if x @ x > 1e-9:
                slopes.append((x @ y) / (x @ x))
                weights.append(x @ x)
                combinations += len(logs)
    counts = {"people": len(slopes), "combinations": combinations}
    if not slopes:
        return {"value": None, "interval": None, **counts}
    each, share = numpy.array(slopes), numpy.array(weights) / sum(weights)
    value = float(share @ each)
    interval = None
    if len(each) > 1:
        error = math.sqrt((share**2 @ (each - value) ** 2) * len(each) / (len(each) - 1))
        half = error * float(scipy.stats.t.ppf(0.975, len(each) - 1))
        interval = [value - half, value + half]
    return {"value": value, "interval": interval, **counts}


def _by_person(
    conditions: Conditions, velocities: Velocities, speeds: Velocities
) -> dict[int, numpy.ndarray]:
    """{person: (N, 2)} of log speed and log velocity of the folders whose speed is known."""
    of_person: dict[int, list[tuple[float, float]]] = {}
    for folder, velocity in velocities.items():
        if folder in speeds:
            person, _ = conditions.pairs[conditions.labels.index(folder)]
            of_person.setdefault(person, []).append((math.log(speeds[folder]), math.log(velocity)))
    return {person: numpy.array(points) for person, points in of_person.items()}
