"""The depth of 16-bit grey files is told by the largest value of all; every image is scaled by it."""

import numpy
import pytest
from PIL import Image

import data.images
from configs.errors import UserError
from data.examination import examine_files
from data.images import find_images, find_splits, open_rgb, scan_images


def write(folder, largest, suffix="tif", count=3):
    """Ramps up to `largest` in the last image, to half of it in the others."""
    folder.mkdir(parents=True)
    for number in range(count):
        top = largest if number == count - 1 else largest // 2
        ramp = numpy.linspace(0, top, 64).round().astype(numpy.uint16).reshape(8, 8)
        Image.fromarray(ramp).save(folder / f"{number}.{suffix}")


@pytest.mark.parametrize("suffix", ["tif", "png"])
@pytest.mark.parametrize(
    ("largest", "white"),
    [(255, 255), (1023, 1023), (4095, 4095), (2600, 4095), (16383, 16383), (16384, 65535), (65535, 65535)],
)
def test_the_largest_value_of_all_images_tells_the_depth(tmp_path, largest, white, suffix):
    write(tmp_path / "ID_1", largest, suffix)
    records = find_images(tmp_path).records
    assert {record.white for record in records} == {white}
    for record in records:
        values = numpy.asarray(Image.open(record.path)).astype(float)
        assert (numpy.asarray(open_rgb(record)) == numpy.rint(values * 255 / white)[..., None]).all()


def test_numbers_beyond_16_bits_tell_no_depth(tmp_path):
    write(tmp_path / "ID_1", 4095)
    for name, value in (("negative", -1), ("large", 65536)):
        Image.fromarray(numpy.full((8, 8), value, numpy.int32)).save(tmp_path / f"ID_1/{name}.tif")
    assert {record.white for record in find_images(tmp_path).records} == {4095}


@pytest.mark.parametrize("largest", [0, 100, 300, 1500, 5000])
def test_a_depth_that_cannot_be_told_is_refused(tmp_path, largest):
    write(tmp_path / "ID_1", largest)
    with pytest.raises(UserError, match=f"{largest} is the largest value of all 16-bit grey images.*8 bits"):
        find_images(tmp_path)


def test_one_depth_holds_for_all_parts_of_a_split(tmp_path):
    write(tmp_path / "train/ID_1", 2100)
    write(tmp_path / "val/ID_1", 1200)
    write(tmp_path / "test/ID_1", 4000)
    parts = find_splits(tmp_path).records
    assert {record.white for part in parts.values() for record in part} == {4095}
    assert "12 bits: 4095 is white" in "\n".join(examine_files(parts["val"]).lines())


def test_checking_decodes_as_reading_does(tmp_path, monkeypatch):
    write(tmp_path / "ID_1", 4095)
    seen, decode = [], data.images.decoded
    monkeypatch.setattr(data.images, "decoded", lambda *given: seen.append(given[1]) or decode(*given))
    assert scan_images(find_images(tmp_path).records).bad == {}
    assert seen == [4095] * 3


def test_eight_bit_images_are_left_alone(tmp_path):
    (tmp_path / "ID_1").mkdir()
    Image.fromarray(numpy.full((8, 8), 9, numpy.uint8)).save(tmp_path / "ID_1/a.png")
    assert numpy.asarray(open_rgb(find_images(tmp_path).records[0])).max() == 9


@pytest.mark.parametrize(("dark", "bright"), [(4095, 65535), (1000, 4095), (3600, 20000)])
def test_people_of_two_depths_are_refused(tmp_path, dark, bright):
    write(tmp_path / "ID_1", dark)
    write(tmp_path / "ID_2", bright)
    with pytest.raises(UserError, match=rf"{dark} is the largest value of ID_1, \d+ that of others, like"):
        find_images(tmp_path)


@pytest.mark.parametrize(("weak", "strong"), [(5000, 65535), (3000, 4095), (16383, 40000)])
def test_a_weaker_person_of_one_depth_is_none_of_another(tmp_path, weak, strong):
    write(tmp_path / "ID_1", weak)
    write(tmp_path / "ID_2", strong)
    assert len({record.white for record in find_images(tmp_path).records}) == 1
