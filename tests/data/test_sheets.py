"""Layout of image grids, names before their rows, and settings inside a PNG."""

import json

import numpy
import pytest
from PIL import Image

from data.sheets import GAP, NAME_WIDTH, grid, save_png


def flat(colour, size=(20, 30)):
    return numpy.full((*size, 3), colour, numpy.uint8)


def test_every_tile_lies_in_its_row_and_column():
    colours = [[(10 * r + c + 1, 7, 200) for c in range(3)] for r in range(2)]
    picture = grid([[flat(colour) for colour in row] for row in colours], ["a", "b"], cell=16)
    assert picture.size == (NAME_WIDTH + 3 * (16 + GAP), 2 * (16 + GAP) + GAP) and picture.mode == "RGB"
    pixels = numpy.asarray(picture)
    for r, row in enumerate(colours):
        for c, colour in enumerate(row):
            top, left = GAP + r * (16 + GAP), NAME_WIDTH + c * (16 + GAP)
            assert (pixels[top : top + 16, left : left + 16] == colour).all()
    assert (pixels[:GAP] == 255).all() and (pixels[:, -GAP:] == 255).all()


def test_an_image_of_the_cell_s_size_is_shown_unchanged():
    image = numpy.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=numpy.uint8)
    pixels = numpy.asarray(grid([[image]], ["ID_1"], cell=16))
    assert (pixels[GAP : GAP + 16, NAME_WIDTH : NAME_WIDTH + 16] == image).all()


def test_each_name_stands_before_its_own_row():
    picture = grid([[flat(0)], [flat(0)], [flat(0)]], ["ID_1", "", "person with a long name"], cell=32)
    names = numpy.asarray(picture)[:, :NAME_WIDTH]
    ink = [(names[GAP + r * (32 + GAP) : GAP + r * (32 + GAP) + 32] < 128).sum() for r in range(3)]
    assert ink[0] > 0 and ink[1] == 0 and ink[2] > ink[0]
    assert (names[:, :GAP] == 255).all()


def test_rows_may_differ_in_length():
    picture = grid([[flat(9)], [flat(9), flat(9)]], ["a", "b"], cell=8)
    assert picture.width == NAME_WIDTH + 2 * (8 + GAP)
    assert (numpy.asarray(picture)[GAP : GAP + 8, NAME_WIDTH + 8 + GAP :] == 255).all()


def test_a_name_for_every_row():
    with pytest.raises(ValueError):
        grid([[flat(0)], [flat(0)]], ["only one"], cell=8)


def test_png_metadata_and_pixels_come_back(tmp_path):
    pixels = numpy.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=numpy.uint8)
    text = {"settings": json.dumps({"user": "ID_10", "rate": 0.1}), "name": "Müller 张", "long": "x" * 5000}
    save_png(Image.fromarray(pixels), tmp_path / "a.png", text)
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG" and (numpy.asarray(image) == pixels).all()
        assert {name: image.info[name] for name in text} == text
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_failed_write_keeps_the_earlier_picture(tmp_path):
    save_png(Image.new("RGB", (3, 3)), tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(OSError):
        save_png(Image.new("HSV", (3, 3)), tmp_path / "a.png")  # PNG cannot hold it
    assert (tmp_path / "a.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
