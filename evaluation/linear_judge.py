"""A second judge, of another nature than the network: a linear model of cadence-velocity features.

The cadence-velocity diagram is the magnitude of the Fourier transform along time of each Doppler row (Otero,
Proc. SPIE 5809, 2005; Björklund, Petersson & Hendeby, IET Radar, Sonar & Navigation 9, 2015): how strongly
each velocity comes and goes at each rate. A shift in time leaves it as it is. The mean Doppler profile stands
beside it. What this judge and the network both say does not hang on what one kind of model happens to see.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from evaluation.features import ImageSet
from evaluation.judge import cross_entropy, fit_temperature
from radar.colormap import from_rgb

BANDS, CADENCES = 64, 12  # of velocity; periods in an image, from 1 on
RIDGES = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)  # each starts at the solution of the one before
AT_ONCE = 256  # images: 100 MB while they are transformed
USUAL_RIDGE = 0.01  # where there are no validation images to choose by


class LinearJudge(NamedTuple):
    """Weights (D, people) and bias (people,) of standardised features, float64."""

    mean: numpy.ndarray
    scale: numpy.ndarray
    weights: Tensor
    bias: Tensor
    ridge: float
    temperature: float
    colour_map: str

    def predict(self, images: numpy.ndarray) -> numpy.ndarray:
        """Probabilities (N, people), float64, of uint8 images (N, 128, 64, 3) as `judge.reduced` gives."""
        logits = self.logits(cadence_velocity(images, self.colour_map))
        return (logits / self.temperature).softmax(1).numpy()

    def logits(self, features: numpy.ndarray) -> Tensor:
        """(N, people), not yet divided by the temperature, of `cadence_velocity` features (N, D)."""
        return torch.from_numpy((features - self.mean) / self.scale) @ self.weights + self.bias


def cadence_velocity(images: numpy.ndarray, colour_map: str) -> numpy.ndarray:
    """(N, BANDS * CADENCES + V) float64 of uint8 images (N, V, T, 3): the cadence-velocity diagram in bands
    of velocity, then the mean over time of each row. Errors of `radar.colormap.from_rgb`.
    """
    features = numpy.empty((len(images), BANDS * CADENCES + images.shape[1]))
    for first in range(0, len(images), AT_ONCE):
        brightness = from_rgb(images[first : first + AT_ONCE], colour_map).astype(numpy.float64)
        count, rows, times = brightness.shape
        diagram = numpy.abs(numpy.fft.rfft(brightness, axis=2)[:, :, 1 : CADENCES + 1]) / times
        banded = diagram.reshape(count, BANDS, rows // BANDS, CADENCES).mean(2)
        features[first : first + count] = numpy.hstack([banded.reshape(count, -1), brightness.mean(2)])
    return features


def train_linear_judge(
    train: ImageSet, val: ImageSet | None, num_people: int, colour_map: str = "jet"
) -> LinearJudge:
    """The one whose ridge has the lowest cross-entropy on `val`, calibrated there; without `val` USUAL_RIDGE
    as it comes. Nothing is drawn: the same images give the same judge.
    """
    features, targets = cadence_velocity(train.images, colour_map), torch.from_numpy(train.labels)
    mean, deviation = features.mean(0), features.std(0)
    scale = numpy.where(deviation > 1e-9, deviation, 1.0)
    inputs = torch.from_numpy((features - mean) / scale)
    weights = torch.zeros(inputs.shape[1], num_people, dtype=inputs.dtype)
    bias, judges = torch.zeros(num_people, dtype=inputs.dtype), []
    for ridge in RIDGES if val else (USUAL_RIDGE,):
        weights, bias = _regression(inputs, targets, ridge, weights, bias)
        judges.append(LinearJudge(mean, scale, weights, bias, ridge, 1.0, colour_map))
    if not val:
        return judges[0]
    tried = cadence_velocity(val.images, colour_map)
    logits = [judge.logits(tried) for judge in judges]
    _, best = min((cross_entropy(scores, val.labels), place) for place, scores in enumerate(logits))
    return judges[best]._replace(temperature=fit_temperature(logits[best], val.labels))


def _regression(x: Tensor, y: Tensor, ridge: float, weights: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (D, K) and bias (K,) of the multinomial logistic regression of labels y (N,) on x (N, D), from
    these on: the least mean cross-entropy plus half of `ridge` times the squared weights, which is convex.
    """
    weights, bias = weights.clone().requires_grad_(), bias.clone().requires_grad_()
    solver = torch.optim.LBFGS([weights, bias], max_iter=300, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        solver.zero_grad()
        loss = functional.cross_entropy(x @ weights + bias, y) + ridge / 2 * weights.square().sum()
        loss.backward()
        return loss

    solver.step(objective)
    return weights.detach(), bias.detach()
