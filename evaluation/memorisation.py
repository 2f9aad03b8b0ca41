"""Is a generated image (or latent) new, or a training one again?

An image counts as memorised where one of two things holds:

- its nearest training image is less than a third as far as the second nearest (the measure of arXiv
  2310.02664 and 2505.17638). Two near-equal training images hide their copy from it, and so does a blend.
- a blend of two training images explains it far better than held-out real images: what the blend leaves is
  half of what is usual of these, or less.

Both look at all circular shifts in time, since a copy that starts elsewhere in the step is still a copy. The
same share for held-out real images says what is usual.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy
import scipy
import torch
from torch import Tensor

from data.progress import progress

THRESHOLD = 1 / 3
LEFT = 1 / 2  # of what is usual; noise-free images of a person leave 0.6 of it or more, since noise is new
BLENDED = 2  # training images in a blend
NONE, SOME, MANY = 0, 1, 2
SURE = 0.025
EXACT = 0.01  # of an image's own norm: a distance below counts as 0, float32 could not tell it from 0
SIDE, FINER = 64, 4
CHUNK, TRAINING_CHUNK = 32, 1024  # images, and training images, compared at once: 70 MB
FASTEST = 24  # cycles an image: what is faster changes with where the cells begin, by aliasing
LUMA = numpy.array([0.299, 0.587, 0.114], dtype=numpy.float32)  # ITU-R BT.601


class Nearness(NamedTuple):
    """Of N images beside training ones: distances (N, 2), ascending, to the two nearest; their places (N, 2);
    and the shares (N,) of the images that no blend of training ones explains, as `unexplained` gives them.
    """

    distances: numpy.ndarray
    places: numpy.ndarray
    left: numpy.ndarray

    @property
    def ratios(self) -> numpy.ndarray:
        """(N,) nearest over second nearest distance."""
        return self.distances[:, 0] / self.distances[:, 1].clip(1e-12)


def luma(images: numpy.ndarray) -> numpy.ndarray:
    """uint8 RGB (N, V, T, 3) to float32 (N, 64, 64) in about [0, 1], by area averaging and without what is
    faster than FASTEST; V and T multiples of 64.
    """
    height, width = images.shape[1:3]
    smoothed = numpy.empty((len(images), SIDE, SIDE), numpy.float32)
    for first in range(0, len(images), CHUNK):
        part = images[first : first + CHUNK] @ LUMA / 255
        cells = part.reshape(len(part), SIDE, height // SIDE, SIDE, width // SIDE)
        spectrum = torch.fft.rfft(torch.from_numpy(cells.mean(axis=(2, 4), dtype=numpy.float32)))
        spectrum[..., FASTEST + 1 :] = 0
        smoothed[first : first + len(part)] = torch.fft.irfft(spectrum, n=SIDE).numpy()
    return smoothed


def nearness(pictures: numpy.ndarray, training: numpy.ndarray, quiet: bool = False) -> Nearness:
    """Of images (N, V, T) beside training (M, V, T), M at least 2, float32; `quiet` shows no progress."""
    assert len(training) > 1, "there is no second neighbour"
    batches, parts = math.ceil(len(pictures) / CHUNK), []
    rows: Iterable[tuple[Tensor, Tensor]] = zip(
        shift_distances(pictures, training), unexplained(pictures, training)
    )
    if not quiet:
        rows = progress(rows, total=batches, description="nearest neighbours", unit="batch")
    for distances, left in rows:
        parts.append((*distances.topk(2, largest=False), left))
    return Nearness(*(torch.cat(column).numpy() for column in zip(*parts)))


def memorised(neighbours: Nearness, usual: float) -> numpy.ndarray:
    """Which of the images are copies (N,); `usual` is the median share that held-out real images leave
    unexplained, nan where there are none.
    """
    nearest, second = neighbours.distances.T
    return (nearest <= THRESHOLD * second) | (neighbours.left <= LEFT * usual)


def usual_left(held_out: Nearness) -> float:
    """What is usual for `memorised`."""
    return float(numpy.median(held_out.left)) if len(held_out.left) else math.nan


def verdict(generated: dict[str, Any], real: dict[str, Any]) -> int:
    """Of two shares as `evaluation.estimates.share_of` gives them: MANY where copies are more frequent among
    generated images than among held-out real ones (Fisher's exact test, one-sided, 2.5 %), SOME where they
    occur among generated ones only, else NONE.
    """
    table = [[one["hits"], one["count"] - one["hits"]] for one in (generated, real)]
    if scipy.stats.fisher_exact(table, alternative="greater").pvalue <= SURE:
        return MANY
    return SOME if generated["hits"] and not real["hits"] else NONE


# Distances


def shift_distances(pictures: numpy.ndarray, others: numpy.ndarray) -> Iterator[Tensor]:
    """Distances of images (N, V, T) from others (M, V, T), the least over all circular shifts in time, to a
    quarter of a cell; rows of (N, M), up to CHUNK at once. |a - shifted b|^2 = |a|^2 + |b|^2 - 2 corr(shift),
    where a Fourier transform along time makes each frequency one matrix product for all pairs and,
    transformed back to FINER times as many points, gives what lies between whole cells.
    """
    level = others.mean()  # any constant leaves distances alone; this one keeps the rounding small
    all_others = torch.from_numpy(others - level)
    spectrum = FINER * _spectrum(all_others).conj().transpose(1, 2)
    if others.shape[-1] % 2 == 0:
        spectrum[-1] /= 2  # half the cells' rate: among finer points it stands for two frequencies
    energy = all_others.square().sum((1, 2))
    for part in torch.from_numpy(pictures - level).split(CHUNK):
        correlation = _correlation(part, spectrum, FINER * part.shape[-1])
        norms = part.square().sum((1, 2))[:, None]
        distances = (norms + energy - 2 * correlation).clamp(min=0).sqrt()
        yield distances * (distances >= EXACT * norms.sqrt())


def _correlation(pictures: Tensor, spectrum: Tensor, points: int) -> Tensor:
    """(N, M), the largest at any of so many shifts in time: of images (N, V, T) with those of the spectrum
    (T // 2 + 1, V, M), conjugated.
    """
    spectra = _spectrum(pictures)
    parts = spectrum.split(TRAINING_CHUNK, dim=2)
    return torch.cat([torch.fft.irfft(spectra @ part, n=points, dim=0).amax(0) for part in parts], dim=1)


def _spectrum(pictures: Tensor) -> Tensor:
    """(N, V, T) to complex (T // 2 + 1, N, V): the frequency in time first."""
    return torch.fft.rfft(pictures, dim=-1).permute(2, 0, 1)


# Blends


def unexplained(pictures: numpy.ndarray, training: numpy.ndarray) -> Iterator[Tensor]:
    """Shares (N,) of the norms of images (N, V, T) that their best blend of BLENDED training images (M, V, T)
    leaves, up to CHUNK at once. Every one of the blend has a weight and a shift in time of its own; they are
    found one after the other (orthogonal matching pursuit, Pati et al., Asilomar 1993). Each row's mean over
    time is taken away before, which makes gain in dB weigh less. 1 for an image without motion.
    """
    atoms = _moving(training)
    spectrum = _spectrum(atoms).conj().transpose(1, 2)
    for part in _moving(pictures).split(CHUNK):
        rest = part
        basis: list[Tensor] = []
        for _ in range(BLENDED):
            alike = _correlation(rest, spectrum, part.shape[-1])
            atom = _aligned(atoms[alike.argmax(1)], rest)
            for earlier in basis:
                atom = atom - _dot(atom, earlier) * earlier
            basis.append(_unit(atom))
            rest = rest - _dot(rest, basis[-1]) * basis[-1]
        still = _dot(part, part).flatten() == 0
        left = torch.where(still, 1.0, _dot(rest, rest).flatten().sqrt())
        yield left * (left >= EXACT)


def _moving(pictures: numpy.ndarray) -> Tensor:
    """Images without their rows' means, of norm 1; 0 for those without motion."""
    values = torch.from_numpy(pictures)
    return _unit(values - values.mean(-1, keepdim=True))


def _aligned(atoms: Tensor, others: Tensor) -> Tensor:
    """Each of `atoms` (N, V, T) shifted in time to where it is most like its one of `others`."""
    cells, spectrum = atoms.shape[-1], torch.fft.rfft(atoms)
    product = (torch.fft.rfft(others) * spectrum.conj()).sum(1)
    shift = torch.fft.irfft(product, n=FINER * cells).argmax(1) / FINER
    angle = -2 * math.pi / cells * shift[:, None] * torch.arange(spectrum.shape[-1])
    return torch.fft.irfft(spectrum * torch.polar(torch.ones(()), angle)[:, None], n=cells)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum((1, 2), keepdim=True)


def _unit(pictures: Tensor) -> Tensor:
    """Of norm 1; what rounding leaves of a still image becomes 0."""
    norms = _dot(pictures, pictures).sqrt()
    return torch.where(norms > 1e-4, pictures / norms.clamp(min=1e-4), 0.0)
