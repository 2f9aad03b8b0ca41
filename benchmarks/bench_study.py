"""How often the augmentation study's intervals hold, on simulated answers whose truth is known.

    python -m benchmarks.bench_study            # 400 studies of each design
    python -m benchmarks.bench_study --quick    # 50, without the older methods
    python -m benchmarks.bench_study --only generators

No network is trained. A classifier answers right where a sum of normal effects is above zero: of the person,
of the walk that neighbouring images share (a moving average of four), of the day, of the training, of the
training for a person, and of the single answer; each arm has its own besides the walk's. Where several
generators are trained, the arm that sees their images has their luck, too, in all and for a person. Hence the
true share is known, and the gain of each person is shifted until the mean difference of these people is
exactly what the design says.
"""

from __future__ import annotations

import argparse
import math
import sys
from typing import NamedTuple

import numpy
from scipy import stats
from scipy.optimize import brentq

from benchmarks.form import table
from benchmarks.turns import report
from configs.command_line import run_script
from data.progress import progress
from evaluation.distances import BLOCK
from evaluation.paired_differences import HARMS, HELPS, HeldOut, conclude, share

DRAWS = 300  # of each bootstrap
HOLDS = (0.93, 0.97)
MOST_HELPS = 0.05


class Design(NamedTuple):
    """A study: its size, its truth, and the standard deviations of what makes a classifier be right."""

    people: int = 10
    images: int = 18
    seeds: int = 8
    days: int = 1
    accuracy: float = 0.85
    gain: float = 0.0
    overlap: int = BLOCK  # neighbouring images that share a part of the walk
    walk: float = 1.5
    walk_of_arm: float = 0.5
    day: float = 0.0
    training: float = 0.1
    training_of_person: float = 0.2
    answer: float = 0.5
    person: float = 0.7
    gain_of_person: float = 0.4
    generators: int = 1
    generator: float = 0.1
    generator_of_person: float = 0.2


DESIGNS = {
    "10 people, 18 images": Design(),
    "10 people, 18 images, independent": Design(overlap=1),
    "10 people, 8 images": Design(images=8),
    "10 people, 60 images": Design(images=60),
    "31 people, 18 images": Design(people=31),
    "31 people, 50 images": Design(people=31, images=50),
    "31 people, 50 images, trainings differ": Design(people=31, images=50, training=0.3),
    "10 people, 3 days of 8 images": Design(images=24, days=3, day=0.4),
    "10 people, no luck of trainings": Design(training=0.0, training_of_person=0.0, answer=0.2),
    "10 people, every answer a toss": Design(training=0.0, walk=0.5, walk_of_arm=0.0, answer=2.0),
    "10 people, 3 seeds": Design(seeds=3),
    "10 people, 16 seeds": Design(seeds=16),
    "31 people, accuracy 98 %": Design(people=31, accuracy=0.98),
    "10 people, accuracy 98 %": Design(accuracy=0.98),
    "31 people, accuracy 99.5 %": Design(people=31, accuracy=0.995),
    "10 people, +3 points": Design(accuracy=0.82, gain=0.03),
    "31 people, 50 images, +3 points": Design(people=31, images=50, accuracy=0.82, gain=0.03),
    "31 people, 98 % +1 point": Design(people=31, accuracy=0.98, gain=0.01),
    "10 people, -10 points": Design(accuracy=0.9, gain=-0.1),
    "10 people, 2 generators": Design(generators=2),
    "10 people, 3 generators": Design(generators=3),
    "31 people, 50 images, 3 generators": Design(people=31, images=50, generators=3),
    "10 people, 3 generators alike": Design(generators=3, generator=0.0, generator_of_person=0.0),
    "10 people, 5 generators that differ": Design(generators=5, generator=0.3),
    "10 people, 3 generators, +3 points": Design(generators=3, accuracy=0.82, gain=0.03),
}


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="50 studies a design, no form")
    parser.add_argument("--studies", type=int, default=400, help="of each design (default 400)")
    parser.add_argument("--only", default="", metavar="WORD", help="designs that have the word in their name")
    options = parser.parse_args(argv)
    count = 50 if options.quick else options.studies
    rows, powers, faults = [], [], []
    chosen = {name: design for name, design in DESIGNS.items() if options.only in name}
    for name, design in progress(chosen.items(), description="designs", unit="design"):
        cells, rates = held_rates(design, count, compared=not options.quick)
        rows.append([name, *cells])
        faults += faults_of(name, design, rates, count)
        if design.gain == 0 and design.seeds > 3:
            powers.append([name, *power_of(design, rates["detectable"], count)])
    compared = any(row[-1] != "-" for row in rows)
    shown = [row if compared else row[:COMPARED] for row in ([*HEAD], *rows)]
    body = (
        f"{count} studies a design, 8 seeds unless told. {EXPLAINED}{OTHERS * compared}\n\n"
        f"{table(shown[0], shown[1:])}\n\n"
        "A true difference of the size that these designs could see in the median (80 % power), half of it "
        "below and half above the accuracy, up to 99.8 %:\n\n"
        f"{table(('design', 'points', 'found, %'), powers)}"
    )
    command = f"python -m benchmarks.bench_study{' --quick' if options.quick else f' --studies {count}'}"
    command += f" --only {options.only}" if options.only else ""
    title = "The augmentation study's intervals on designs with known truth"
    form = f"study_intervals_{options.only}" if options.only else "study_intervals"
    sys.exit(report(form, title, command, body, faults, write=not options.quick))


EXPLAINED = (
    "In per cent: how often the 95 % interval holds the true difference of these people, and that of the "
    "reference arm its true share; how often *helps* and *harms* are said; how often the difference is "
    "called equal within 3 points."
)
OTHERS = (
    " Then how often others' intervals hold: over images alone and over seeds alone (this "
    "project's before, with how often both said *helps*), a percentile bootstrap of seeds, "
    "then blocks of four images, and one of seeds, people, blocks."
)
HEAD = (
    *("design", "holds", "share holds", "helps", "harms", "equal", "width, points"),
    *("images alone", "seeds alone", "both said helps", "bootstrap", "bootstrap of people"),
)
COMPARED = HEAD.index("images alone")  # from here on: others' methods, of one generator only


def draw(design: Design, rng: numpy.random.Generator) -> tuple[numpy.ndarray, HeldOut]:
    """Paired differences (seeds, N), or (generators, seeds, N), of one study, and whose images they are."""
    reference, other, tested = answers(design, rng)
    return other - 1.0 * reference, tested


def answers(design: Design, rng: numpy.random.Generator) -> tuple[numpy.ndarray, numpy.ndarray, HeldOut]:
    """Correctness of the reference (seeds, N), and of the other arm, of several generators
    (generators, seeds, N).
    """
    # Truth: each person's level in each arm
    people, images, seeds = design.people, design.images, design.seeds
    parts = (design.walk, design.walk_of_arm, design.day)
    parts += (design.training, design.training_of_person, design.answer)
    luck = (design.generator, design.generator_of_person) if design.generators > 1 else (0.0, 0.0)

    def shifted(levels: numpy.ndarray, wanted: float, *more: float) -> numpy.ndarray:
        spread = math.hypot(*parts, *more)
        return levels + brentq(lambda x: stats.norm.cdf((levels + x) / spread).mean() - wanted, -60, 60)

    before = shifted(design.person * rng.standard_normal(people), design.accuracy)
    gains = design.gain_of_person * rng.standard_normal(people)
    after = shifted(before + gains, design.accuracy + design.gain, *luck)

    # Luck
    day = numpy.arange(images) * design.days // images
    walk = design.walk * walks(rng, people, images, design.overlap)

    def right(levels: numpy.ndarray, generators: int) -> numpy.ndarray:
        scores = levels[:, None] + walk + design.walk_of_arm * walks(rng, people, images, design.overlap)
        scores = scores + design.day * rng.standard_normal((people, design.days))[:, day]
        trained = design.training * rng.standard_normal((generators, seeds, 1, 1))
        trained = trained + design.training_of_person * rng.standard_normal((generators, seeds, people, 1))
        single = design.answer * rng.standard_normal((generators, seeds, people, images))
        lucky = luck[0] * rng.standard_normal((generators, 1, 1, 1)) if generators > 1 else 0.0
        lucky = lucky + luck[1] * rng.standard_normal((generators, 1, people, 1)) if generators > 1 else 0.0
        hits: numpy.ndarray = (scores + trained + single + lucky > 0).reshape(generators, seeds, -1)
        return hits if generators > 1 else hits[0]

    labels = numpy.repeat(numpy.arange(people), images)
    days = numpy.tile(day, people) if design.days > 1 else None
    return right(before, 1), right(after, design.generators), HeldOut(labels, days)


def walks(rng: numpy.random.Generator, people: int, images: int, overlap: int) -> numpy.ndarray:
    """(people, images) of variance 1: means of `overlap` neighbouring steps of a walk each."""
    steps = rng.standard_normal((people, images + overlap - 1))
    return numpy.lib.stride_tricks.sliding_window_view(steps, overlap, axis=1).mean(-1) * math.sqrt(overlap)


def held_rates(design: Design, count: int, compared: bool) -> tuple[list[str], dict[str, float]]:
    """A row of the table, and the rates in it that can be wrong, with the median "detectable"."""
    said: dict[str, list[float]] = {name: [] for name in HEAD[1:]}
    sizes = []
    for number in range(count):
        rng = numpy.random.default_rng(number)
        reference, other, tested = answers(design, rng)
        delta = other - 1.0 * reference
        effect = conclude(delta, tested)
        low, high = effect["interval"]
        said["holds"].append(low <= design.gain <= high)
        low_share, high_share = share(reference, tested)["interval"]
        said["share holds"].append(low_share <= design.accuracy <= high_share)
        said["helps"].append(effect["sentence"] == HELPS)
        said["harms"].append(effect["sentence"] == HARMS)
        said["equal"].append(effect["equal_within"] is not None)
        said["width, points"].append(high - low)
        sizes.append(effect["detectable"] or math.nan)
        ends = others(delta, tested, rng) if compared and delta.ndim == 2 else {}
        for name, (low, high) in ends.items():
            said[name].append(low <= design.gain <= high)
        if ends:
            said["both said helps"].append(min(ends[name][0] for name in HEAD[7:9]) > 0)
    means = {name: float(numpy.mean(values)) if values else math.nan for name, values in said.items()}
    cells = [f"{100 * mean:.1f}" if math.isfinite(mean) else "-" for mean in means.values()]
    return cells, means | {"detectable": float(numpy.median(sizes))}


def others(
    delta: numpy.ndarray, tested: HeldOut, rng: numpy.random.Generator
) -> dict[str, tuple[float, float]]:
    """Intervals of other methods, by their names in HEAD."""
    labels, seeds = tested.labels, len(delta)
    people, images = numpy.unique(labels), numpy.bincount(labels)[0]
    drawn = rng.integers(seeds, size=(DRAWS, seeds))
    means = numpy.stack([delta[rows].mean(0) for rows in drawn]).reshape(DRAWS, len(people), images)
    blocks = rng.integers(images, size=(DRAWS, len(people), math.ceil(images / BLOCK), 1))
    inside = ((blocks + numpy.arange(BLOCK)) % images).reshape(DRAWS, len(people), -1)[..., :images]
    of_people = rng.integers(len(people), size=(DRAWS, len(people), 1))
    alone = numpy.take_along_axis(delta.mean(0).reshape(1, len(people), images), inside, axis=2)
    nested = numpy.take_along_axis(means, inside, axis=2)
    resampled = numpy.take_along_axis(nested.mean(2), of_people[..., 0], axis=1)
    half = stats.t.ppf(0.975, seeds - 1) * delta.mean(1).std(ddof=1) / math.sqrt(seeds)

    def ends(x: numpy.ndarray) -> tuple[float, float]:
        low, high = numpy.quantile(x, (0.025, 0.975))
        return float(low), float(high)

    return {
        "images alone": ends(alone.mean((1, 2))),
        "seeds alone": (delta.mean() - half, delta.mean() + half),
        "bootstrap": ends(nested.mean((1, 2))),
        "bootstrap of people": ends(resampled.mean(1)),
    }


def power_of(design: Design, size: float, count: int) -> list[str]:
    """How often a true difference of `size` is called help."""
    below = min(design.accuracy - size / 2, 0.998 - size)
    changed = design._replace(accuracy=below, gain=size)
    helped = [
        conclude(*draw(changed, numpy.random.default_rng(10**6 + number)))["sentence"] == HELPS
        for number in range(count)
    ]
    return [f"{100 * size:.1f}", f"{100 * numpy.mean(helped):.0f}"]


def faults_of(name: str, design: Design, rates: dict[str, float], count: int) -> list[str]:
    """Rates that are wrong by more than three standard errors of so many studies; where few answers are
    wrong, intervals may hold more often.
    """
    error = 3 * math.sqrt(0.95 * 0.05 / count)
    low, high = HOLDS
    high = 1.0 if design.accuracy * (1 - design.accuracy) * design.people * design.images < 20 else high
    faults = []
    if not low - error <= rates["holds"] <= high + error:
        faults.append(f"{name}: the interval holds in {rates['holds']:.1%}")
    if design.gain == 0 and rates["helps"] > MOST_HELPS + error:
        faults.append(f"{name}: called help in {rates['helps']:.1%} without an effect")
    return faults


if __name__ == "__main__":
    run_script(main)
