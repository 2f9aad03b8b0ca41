"""Do generated images help a classifier of people? The augmentation study and the few-shot curve.

Every arm trains the judge's network on train, or on a part of it, with and without generated images, and
is tested on the same held-out real images, seed by seed, each rolled in time: images cut every whole
number of steps show a recording always at the same phase, by which a classifier that never saw them shifted
would tell recordings, not people, apart. Arms are compared image by image, by
`evaluation.paired_differences`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy
import torch
from torch import Tensor

from data.labels import LabelTable
from data.physical_augmentation import Physical
from data.progress import progress
from evaluation.classifiers import BATCH, Labelled, classic, rolled, train_classifier
from evaluation.paired_differences import (
    HELPS,
    SAME,
    HeldOut,
    difference,
    in_points,
    in_words,
    limit_of,
    share,
)

RATIOS = (0.5, 1.0, 2.0)
SIZES = (5, 10, 20)
REFERENCE, FEW_SHOT = "real + classic", "real + classic + generated"
REAL, PHYSICAL, ONLY = "real", "real + physical", "generated only"
WITHOUT_AXES = "the study has no arm with physical augmentation, which requires the images' --axes"
SHORT = ("value", "interval", "detectable", "equal_within", "sentence")  # of a difference by groups
LEAST_STEPS = 1000  # with fewer the classifiers are still learning, and what they see twice as often wins


class Arm(NamedTuple):
    """What a classifier learns from: real images a person (None: all), generated ones for each real one, and
    how the images are augmented.
    """

    real: int | None
    ratio: float = 0.0
    augment: Literal["none", "classic", "physical"] = "classic"


Answers = dict[tuple[Arm, int], list[numpy.ndarray]]  # by arm and seed: correctness (N,) on each set tried


def study(
    real: Labelled,
    held_out: Labelled,
    generated: Labelled,
    people: LabelTable,
    *,
    seeds: int = 8,
    seed: int = 0,
    epochs: int = 16,
    grouped: Labelled | None = None,
    groups: Mapping[str, Mapping[str, numpy.ndarray]] | None = None,
    physical: Physical | None = None,
    runs: numpy.ndarray | None = None,
    shared: Answers | None = None,
) -> dict[str, Any]:
    """Sections "verdict" and "few_shot" of metrics.json. `real` is train alone, `seeds` at least 2.

    `groups` (day → kind → places among the real images `grouped`) have every arm tried on each kind, too.
    There is an arm with `physical` augmentation where the images' axes are known. `runs` (N,) tells which
    training of the generator each generated image is of: classifiers learn from one at a time, and intervals
    cover the generator's luck, too. `shared` keeps what the arms without generated images gave, for studies
    of other generators beside the same real images.

    The verdict in one sentence is that of the arm nearest to one generated image for each real one, chosen
    before anything is measured; "helps" must hold for it against the best of the arms without generated
    images. The generator has seen all of train: the few-shot curve says what its images are worth to someone
    with few real ones, not what a generator trained on so few would give.
    """
    # Plan: every arm, and the one that decides
    drawn = [generated] if runs is None else [generated.at(runs == run) for run in numpy.unique(runs)]
    arms = arms_of(min(len(one.labels) for one in drawn) / len(real.labels), physical is not None)
    primary = min(arms, key=lambda name: abs(arms[name].ratio - 1) + 9 * (arms[name].real == 0))
    sizes = [size for size in SIZES if size < numpy.bincount(real.labels).max()]
    curve = {
        name: [Arm(size, ratio) for size in (*sizes, None)]
        for name, ratio in ((REFERENCE, 0.0), (FEW_SHOT, arms[primary].ratio))
    }
    # Equal steps for all: more images would else mean more training too, and that is another question.
    steps = max(LEAST_STEPS, epochs * math.ceil(len(real.labels) / BATCH))

    # Training: each arm by each seed, tried on the held-out images and, of the arms by name, on grouped ones
    tried = [(held_out, [*arms.values(), *sum(curve.values(), [])])]
    if groups and grouped:
        tried.append((grouped, [*arms.values()]))
    seen = range(seed, seed + seeds)
    right, *of_groups = train_arms(tried, real, drawn, len(people), seen, steps, physical, shared)

    # Comparison
    by_name = {name: right[arm] for name, arm in arms.items()}
    known = {"seeds": seeds, "generators": len(drawn), "steps": steps, "pieces": held_out.tested.pieces}
    verdict = {**known, **verdict_of(by_name, primary, held_out.tested, people)}
    if groups and grouped:
        by_name = {name: of_groups[0][arm] for name, arm in arms.items()}
        verdict["groups"] = {
            group: {kind: of_kind(by_name, grouped.tested, places, people) for kind, places in kinds.items()}
            for group, kinds in groups.items()
        }
    few_shot = {"sizes": [*sizes, "all"], **few_shot_of(curve, right, held_out.tested, people)}
    return {"verdict": verdict, "few_shot": few_shot}


def train_arms(
    tried: Sequence[tuple[Labelled, Sequence[Arm]]],
    real: Labelled,
    generators: Sequence[Labelled],
    num_people: int,
    seeds: range,
    steps: int,
    physical: Physical | None,
    shared: Answers | None = None,
) -> list[dict[Arm, numpy.ndarray]]:
    """Correctness (seeds, N), of arms that see several generators (generators, seeds, N), on each of the sets
    that they are `tried` on, the first of which is that of all arms; `shared` as in `study`.
    """
    images = [rolled(part.images, seeds[0]) for part, _ in tried]
    hits: list[dict[Arm, list[numpy.ndarray]]] = [{arm: [] for arm in arms} for _, arms in tried]
    changes: dict[str, Callable[[Tensor], Tensor]] = {"none": torch.nn.Identity(), "classic": classic}
    sources = dict.fromkeys(changes, real)
    if physical:
        bright = real._replace(images=physical.with_brightness(real.images))
        changes, sources = changes | {"physical": physical}, sources | {"physical": bright}

    def answers(arm: Arm, seed: int, drawn: Labelled) -> list[numpy.ndarray]:
        pool = pool_of(arm, sources[arm.augment], drawn, seed)
        judge = train_classifier(pool, num_people, seed, steps, changes[arm.augment])
        on = [(part, shown) for (part, arms), shown in zip(tried, images) if arm in arms]
        return [judge.logits(shown).argmax(1).numpy() == part.labels for part, shown in on]

    shared = {} if shared is None else shared
    total = len(seeds) * len(hits[0])
    with progress(total=total, description="augmentation study", unit="training") as bar:
        for seed, arm in product(seeds, hits[0]):
            known = None if arm.ratio else shared.get((arm, seed))
            seen = generators if arm.ratio else generators[:1]
            outcomes = [known or answers(arm, seed, drawn) for drawn in seen]
            if not arm.ratio:
                shared[arm, seed] = outcomes[0]
            for place, hits_here in enumerate([one for one in hits if arm in one]):
                hits_here[arm].append(numpy.stack([right[place] for right in outcomes]))
            bar.update(1)
    return [{arm: _by_generator(rows) for arm, rows in hits_here.items()} for hits_here in hits]


def _by_generator(rows: Sequence[numpy.ndarray]) -> numpy.ndarray:
    """(generators, seeds, N), of one generator (seeds, N), from (generators, N) of each seed."""
    whole = numpy.stack(rows, axis=1)
    return whole[0] if len(whole) == 1 else whole


def verdict_of(
    right: Mapping[str, numpy.ndarray], primary: str, tested: HeldOut, people: LabelTable
) -> dict[str, Any]:
    """Accuracy of the arms by name, from correctness (seeds, N), how they differ from the reference, and what
    the `primary` one shows.
    """
    differences = {
        name: {"reference": REFERENCE, **difference(hits - 1.0 * right[REFERENCE], tested, people)}
        for name, hits in right.items()
        if name != REFERENCE
    }
    without = [name for name in (REAL, REFERENCE, PHYSICAL) if name in right]
    best = max(without, key=lambda name: right[name].mean())
    beyond = difference(right[primary] - 1.0 * right[best], tested, people)
    sentence = differences[primary]["sentence"]
    return {
        "arms": {name: accuracies(hits, tested, people) for name, hits in right.items()},
        "differences": differences,
        "primary": primary,
        # where classic augmentation does harm, undoing a part of that is no help
        "sentence": SAME if sentence == HELPS != beyond["sentence"] else sentence,
        "beyond_best_real": {"reference": best, **beyond},
    }


def few_shot_of(
    curve: Mapping[str, Sequence[Arm]],
    right: Mapping[Arm, numpy.ndarray],
    tested: HeldOut,
    people: LabelTable,
) -> dict[str, Any]:
    """Accuracy of the arms of both lines of the curve, and how they differ."""
    pairs = zip(curve[FEW_SHOT], curve[REFERENCE])
    return {
        "arms": {name: [share(right[arm], tested) for arm in line] for name, line in curve.items()},
        "differences": [
            difference(right[with_] - 1.0 * right[without], tested, people) for with_, without in pairs
        ],
    }


def of_kind(
    right: Mapping[str, numpy.ndarray], tested: HeldOut, places: numpy.ndarray, people: LabelTable
) -> dict[str, Any]:
    """Accuracy of each arm, from correctness (..., seeds, N), at some places alone, and how it differs there
    from the reference's.
    """
    chosen = {arm: hits[..., places] for arm, hits in right.items()}
    apart = {
        arm: difference(hits - 1.0 * chosen[REFERENCE], tested.at(places), people)
        for arm, hits in chosen.items()
        if arm != REFERENCE
    }
    return {
        "arms": {arm: accuracy(hits, tested.at(places)) for arm, hits in chosen.items()},
        "differences": {arm: {name: whole[name] for name in SHORT} for arm, whole in apart.items()},
    }


def arms_of(available: float, physical: bool = False) -> dict[str, Arm]:
    """Every arm by name; `available` generated images for each real one cap the ratios."""
    ratios = sorted({min(ratio, available) for ratio in RATIOS})
    mixed = {f"{FEW_SHOT} x{ratio:.2g}": Arm(None, ratio) for ratio in ratios}
    return {
        REAL: Arm(None, augment="none"),
        REFERENCE: Arm(None),
        **({PHYSICAL: Arm(None, augment="physical")} if physical else {}),
        **mixed,
        ONLY: Arm(0, ratios[-1]),
    }


def pool_of(arm: Arm, real: Labelled, generated: Labelled, seed: int) -> Labelled:
    """The arm's images: real ones drawn by the seed alone, hence the same in every arm of that size, and
    the first generated ones of each person."""
    rng, parts = numpy.random.default_rng(seed), []
    for label in numpy.unique(real.labels):
        places = rng.permutation(numpy.flatnonzero(real.labels == label))
        count = math.ceil(arm.ratio * len(places))
        added = (generated, numpy.flatnonzero(generated.labels == label)[:count])
        parts += [(real, places[: arm.real]), *([added] if count else [])]
    return Labelled(
        numpy.concatenate([source.images[places] for source, places in parts]),
        numpy.concatenate([source.labels[places] for source, places in parts]),
    )


def accuracies(right: numpy.ndarray, tested: HeldOut, people: LabelTable) -> dict[str, Any]:
    """`accuracy` of all images, and "per_person" of each one's."""
    places_of = {label: numpy.flatnonzero(tested.labels == label) for label in numpy.unique(tested.labels)}
    each = {
        people.names[label]: accuracy(right[..., places], tested.at(places))
        for label, places in places_of.items()
    }
    return {**accuracy(right, tested), "per_person": each}


def accuracy(right: numpy.ndarray, tested: HeldOut) -> dict[str, Any]:
    """A figure (`evaluation.estimates`) of correctness (..., seeds, N)."""
    figure = share(right, tested)
    return {"share": figure.pop("value"), **figure}


def study_lines(sections: dict[str, Any]) -> Sequence[str]:
    """What `study` found, a line per arm and per size."""
    verdict, few_shot = sections["verdict"], sections["few_shot"]
    sizes = zip(few_shot["sizes"], few_shot["differences"])
    curve = [f"{size} real images a person + generated: {_said(effect)}" for size, effect in sizes]
    return [*arm_lines(verdict), *curve, *verdict_lines(verdict)]


def arm_lines(verdict: Mapping[str, Any]) -> list[str]:
    """A line per arm."""
    arms = verdict["arms"]
    shares = ", ".join(f"{name} {arms[name]['share']:.1%}" for name in (REAL, REFERENCE) if name in arms)
    head = f"held-out real images judged right after training on {shares}; differences from the latter:"
    return [head, *(f"{name}: {_said(effect)}" for name, effect in verdict["differences"].items())]


def verdict_lines(verdict: Mapping[str, Any]) -> list[str]:
    """What so few seeds cannot say, and the verdict."""
    limit = limit_of(verdict["seeds"])
    lines = [f"cannot be said: {limit}"] if limit else []
    return [*lines, f"the verdict on generated images ({verdict['primary']}): {verdict['sentence']}"]


def _said(effect: dict[str, Any]) -> str:
    return f"{in_points(effect)}, {in_words(effect)}"
