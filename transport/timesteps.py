"""Times: how they are drawn for training, where intervals end, which grid a solver walks."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from configs.errors import UserError

VP_TRAIN_EPS = 1e-5
VP_SAMPLE_EPS = 1e-3
NOISE_SCORE_EPS = 1e-3
START_STEPS = 5


def uniform_times(
    num: int, interval: tuple[float, float] = (0.0, 1.0), generator: torch.Generator | None = None
) -> Tensor:
    """Draw (num,) float32 times uniformly on `interval`, on the generator's device (CPU without one)."""
    draw = torch.rand(num, generator=generator, device=generator.device if generator else None)
    return interval[0] + (interval[1] - interval[0]) * draw


def logit_normal_times(
    num: int,
    interval: tuple[float, float] = (0.0, 1.0),
    loc: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw (num,) float32 times sigmoid(loc + n), n ~ N(0, 1), stretched onto `interval` (arXiv
    2403.03206)."""
    draw = torch.randn(num, generator=generator, device=generator.device if generator else None)
    return interval[0] + (interval[1] - interval[0]) * torch.sigmoid(loc + draw)


def time_interval(
    path_type: str, prediction: str, eps: float | None = None, *, sampling: bool = False
) -> tuple[float, float]:
    """Ends (t0, t1) between which the conversions of a path and prediction are finite.

    `eps` is the distance kept from the ends that need one; None takes the published value: 0 for velocity on
    Linear and GVP, 1e-3 off both ends for noise and score, and off t = 1 on VP 1e-5 in training, 1e-3 in
    sampling. A given eps is used as it is. Raises UserError outside [0, 0.5).
    """
    if eps is None:
        eps = _published_eps(path_type, prediction, sampling)
    if not 0 <= eps < 0.5:
        key = "sample_eps" if sampling else "train_eps"
        raise UserError(f"{key}={eps!r} must lie in [0, 0.5): it is cut off the ends of [0, 1]")
    return (0.0 if path_type == "VP" else eps, 1.0 - eps)


def _published_eps(path_type: str, prediction: str, sampling: bool) -> float:
    if path_type == "VP":
        return VP_SAMPLE_EPS if sampling else VP_TRAIN_EPS
    return 0.0 if prediction == "velocity" else NOISE_SCORE_EPS


def time_grid(
    num_steps: int, timestep_shift: float = 0.0, t0: float = 0.0, t1: float = 1.0, cosine: float = 0.0
) -> Tensor:
    """Times (num_steps + 1,) float64 from t0 to t1, both exact.

    A share `cosine` in [0, 1] of the even grid is replaced by (1 - cos(pi u)) / 2, which is finer at both
    ends. A shift s then moves the fraction u of the way to s u / (1 + (s - 1) u): below 1 it spends more
    steps near noise; 0 and 1 both mean no shift. Raises UserError for fewer than one step, a negative or
    non-finite shift, or a share outside [0, 1].
    """
    if num_steps < 1:
        raise UserError(f"num_steps={num_steps!r} must be at least 1: it counts the intervals between times")
    if not (math.isfinite(timestep_shift) and timestep_shift >= 0):
        raise UserError(f"timestep_shift={timestep_shift!r} must be a finite number >= 0 (0 turns it off)")
    if not 0 <= cosine <= 1:
        raise UserError(f"timestep_cosine={cosine!r} must lie in [0, 1] (0 turns it off)")
    fraction = torch.linspace(0, 1, num_steps + 1, dtype=torch.float64)
    if cosine != 0:
        fraction = (1 - cosine) * fraction + cosine * (1 - torch.cos(math.pi * fraction)) / 2
    if timestep_shift != 0:
        fraction = timestep_shift * fraction / (1 + (timestep_shift - 1) * fraction)
    grid = t0 + (t1 - t0) * fraction
    grid[-1] = t1  # t0 + (t1 - t0) may miss t1 by a rounding
    return grid


def grids_between(
    num_steps: int, breaks: Sequence[float], make: Callable[..., Tensor], t0: float, t1: float
) -> list[list[float]]:
    """Grids from t0 over each break to t1, `num_steps` intervals in all, for velocities that jump there.

    `make(num_steps, t0=..., t1=...)` makes one grid. Each part is a grid of its own, with as many steps as
    one over the whole would spend on it, but at least START_STEPS or a third of those left: a solver of
    several steps begins again in it. Breaks that leave no step for a part are passed over.
    """
    grids, left = [], num_steps
    for end in sorted({b for b in breaks if t0 < b < t1}):
        if left < 2:
            break
        whole = make(left, t0=t0, t1=t1)
        nearest = 1 + int((whole[1:-1] - end).abs().argmin())
        steps = max(nearest, min(START_STEPS, left // 3))
        grids.append(make(steps, t0=t0, t1=end).tolist())
        t0, left = end, left - steps
    return [*grids, make(left, t0=t0, t1=t1).tolist()]


def restarted_grids(
    num_steps: int,
    breaks: Sequence[float],
    make: Callable[..., Tensor],
    interval: tuple[float, float],
    restarts: int,
    restart_interval: Sequence[float],
) -> list[list[float]]:
    """Grids as of `grids_between` from the start of `interval` to the later end of `restart_interval` (low,
    high), `restarts` times from low to high, and on to the end of `interval`.

    `num_steps` intervals are shared by the first and the last part, each of which has one at least; those
    between low and high are as many again each time, but at least START_STEPS. Raises UserError where low and
    high do not lie inside `interval` in this order.
    """
    (t0, t1), (low, high) = interval, restart_interval
    if not t0 < low < high < t1:
        raise UserError(f"restart_interval={[low, high]!r}: expected {t0:g} < low < high < {t1:g}")
    times = make(num_steps, t0=t0, t1=t1)
    until = max(1, min(int((times <= high).sum()) - 1, num_steps - 1))
    again = max(int(((times > low) & (times <= high)).sum()), START_STEPS)
    parts = [(until, t0, high), *[(again, low, high)] * restarts, (max(1, num_steps - until), high, t1)]
    return [grid for steps, start, end in parts for grid in grids_between(steps, breaks, make, start, end)]
