"""Colour maps, margins and lines of zero velocity are found in images drawn so, and not in others."""

import numpy
import pytest
from drawn_walks import drawn, figure, write
from fmcw_walker import Chirps, beat, walking
from PIL import Image

from configs.errors import UserError
from data.examination import MAPS, colour_map_of, examine, examine_files, plot_area, sampled
from data.images import ImageRecord
from radar.person import draw_walker
from radar.recording import Setup, draw_recording
from radar.spectrogram import to_image, to_unit


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
    examination = examine(mixed)
    assert examination.margins == ("c",) and examination.colour_bars == 1 and examination.colour_map == "jet"
    text = "\n".join(examination.lines())
    assert "warning: 1 of them have the colours of no known map" in text
    assert "warning: images of several colour maps" in text


def range_over_time(seed, walls):
    """A walker of 1.2 m/s before a radar that sees 10 m in 128 cells; with walls, or these removed."""
    chirps = Chirps(77e9, 60e12, 4e6, 128)
    samples = beat(chirps, walking(3.0, 1.2, seed % 2 == 0), numpy.arange(300) / 100, seed=seed)[:, 0]
    cells = numpy.fft.fft(samples * numpy.hanning(128), axis=1)
    power = 20 * numpy.log10(abs(cells if walls else cells - cells.mean(0)).T + 1e-9)
    return to_image(to_unit(power), "jet")


@pytest.mark.parametrize("walls", [True, False])
def test_maps_of_range_over_time_are_told(walls):
    maps = [(str(seed), range_over_time(seed, walls)) for seed in range(2)]
    walks = [(f"walk {seed}", drawn(seed=seed, standing=True)) for seed in range(4)]
    words = "warning: 2 of them look like maps of range over time"
    assert words in "\n".join(examine([*maps, *walks]).lines())
    assert "range over time" not in "\n".join(examine(walks).lines())


def test_simulated_walks_are_no_maps_of_range():
    walker = draw_walker(numpy.random.default_rng(1))
    _, windows = draw_recording(walker, 4, Setup(), numpy.random.default_rng(2))
    assert examine([(str(number), one.image) for number, one in enumerate(windows)]).like_range == 0


def test_auto_takes_the_map_of_all_images_or_refuses(tmp_path):
    records = write(tmp_path, [drawn("viridis"), drawn("viridis", seed=1)])
    assert examine_files(records).known_map("auto") == "viridis"
    assert examine_files(records).known_map("hot") == "hot"
    records = write(tmp_path, [drawn("viridis"), drawn("jet")])
    with pytest.raises(UserError, match=r"viridis \(1\).*jet \(1\).*name the map by --colour_map"):
        examine_files(records).known_map("auto")


def test_every_person_is_looked_at(tmp_path):
    records = [ImageRecord(tmp_path, f"ID_{p}/{i}.png", f"ID_{p}") for p in range(100) for i in range(9)]
    assert {record.user for record in sampled(records)} == {record.user for record in records}
    assert len(sampled(records[:18])) == 18 and len(sampled(records[:90] * 9)) <= 70


@pytest.mark.parametrize("colour", [(0, 0, 0), (38, 38, 38), (128, 128, 128), (250, 240, 215), (20, 20, 60)])
def test_margins_of_any_colour_are_found(colour):
    sheet = numpy.full((300, 320, 3), colour, numpy.uint8)
    sheet[20:276, 30:286] = numpy.asarray(drawn("viridis"))
    assert plot_area(sheet) == ((30, 20, 286, 276), False)


def test_a_figure_among_many_images_is_looked_at_for_its_size(tmp_path):
    records = write(tmp_path, [drawn().resize((32, 32))] * 150)
    drawn().resize((40, 32)).save(records[77].path)
    assert records[77] in sampled(records) and len(sampled(records)) < 100


def test_images_that_hold_nothing_are_warned_of():
    blank, tiny = Image.new("RGB", (64, 64), (0, 0, 128)), drawn().resize((8, 64))
    text = "\n".join(examine([("a", blank), ("b", tiny), ("c", drawn())]).lines())
    assert "warning: 1 of them are under 24 pixels wide or high, 1 of one colour" in text
