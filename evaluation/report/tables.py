"""The figures of metrics.json person by person: as columns, as text, as table.csv and table.tex."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from data.tables import csv_text

KINDS = ("real", "generated", "reconstructed")
PERCENT = {"confidence", "memorised", "accuracy", "chance"}  # shares by other keys than "share"
PAPER = ("judged_right", "memorised", "torso_velocity", "cadence", "impossible")  # what fits across a page
WORDS = {
    "judged_right": "named right",
    "negative_log_likelihood": "negative log-likelihood",
    "kid": "KID",
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


def figure_columns(metrics: dict[str, Any]) -> list[Column]:
    """What was measured of each picture, real beside generated."""
    sets = [(kind, metrics[kind]) for kind in KINDS if kind in metrics]
    units = metrics.get("units", {})
    names = dict.fromkeys(name for _, own in sets for name, figure in own.items() if is_figure(figure))
    return [
        Column(name, kind, units.get(name, ""), own[name].get("per_person", {}), own[name])
        for name in names
        for kind, own in sets
        if name in own
    ]


def variety_columns(metrics: dict[str, Any]) -> list[Column]:
    found = []
    for space, measures in metrics.get("diversity", {}).items():
        for name, kinds in measures.items():
            counts = kinds.get("counts", {})
            for kind in (kind for kind in KINDS if kind in kinds):
                wrapped = {
                    person: {"value": value} | ({"count": counts[person]} if person in counts else {})
                    for person, value in kinds[kind].items()
                }
                found.append(Column(f"{WORDS.get(name, name)}, {space}", kind, "", wrapped, None))
    return found


def motion_columns(metrics: dict[str, Any]) -> list[Column]:
    """Wasserstein distances between real and generated quantities, person by person."""
    found = []
    for name, own in metrics.get("kinematics_distance", {}).items():
        for kind, key in (("generated", "per_person"), ("floor", "per_person_floor")):
            people = {person: {"value": value} for person, value in own.get(key, {}).items()}
            if people:
                found.append(Column(f"{name} distance", kind, own.get("unit", ""), people, own.get(kind)))
    return found


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


def said(figure: dict[str, Any], name: str = "") -> tuple[str, str]:
    """A figure's value, and its interval in square brackets ("" where it has none)."""
    percent = "share" in figure or name in PERCENT
    ends = [number(end, percent) for end in figure.get("interval") or ()]
    return number(value_of(figure), percent), f"[{', '.join(ends)}]" if ends else ""


def people_csv(people: list[str], columns: list[Column]) -> str:
    """A row per person, last one "all": value, low, high and count of each column, as measured."""
    rows = []
    for person in [*people, None]:
        row: dict[str, Any] = {"person": person or "all"}
        for column in columns:
            figure = column.overall if person is None else column.people.get(person)
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


def people_tex(people: list[str], columns: list[Column]) -> str:
    """A booktabs table: two lines a person, the value above its interval."""
    columns = [column for column in columns if column.measure in PAPER and column.kind != "reconstructed"]
    kinds = (f"{column.kind} {column.unit}".rstrip() for column in columns)
    head = [" & ".join(["", *map(tex, texts)]) for texts in ((words(own.measure) for own in columns), kinds)]
    body = []
    for person in [*people, None]:
        figures = [column.overall if person is None else column.people.get(person) for column in columns]
        pairs = [
            said(figure, column.measure) if figure else ("-", "") for figure, column in zip(figures, columns)
        ]
        body.append(" & ".join([tex(person or "all"), *(tex(value) for value, _ in pairs)]) + r" \\")
        below = (rf"{{\scriptsize {text}}}".replace("%", r"\%") if text else "" for _, text in pairs)
        body.append(" & ".join(["", *below]) + r" \\[2pt]")
    body.insert(-2, r"\midrule")
    return "\n".join(
        [
            r"% \usepackage{booktabs}; intervals: 95 %; all columns are in table.csv",
            rf"\begin{{tabular}}{{l{'c' * len(columns)}}}",
            r"\toprule",
            *(line + r" \\" for line in head),
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def tex(text: str) -> str:
    return "".join(TEX.get(letter, letter) for letter in text)
