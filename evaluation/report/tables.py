"""The figures of metrics.json person by person: as columns, as text, as table.csv and table.tex."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from data.tables import csv_text
from evaluation.agreement import said_by_judges
from evaluation.distances import MEASURES

KINDS = ("real", "generated", "reconstructed")
PERCENT = {"confidence", "memorised", "accuracy", "chance"}  # shares by other keys than "share"
LOWER = {name for name, meaning in MEASURES.items() if meaning.lower_is_better}
PAPER = ("judged_right", "memorised", "torso_velocity", "cadence", "impossible")  # what fits across a page
WORDS = {
    "judged_right": "named right",
    "negative_log_likelihood": "negative log-likelihood",
    "kid": "KID",
    "impossible": "outside the real range",
    "frechet": "Fréchet distance",
    "sliced_wasserstein": "sliced Wasserstein",
    "vendi": "Vendi score",
    "psnr_db": "PSNR in dB",
    "ssim": "SSIM",
    "torso_error_mps": "torso error in m/s",
    "torso_error_bins": "torso error in bins",
    "memorised_latents": "memorised (latents)",
    "ece": "expected calibration error",
    "dinov2": "DINOv2",
}
TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': r"\textquotedbl{}",
    "|": r"\textbar{}",
    "[": "{[}",
    "*": "{*}",  # at the start of a row they would belong to the \\ before
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}


class Column(NamedTuple):
    """One figure (a mapping with "share", "mean" or "value") of every person it is known of, and of all."""

    measure: str
    kind: str
    unit: str
    people: dict[str, Any]
    overall: dict[str, Any] | None

    def of(self, person: str | None) -> dict[str, Any] | None:
        """The figure of a person, or (None) of all."""
        return self.overall if person is None else self.people.get(person)


def kinds_of(metrics: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What was measured of each image: real, generated (or every generator by name), reconstructed."""
    kinds = {kind: metrics[kind] for kind in KINDS if kind in metrics}
    drawn = {name: sections["generated"] for name, sections in metrics.get("generators", {}).items()}
    return {kind: kinds.pop(kind) for kind in KINDS[:1] if kind in kinds} | drawn | kinds


def headline(metrics: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """A figure of generated images, or of every generator's, beside that of real ones; empty without any."""
    kinds = kinds_of(metrics)
    drawn = [kind for kind in kinds if kind not in ("real", "reconstructed")]
    figures = {kind: kinds[kind][name] for kind in (*drawn, "real") if name in kinds.get(kind, {})}
    return figures if figures.keys() - {"real"} else {}


def headline_kid(metrics: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """KID by the judge's features: generated beside baseline, or every generator's."""
    spaces = metrics.get("distances") or (metrics.get("comparison") or {}).get("distances") or {}
    return spaces.get("judge", {}).get("kid", {})


def headline_gain(metrics: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a classifier gains by generated images, or by every generator's."""
    studies = {name: sections.get("verdict") for name, sections in metrics.get("generators", {}).items()}
    studies = studies or {"generated": metrics.get("verdict")}
    return {
        name: gain
        for name, study in studies.items()
        if study and (gain := study.get("differences", {}).get(study.get("primary")))
    }


def figure_columns(metrics: dict[str, Any]) -> list[Column]:
    """What was measured of each image, real beside generated."""
    sets = kinds_of(metrics).items()
    units = metrics.get("units", {})
    names = dict.fromkeys(name for _, one in sets for name, figure in one.items() if is_figure(figure))
    return [
        Column(name, kind, units.get(name, ""), one[name].get("per_person", {}), one[name])
        for name in names
        for kind, one in sets
        if name in one
    ]


def agreement_columns(metrics: dict[str, Any]) -> list[Column]:
    """What each kind of judge names right, what both, one alone, neither."""
    agreement = metrics.get("agreement", {})
    shares = {kind: agreement[kind] for kind in KINDS if kind in agreement}
    return [
        Column(said, kind, "", one[name]["per_person"], one[name])
        for name, said in said_by_judges(metrics).items()
        for kind, one in shares.items()
    ]


def variety_columns(metrics: dict[str, Any]) -> list[Column]:
    columns = []
    for space, measures in metrics.get("diversity", {}).items():
        for name, kinds in measures.items():
            counts = kinds.get("counts", {})
            for kind in (kind for kind in KINDS if kind in kinds):
                wrapped = {
                    person: {"value": value} | ({"count": counts[person]} if person in counts else {})
                    for person, value in kinds[kind].items()
                }
                columns.append(Column(f"{WORDS.get(name, name)}, {space}", kind, "", wrapped, None))
    return columns


def motion_columns(metrics: dict[str, Any]) -> list[Column]:
    """Wasserstein distances between real and generated quantities, person by person."""
    columns = []
    for name, one in metrics.get("kinematics_distance", {}).items():
        for kind, key in (("generated", "per_person"), ("floor", "per_person_floor")):
            people = {person: {"value": value} for person, value in one.get(key, {}).items()}
            if people:
                columns.append(Column(f"{name} distance", kind, one.get("unit", ""), people, one.get(kind)))
    return columns


def arm_columns(arms: dict[str, dict[str, Any]]) -> list[Column]:
    """Accuracy of the augmentation study's classifiers."""
    known = ((arm, one) for arm, one in arms.items() if "per_person" in one)
    return [Column("accuracy", arm, "", one["per_person"], one) for arm, one in known]


def group_columns(kinds: dict[str, Any], group: str) -> list[Column]:
    """What the judge names right of images of the same day, and of another one."""
    rights = {kind: kinds[kind]["judged_right"] for kind in ("same", "other")}
    return [
        Column("judged_right", f"{kind} {words(group)}", "", right["per_person"], right)
        for kind, right in rights.items()
    ]


def by_person(columns: list[Column]) -> dict[str, dict[str, dict[str, Any]]]:
    """{person: {kind: figure}} of one measure."""
    people = dict.fromkeys(person for column in columns for person in column.people)
    return {name: {one.kind: one.people[name] for one in columns if name in one.people} for name in people}


def sweep_columns(settings: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Names of what was set, and of what was measured."""
    names = dict.fromkeys(name for one in settings for name in one)
    measured = [name for name in names if any(is_figure(one.get(name)) for one in settings)]
    return [name for name in names if name not in measured], measured


def sweep_series(sweep: dict[str, Any], name: str) -> tuple[list[float], dict[str, list[Any]]]:
    """Guidance scales, and one measure at each: a series of each sampler, and of held-out real images."""
    points = {(one.get("sampler", "drawn"), one["guidance"]): one.get(name) for one in sweep["settings"]}
    scales, samplers = sorted({scale for _, scale in points}), dict.fromkeys(sampler for sampler, _ in points)
    series = {sampler: [points.get((sampler, scale)) for scale in scales] for sampler in samplers}
    return scales, series | {"held-out real": [sweep.get("real", {}).get(name)] * len(scales)}


def is_figure(value: Any) -> bool:
    return isinstance(value, dict) and not {"share", "mean", "value"}.isdisjoint(value)


def value_of(figure: dict[str, Any]) -> float | None:
    return next(figure[name] for name in ("share", "mean", "value") if name in figure)


def words(name: str) -> str:
    return WORDS.get(name, name.replace("_", " "))


def number(value: Any, percent: bool = False) -> str:
    """Three digits, or per cent with one decimal; - for None and what is not finite; other things as text."""
    if value is None or isinstance(value, float) and not math.isfinite(value):
        return "-"
    if percent:
        return f"{100 * value:.1f}%"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def said(figure: dict[str, Any] | None, name: str = "") -> tuple[str, str]:
    """A figure's value ("-" where there is no figure), and its interval in square brackets ("" for none)."""
    if not figure:
        return "-", ""
    percent = "share" in figure or name in PERCENT
    ends = [number(end, percent) for end in figure.get("interval") or ()]
    return number(value_of(figure), percent), f"[{', '.join(ends)}]" if ends else ""


def below(figure: dict[str, Any], name: str = "") -> str:
    """What stands small under a figure's value: interval and count."""
    count = f"n {figure['count']}" if "count" in figure else ""
    return " ".join(filter(None, (said(figure, name)[1], count)))


def described(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Rows (name, text) of whatever a part of metrics.json holds."""
    if isinstance(value, (list, tuple)):
        if not any(isinstance(part, (dict, list, tuple)) for part in value):
            return [(name, ", ".join(map(number, value)))]
        value = {str(place): part for place, part in enumerate(value, 1)}
    if isinstance(value, dict):
        return [
            row for key in value for row in described(value[key], f"{name} › {key}" if name else words(key))
        ]
    return [(name, number(value, name.rsplit(" › ", 1)[-1] in PERCENT))]


def people_csv(people: list[str], columns: list[Column]) -> str:
    """A row per person, last one "all": value, low, high and count of each column, as measured."""
    rows = []
    for person in [*people, None]:
        row: dict[str, Any] = {"person": person or "all"}
        for column in columns:
            figure = column.of(person)
            name = " ".join(filter(None, (column.measure.replace("_", " "), column.unit, column.kind)))
            low, high = (figure or {}).get("interval") or (None, None)
            cells = {
                "": value_of(figure) if figure else None,
                " low": low,
                " high": high,
                " count": (figure or {}).get("count"),
            }
            row |= {name + part: value for part, value in cells.items()}
        rows.append(row)
    return csv_text(rows)


def tex(text: str) -> str:
    return "".join(TEX.get(letter, letter) for letter in text)
