"""Every kind of image file becomes RGB by the stated rule, and folders are read or refused with a reason."""

import hashlib
import os

import numpy
import pytest
from PIL import Image

from data import images
from data.folders import Rules
from data.images import file_digest, find_images, find_splits, inputs_digest, open_rgb, scan_images


def pixels(path):
    image = open_rgb(path)
    assert image.mode == "RGB"
    return numpy.asarray(image)


def save_image(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (value % 256, 0, 0)).save(path)


@pytest.fixture
def users(tmp_path):
    """ID_1, ID_2 and ID_10 with 3 images each, their names out of plain order."""
    for user in ("ID_10", "ID_2", "ID_1"):
        for number in (1, 2, 10):
            save_image(tmp_path / "in" / user / f"w{number}.png", number)
    return tmp_path / "in"


def test_rgb_is_untouched(tmp_path):
    array = numpy.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=numpy.uint8)
    for suffix in ("png", "bmp", "tif", "PNG"):
        Image.fromarray(array).save(tmp_path / f"a.{suffix}")
        assert (pixels(tmp_path / f"a.{suffix}") == array).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled_by_257_and_rounded(tmp_path, suffix):
    values = numpy.array([[0, 128, 129, 257], [32768, 65406, 65407, 65535]], dtype=numpy.uint16)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    expected = numpy.rint(values / 257).astype(numpy.uint8)
    assert (pixels(tmp_path / f"a.{suffix}") == expected[..., None]).all()
    assert expected.max() == 255


def test_32_bit_grey_within_16_bit_is_read_and_beyond_refused(tmp_path):
    Image.fromarray(numpy.array([[0, 65535]], dtype=numpy.int32)).save(tmp_path / "a.tif")
    assert pixels(tmp_path / "a.tif").tolist() == [[[0] * 3, [255] * 3]]
    for name, values in (
        ("b.tif", numpy.array([[0, 65536]], dtype=numpy.int32)),
        ("c.tif", numpy.array([[0, -1]], dtype=numpy.int32)),
        ("d.tif", numpy.array([[0, 0.5]], dtype=numpy.float32)),
    ):
        Image.fromarray(values).save(tmp_path / name)
        with pytest.raises(ValueError, match="no stated scale"):
            open_rgb(tmp_path / name)


def test_palette_grey_and_bilevel(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "p.png")
    assert pixels(tmp_path / "p.png").tolist() == [[[10, 20, 30], [200, 100, 50]]]
    Image.fromarray(numpy.array([[0, 77]], dtype=numpy.uint8)).save(tmp_path / "l.png")
    assert pixels(tmp_path / "l.png").tolist() == [[[0] * 3, [77] * 3]]
    Image.fromarray(numpy.array([[False, True]])).save(tmp_path / "b.png")
    assert pixels(tmp_path / "b.png").tolist() == [[[0] * 3, [255] * 3]]


def test_alpha_is_composited_over_black(tmp_path):
    rgba = numpy.array([[[200, 100, 50, 255], [200, 100, 50, 0], [200, 100, 50, 51]]], dtype=numpy.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert pixels(tmp_path / "a.png").tolist() == [[[200, 100, 50], [0, 0, 0], [40, 20, 10]]]
    Image.fromarray(numpy.array([[[200, 255], [200, 51]]], dtype=numpy.uint8), "LA").save(tmp_path / "la.png")
    assert pixels(tmp_path / "la.png").tolist() == [[[200] * 3, [40] * 3]]


def test_transparent_colours_are_black(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "p.png", transparency=1)
    assert pixels(tmp_path / "p.png").tolist() == [[[10, 20, 30], [0, 0, 0]]]
    Image.fromarray(numpy.array([[7, 77]], dtype=numpy.uint8)).save(tmp_path / "l.png", transparency=77)
    assert pixels(tmp_path / "l.png").tolist() == [[[7] * 3, [0] * 3]]


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk(tmp_path, suffix):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / f"a.{suffix}")
    red = pixels(tmp_path / f"a.{suffix}").reshape(-1, 3).astype(int)
    assert abs(red - [255, 0, 0]).max() <= 6


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("mode", ["RGB", "I;16"])
def test_exif_rotation_is_applied(tmp_path, suffix, mode):
    if (suffix, mode) == ("webp", "I;16"):
        pytest.skip("WebP holds no 16-bit grey")
    array = numpy.zeros((2, 3), dtype=numpy.uint16)
    array[0, 2] = 65535
    image = Image.fromarray(array)
    if mode == "RGB":
        image = Image.fromarray((array // 257).astype(numpy.uint8)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned 90 degrees clockwise: the top right corner comes to the bottom right
    image.save(tmp_path / f"a.{suffix}", exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    expected = numpy.zeros((3, 2), dtype=numpy.uint8)
    expected[2, 1] = 255
    assert (pixels(tmp_path / f"a.{suffix}") == expected[..., None]).all()


@pytest.mark.parametrize("suffix", ["gif", "webp", "tif"])
def test_several_images_in_one_file_are_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    first.save(path, save_all=True, append_images=[second], lossless=True)
    with pytest.raises(ValueError, match=r"holds 2 images \(pages\); save each in a file of its own"):
        open_rgb(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif", "webp"])
def test_truncated_files_are_refused_by_name(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(numpy.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=numpy.uint8)).save(path)
    open_rgb(path)
    os.truncate(path, path.stat().st_size * 2 // 3)
    with pytest.raises(ValueError, match=f"a.{suffix}: .*replace or remove") as error:
        open_rgb(path)
    assert "\n" not in str(error.value)


def test_empty_missing_and_foreign_files(tmp_path):
    (tmp_path / "zero.jpg").touch()
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(ValueError, match="zero.jpg: empty file"):
        open_rgb(tmp_path / "zero.jpg")
    with pytest.raises(ValueError, match="text.jpg: not an image"):
        open_rgb(tmp_path / "text.jpg")
    with pytest.raises(FileNotFoundError, match="absent.jpg"):
        open_rgb(tmp_path / "absent.jpg")


def test_decompression_bombs_are_refused(tmp_path, monkeypatch):
    save_image(tmp_path / "a.png")
    monkeypatch.setattr(images, "MAX_PIXELS", 63)
    with pytest.raises(ValueError, match="8x8 is over the limit"):
        open_rgb(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # Pillow's own limit, which raises an error of its own
    with pytest.raises(ValueError, match="a.png: cannot be decoded"):
        open_rgb(tmp_path / "a.png")


def test_users_and_images_come_in_natural_order(users):
    (users / ".cache").mkdir()
    save_image(users / ".cache" / "a.png")
    save_image(users / "loose.png")
    save_image(users / "ID_2" / "._w3.png")
    save_image(users / "ID_2" / "w11.JPG")
    (users / "ID_2" / "readme.txt").write_text("x")
    listing = find_images(users)
    assert listing.labels.names == ("ID_1", "ID_2", "ID_10")
    records = listing.records
    assert [r.relative for r in records][:7] == [
        "ID_1/w1.png",
        "ID_1/w2.png",
        "ID_1/w10.png",
        "ID_2/w1.png",
        "ID_2/w2.png",
        "ID_2/w10.png",
        "ID_2/w11.JPG",
    ]
    assert len(records) == 10 and records[-1].user == "ID_10"
    assert all(record.path == users / record.relative for record in records)


def test_a_pattern_may_find_something_in_one_part_alone(tmp_path, capsys):
    for name in (
        "train/ID_1/a.png",
        "train/ID_2/b.png",
        "train/ID_3/c.png",
        "val/ID_1/d.png",
        "val/ID_1/e.png",
    ):
        save_image(tmp_path / name)
    splits = find_splits(tmp_path, Rules(leave_out=["ID_3", "ID_1/d.png", "ID_4/*"]))
    assert splits.paths() == [
        tmp_path / f"{name}.png" for name in ("train/ID_1/a", "train/ID_2/b", "val/ID_1/e")
    ]
    assert capsys.readouterr().out == f"warning: --leave_out 'ID_4/*': finds nothing in {tmp_path}\n"


def test_a_pattern_may_find_a_person_of_a_part_s_table(tmp_path, capsys):
    for name in ("train/ID_1/a.png", "train/b.png"):
        save_image(tmp_path / name)
    (tmp_path / "train/labels.csv").write_text("file,person\nID_1/a.png,ID_1\nb.png,P3\n")
    assert len(find_splits(tmp_path, Rules(leave_out=["P3"])).paths()) == 1 and not capsys.readouterr().out


def test_people_of_val_must_be_in_train(users, tmp_path):
    save_image(tmp_path / "train/ID_1/a.png")
    save_image(tmp_path / "train/ID_2/a.png")
    users.rename(tmp_path / "val")
    with pytest.raises(ValueError, match="ID_10 not among the known users ID_1, ID_2"):
        find_splits(tmp_path)


def test_wrong_folders_say_what_was_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent: no such folder"):
        find_images(tmp_path / "absent")
    with pytest.raises(ValueError, match="found nothing"):
        find_images(tmp_path)
    (tmp_path / "ID_1").mkdir()
    (tmp_path / "ID_1" / "a.psd").touch()
    with pytest.raises(ValueError, match=r"found 1 .psd \(ID_1/a.psd\); expected .*\.webp"):
        find_images(tmp_path)
    save_image(tmp_path / "a.png")
    with pytest.raises(ValueError, match="found 1 loose image;.*--name.*--labels"):
        find_images(tmp_path)


def test_split_and_nested_layouts_are_named(tmp_path):
    save_image(tmp_path / "split" / "train" / "ID_1" / "a.png")
    save_image(tmp_path / "split" / "val" / "ID_1" / "a.png")
    with pytest.raises(ValueError, match="finished split .*stage1_extract_features.*--name"):
        find_images(tmp_path / "split")
    save_image(tmp_path / "deep" / "walk" / "P1" / "a.png")
    with pytest.raises(ValueError, match="which folder of walk/P1/a.png is the person.*condition"):
        find_images(tmp_path / "deep")


def test_bad_images_are_found_and_the_rest_hashed_in_one_reading(users, capsys):
    (users / "ID_2" / "w5.png").touch()
    (users / "ID_2" / "w6.jpg").write_text("no image")
    records = find_images(users).records
    (users / "ID_1" / "w2.png").unlink()
    scan = scan_images(records, num_workers=3)
    assert set(scan.bad) == {"ID_2/w5.png", "ID_2/w6.jpg", "ID_1/w2.png"}
    assert scan.bad["ID_2/w5.png"] == "empty file (0 bytes)" and "cannot be read" in scan.bad["ID_1/w2.png"]
    assert "reading: 100%" in capsys.readouterr().err
    assert scan_images(records, 1).bad == scan.bad
    assert scan.digests["ID_1/w1.png"] == file_digest(users / "ID_1" / "w1.png")
    assert "ID_1/w2.png" not in scan.digests


def test_file_digest_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 10**6)
    assert file_digest(tmp_path / "a") == hashlib.sha256(b"abc" * 10**6).hexdigest()


def test_inputs_digest_sees_names_and_contents_but_not_the_place(users, tmp_path):
    records = find_images(users).records
    first = inputs_digest(records)
    assert inputs_digest(records[::-1]) == inputs_digest(records, scan_images(records).digests) == first
    users.rename(tmp_path / "moved")
    moved = find_images(tmp_path / "moved").records
    assert inputs_digest(moved) == first and inputs_digest(moved[1:]) != first
    save_image(moved[0].path, 99)
    changed = inputs_digest(moved)
    assert changed != first
    moved[0].path.rename(moved[0].path.with_name("other.png"))
    assert inputs_digest(find_images(tmp_path / "moved").records) not in (first, changed)
