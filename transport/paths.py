"""Paths x_t = alpha(t) x1 + sigma(t) x0 from noise (t = 0) to data (t = 1), and conversions along them.

Linear and GVP are those of SiT (arXiv 2401.08740), VP is the variance-preserving diffusion of arXiv
2011.13456 written with data at t = 1.

Shapes: t is (N,) or a scalar tensor; x and everything of its kind is (N, ...) or any shape when t is a
scalar. Conversions are named `a_from_b(b, x, t)`. With the marginal of x_t, score = -noise / sigma, and both
the velocity and (x, noise) are linear in (x0, x1), so they are exact, not approximations.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor


def broadcast_time(t: Tensor, x: Tensor) -> Tensor:
    """Append axes to t (N,) until it broadcasts against x (N, ...); a scalar t is returned as it is."""
    return t if t.ndim == 0 else t.reshape(-1, *[1] * (x.ndim - 1))


class Path(ABC):
    """Coefficients of a path as functions of t (any shape), and the conversions they imply."""

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Coefficient of the data."""

    @abstractmethod
    def d_alpha(self, t: Tensor) -> Tensor:
        """d alpha / dt."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Coefficient of the noise."""

    @abstractmethod
    def d_sigma(self, t: Tensor) -> Tensor:
        """d sigma / dt."""

    @abstractmethod
    def d_log_alpha(self, t: Tensor) -> Tensor:
        """(d alpha / dt) / alpha: the coefficient of x in velocity = d_log_alpha x + drift_var score."""

    @abstractmethod
    def drift_var(self, t: Tensor) -> Tensor:
        """d_log_alpha sigma^2 - sigma d_sigma: the coefficient of the score in the probability-flow ODE."""

    def interpolate(self, x0: Tensor, x1: Tensor, t: Tensor) -> Tensor:
        """State x_t between noise x0 and data x1."""
        t = broadcast_time(t, x1)
        return self.alpha(t) * x1 + self.sigma(t) * x0

    def noised_back(self, x: Tensor, noise: Tensor, t: float, earlier: float) -> Tensor:
        """State at an `earlier` time from a state x at t and fresh noise: in distribution what the path has
        there, where x has what it has at t."""
        late, early = (torch.tensor(time, dtype=torch.float64) for time in (t, earlier))
        kept = self.alpha(early) / self.alpha(late)
        added = (self.sigma(early) ** 2 - (kept * self.sigma(late)) ** 2).sqrt()
        return float(kept) * x + float(added) * noise

    def target(self, x0: Tensor, x1: Tensor, t: Tensor) -> Tensor:
        """Velocity dx_t/dt for the pair x0, x1: what a velocity model regresses."""
        t = broadcast_time(t, x1)
        return self.d_alpha(t) * x1 + self.d_sigma(t) * x0

    def velocity_from_score(self, score: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Velocity from the score of the marginal; needs alpha(t) > 0."""
        t = broadcast_time(t, x)
        return self.d_log_alpha(t) * x + self.drift_var(t) * score

    def velocity_from_noise(self, noise: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Velocity from the expected noise E[x0 | x_t]; needs alpha(t) > 0."""
        t = broadcast_time(t, x)
        return self.d_log_alpha(t) * (x - self.sigma(t) * noise) + self.d_sigma(t) * noise


class Linear(Path):
    """alpha = t, sigma = 1 - t: straight lines."""

    def alpha(self, t: Tensor) -> Tensor:
        return t

    def d_alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        return 1 - t

    def d_sigma(self, t: Tensor) -> Tensor:
        return -torch.ones_like(t)

    def d_log_alpha(self, t: Tensor) -> Tensor:
        return 1 / t

    def drift_var(self, t: Tensor) -> Tensor:
        return (1 - t) / t


class GVP(Path):
    """alpha = sin(pi t / 2), sigma = cos(pi t / 2): alpha^2 + sigma^2 = 1 along a quarter circle."""

    def alpha(self, t: Tensor) -> Tensor:
        return torch.sin(math.pi / 2 * t)

    def d_alpha(self, t: Tensor) -> Tensor:
        return math.pi / 2 * self.sigma(t)

    def sigma(self, t: Tensor) -> Tensor:
        # The sine of the complement is exactly 0 at t = 1, where cos(pi / 2) rounds to a negative number.
        return torch.sin(math.pi / 2 * (1 - t))

    def d_sigma(self, t: Tensor) -> Tensor:
        return -math.pi / 2 * self.alpha(t)

    def d_log_alpha(self, t: Tensor) -> Tensor:
        return math.pi / 2 * self.sigma(t) / self.alpha(t)

    def drift_var(self, t: Tensor) -> Tensor:
        return math.pi / 2 * self.sigma(t) / self.alpha(t)


class VP(Path):
    """log alpha = -(1-t)^2 (20 - 0.1) / 4 - (1-t) 0.1 / 2, sigma^2 = 1 - alpha^2; d_sigma has a pole at t =
    1."""

    beta_min = 0.1
    beta_max = 20.0

    def beta(self, t: Tensor) -> Tensor:
        """Diffusion rate, linear in the distance from the data."""
        return self.beta_min + (1 - t) * (self.beta_max - self.beta_min)

    def log_alpha(self, t: Tensor) -> Tensor:
        """Logarithm of the coefficient of the data."""
        back = 1 - t
        return -(back**2) * (self.beta_max - self.beta_min) / 4 - back * self.beta_min / 2

    def alpha(self, t: Tensor) -> Tensor:
        return torch.exp(self.log_alpha(t))

    def d_alpha(self, t: Tensor) -> Tensor:
        return self.alpha(t) * self.d_log_alpha(t)

    def sigma(self, t: Tensor) -> Tensor:
        # expm1 keeps the digits that 1 - alpha^2 loses near t = 1.
        return torch.sqrt(-torch.expm1(2 * self.log_alpha(t)))

    def d_sigma(self, t: Tensor) -> Tensor:
        return -(self.alpha(t) ** 2) * self.d_log_alpha(t) / self.sigma(t)

    def d_log_alpha(self, t: Tensor) -> Tensor:
        return self.beta(t) / 2

    def drift_var(self, t: Tensor) -> Tensor:
        return self.beta(t) / 2


PATHS: dict[str, Callable[[], Path]] = {"Linear": Linear, "GVP": GVP, "VP": VP}
