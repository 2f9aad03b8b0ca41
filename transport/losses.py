"""Per-sample training losses (SiT, arXiv 2401.08740; cosine term of FasterDiT, arXiv 2410.10356)."""

import torch.nn.functional as F
from torch import Tensor

from transport.paths import Path, broadcast_time

PREDICTIONS = ("velocity", "noise", "score")
LOSS_WEIGHTS = (None, "velocity", "likelihood")


def mean_per_sample(values: Tensor) -> Tensor:
    """Mean over all axes but the first: (N, ...) -> (N,)."""
    return values.flatten(1).mean(1)


def velocity_loss(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of the velocity, (N, ...) -> (N,)."""
    return mean_per_sample((output - target) ** 2)


def cosine_loss(output: Tensor, target: Tensor) -> Tensor:
    """1 - cosine between vectors along the channel axis 1, averaged over positions: (N, C, ...) -> (N,)."""
    return mean_per_sample(1 - F.cosine_similarity(output, target, dim=1))


def noise_loss(path: Path, weight: str | None, output: Tensor, x0: Tensor, t: Tensor) -> Tensor:
    """Weighted squared error of the expected noise; x0 is the noise drawn, (N, ...) -> (N,)."""
    return mean_per_sample(loss_weight(path, weight, broadcast_time(t, x0)) * (output - x0) ** 2)


def score_loss(path: Path, weight: str | None, output: Tensor, x0: Tensor, t: Tensor) -> Tensor:
    """Weighted squared error of the score scaled by sigma, so that its target is -noise: (N, ...) -> (N,)."""
    return noise_loss(path, weight, -output * path.sigma(broadcast_time(t, x0)), x0, t)


def loss_weight(path: Path, weight: str | None, t: Tensor) -> Tensor | float:
    """Weight of a noise or score loss at t (any shape).

    None: 1. "velocity": (drift_var / sigma)^2, which makes it the velocity's loss. "likelihood":
    drift_var / sigma^2, the bound on the likelihood.
    """
    if weight is None:
        return 1.0
    drift_var, sigma = path.drift_var(t), path.sigma(t)
    return (drift_var / sigma) ** 2 if weight == "velocity" else drift_var / sigma**2
