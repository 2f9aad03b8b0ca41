"""Everything that is measured of generated images beside real held-out ones, as JSON values."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy

from data.labels import LabelTable
from evaluation.agreement import agreement_section
from evaluation.data_copying import three_samples
from evaluation.distances import Draws, compare, draw_equal, usual_width, vendi
from evaluation.estimates import figures
from evaluation.features import ImageSet, common_scale, latent_space, radar_space
from evaluation.judge import Judge, SmallJudge, calibration_error, load_judge, train_judge
from evaluation.linear_judge import LinearJudge
from evaluation.memorisation import Nearness, luma, memorised, nearness, usual_left
from evaluation.motion import QUANTITIES, RULE, kinematics_distance, outside_real_range

SETS = ("train", "held_out", "generated")  # what sets are compared; `reconstructed` may be beside them
REBUILT = "reconstructed"
LEAST = 4  # images in each set, for distances
Kind = TypeVar("Kind")


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


class Measured(NamedTuple):
    """Sections of metrics.json by generator, those of "shared" the same for all; and what further sections
    take: the features (N, D) of every set in every space, and the judge's as they come; the first judge's
    probabilities (N, people) of every set but training; what each generated image is said to be, {generator:
    {flag: (N,) bool}}; and every set beside the training images.
    """

    sections: dict[str, dict[str, Any]]
    shared: dict[str, Any]
    spaces: dict[str, dict[str, numpy.ndarray]]
    judged: dict[str, numpy.ndarray]
    opinions: dict[str, numpy.ndarray]
    flags: dict[str, dict[str, numpy.ndarray]]
    near: dict[str, Nearness]


def measure(
    sets: dict[str, ImageSet], judges: list[Judge], people: LabelTable, units: dict[str, str], **more: Any
) -> dict[str, Any]:
    """All sections from `sets` of SETS (and "reconstructed"), as `measure_each` has them."""
    measured = measure_each(sets, judges, people, units, ("generated",), **more)
    return measured.shared | measured.sections["generated"]


def measure_each(
    sets: dict[str, ImageSet],
    judges: list[Judge],
    people: LabelTable,
    units: dict[str, str],
    generators: Sequence[str],
    *,
    linear: LinearJudge | None = None,
    latents: dict[str, numpy.ndarray] | None = None,
    further: dict[str, dict[str, numpy.ndarray]] | None = None,
    seed: int = 0,
    seconds: Stopwatch | None = None,
) -> Measured:
    """Sections of metrics.json of each of `generators`, whose images are in `sets` beside "train", "held_out"
    (and "reconstructed"); the first judge names, `linear` beside it. What is of real images alone is computed
    once.

    `latents` (N, C, h, w) and features (N, D) in `further` spaces are given for train, held_out and the
    generators. Images of people of whom a set has none enter no distance.
    """
    # Each image
    seconds = Stopwatch() if seconds is None else seconds
    with seconds.part("memorisation"):
        near = beside_training({name: luma(part.images) for name, part in sets.items()})
        copies = copies_in(near, latents or {})
    opinions = {
        name: [judge.predict(sets[name].seen) for judge in (judges[:1] if name == REBUILT else judges)]
        for name in near
    }
    first = {name: by_judge[0] for name, by_judge in opinions.items()}
    flags = {name: flags_of(one, sets[name], sets["train"], copies[name]) for name, one in first.items()}
    of_each = {name: figures_of(one, sets[name], flags[name], people) for name, one in first.items()}
    shared = {"impossible_rule": RULE, "real": of_each["held_out"]}
    shared |= {REBUILT: of_each[REBUILT]} if REBUILT in of_each else {}

    # Sets of images
    compared = {name: sets[name] for name in ("train", "held_out", *generators)}
    judged = {name: judges[0].features(part.seen) for name, part in compared.items()}
    spaces = spaces_of(judged, compared, latents, further or {})
    right = {name: of_set["judged_right"] for name, of_set in flags.items()}
    said = {name: linear.predict(sets[name].images) for name in near} if linear else None
    sections: dict[str, dict[str, Any]] = {}
    for name in generators:
        sets_of_one = of_generator(sets, name)
        sections[name] = {
            "judge": judge_section(judges[0], of_generator(opinions, name), sets_of_one),
            "closest_pairs": closest_pairs(near[name]),
            "data_copying": data_copying(of_generator(near, name), sets_of_one, people),
            "generated": of_each[name],
        }
        if linear and said:
            pair = of_generator(right, name), of_generator(said, name)
            sections[name]["agreement"] = agreement_section(linear, *pair, sets_of_one, people)
        with seconds.part("distances"):
            beside = {space: of_generator(features, name) for space, features in spaces.items()}
            sections[name] |= distances_of(beside, sets_of_one, people, units, seed)
    return Measured(sections, shared, spaces, judged, first, {name: flags[name] for name in generators}, near)


def spaces_of(
    judged: dict[str, numpy.ndarray],
    sets: dict[str, ImageSet],
    latents: dict[str, numpy.ndarray] | None,
    further: dict[str, dict[str, numpy.ndarray]],
) -> dict[str, dict[str, numpy.ndarray]]:
    """Features (N, D) of every set in each space in which sets are compared."""
    spaces = {"judge": common_scale(judged), "radar": radar_space(sets)}
    spaces |= {"latents": latent_space(latents)} if latents else {}
    return spaces | {name: common_scale(features) for name, features in further.items()}


def of_generator(sets: Mapping[str, Kind], name: str) -> dict[str, Kind]:
    """What is of real images, and of the generator `name` as "generated"."""
    real = {kind: sets[kind] for kind in ("train", "held_out", REBUILT) if kind in sets}
    return {**real, "generated": sets[name]}


def distances_of(
    spaces: dict[str, dict[str, numpy.ndarray]],
    sets: dict[str, ImageSet],
    people: LabelTable,
    units: dict[str, str],
    seed: int,
) -> dict[str, Any]:
    """Sections about whole sets, of SETS; none where they have too few images of common people."""
    sets = {name: sets[name] for name in SETS}
    draws = draw_equal({name: part.labels for name, part in sets.items()}, seed)
    if len(draws.full[0].people) < LEAST:
        return {}
    whose, motion = sets["train"].labels, {name: part.motion for name, part in sets.items()}
    return {
        "distances": {name: compare(space, draws) for name, space in spaces.items()},
        "diversity": {name: diversity(space, whose, draws, people) for name, space in spaces.items()},
        "kinematics_distance": kinematics_distance(motion, draws, people, units),
    }


def judge_section(
    judge: Judge, opinions: Mapping[str, list[numpy.ndarray]], sets: Mapping[str, ImageSet]
) -> dict[str, Any]:
    """What is known of the judges: the first one's calibration on the held-out images, and how far all agree;
    from their probabilities (N, people) of each set.
    """
    right = {
        name: [float((opinion.argmax(1) == sets[name].labels).mean()) for opinion in opinions[name]]
        for name in ("held_out", "generated")
    }
    return {
        "network": judge.network,
        "seeds": len(opinions["held_out"]),
        "temperature": judge.temperature.item(),
        "ece": calibration_error(opinions["held_out"][0], sets["held_out"].labels),
        **{f"{name}_accuracy_by_seed": shares for name, shares in right.items()},
    }


def beside_training(lines: dict[str, numpy.ndarray]) -> dict[str, Nearness]:
    """Every other set of images (N, V, T) beside those of "train"."""
    return {name: nearness(part, lines["train"]) for name, part in lines.items() if name != "train"}


def copies_in(
    near: dict[str, Nearness], latents: dict[str, numpy.ndarray]
) -> dict[str, dict[str, numpy.ndarray]]:
    """{set: {"memorised": (N,) bool, "memorised_latents" likewise}}"""
    searched = {"memorised": near}
    if latents:
        scale = latents["train"].std((0, 2, 3), keepdims=True).clip(1e-9)
        lines = {name: (z / scale).reshape(len(z), -1, z.shape[3]) for name, z in latents.items()}
        searched["memorised_latents"] = beside_training(lines)
    copies: dict[str, dict[str, numpy.ndarray]] = {name: {} for name in near}
    for key, of_set in searched.items():
        usual = usual_left(of_set["held_out"])
        for name, neighbours in of_set.items():
            copies[name][key] = memorised(neighbours, usual)
    return copies


def closest_pairs(neighbours: Nearness) -> list[dict[str, Any]]:
    """The ten generated images that training images explain best, by place in their sets."""
    return [
        {
            "generated": int(at),
            "train": int(neighbours.places[at, 0]),
            "ratio": float(neighbours.ratios[at]),
            "unexplained": float(neighbours.left[at]),
        }
        for at in numpy.lexsort((neighbours.ratios, neighbours.left))[:10]
    ]


def data_copying(near: dict[str, Nearness], sets: dict[str, ImageSet], people: LabelTable) -> dict[str, Any]:
    """The three-sample test of generated images; "reconstructed", where there are such, is its z for images
    that are new, but as smooth as the tokenizer makes them.
    """
    distances = {name: neighbours.distances[:, 0] for name, neighbours in near.items()}
    held_out = distances["held_out"], sets["held_out"].labels
    tested = {
        name: three_samples(distances[name], sets[name].labels, *held_out, people)
        for name in ("generated", "reconstructed")
        if name in sets
    }
    control = {name: one["z"] for name, one in tested.items() if name != "generated"}
    return tested["generated"] | control


def flags_of(
    probabilities: numpy.ndarray, part: ImageSet, training: ImageSet, copies: dict[str, numpy.ndarray]
) -> dict[str, numpy.ndarray]:
    """What each image is said to be, (N,) bool: named right, by `probabilities` (N, people), copied, outside
    the real range.
    """
    return {
        "judged_right": probabilities.argmax(1) == part.labels,
        **copies,
        "impossible": outside_real_range(part.motion, training.motion),
    }


def figures_of(
    probabilities: numpy.ndarray, part: ImageSet, flags: dict[str, numpy.ndarray], people: LabelTable
) -> dict[str, Any]:
    """The judge's opinion (N, people) of a set, its `flags` and its motion, in all and per person."""
    named, labels = probabilities.argmax(1), part.labels
    table = numpy.zeros((len(people), len(people)), dtype=int)
    numpy.add.at(table, (labels, named), 1)
    of_asked = probabilities[numpy.arange(len(labels)), labels].clip(min=1e-12)
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
    by_kind: dict[str, Any] = {"real": {}, "generated": {}, "counts": {}}
    for label in numpy.unique(who):
        person = people.names[label]
        by_kind["counts"][person] = int((who == label).sum())
        for kind, name in (("real", "held_out"), ("generated", "generated")):
            scores = [vendi(draw.of(space, name, label), width) for draw in draws.full]
            by_kind[kind][person] = float(numpy.mean(scores))
    return {"vendi": by_kind}


def obtain_judges(
    folder: Path,
    train: ImageSet,
    val: ImageSet | None,
    people: LabelTable,
    seed: int,
    count: int = 1,
    build: Callable[[int], Judge] = SmallJudge,
) -> list[Judge]:
    """Those that an earlier run left, the rest new, as `build` makes them; the first is judge.safetensors."""
    names = ["judge", *(f"judge_{number}" for number in range(2, count + 1))]
    paths = [folder / f"{name}.safetensors" for name in names]
    for number, path in enumerate(paths):
        if not path.is_file():
            tried = (val.seen, val.labels) if val else None
            learnt = train.seen, train.labels, len(people), seed + number
            judge = train_judge(*learnt, val=tried, build=build)
            judge.save(path, people)
    return [load_judge(path, build)[0] for path in paths]
