"""Copies are found, shifted ones too; what is new is not called a copy; distances against a plain search."""

import numpy
import pytest

from evaluation.memorisation import luma, memorised, nearest_two


@pytest.fixture(scope="module")
def training():
    return numpy.random.default_rng(0).random((40, 64, 64), dtype=numpy.float32)


@pytest.mark.parametrize("odd", [0, 1])
def test_distances_are_those_of_a_plain_search(odd):
    """Over smooth images, which can be shifted by quarters of a cell, for 10 and for 11 cells."""
    rng = numpy.random.default_rng(1)
    cells = 10 + odd
    waves = rng.standard_normal((12, 6, 4)) + 1j * rng.standard_normal((12, 6, 4))

    def shifted(by):
        angle = 2j * numpy.pi * numpy.outer(numpy.arange(4), (numpy.arange(cells) - by) / cells)
        return (waves @ numpy.exp(angle)).real.astype(numpy.float32)

    pictures, others = shifted(0)[:5], shifted(0)[5:]
    moved = [shifted(by / 4)[5:] for by in range(4 * cells)]
    plain = numpy.array(
        [[min(numpy.linalg.norm(one - other[at]) for other in moved) for at in range(7)] for one in pictures]
    )
    distances, places = nearest_two(pictures, others)
    assert numpy.allclose(distances, numpy.sort(plain, axis=1)[:, :2], rtol=1e-4)
    assert (places == numpy.argsort(plain, axis=1)[:, :2]).all()


def test_copies_and_shifted_copies_are_memorised(training):
    rng = numpy.random.default_rng(2)
    copies = training[[3, 17, 39]]
    shifted = numpy.stack([numpy.roll(training[at], by, axis=1) for at, by in ((3, 1), (17, 32), (39, 63))])
    noisy = shifted + 0.05 * rng.standard_normal(shifted.shape, dtype=numpy.float32)
    for pictures in (copies, shifted, noisy):
        distances, places = nearest_two(pictures, training)
        assert memorised(distances).all() and list(places[:, 0]) == [3, 17, 39]


def test_shifts_that_are_no_whole_cells_hide_no_copy():
    """Of images with 256 columns, whose neighbours in training are overlapping windows of the same walk."""
    rng = numpy.random.default_rng(4)
    coarse = rng.random((64, 120)) * (1 + numpy.sin(numpy.arange(120) / 2.3))
    walk = numpy.repeat(coarse, 5, axis=1)[None, ..., None] * numpy.array([120, 120, 120])
    windows = numpy.concatenate([walk[:, :, start : start + 256] for start in range(0, 320, 64)])
    copies = numpy.roll(windows, 101, axis=2)  # 25 and a quarter cells

    def seen(pictures):
        return luma(pictures.reshape(len(pictures), 64, 64, 4, 3).mean(3).astype(numpy.uint8))

    distances, places = nearest_two(seen(copies), seen(windows))
    assert (places[:, 0] == range(5)).all() and memorised(distances).all()


def test_independent_pictures_are_new(training):
    pictures = numpy.random.default_rng(3).random((50, 64, 64), dtype=numpy.float32)  # more than one batch
    distances, _ = nearest_two(pictures, training)
    assert distances.shape == (50, 2) and not memorised(distances).any()
    # Independent uniform values: the expected square of a difference is 1/6.
    assert distances[:, 1] == pytest.approx((64 * 64 / 6) ** 0.5, rel=0.05)


def test_a_shift_in_velocity_is_no_copy(training):
    assert not memorised(nearest_two(numpy.roll(training[:3], 5, axis=1), training)[0]).any()


def test_an_original_that_is_there_twice_hides_no_copy(training):
    twice = numpy.concatenate([training, training[:1]])
    assert memorised(nearest_two(training[:1], twice)[0]).all()


def test_the_rule_is_a_third():
    assert list(memorised(numpy.array([[0.33, 1], [0.34, 1], [0, 0]]))) == [True, False, True]


def test_luma_is_the_standard_one_averaged_over_areas():
    images = numpy.zeros((3, 128, 64, 3), dtype=numpy.uint8)
    for place in range(3):
        images[place, ::2, :, place] = 255
    assert luma(images).shape == (3, 64, 64) and luma(images).dtype == numpy.float32
    assert luma(images).mean((1, 2)) == pytest.approx([0.299 / 2, 0.587 / 2, 0.114 / 2], abs=1e-5)


@pytest.mark.parametrize(("cycles", "kept"), [(3, 1.0), (24, 1.0), (25, 0.0), (32, 0.0)])
def test_luma_keeps_what_is_slow(cycles, kept):
    wave = 100 * numpy.cos(2 * numpy.pi * cycles * numpy.arange(64) / 64)
    images = numpy.tile((128 + wave)[None, None, :, None], (1, 64, 1, 3)).astype(numpy.uint8)
    assert luma(images).std() == pytest.approx(kept * wave.std() / 255, abs=0.003)
