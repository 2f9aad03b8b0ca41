"""What two kinds of judge both say of the same images, told apart from what one of them says alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy

from data.labels import LabelTable
from evaluation.estimates import figures, shown
from evaluation.features import ImageSet
from evaluation.judge import SMALL, calibration_error
from evaluation.linear_judge import LinearJudge

PARTS = ("both", "network_only", "linear_only", "neither")  # of each set of images
SAID_BY_JUDGES = {  # of the parts, and what each kind says
    "network": "named right by the {network} judge",
    "linear": "named right by the linear judge",
    "both": "named right by both judges",
    "network_only": "named right by the {network} judge only",
    "linear_only": "named right by the linear judge only",
    "neither": "named right by neither judge",
}
KINDS = {"held_out": "real", "generated": "generated", "reconstructed": "reconstructed"}


def agreement_of(
    network: numpy.ndarray, linear: numpy.ndarray, labels: numpy.ndarray, people: LabelTable
) -> dict[str, Any]:
    """Shares, in all and per person, of images that each kind of judge names right (N,), both of them, only
    one, neither.
    """
    flags = {
        "network": network,
        "linear": linear,
        "both": network & linear,
        "network_only": network & ~linear,
        "linear_only": linear & ~network,
        "neither": ~(network | linear),
    }
    return {name: figures(flag, labels, people) for name, flag in flags.items()}


def agreement_section(
    linear: LinearJudge,
    network: Mapping[str, numpy.ndarray],
    opinions: Mapping[str, numpy.ndarray],
    sets: Mapping[str, ImageSet],
    people: LabelTable,
) -> dict[str, Any]:
    """The section "agreement" of metrics.json: of every kind of images `agreement_of`, from what the network
    names right (N,) and the linear judge's `opinions` (N, people); and what is known of the linear judge.
    """
    held_out = sets["held_out"].labels
    known = {
        "ridge": linear.ridge,
        "temperature": linear.temperature,
        "ece": calibration_error(opinions["held_out"], held_out),
    }
    return {"linear_judge": known} | {
        KINDS[name]: agreement_of(
            network[name], opinion.argmax(1) == sets[name].labels, sets[name].labels, people
        )
        for name, opinion in opinions.items()
    }


def said_by_judges(metrics: Mapping[str, Any]) -> dict[str, str]:
    """SAID_BY_JUDGES with the network's name."""
    network = (metrics.get("judge") or {}).get("network", SMALL)
    return {name: said.format(network=network) for name, said in SAID_BY_JUDGES.items()}


def agreement_lines(metrics: Mapping[str, Any]) -> list[str]:
    """For the screen: what both judges name right, one only, neither; of real images, then of every
    generator's.
    """
    generators = metrics.get("generators", {"generated": metrics})
    known = {name: sections for name, sections in generators.items() if "agreement" in sections}
    if not known:
        return []
    first = next(iter(known.values()))
    kinds = {"real": first["agreement"]["real"]}
    kinds |= {name: sections["agreement"]["generated"] for name, sections in known.items()}
    lines, words = [], said_by_judges(first)
    for part in PARTS:
        shares = ", ".join(f"{kind} {shown(one[part], interval=True)}" for kind, one in kinds.items())
        lines.append(f"{words[part]}: {shares}")
    return lines
