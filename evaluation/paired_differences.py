"""Paired differences in correctness of classifiers, with one interval that covers all of the luck.

Values (..., seeds, images) are crossed: every training, and every generator where an axis before says which,
is tried on every image. Luck comes from the trainings, the images, and both together, which analysis of
variance tells apart: with Q_A the mean square of the effects of the factors A over the number of values, the
variance of the mean is Q_seeds + Q_images - Q_both (random effects; readers and cases of Obuchowski and
Rockette, Commun. Stat. Simul. 24, 1995), with degrees of freedom after Satterthwaite (Biometrics 2, 1946),
each estimate's own raised by 2 and the result lowered by 2 against their bias in small samples.

People are fixed: the mean is over these people, who are the same in every arm, and so is what is claimed of
it; intervals that resample people hold too often of it. Within a person, where `days` (or recordings) tell
independent pieces apart, their totals are compared; a day that all people have in common counts as each one's
own. Else neighbouring images may overlap, and the variance is that of the slowest cosines along the person's
images, one for two blocks of neighbours (Mueller, J. Econometrics 141, 2007; Lazarus et al., J. Bus. Econ.
Stat. 36, 2018), which are nearly independent of one another. Then nothing is known of other days.

Ends are those of a score test (Wilson, JASA 22, 1927; Tango, Stat. Med. 17, 1998): at a difference d the
variance has grown as the most likely share of discordant answers has. How often the intervals hold is
measured by benchmarks/bench_study.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy
import scipy

from data.labels import LabelTable
from evaluation.distances import BLOCK

HELPS, SAME, HARMS = "helps", "makes no measurable difference", "harms"
EQUAL = 0.03  # differences within +-3 points are of no use to anybody
LEVEL, POWER = 0.05, 0.8
LEAST_IMAGES = 2 * BLOCK  # from fewer held-out images of a person nothing is concluded
LEAST_SEEDS = 6  # 2 of 2^5 flips of signs are 6 %: fewer cannot reach 5 %
FLIPS = 2**14  # all flips up to 14 seeds, as many random ones beyond


class HeldOut(NamedTuple):
    """Whose images they are (N,), in order of time, and the day or recording of each (N,), where known."""

    labels: numpy.ndarray
    days: numpy.ndarray | None = None

    @property
    def pieces(self) -> int | None:
        """How many days or recordings of people are told apart."""
        return None if self.days is None else len(set(zip(self.labels.tolist(), self.days.tolist())))

    def at(self, places: numpy.ndarray) -> HeldOut:
        return HeldOut(self.labels[places], None if self.days is None else self.days[places])


class Spread(NamedTuple):
    """Variance of a mean, its degrees of freedom, and the number of images."""

    variance: float
    degrees: float
    images: int

    @property
    def quantile(self) -> float:
        return float(scipy.stats.t.ppf(1 - LEVEL / 2, self.degrees))

    def scaled(self, growth: float) -> float:
        """Variance by its growth; where nothing varied, BLOCK neighbours count as one image."""
        return self.variance / growth if self.variance * growth > 0 else BLOCK / self.images


def difference(delta: numpy.ndarray, tested: HeldOut, people: LabelTable) -> dict[str, Any]:
    """What may be said of paired differences delta (..., seeds, N) of 0 and 1 (so -1, 0 and 1), in all and of
    each person: "value", "interval" (95 %), "detectable" (the smallest true difference found with 80 % power
    by such a design), "equal_within" (EQUAL, or None where the interval reaches further), "sentence".

    "by_seed" and "sign_flip" (two-sided p of their mean) are of the trainings alone: "helps" and "harms" need
    both, the interval on that side of 0 and signs that agree. Of ten people each held at 95 %, half a person
    may be expected to look helped or harmed by luck.
    """
    labels = tested.labels
    each = {label: labels == label for label in numpy.unique(labels)}
    return {
        **conclude(delta, tested),
        "by_seed": _by_seed(delta).tolist(),
        "sign_flip": sign_flip_test(_by_seed(delta)),
        "per_person": {
            people.names[label]: conclude(delta[..., places], tested.at(places))
            for label, places in each.items()
        },
    }


def share(right: numpy.ndarray, tested: HeldOut) -> dict[str, Any]:
    """Mean correctness of right (..., seeds, N) as "value", its 95 % interval, and N."""
    spread, value = spread_of(right * 1.0, tested), float(right.mean())
    ends = score_interval(value, spread, lambda x: x * (1 - x), (0.0, 1.0))
    return {"value": value, "interval": ends, "count": right.shape[-1]}


def in_words(effect: dict[str, Any]) -> str:
    """The sentence of a difference, and in brackets what `reach_of` says."""
    reach = reach_of(effect)
    return f"{effect['sentence']} ({reach})" if reach else str(effect["sentence"])


def in_points(effect: dict[str, Any]) -> str:
    """A difference in percentage points with its interval."""
    low, high = effect["interval"]
    return f"{100 * effect['value']:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"


def reach_of(effect: dict[str, Any]) -> str:
    """What is known of a difference that was not measured: how small it is, what would have been seen."""
    if effect["sentence"] != SAME:
        return ""
    equal, seen = effect["equal_within"], effect["detectable"]
    said = [f"equal within ±{100 * equal:.0f} points"] if equal else []
    said.append(f"{100 * seen:.1f} points would have been seen" if seen else "none could have been seen")
    return "; ".join(said)


def limit_of(seeds: int) -> str | None:
    """What so few seeds cannot show, if anything."""
    if seeds >= LEAST_SEEDS:
        return None
    return f"whether generated images help or harm ({seeds} seeds, a sign-flip test takes {LEAST_SEEDS})"


def conclude(delta: numpy.ndarray, tested: HeldOut) -> dict[str, Any]:
    """What may be said of delta in all: what `difference` says, without seeds and people."""
    value, spread = float(delta.mean()), spread_of(delta, tested)
    gained, lost = float((delta > 0).mean()), float((delta < 0).mean())
    low, high = score_interval(value, spread, lambda x: discordance(x, gained, lost), (-1.0, 1.0))
    enough = delta.shape[-1] >= LEAST_IMAGES and delta.shape[-2] >= LEAST_SEEDS
    sure = enough and sign_flip_test(_by_seed(delta)) <= LEVEL
    return {
        "value": value,
        "interval": [low, high],
        "detectable": detectable(spread, gained + lost) if enough else None,
        "equal_within": EQUAL if -EQUAL <= low and high <= EQUAL else None,
        "sentence": HELPS if sure and low > 0 else HARMS if sure and high < 0 else SAME,
    }


def _by_seed(delta: numpy.ndarray) -> numpy.ndarray:
    """Means (seeds,) of delta (..., seeds, N)."""
    return delta.mean(-1).reshape(-1, delta.shape[-2]).mean(0)


# Variance


def spread_of(values: numpy.ndarray, tested: HeldOut) -> Spread:
    """The spread of the mean of values (..., seeds, N), every axis but the last at least 2 long."""
    # Mean squares of every set of factors: axes of trainings, and the images
    images, of_images = values.ndim - 1, list(slow_parts(values, tested))
    squares: dict[frozenset[int], tuple[float, float]] = {}
    for chosen in (chosen for size in range(values.ndim) for chosen in combinations(range(images), size)):
        freedom = math.prod(values.shape[axis] - 1 for axis in chosen)
        parts = [(float(mean_square(part, chosen).mean()), degrees) for part, degrees in of_images]
        square = sum(part for part, _ in parts)
        squares[frozenset({*chosen, images})] = square, freedom * satterthwaite(square, parts)
        if chosen:
            whole = values.mean(-1, keepdims=True)
            squares[frozenset(chosen)] = float(mean_square(whole, chosen)[0]), freedom

    # Their sum, at least the largest factor's; a factor below what it shares with others adds no doubt
    single = {factors: square for factors, (square, _) in squares.items() if len(factors) == 1}
    total = sum(square * (-1) ** (len(factors) + 1) for factors, (square, _) in squares.items())
    variance = max(total, *single.values())
    counted = [
        squares[factor]
        for factor, square in single.items()
        if square == max(single.values())
        or square > max(other for factors, (other, _) in squares.items() if factor < factors)
    ]
    return Spread(variance, satterthwaite(variance, counted), values.shape[-1])


def slow_parts(values: numpy.ndarray, tested: HeldOut) -> Iterator[tuple[numpy.ndarray, int]]:
    """Of each person: contrasts (..., K) of values (..., N), the mean of whose squares estimates what this
    person's images add to the variance of the mean, and their degrees of freedom.
    """
    for label in numpy.unique(tested.labels):
        places = numpy.flatnonzero(tested.labels == label)
        of_person, count = values[..., places], len(places)
        days = numpy.zeros(count) if tested.days is None else tested.days[places]
        known = numpy.unique(days)
        if len(known) > 1:
            apart = of_person - of_person.mean(-1, keepdims=True)
            totals = numpy.stack([apart[..., days == day].sum(-1) for day in known], axis=-1)
            yield totals * len(known) / math.sqrt(len(known) - 1) / values.shape[-1], len(known) - 1
        elif count > 1:
            slow = scipy.fft.dct(of_person, norm="ortho")[..., 1 : 1 + max(1, count // LEAST_IMAGES)]
            yield slow * math.sqrt(count) / values.shape[-1], slow.shape[-1]


def mean_square(values: numpy.ndarray, axes: Sequence[int]) -> numpy.ndarray:
    """Mean square of the effects that the leading `axes` of values (..., K) have together, over the product
    of their lengths, (K,): what they and all that contains them add to the variance of the mean.
    """
    effects, lengths = values, [values.shape[axis] for axis in axes]
    for axis in range(values.ndim - 1):
        mean = effects.mean(axis, keepdims=True)
        effects = effects - mean if axis in axes else mean
    return (effects**2).sum(tuple(range(values.ndim - 1))) / math.prod(n * (n - 1) for n in lengths)


def satterthwaite(total: float, parts: Sequence[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of estimates of variances with theirs."""
    doubt = sum(square**2 / (degrees + 2) for square, degrees in parts)
    return max(1.0, total**2 / doubt - 2) if doubt > 0 else float(sum(degrees for _, degrees in parts) or 1)


# Intervals and tests


def score_interval(
    value: float, spread: Spread, growth: Callable[[float], float], bounds: tuple[float, float]
) -> list[float]:
    """The true values x within `bounds` that a test by Student's t with the variance at x, which is as
    `growth` of x, does not refuse.
    """
    scale = spread.quantile**2 * spread.scaled(growth(value))
    return [_first_refused(value, scale, growth, bound) for bound in bounds]


def _first_refused(value: float, scale: float, growth: Callable[[float], float], bound: float) -> float:
    """The x from `value` on to `bound` whose squared distance is scale * growth(x)."""

    def surplus(x: float) -> float:
        return (x - value) ** 2 - scale * growth(x)

    near = value + 1e-9 * (bound - value)
    if abs(bound - value) < 1e-9 or surplus(bound) <= 0:
        return bound
    return float(scipy.optimize.brentq(surplus, near, bound)) if surplus(near) < 0 else value


def discordance(x: float, gained: float, lost: float) -> float:
    """The most likely share of answers that differ where the shares `gained` and `lost` were observed and
    gained less lost is truly x (Tango 1998, equation 5, for counts that are few among many).
    """
    if x < 0:
        return discordance(-x, lost, gained)
    half = 2 * x - gained - lost
    return (math.sqrt(half**2 + 8 * lost * x) - half) / 2 + x


def detectable(spread: Spread, discordant: float) -> float:
    """The smallest true difference that is told from 0 at the two-sided 5 % level with 80 % power (Bloom,
    Evaluation Review 19, 1995), by the spread that was measured where a share of answers was `discordant`.
    """
    scale = (spread.quantile + float(scipy.stats.t.ppf(POWER, spread.degrees))) ** 2 * spread.scaled(
        discordant
    )
    return _first_refused(0.0, scale, lambda x: discordance(x, discordant / 2, discordant / 2), 1.0)


def sign_flip_test(values: numpy.ndarray) -> float:
    """Two-sided p of the mean of values (S,) among those with their signs flipped (Fisher 1935): exact up to
    14 values, 2 / 2^S at the least.
    """
    test = scipy.stats.permutation_test(
        (values,), numpy.mean, permutation_type="samples", n_resamples=FLIPS, vectorized=True, random_state=0
    )
    return float(test.pvalue)
