"""Walks drawn in a colour map, as images, as figures with axes, and in folders."""

import io

import numpy
from PIL import Image

from data.images import ImageRecord
from radar.colormap import to_rgb


def walk(seed=0, standing=False):
    """(128, 55) in [0, 1]: a wandering bright line on a dark floor with speckle; perhaps a steady one."""
    rng = numpy.random.default_rng(seed)
    centre = 40 + seed + 6 * numpy.sin(numpy.arange(55) / 2.2 + seed)
    line = numpy.exp(-0.5 * ((numpy.arange(128)[:, None] - centre) / 9) ** 2)
    unit = numpy.clip(line * rng.gamma(4.0, 0.25, (128, 55)) - 0.1, 0, 1)
    if standing:
        unit[90] = 0.9
    return unit


def swings(people, count, seed):
    """(people * count, 128, 64, 3) noisy images: a swinging line, a height each person; labels."""
    rng = numpy.random.default_rng(seed)
    labels = numpy.repeat(numpy.arange(people), count)
    phase = 2 * numpy.pi * (numpy.arange(64) / 16 + rng.random((len(labels), 1)))
    line = 50 + 12 * labels[:, None] + rng.normal(0, 2, (len(labels), 1)) + 6 * numpy.sin(phase)
    power = numpy.exp(-0.5 * ((numpy.arange(128)[:, None] - line[:, None]) / 3) ** 2)
    noisy = 200 * power + 50 * rng.random((len(labels), 128, 64))
    return numpy.repeat(noisy[..., None], 3, axis=-1).astype(numpy.uint8), labels


def drawn(name="jet", quality=None, **options):
    image = Image.fromarray(to_rgb(walk(**options), name)).resize((256, 256), Image.Resampling.BILINEAR)
    if quality is None:
        return image
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return Image.open(buffer).convert("RGB")


def figure(left=40, top=30, width=200, height=180, bar=True, seed=0):
    """A white sheet with a framed plot, and the box of its plot area."""
    sheet = numpy.full((260, 330, 3), 255, numpy.uint8)
    plot = numpy.asarray(drawn(seed=seed).resize((width, height)))
    sheet[top - 1 : top + height + 1, left - 1 : left + width + 1] = 0
    sheet[top : top + height, left : left + width] = plot
    sheet[top + 20, left - 6 : left] = 0  # a tick
    if bar:
        ramp = numpy.linspace(1, 0, height)[:, None].repeat(12, 1)
        sheet[top : top + height, left + width + 20 : left + width + 32] = to_rgb(ramp, "jet")
    return sheet, (left, top, left + width, top + height)


def write(folder, images):
    records = []
    for number, image in enumerate(images):
        path = folder / "ID_1" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
        records.append(ImageRecord(path, f"ID_1/{number}.png", "ID_1"))
    return records
