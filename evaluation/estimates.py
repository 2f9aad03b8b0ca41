"""Shares and means over all images and over each person's, with what is known of their precision."""

from __future__ import annotations

import math
from typing import Any

import numpy
import scipy

from data.labels import LabelTable


def figures(values: numpy.ndarray, labels: numpy.ndarray, people: LabelTable) -> dict[str, Any]:
    """Share of true ones among booleans (N,), or mean of numbers (N,): of all, and "per_person" by labels."""
    of = share_of if values.dtype == bool else mean_of
    each = {people.names[label]: of(values[labels == label]) for label in numpy.unique(labels)}
    return {**of(values), "per_person": each}


def share_of(flags: numpy.ndarray) -> dict[str, Any]:
    """Share of true ones with Wilson's score interval (JASA 22, 1927), 95 %."""
    hits, count = int(flags.sum()), len(flags)
    ends = scipy.stats.binomtest(hits, count).proportion_ci(method="wilson")
    interval = [float(ends.low), float(ends.high)]
    return {"hits": hits, "count": count, "share": hits / count, "interval": interval}


def mean_of(values: numpy.ndarray) -> dict[str, Any]:
    """Mean of what is finite, its standard error, 95 % interval (Student's t) and count; None where there is
    too little for them.
    """
    known = values[numpy.isfinite(values)]
    mean = float(known.mean()) if len(known) else None
    error = interval = None
    if mean is not None and len(known) > 1:
        error = float(known.std(ddof=1) / math.sqrt(len(known)))
        half = error * float(scipy.stats.t.ppf(0.975, len(known) - 1))
        interval = [mean - half, mean + half]
    return {"mean": mean, "standard_error": error, "interval": interval, "count": len(known)}


def estimate_of(values: numpy.ndarray) -> dict[str, Any]:
    """Mean of what is finite as an estimate: value, 95 % interval, count."""
    summary = mean_of(values)
    return {"value": summary["mean"], "interval": summary["interval"], "count": summary["count"]}


def share_difference(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The first of two independent shares less the other, with Newcombe's 95 % interval from Wilson's two
    (Statistics in Medicine 17, 1998, method 10).
    """
    value = one["share"] - other["share"]
    (low, high), (other_low, other_high) = one["interval"], other["interval"]
    below = math.hypot(one["share"] - low, other_high - other["share"])
    above = math.hypot(high - one["share"], other["share"] - other_low)
    return {"value": value, "interval": [value - below, value + above]}


def shown(figure: dict[str, Any] | None, interval: bool = False) -> str:
    """A share in per cent or a mean, as text; - where there is none."""
    if figure is None or figure.get("mean", 0) is None:
        return "-"
    if "mean" in figure:
        return f"{figure['mean']:.2f}"
    low, high = figure["interval"]
    return f"{figure['share']:.0%}" + f" ({low:.0%} to {high:.0%} of {figure['count']})" * interval
