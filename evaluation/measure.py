"""Everything that is measured of generated images beside real held-out ones, as one JSON value."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy

from data.labels import LabelTable
from evaluation.data_copying import three_samples
from evaluation.distances import Draws, compare, draw_equal, usual_width, vendi
from evaluation.estimates import figures
from evaluation.features import ImageSet, common_scale, latent_space, radar_space
from evaluation.judge import Judge, calibration_error, load_judge, train_judge
from evaluation.memorisation import Nearness, luma, memorised, nearness, usual_left
from evaluation.motion import QUANTITIES, RULE, kinematics_distance, outside_real_range

SETS = ("train", "held_out", "generated")  # what sets are compared; `reconstructed` may be beside them
LEAST = 4  # images in each set, for distances


class Stopwatch(dict):
    """Seconds by part."""

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self[name] = round(self.get(name, 0.0) + time.monotonic() - start, 1)


def units_of(axes_known: bool) -> dict[str, str]:
    velocity, steps = ("m/s", "steps/s") if axes_known else ("bins", "steps/picture")
    units = dict.fromkeys(QUANTITIES, velocity) | {"cadence": steps, "periodicity": ""}
    return {"judged_right": "", "memorised": "", "impossible": "", **units}


def measure(
    sets: dict[str, ImageSet],
    judges: list[Judge],
    people: LabelTable,
    units: dict[str, str],
    *,
    latents: dict[str, numpy.ndarray] | None = None,
    further: dict[str, dict[str, numpy.ndarray]] | None = None,
    seed: int = 0,
    seconds: Stopwatch | None = None,
) -> dict[str, Any]:
    """Sections of metrics.json from images `sets` of SETS (and "reconstructed"); the first judge names.

    `latents` (N, C, h, w) and features (N, D) in `further` spaces are given for each of SETS. Images of
    people of whom a set has none enter no distance.
    """
    seconds = Stopwatch() if seconds is None else seconds
    compared = {name: sets[name] for name in SETS}
    metrics: dict[str, Any] = {"judge": judge_section(judges, sets), "impossible_rule": RULE}
    with seconds.part("memorisation"):
        found = beside_training({name: luma(part.images) for name, part in sets.items()})
        copies = copies_in(found, latents or {})
        metrics["closest_pairs"] = closest_pairs(found["generated"])
        metrics["data_copying"] = data_copying(found, sets, people)
    for name, key in (("held_out", "real"), ("generated", "generated"), ("reconstructed", "reconstructed")):
        if name in sets:
            metrics[key] = figures_of(judges[0], sets[name], sets["train"], people, copies[name])
    draws = draw_equal({name: part.labels for name, part in compared.items()}, seed)
    if len(draws.full[0].people) < LEAST:
        return metrics
    judged = {name: judges[0].features(part.images) for name, part in compared.items()}
    spaces = {"judge": common_scale(judged), "radar": radar_space(compared)}
    spaces |= {"latents": latent_space(latents)} if latents else {}
    spaces |= {name: common_scale(features) for name, features in (further or {}).items()}
    motion, whose = {name: part.motion for name, part in compared.items()}, sets["train"].labels
    with seconds.part("distances"):
        metrics["distances"] = {name: compare(space, draws) for name, space in spaces.items()}
        metrics["diversity"] = {
            name: diversity(space, whose, draws, people) for name, space in spaces.items()
        }
        metrics["kinematics_distance"] = kinematics_distance(motion, draws, people, units)
    return metrics


def judge_section(judges: list[Judge], sets: dict[str, ImageSet]) -> dict[str, Any]:
    """What is known of the judges: their calibration on the held-out images, and how far they agree."""
    real, drawn = sets["held_out"], sets["generated"]
    right = {
        name: [float((judge.predict(part.images).argmax(1) == part.labels).mean()) for judge in judges]
        for name, part in (("held_out", real), ("generated", drawn))
    }
    return {
        "seeds": len(judges),
        "temperature": judges[0].temperature.item(),
        "ece": calibration_error(judges[0].predict(real.images), real.labels),
        **{f"{name}_accuracy_by_seed": shares for name, shares in right.items()},
    }


def beside_training(lines: dict[str, numpy.ndarray]) -> dict[str, Nearness]:
    """Every other set of images (N, V, T) beside those of "train"."""
    return {name: nearness(part, lines["train"]) for name, part in lines.items() if name != "train"}


def copies_in(
    found: dict[str, Nearness], latents: dict[str, numpy.ndarray]
) -> dict[str, dict[str, numpy.ndarray]]:
    """{set: {"memorised": (N,) bool, "memorised_latents" likewise}}"""
    searched = {"memorised": found}
    if latents:
        scale = latents["train"].std((0, 2, 3), keepdims=True).clip(1e-9)
        lines = {name: (z / scale).reshape(len(z), -1, z.shape[3]) for name, z in latents.items()}
        searched["memorised_latents"] = beside_training(lines)
    copies: dict[str, dict[str, numpy.ndarray]] = {name: {} for name in found}
    for key, of_set in searched.items():
        usual = usual_left(of_set["held_out"])
        for name, own in of_set.items():
            copies[name][key] = memorised(own, usual)
    return copies


def closest_pairs(found: Nearness) -> list[dict[str, Any]]:
    """The ten generated images that training images explain best, by place in their sets."""
    return [
        {
            "generated": int(at),
            "train": int(found.places[at, 0]),
            "ratio": float(found.ratios[at]),
            "unexplained": float(found.left[at]),
        }
        for at in numpy.lexsort((found.ratios, found.left))[:10]
    ]


def data_copying(found: dict[str, Nearness], sets: dict[str, ImageSet], people: LabelTable) -> dict[str, Any]:
    """The three-sample test of generated images; "reconstructed", where there are such, is its z for images
    that are new, but as smooth as the tokenizer makes them.
    """
    distances = {name: own.distances[:, 0] for name, own in found.items()}
    held_out = distances["held_out"], sets["held_out"].labels
    tested = {
        name: three_samples(distances[name], sets[name].labels, *held_out, people)
        for name in ("generated", "reconstructed")
        if name in sets
    }
    control = {name: one["z"] for name, one in tested.items() if name != "generated"}
    return tested["generated"] | control


def figures_of(
    judge: Judge, part: ImageSet, training: ImageSet, people: LabelTable, copies: dict[str, numpy.ndarray]
) -> dict[str, Any]:
    """The judge's opinion of a set, its copies and its motion, in all and per person."""
    probabilities, labels = judge.predict(part.images), part.labels
    named = probabilities.argmax(1)
    table = numpy.zeros((len(people), len(people)), dtype=int)
    numpy.add.at(table, (labels, named), 1)
    of_asked = probabilities[numpy.arange(len(labels)), labels].clip(min=1e-12)
    flags = {
        "judged_right": named == labels,
        **copies,
        "impossible": outside_real_range(part.motion, training.motion),
    }
    measured = {"confidence": probabilities.max(1), **dict(zip(QUANTITIES, part.motion.T))}
    return {
        **{name: figures(values, labels, people) for name, values in {**flags, **measured}.items()},
        "negative_log_likelihood": float(-numpy.log(of_asked).mean()),
        "confusion": table.tolist(),  # rows: who it is; columns: who the judge says it is
    }


def diversity(
    space: dict[str, numpy.ndarray], labels: numpy.ndarray, draws: Draws, people: LabelTable
) -> dict[str, Any]:
    """Vendi score of equally many held-out and generated images of each person, and how many they are;
    `labels` are those of the training images.
    """
    width, who = usual_width(space["train"], labels), draws.full[0].people
    found: dict[str, Any] = {"real": {}, "generated": {}, "counts": {}}
    for label in numpy.unique(who):
        person = people.names[label]
        found["counts"][person] = int((who == label).sum())
        for kind, name in (("real", "held_out"), ("generated", "generated")):
            scores = [vendi(draw.of(space, name, label), width) for draw in draws.full]
            found[kind][person] = float(numpy.mean(scores))
    return {"vendi": found}


def obtain_judges(
    folder: Path, train: ImageSet, val: ImageSet | None, people: LabelTable, seed: int, count: int = 1
) -> list[Judge]:
    """Those that an earlier run left, the rest new; the first one is judge.safetensors."""
    names = ["judge", *(f"judge_{number}" for number in range(2, count + 1))]
    paths = [folder / f"{name}.safetensors" for name in names]
    for number, path in enumerate(paths):
        if not path.is_file():
            tried = (val.images, val.labels) if val else None
            judge = train_judge(train.images, train.labels, len(people), seed + number, val=tried)
            judge.save(path, people)
    return [load_judge(path)[0] for path in paths]
