"""The figures of a study: accuracies of its arms on the images that count, over all folds; differences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy

from evaluation.augmentation_study import REFERENCE, arm_lines, verdict_lines, verdict_of
from evaluation.groups import pieces_of
from evaluation.paired_differences import HELPS, HeldOut, conclude, difference, in_points, in_words, share
from evaluation.study_arms import ALL, MIXED, PHYSICAL, PHYSICAL_MIXED
from evaluation.study_designs import Fold
from evaluation.study_fold import Answers, Setting, arms_of, trainings_of

LEARNING = 0.01  # gained in the last part of a training: it was not at its end


def figures_of_study(
    folds: Sequence[Fold],
    answers: Sequence[Answers],
    setting: Setting,
    table: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    """The sections of study.json. `table` tells the day or recording of images, as
    `data.split_files.read_groups` has it.

    "gap_closed": the part of what all real images would add to the few that generated ones add, with the ends
    of its difference's interval; None where nothing is missing. "beside_physical": what generated images add
    where all are changed by physical augmentation. "others": what generated images do to the
    tested images of the people who do not count.
    """
    people, config = setting.people.names, setting.config
    counted, tested = images_of_folds(folds, setting, table, counted=True)
    right = {arm: correctness(arm, folds, answers, setting, counted) for arm in arms_of(folds[0], setting)}
    verdict = verdict_of(right, MIXED, tested, people)
    known = {"seeds": config.seeds, "generators": config.generator_seeds, "steps": config.classifier_steps}
    sections: dict[str, Any] = {
        "people": [people.names[label] for label in numpy.unique(tested.labels)],
        "verdict": {**known, "pieces": tested.pieces, **verdict},
        "learning": learning(folds, answers, setting),
        "named_right": named_right(answers, config.seeds),
        "confusions": confusions(folds, answers, setting),
    }
    if PHYSICAL_MIXED in right and PHYSICAL in right:
        delta = right[PHYSICAL_MIXED] - 1.0 * right[PHYSICAL]
        sections["beside_physical"] = {"reference": PHYSICAL, **difference(delta, tested, people)}
    if ALL in right:
        sections["gap_closed"] = gap_closed(verdict)
    others, apart = images_of_folds(folds, setting, table, counted=False)
    if len(apart.labels):
        hits = {arm: correctness(arm, folds, answers, setting, others) for arm in (REFERENCE, MIXED)}
        sections["others"] = {
            "arms": {arm: share(flags, apart) for arm, flags in hits.items()},
            "difference": conclude(hits[MIXED] - 1.0 * hits[REFERENCE], apart),
        }
    sections["summary"] = summary(sections)
    return sections


def images_of_folds(
    folds: Sequence[Fold], setting: Setting, table: Mapping[str, Mapping[str, str]], counted: bool
) -> tuple[list[numpy.ndarray], HeldOut]:
    """Places of the tested images of each fold whose people count, or do not; whose they are, and of which
    day, over all folds.
    """
    people = setting.people
    places, labels, days = [], [], []
    for fold in folds:
        whose = people.labels(fold.tested)
        chosen = numpy.flatnonzero([(people.names.names[one] in fold.counted) == counted for one in whose])
        places.append(chosen)
        labels.append(whose[chosen])
        days.append(pieces_of(table, [fold.tested[place] for place in chosen]) if len(chosen) else None)
    known = [day for day in days if day is not None]
    return places, HeldOut(
        numpy.concatenate(labels), numpy.concatenate(known) if len(known) == len(folds) else None
    )


def correctness(
    arm: str, folds: Sequence[Fold], answers: Sequence[Answers], setting: Setting, places: list[numpy.ndarray]
) -> numpy.ndarray:
    """Of an arm (seeds, N), or of several generators (generators, seeds, N), at some places of each fold."""
    parts = []
    for fold, said, chosen in zip(folds, answers, places):
        truth = setting.people.labels(fold.tested)
        trained = [one for one in trainings_of(fold, setting) if one.arm == arm]
        named = numpy.array([said[one.name]["named"] for one in trained])
        parts.append((named == truth)[:, chosen])
    right = numpy.concatenate(parts, axis=1)
    several = len(right) > setting.config.seeds
    return right.reshape(-1, setting.config.seeds, right.shape[-1]) if several else right


def gap_closed(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Of the accuracy that all real images add to the few, the part that generated ones add."""
    few, everything = (verdict["arms"][arm]["share"] for arm in (REFERENCE, ALL))
    gap, added = everything - few, verdict["differences"][MIXED]
    value, interval = None, None
    if gap > 0:
        value, interval = added["value"] / gap, [end / gap for end in added["interval"]]
    return {"few": few, "all": everything, "value": value, "interval": interval}


def learning(folds: Sequence[Fold], answers: Sequence[Answers], setting: Setting) -> dict[str, list[float]]:
    """Accuracy on the watched images after each part of the trainings, in the mean, by arm."""
    curves: dict[str, list[list[float]]] = {}
    for fold, said in zip(folds, answers):
        for one in trainings_of(fold, setting):
            curves.setdefault(one.arm, []).append(said[one.name]["curve"])
    return {arm: numpy.mean(runs, axis=0).tolist() for arm, runs in curves.items()}


def named_right(answers: Sequence[Answers], seeds: int) -> dict[str, Any]:
    """Share of generated images that classifiers of real images name right, and how many there are."""
    margins = [
        numpy.concatenate(answer["margins"])
        for said in answers
        for answer in said.values()
        if "margins" in answer
    ]
    return {
        "share": float(numpy.mean(numpy.concatenate(margins) > 0)),
        "count": sum(map(len, margins)) // seeds,
    }


def confusions(
    folds: Sequence[Fold], answers: Sequence[Answers], setting: Setting
) -> dict[str, dict[str, dict[str, float]]]:
    """By arm and person that counts: the share of classifiers' answers that name somebody else, by whom."""
    people, shares = setting.people, dict[str, dict[str, dict[str, float]]]()
    for arm in (REFERENCE, MIXED):
        named: dict[str, Counter[str]] = {}
        for fold, said in zip(folds, answers):
            whose = [people.of_folder[record.user] for _, record in fold.tested]
            for one in (one for one in trainings_of(fold, setting) if one.arm == arm):
                for name, label in zip(whose, said[one.name]["named"]):
                    if name in fold.counted:
                        named.setdefault(name, Counter())[people.names.names[label]] += 1
        shares[arm] = {
            name: {other: count / counts.total() for other, count in counts.most_common(4) if other != name}
            for name, counts in named.items()
        }
    return shares


def summary(sections: Mapping[str, Any]) -> list[str]:
    """What was found, in sentences."""
    # Whether they help
    verdict = sections["verdict"]
    shares = {arm: accuracy["share"] for arm, accuracy in verdict["arms"].items()}
    added, best = verdict["differences"][MIXED], verdict["beyond_best_real"]
    lines = [
        f"{verdict['sentence'].capitalize()}: of real images that nobody learnt from {shares[REFERENCE]:.1%} "
        f"are named right after {REFERENCE}, {shares[MIXED]:.1%} with generated images beside them, "
        f"{in_points(added)}; against the best arm of real images ({best['reference']}) {in_points(best)}."
    ]
    helping = {
        arm: effect
        for arm, effect in verdict["differences"].items()
        if effect["sentence"] == HELPS and arm not in (MIXED, ALL)
    }
    if helping:
        lines.append(
            f"Helping: {', '.join(f'{arm} {in_points(effect)}' for arm, effect in helping.items())}."
        )
    if "beside_physical" in sections:
        beside = sections["beside_physical"]
        lines.append(
            f"Beside physical augmentation: generated images {in_points(beside)}, {in_words(beside)}."
        )
    gap = sections.get("gap_closed")
    if gap and gap["value"] is not None:
        ends = " to ".join(f"{end:.2f}" for end in gap["interval"])
        lines.append(
            f"Gap closed: {gap['value']:.2f} ({ends}) of what all real images would add; these reach "
            f"{gap['all']:.1%}."
        )
    if "others" in sections:
        other = sections["others"]["difference"]
        lines.append(f"The other people: {in_points(other)}, {in_words(other)}.")

    # How far that can be trusted
    drawn = sections["named_right"]
    lines.append(
        f"Generated images: classifiers of the real ones name {drawn['share']:.0%} of {drawn['count']} right."
    )
    unfinished = [arm for arm, curve in sections["learning"].items() if curve[-1] - curve[-2] > LEARNING]
    if unfinished:
        lines.append(
            f"Not at their end: {', '.join(unfinished)} gained more than {LEARNING:.0%} in the last fifth of "
            "the steps; raise --classifier_steps."
        )
    return lines


def study_table(sections: Mapping[str, Any]) -> list[str]:
    """What is printed: a line per arm, then the sentences."""
    return [*arm_lines(sections["verdict"]), *verdict_lines(sections["verdict"]), *sections["summary"]]
