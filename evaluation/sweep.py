"""The trade-off of guidance: a small set for each setting, what it scores, and which setting to take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy

from configs.errors import UserError
from data.atomic import replacing
from evaluation.augmentation_study import Labelled
from evaluation.distances import compare, draw_equal, kid, neighbourhoods
from evaluation.estimates import wilson_interval
from evaluation.features import common_scale
from evaluation.judge import Judge
from evaluation.measure import LEAST
from evaluation.memorisation import luma, memorised, nearest_two

MARGIN = 0.01
RULE = (
    "the lowest KID among the settings whose accuracy reaches that of held-out real pictures (more is "
    "caricature) or the lower end of the best setting's 95 % interval, and whose "
    f"memorised share exceeds that of held-out real pictures by {100 * MARGIN:.0f} point at most"
)
MEASURES = ("accuracy", "kid", "coverage", "memorised")


def score(judge: Judge, generated: Labelled, train: Labelled, held_out: Labelled) -> dict[str, Any]:
    """Estimates of MEASURES for one setting: how often the judge names the person asked for, KID and coverage
    of the held-out pictures in its features, and the share of copies of training pictures.
    """
    sets = {"train": train, "held_out": held_out, "generated": generated}
    space = common_scale({name: judge.features(own.images) for name, own in sets.items()})
    draws = draw_equal({name: own.labels for name, own in sets.items()}, 0)
    if len(draws.full[0].people) < LEAST:
        raise UserError("a setting has too few pictures for a distance; raise --num_samples_per_user")
    near = {name: both["generated"] for name, both in compare(space, draws, _near).items()}
    return {**shares(judge, generated, train), **near}


def shares(judge: Judge, pictures: Labelled, train: Labelled) -> dict[str, Any]:
    """Estimates of accuracy and memorised share, with Wilson's intervals."""
    copies = memorised(nearest_two(luma(pictures.images), luma(train.images))[0])
    right = judge.predict(pictures.images).argmax(1) == pictures.labels
    return {"accuracy": _share(right), "memorised": _share(copies)}


def _near(x: numpy.ndarray, y: numpy.ndarray, people: numpy.ndarray) -> dict[str, float]:
    return {"kid": kid(x, y), "coverage": neighbourhoods(x, y)["coverage"]}


def _share(flags: numpy.ndarray) -> dict[str, Any]:
    hits, count = int(flags.sum()), len(flags)
    return {"value": hits / count, "interval": list(wilson_interval(hits, count)), "count": count}


def recommend(settings: list[dict[str, Any]], real: dict[str, Any]) -> int | None:
    """Which of the settings RULE chooses, where `real` are the held-out pictures' `shares`; None where all
    copy, or where the least copying ones are not the person.
    """
    best = max(settings, key=lambda own: own["accuracy"]["value"])["accuracy"]
    enough = min(best["interval"][0], real["accuracy"]["value"])
    fit = [
        place
        for place, own in enumerate(settings)
        if own["accuracy"]["value"] >= enough
        and own["memorised"]["value"] <= real["memorised"]["value"] + MARGIN
        and own["kid"]["value"] is not None
    ]
    return min(fit, key=lambda place: settings[place]["kid"]["value"], default=None)


def draw_figure(sweep: dict[str, Any], path: Path) -> None:
    """The four measures against guidance, a line for each sampler, the recommended setting ringed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.4), layout="constrained")
    for axes, measure in zip(figure.subplots(2, 2).flat, MEASURES):
        for sampler in dict.fromkeys(own["sampler"] for own in sweep["settings"]):
            own = [one for one in sweep["settings"] if one["sampler"] == sampler and one[measure]["interval"]]
            own.sort(key=lambda one: one["guidance"])
            values = numpy.array([[one["guidance"], one[measure]["value"]] for one in own]).reshape(-1, 2).T
            ends = numpy.array([one[measure]["interval"] for one in own]).reshape(-1, 2).T
            axes.errorbar(*values, abs(ends - values[1]), marker="o", capsize=3, label=sampler)
        if sweep["recommended"] is not None:
            chosen = sweep["settings"][sweep["recommended"]]
            axes.plot(chosen["guidance"], chosen[measure]["value"], "o", ms=14, mfc="none", color="black")
        if measure in sweep["real"]:
            axes.axhline(sweep["real"][measure]["value"], color="grey", ls=":", label="held-out real")
        axes.set(title={"kid": "KID"}.get(measure, measure), xlabel="guidance scale")
        axes.legend(fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def table(sweep: dict[str, Any]) -> list[str]:
    """A line per setting, the recommended one marked, and the rule."""
    rows = [["sampler", "guidance", *MEASURES]]
    for place, own in enumerate(sweep["settings"]):
        mark = " *" * (place == sweep["recommended"])
        figures = [own[measure]["value"] for measure in MEASURES]
        rows.append([own["sampler"], f"{own['guidance']:g}{mark}",
                     *("-" if value is None else f"{value:.3g}" for value in figures)])
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(map(str.rjust, row, widths)) for row in rows]
    said = "recommended (*)" if sweep["recommended"] is not None else "none is recommended; the rule"
    return [*lines, f"{said}: {sweep['rule']}"]
