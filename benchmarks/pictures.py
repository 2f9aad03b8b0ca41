"""Images to measure with: smooth noise, about as hard to compress as a spectrogram, and simulated
walks; and how much fine detail images hold.
"""

from __future__ import annotations

from pathlib import Path

import numpy
import torch
from PIL import Image
from torch import Tensor

import stage0_prepare

PEOPLE = 4
FINE_DETAIL = 0.1  # cycles per pixel: detail finer than ten pixels, at 256 pixels an image


def write_pictures(folder: Path, count: int) -> None:
    """`count` JPEG files of 256 x 256 pixels in ID_1 ... ID_4 below `folder`."""
    draw = numpy.random.default_rng(0)
    for index in range(count):
        coarse = Image.fromarray(draw.integers(0, 256, (64, 64, 3), dtype=numpy.uint8))
        person = folder / f"ID_{index % PEOPLE + 1}"
        person.mkdir(parents=True, exist_ok=True)
        coarse.resize((256, 256), Image.Resampling.BICUBIC).save(person / f"{index:05d}.jpg", quality=90)


def write_walks(folder: Path, people: int, each: int) -> None:
    """`each` images of every simulated person, as stage 0 writes them: with axes.csv and truth.csv."""
    sizes = ["--num_users", str(people), "--samples_per_user", str(each)]
    stage0_prepare.main(["simulate", "--output_dir", str(folder), *sizes])


def high_frequency_energy(images: Tensor, cutoff: float = FINE_DETAIL) -> Tensor:
    """Mean square per pixel of what lies above `cutoff` cycles per pixel in any direction, (B,), float64.

    images (B, C, H, W), floats in [-1, 1], so that energies compare: an image's share or another's ratio. The
    channel's mean is taken off, a Hann window hides the borders, and channels are averaged: a cosine of
    amplitude a finer than the cutoff has a^2/2. The default counts what is finer than ten pixels.
    """
    height, width = images.shape[2:]
    window = torch.hann_window(height, dtype=torch.float64, device=images.device)[
        :, None
    ] * torch.hann_window(width, dtype=torch.float64, device=images.device)
    centred = images.double() - images.double().mean((2, 3), keepdim=True)
    power = torch.fft.fft2(centred * window).abs().square()
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)).to(images.device)
    fine = power * (frequency > cutoff)
    return fine.sum((2, 3)).mean(1) / (height * width * window.square().sum())
