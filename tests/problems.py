"""Flows with exact answers, for the tests of everything that integrates or learns a velocity.

ODE problems have `f(x, t)` with t a Python float, `exact(x0, t)` and a start `x0`, all float64.
`GaussianFlow` is a normal target whose velocity, score and noise are known along any path, so that every
sampler has an exact end.
"""

import math

import torch
from torch import Tensor

from transport.paths import Path, broadcast_time

# Of the solvers with fixed steps: their order, and how often a step asks for the velocity.
ORDERS = {"euler": 1, "heun": 2, "abm3": 3}
EVALUATIONS = {"euler": 1, "heun": 2, "abm3": 1}


class Forced:
    """dx/dt = -x + sin 3t: linear with a forcing in time."""

    x0 = torch.tensor([1.5, -0.4, 0.0], dtype=torch.float64)

    @staticmethod
    def f(x: Tensor, t: float) -> Tensor:
        return -x + math.sin(3 * t)

    @staticmethod
    def exact(x0: Tensor, t: float) -> Tensor:
        return (x0 + 0.3) * math.exp(-t) + (math.sin(3 * t) - 3 * math.cos(3 * t)) / 10


class Rotation:
    """dx/dt = 2(1 + t) J x: a turn in the plane that accelerates; the norm stays."""

    x0 = torch.tensor([1.0, 0.5], dtype=torch.float64)

    @staticmethod
    def f(x: Tensor, t: float) -> Tensor:
        return 2 * (1 + t) * torch.stack([-x[1], x[0]])

    @staticmethod
    def exact(x0: Tensor, t: float) -> Tensor:
        angle = 2 * t + t**2
        cos, sin = math.cos(angle), math.sin(angle)
        return torch.stack([cos * x0[0] - sin * x0[1], sin * x0[0] + cos * x0[1]])


class Growth:
    """dx/dt = (1 + 2t) x (1 - x): logistic, not linear, with a rate that grows."""

    x0 = torch.tensor([0.1, 0.5, 0.8], dtype=torch.float64)

    @staticmethod
    def f(x: Tensor, t: float) -> Tensor:
        return (1 + 2 * t) * x * (1 - x)

    @staticmethod
    def exact(x0: Tensor, t: float) -> Tensor:
        grown = x0 * math.exp(t + t**2)
        return grown / (1 - x0 + grown)


ODE_PROBLEMS = {"forced": Forced, "rotation": Rotation, "growth": Growth}


class GaussianFlow:
    """Data N(mean, std^2) in every component along `path`: x_t ~ N(alpha mean, alpha^2 std^2 + sigma^2).

    Models take (x, t) with t a float, a scalar or (N,). The ODE keeps each sample's quantile, so its exact
    flow from any time to any other is a shift and a scaling.
    """

    def __init__(self, path: Path, mean: float | Tensor = 0.7, std: float | Tensor = 0.5) -> None:
        self.path = path
        self.mean = mean
        self.std = std

    def centre(self, t: Tensor) -> Tensor:
        return self.path.alpha(t) * self.mean

    def variance(self, t: Tensor) -> Tensor:
        return (self.path.alpha(t) * self.std) ** 2 + self.path.sigma(t) ** 2

    def _deviation(self, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        t = broadcast_time(torch.as_tensor(t, dtype=torch.float64), x)
        return (x - self.centre(t)) / self.variance(t), t

    def score(self, x: Tensor, t: float | Tensor) -> Tensor:
        return -self._deviation(x, t)[0].to(x.dtype)

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        deviation, t = self._deviation(x, t)
        return (self.path.sigma(t) * deviation).to(x.dtype)

    def velocity(self, x: Tensor, t: float | Tensor) -> Tensor:
        deviation, t = self._deviation(x, t)
        data = self.mean + self.path.alpha(t) * self.std**2 * deviation
        noise = self.path.sigma(t) * deviation
        return (self.path.d_alpha(t) * data + self.path.d_sigma(t) * noise).to(x.dtype)

    def model(self, prediction: str):
        """Exact model of a prediction: velocity, noise or score."""
        return {"velocity": self.velocity, "noise": self.noise, "score": self.score}[prediction]

    def flow(self, x: Tensor, t0: float, t1: float) -> Tensor:
        """Exact end at t1 of the probability-flow ODE that starts from x at t0."""
        start, end = (torch.tensor(t, dtype=torch.float64) for t in (t0, t1))
        quantile = (x - self.centre(start)) / self.variance(start).sqrt()
        return (self.centre(end) + self.variance(end).sqrt() * quantile).to(x.dtype)
