"""Images as numbers: dB over velocity and time, there and back, and their labelled figures."""

import numpy
import pytest
from PIL import Image

from configs.errors import UserError
from data.axes import Axes
from radar.colormap import ENTRIES, from_rgb, to_rgb
from sampling.arrays import require_axes, to_decibels, write_arrays, write_figure

AXES = Axes(-1.0, 5.0, 2.0, 40.0, "jet")


def of_map(name, shape=(64, 48)):
    """An image in the colours of a map, and the entries of these."""
    entries = numpy.random.default_rng(0).integers(0, ENTRIES, shape)
    return to_rgb(entries / (ENTRIES - 1), name), entries


@pytest.mark.parametrize("name", ["jet", "viridis", "gray", "parula"])
def test_image_to_decibels_and_back_is_within_one_colour_step(name):
    image, entries = of_map(name)
    axes = Axes(-1.0, 5.0, 2.0, 40.0, name)
    power = to_decibels(image, axes)
    assert power.dtype == numpy.float32 and power.shape == (64, 48)
    step = 40 / (ENTRIES - 1)
    assert (
        numpy.abs(power[::-1] - (entries / (ENTRIES - 1) - 1) * 40).max() <= 1.51 * step
    )  # jet's equal blues
    back = from_rgb(to_rgb(power[::-1] / 40 + 1, name), name)
    assert numpy.abs(back - from_rgb(image, name)).max() <= 1.01 / (ENTRIES - 1)


def test_an_image_off_the_map_comes_back_as_its_nearest_colours():
    noisy = numpy.clip(of_map("jet")[0] + numpy.random.default_rng(1).integers(-9, 10, (64, 48, 3)), 0, 255)
    noisy = noisy.astype(numpy.uint8)
    back = to_rgb(to_decibels(noisy, AXES)[::-1] / 40 + 1, "jet")
    assert numpy.abs(from_rgb(back, "jet") - from_rgb(noisy, "jet")).max() <= 1.01 / (ENTRIES - 1)


def test_rows_ascend_in_velocity_and_columns_in_time(tmp_path):
    unit = numpy.zeros((6, 4))
    unit[0, 1] = 1  # the fastest, in the second quarter
    Image.fromarray(to_rgb(unit)).save(tmp_path / "a.png")
    assert write_arrays(tmp_path, ["a.png"], AXES) == 1
    with numpy.load(tmp_path / "a.npz") as arrays:
        row, column = numpy.unravel_index(arrays["db"].argmax(), arrays["db"].shape)
        assert arrays["velocity_mps"][row] == pytest.approx(4.5)
        assert arrays["time_s"][column] == pytest.approx(0.75)
        assert arrays["db"].max() == 0 and arrays["db"].min() == pytest.approx(-40, abs=0.25)
        assert (float(arrays["range_db"]), str(arrays["colour_map"])) == (40, "jet")
    assert write_arrays(tmp_path, ["a.png"], AXES) == 0


def test_a_colour_map_that_nobody_told_is_that_of_the_images(tmp_path):
    Image.fromarray(of_map("viridis")[0]).save(tmp_path / "a.png")
    write_arrays(tmp_path, ["a.png"], Axes(0, 5, 2, 40))
    assert str(numpy.load(tmp_path / "a.npz")["colour_map"]) == "viridis"
    photograph = numpy.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=numpy.uint8)
    Image.fromarray(photograph).save(tmp_path / "b.png")
    with pytest.raises(UserError, match="b.png has the colours of no known map"):
        write_arrays(tmp_path, ["b.png"], Axes(0, 5, 2, 40))


def test_unknown_axes_are_asked_for():
    with pytest.raises(UserError, match="m.pt carries no axes; give them by --axes"):
        require_axes(None, "m.pt")
    with pytest.raises(UserError, match="m.pt carries no range in dB"):
        require_axes(Axes(0, 5, 2), "m.pt")


def test_a_figure_shows_the_images_with_axes_and_a_colour_bar(tmp_path, monkeypatch):
    for name in "abcde":
        Image.fromarray(of_map("jet")[0]).save(tmp_path / f"{name}.png")
    drawn = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **_: drawn.append(figure))
    monkeypatch.setattr("os.replace", lambda *_: None)
    write_figure(tmp_path / "f.png", "$ID_7$", [tmp_path / f"{name}.png" for name in "abcde"], AXES)
    *panels, bar = drawn[0].axes
    assert (
        len(panels) == 4
        and panels[0].get_ylabel() == "Radial velocity (m/s)"
        and bar.get_ylabel() == "Power (dB)"
    )
    assert panels[0].get_ylim() == (-1, 5) and panels[0].get_xlim() == (0, 2) and bar.get_ylim() == (-40, 0)
