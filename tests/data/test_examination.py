"""Colour maps, margins and lines of zero velocity are found in images drawn so, and not in others."""

import io

import numpy
import pytest
from PIL import Image

from configs.errors import UserError
from data.examination import MAPS, colour_map_of, colour_map_of_files, examine, plot_area, sampled
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


def drawn(name="jet", quality=None, **options):
    image = Image.fromarray(to_rgb(walk(**options), name)).resize((256, 256), Image.Resampling.BILINEAR)
    if quality is None:
        return image
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return Image.open(buffer).convert("RGB")


def figure(left=40, top=30, width=200, height=180, bar=True):
    """A white sheet with a framed plot, and the box of its plot area."""
    sheet = numpy.full((260, 330, 3), 255, numpy.uint8)
    plot = numpy.asarray(drawn().resize((width, height)))
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
        path.parent.mkdir(exist_ok=True)
        image.save(path)
        records.append(ImageRecord(path, f"ID_1/{number}.png", "ID_1"))
    return records


@pytest.mark.parametrize("quality", [None, 75])
@pytest.mark.parametrize("name", MAPS)
def test_every_map_is_known_again(name, quality):
    assert colour_map_of(numpy.asarray(drawn(name, quality))) == name


def test_noise_and_pale_photographs_have_no_map():
    rng = numpy.random.default_rng(0)
    assert colour_map_of(rng.integers(0, 256, (64, 64, 3), dtype=numpy.uint8)) is None
    pale = rng.integers(60, 200, (64, 64, 1)) + numpy.array([25, 0, -25])
    assert colour_map_of(pale.astype(numpy.uint8)) is None


@pytest.mark.parametrize("bar", [True, False])
def test_the_plot_area_is_what_lies_inside_the_frame(bar):
    sheet, box = figure(bar=bar)
    assert plot_area(sheet) == (box, bar)


@pytest.mark.parametrize("name", MAPS)
def test_images_without_margins_have_none(name):
    assert plot_area(numpy.asarray(drawn(name))) == (None, False)


def test_a_steady_line_is_zero_velocity_and_a_wandering_one_is_not():
    standing = examine([(str(seed), drawn(seed=seed, standing=True)) for seed in range(4)])
    assert standing.zero_line == pytest.approx(90.5 / 128)
    assert examine([(str(seed), drawn(seed=seed)) for seed in range(4)]).zero_line is None


def test_a_set_is_described_and_warned_of():
    mixed = [("a", drawn()), ("b", drawn("viridis")), ("c", Image.fromarray(figure()[0]))]
    noise = numpy.random.default_rng(0).integers(0, 256, (64, 64, 3), numpy.uint8)
    mixed.append(("d", Image.fromarray(noise)))
    found = examine(mixed)
    assert found.margins == ("c",) and found.colour_bars == 1 and found.colour_map == "jet"
    text = "\n".join(found.lines())
    assert "warning: 1 of them have the colours of no known map" in text
    assert "warning: images of several colour maps" in text


def test_auto_takes_the_map_of_all_images_or_refuses(tmp_path):
    records = write(tmp_path, [drawn("viridis"), drawn("viridis", seed=1)])
    assert colour_map_of_files(records, "auto") == "viridis"
    assert colour_map_of_files(records, "hot") == "hot"
    records = write(tmp_path, [drawn("viridis"), drawn("jet")])
    with pytest.raises(UserError, match=r"viridis \(1\).*jet \(1\).*name the map by --colour_map"):
        colour_map_of_files(records, "auto")


def test_every_person_is_looked_at(tmp_path):
    records = [ImageRecord(tmp_path, f"ID_{p}/{i}.png", f"ID_{p}") for p in range(100) for i in range(9)]
    assert {record.user for record in sampled(records)} == {record.user for record in records}
    assert len(sampled(records[:18])) == 18 and len(sampled(records[:90] * 9)) <= 70
