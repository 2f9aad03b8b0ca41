"""Is a generated image (or latent) new, or a training one again?

An image counts as memorised when its nearest training image is less than a third as far as the second
nearest (the measure of arXiv 2310.02664 and 2505.17638). A distance is the least over all circular shifts in
time, to a quarter of a cell, since a copy that starts elsewhere in the step is still a copy. The same share
for held-out real images says what is usual.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy
import torch
from torch import Tensor

from data.progress import progress

THRESHOLD = 1 / 3
EXACT = 0.01  # of an image's own norm: a distance below counts as 0, float32 could not tell it from 0
SIDE, CHUNK, FINER = 64, 32, 4
FASTEST = 24  # cycles an image: what is faster changes with where the cells begin, by aliasing
LUMA = numpy.array([0.299, 0.587, 0.114], dtype=numpy.float32)  # ITU-R BT.601


def luma(images: numpy.ndarray) -> numpy.ndarray:
    """uint8 RGB (N, V, T, 3) to float32 (N, 64, 64) in about [0, 1], by area averaging and without what is
    faster than FASTEST; V and T multiples of 64.
    """
    count, height, width, _ = images.shape
    cells = (images @ LUMA / 255).reshape(count, SIDE, height // SIDE, SIDE, width // SIDE)
    spectrum = torch.fft.rfft(torch.from_numpy(cells.mean(axis=(2, 4), dtype=numpy.float32)))
    spectrum[..., FASTEST + 1 :] = 0
    return torch.fft.irfft(spectrum, n=SIDE).numpy()


def nearest_two(
    pictures: numpy.ndarray, training: numpy.ndarray, quiet: bool = False
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Distances (N, 2), ascending, to the two nearest of `training`, and their places (N, 2).

    images (N, V, T) and training (M, V, T), M at least 2, float32; `quiet` shows no progress.
    """
    assert len(training) > 1, "there is no second neighbour"
    batches, found = math.ceil(len(pictures) / CHUNK), []
    rows: Iterable[Tensor] = shift_distances(pictures, training)
    if not quiet:
        rows = progress(rows, total=batches, description="nearest neighbours", unit="batch")
    for distances in rows:
        found.append(distances.topk(2, largest=False))
    nearest, places = (torch.cat(column).numpy() for column in zip(*found))
    return nearest, places


def shift_distances(pictures: numpy.ndarray, others: numpy.ndarray) -> Iterator[Tensor]:
    """Distances of images (N, V, T) from others (M, V, T), the least over all circular shifts in time; rows
    of (N, M), up to CHUNK at once. |a - shifted b|^2 = |a|^2 + |b|^2 - 2 corr(shift), where a Fourier
    transform along time makes each frequency one matrix product for all pairs and, transformed back to FINER
    times as many points, gives what lies between whole cells.
    """
    level = others.mean()  # any constant leaves distances alone; this one keeps the rounding small
    all_others = torch.from_numpy(others - level)
    spectrum = FINER * _spectrum(all_others).conj().transpose(1, 2)
    if others.shape[-1] % 2 == 0:
        spectrum[-1] /= 2  # half the cells' rate: among finer points it stands for two frequencies
    energy = all_others.square().sum((1, 2))
    for part in torch.from_numpy(pictures - level).split(CHUNK):
        correlation = torch.fft.irfft(_spectrum(part) @ spectrum, n=FINER * part.shape[-1], dim=0).amax(0)
        norms = part.square().sum((1, 2))[:, None]
        distances = (norms + energy - 2 * correlation).clamp(min=0).sqrt()
        yield distances * (distances >= EXACT * norms.sqrt())


def _spectrum(pictures: Tensor) -> Tensor:
    """(N, V, T) to complex (T // 2 + 1, N, V): the frequency in time first."""
    return torch.fft.rfft(pictures, dim=-1).permute(2, 0, 1)


def memorised(distances: numpy.ndarray) -> numpy.ndarray:
    """Which of the images with `nearest_two` distances (N, 2) are copies; two equal originals hide none."""
    return distances[:, 0] <= THRESHOLD * distances[:, 1]
