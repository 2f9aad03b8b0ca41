"""Images to measure with, quickly made: smooth noise, about as hard to compress as a spectrogram."""

from __future__ import annotations

from pathlib import Path

import numpy
from PIL import Image

PEOPLE = 4


def write_pictures(folder: Path, count: int) -> None:
    """`count` JPEG files of 256 x 256 pixels in ID_1 ... ID_4 below `folder`."""
    draw = numpy.random.default_rng(0)
    for index in range(count):
        coarse = Image.fromarray(draw.integers(0, 256, (64, 64, 3), dtype=numpy.uint8))
        person = folder / f"ID_{index % PEOPLE + 1}"
        person.mkdir(parents=True, exist_ok=True)
        coarse.resize((256, 256), Image.Resampling.BICUBIC).save(person / f"{index:05d}.jpg", quality=90)
