"""Colours and back: every map's own entries, JPEG's damage, and maps that cannot be read back."""

import io

import numpy
import pytest
from matplotlib import colormaps
from PIL import Image

from radar.colormap import from_rgb, to_rgb
from radar.spectrogram import to_image

MAPS = ("jet", "viridis", "gray", "magma", "turbo", "inferno", "plasma", "hot", "bone")


def speckled(seed=0):
    """(128, 55) in [0, 1]: a dark floor, a bright line, speckle, as gait images have them."""
    rng = numpy.random.default_rng(seed)
    centre = 46 + 3 * numpy.sin(numpy.arange(55) / 2.2)
    line = numpy.exp(-0.5 * ((numpy.arange(128)[:, None] - centre) / 12) ** 2)
    return numpy.clip(line * rng.gamma(4.0, 0.25, (128, 55)) - 0.15, 0, 1)


@pytest.mark.parametrize("name", MAPS)
def test_every_entry_comes_back(name):
    values = numpy.arange(256) / 255
    # jet shows four neighbouring values in one blue; their mean is 1.5 entries from the outer two
    entries_off = numpy.abs(from_rgb(to_rgb(values, name), name) - values).max() * 255
    assert entries_off <= (1.501 if name == "jet" else 1)


@pytest.mark.parametrize("name", ("jet", "viridis", "gray"))
def test_colours_are_matplotlibs(name):
    values = numpy.array([[-1.0, 0.0, 0.2], [0.6, 1.0, 7.0]])
    expected = colormaps[name](numpy.rint(numpy.clip(values, 0, 1) * 255).astype(int), bytes=True)[..., :3]
    assert to_rgb(values, name).dtype == numpy.uint8 and (to_rgb(values, name) == expected).all()


@pytest.mark.parametrize("name", ("jet", "turbo", "hot"))
def test_any_colour_goes_to_the_nearest_entry(name):
    colours = numpy.random.default_rng(1).integers(0, 256, (40, 30, 3), numpy.uint8)
    read = from_rgb(colours, name)
    table = to_rgb(numpy.arange(256) / 255, name).astype(int)
    distance = ((colours[:, :, None].astype(int) - table) ** 2).sum(-1)
    chosen = numpy.take_along_axis(distance, numpy.rint(read * 255).astype(int)[..., None], -1)[..., 0]
    assert read.shape == (40, 30) and read.dtype == numpy.float32
    assert (chosen == distance.min(-1)).all()


def test_colours_met_before_among_new_ones_read_alike():
    colours = numpy.random.default_rng(2).integers(0, 256, (3, 50, 3), numpy.uint8)
    alone = numpy.stack([from_rgb(row, "magma") for row in colours[:2]])
    both = from_rgb(colours, "magma")  # a third of them new
    assert (both[:2] == alone).all() and (from_rgb(colours[2], "magma") == both[2]).all()


@pytest.mark.parametrize("name", MAPS)
def test_a_jpeg_can_be_read_back(name):
    picture, file = to_image(speckled(), name), io.BytesIO()
    picture.save(file, "JPEG", quality=75, subsampling="4:2:0")
    truth, read = (from_rgb(numpy.asarray(image), name) for image in (picture, Image.open(file)))
    assert truth.std() > 0.2 and numpy.abs(read - truth).mean() < 0.03


@pytest.mark.parametrize("name", ("flag", "prism", "twilight", "tab10"))
def test_maps_that_repeat_colours_are_not_read_back(name):
    to_rgb(numpy.zeros(3), name)
    with pytest.raises(ValueError, match=f"'{name}': cannot be read back"):
        from_rgb(numpy.zeros((2, 3), numpy.uint8), name)


def test_unknown_maps_are_refused_in_one_line():
    for call in (to_rgb, from_rgb):
        with pytest.raises(ValueError, match="colour map 'jett'.*jet, viridis") as error:
            call(numpy.zeros((2, 3), numpy.uint8), "jett")
        assert "\n" not in str(error.value)
