"""Copies are found however they were made, windows of one walk are none, and no copy is on another side."""

import io

import numpy
import pytest
from drawn_walks import figure, write
from PIL import Image

from configs.errors import UserError
from data.duplicates import ALIKE, alike, correlate, firsts, refuse_leaks, signature
from data.images import find_images
from data.splits import split_records
from radar.colormap import to_rgb


def walk(seed, columns=256, rows=64):
    """An image of noise smeared over a few cells, as a spectrogram's speckle is."""
    noise = numpy.random.default_rng(seed).standard_normal((rows, columns))
    smooth = numpy.cumsum(numpy.cumsum(noise, 0), 1)
    smooth = smooth[6:, 6:] - smooth[:-6, 6:] - smooth[6:, :-6] + smooth[:-6, :-6]
    return numpy.uint8(numpy.clip(128 + 8 * smooth, 0, 255))


def picture(grey):
    return Image.fromarray(grey).convert("RGB")


def encoded(image, **settings):
    stream = io.BytesIO()
    image.save(stream, **settings)
    return Image.open(stream)


COPIES = {
    "JPEG": lambda image: encoded(image, format="JPEG", quality=40),
    "palette": lambda image: encoded(image.quantize(64), format="PNG").convert("RGB"),
    "another size": lambda image: image.resize((301, 181), Image.Resampling.BICUBIC),
    "rolled": lambda image: Image.fromarray(numpy.roll(numpy.asarray(image), 53, 1)),
    "darker": lambda image: Image.fromarray(numpy.uint8(numpy.asarray(image) * 0.7)),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "mirrored in time": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "mirrored in velocity": lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    "turned around": lambda image: image.transpose(Image.Transpose.ROTATE_180),
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_alike_and_nothing_else(kind):
    images = [picture(walk(seed)) for seed in range(6)]
    some = numpy.stack([signature(image) for image in images])
    others = numpy.stack([signature(COPIES[kind](image)) for image in images])
    assert [(row, column) for row, column, _ in alike(some, others)] == [(k, k) for k in range(6)]
    assert correlate(some[0], others[1]) < 0.6


def test_each_pair_of_a_set_is_told_once_whatever_the_blocks(monkeypatch):
    images = [picture(walk(seed)) for seed in range(4)]
    some = numpy.stack([signature(image) for image in (*images, COPIES["darker"](images[1]), images[0])])
    expected = [(0, 5), (1, 4)]
    for block in (2048, 2):
        monkeypatch.setattr("data.duplicates.BLOCK", block)
        assert [pair[:2] for pair in alike(some, some)] == expected
        assert [pair[:2] for pair in alike(some[:4], some[4:])] == [(0, 1), (1, 0)]


def test_windows_that_share_three_quarters_are_not_alike():
    long = walk(1, columns=1000)
    windows = numpy.stack([signature(picture(long[:, first : first + 256])) for first in range(0, 700, 64)])
    assert not [pair for pair in alike(windows, windows) if pair[0] != pair[1]]
    assert 0.6 < correlate(windows[0], windows[1]) < ALIKE


def test_the_correlation_is_that_of_the_shifted_images():
    first, second = (walk(seed, 70, 70)[:64, :64].astype(numpy.float32) / 255 for seed in (1, 2))
    centred = [cells - cells.mean(1, keepdims=True) for cells in (first, second)]
    best = max((centred[0] * numpy.roll(centred[1], shift, 1)).sum() for shift in range(64))
    expected = best / numpy.linalg.norm(centred[0]) / numpy.linalg.norm(centred[1])
    images = (Image.fromarray(numpy.uint8(cells * 255 + 0.5)) for cells in (first, second))
    correlation = correlate(*map(signature, images))
    assert expected - 1e-4 <= correlation < expected + 0.05  # between whole columns it may be a little more


def test_images_of_one_colour_and_unreadable_ones_are_nobody_s_copies(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "ID_1").mkdir(exist_ok=True)
        Image.new("RGB", (64, 64), (0, 0, 99)).save(tmp_path / f"ID_1/{name}.png")
        (tmp_path / f"ID_1/x{name}.png").write_bytes(b"no image")
    assert firsts(find_images(tmp_path).records) == {}


def test_figures_are_told_apart_by_their_plots(tmp_path):
    sheets = [Image.fromarray(figure(seed=seed)[0]) for seed in (0, 1, 2)]
    records = write(tmp_path, [*sheets, sheets[1].resize((300, 240))])
    assert firsts(records) == {"ID_1/3.png": "ID_1/1.png"}


@pytest.fixture
def twice(tmp_path):
    """Two people of 10 images each, every one there a second time as JPEG."""
    for user in (1, 2):
        (tmp_path / f"ID_{user}").mkdir()
        for k in range(10):
            image = picture(walk(100 * user + k))
            image.save(tmp_path / f"ID_{user}/rec{k // 4}_{k}.png")
            image.save(tmp_path / f"ID_{user}/sess2_rec{k // 4}_{k}.jpg", quality=80)
    return tmp_path


@pytest.mark.parametrize(
    "settings",
    [
        {"guard": 1},
        {"guard": 0, "val_fraction": 0.4},
        {"method": "random"},
        {"recordings": r"(.*rec\d)", "test_fraction": 0.2, "val_fraction": 0.2},
    ],
)
def test_copies_go_to_the_side_of_their_first(twice, settings):
    records = find_images(twice).records
    same = firsts(records)
    assert len(same) == 20
    assert all(copy.replace("sess2_", "")[:-4] == first[:-4] for copy, first in same.items())
    apart = {item.record.relative: item.split for item in split_records(records, **settings).assignments}
    assert any(apart[copy] != apart[first] for copy, first in same.items())  # what happens without
    split = split_records(records, same=same, **settings)
    side = {item.record.relative: item.split for item in split.assignments}
    assert all(side[copy] == side[first] for copy, first in same.items())
    assert [item.record for item in split.assignments] == records
    parts = {name: [record for record in records if side[record.relative] == name] for name in side.values()}
    for name in parts.keys() - {"train", "guard"}:
        refuse_leaks(parts["train"], parts[name], "")


def test_leaks_are_named(twice):
    records = find_images(twice).records
    train = [record for record in records if "sess2" not in record.name]
    copies = [record for record in records if record.name == "sess2_rec0_0.jpg"][:1]
    words = r"1 of 1 held-out .* ID_1/sess2_rec0_0.jpg = ID_1/rec0_0.png.*too good: split anew"
    with pytest.raises(UserError, match=words):
        refuse_leaks(train, copies, "split anew")


def test_one_image_under_two_people_is_refused(twice):
    (twice / "ID_2/copy.png").write_bytes((twice / "ID_1/rec0_0.png").read_bytes())
    with pytest.raises(UserError, match="stand under two people: ID_1/rec0_0.png = ID_2/copy.png"):
        firsts(find_images(twice).records)


def test_copies_in_another_colour_map_are_found(tmp_path):
    (tmp_path / "ID_1").mkdir()
    for seed in range(8):
        unit = walk(seed).astype(numpy.float32) / 255
        Image.fromarray(to_rgb(unit, "jet")).save(tmp_path / f"ID_1/a{seed}.png")
        if seed < 4:
            Image.fromarray(to_rgb(numpy.roll(unit, 40, 1), "viridis")).save(tmp_path / f"ID_1/b{seed}.png")
    copies = firsts(find_images(tmp_path).records, by_map=True)
    assert copies == {f"ID_1/b{seed}.png": f"ID_1/a{seed}.png" for seed in range(4)}


def test_the_second_ones_of_two_people_are_left_out_by_the_flag_that_is_told(twice):
    for number in range(3):
        (twice / "ID_3").mkdir(exist_ok=True)
        (twice / f"ID_3/{number}.png").write_bytes((twice / f"ID_1/rec0_{number}.png").read_bytes())
    with pytest.raises(UserError, match="go on without the second ones by --leave_out 'ID_3/.'$"):
        firsts(find_images(twice).records)
