"""Copies are found, shifted ones too; what is new is not called a copy; distances against a plain search."""

import numpy
import pytest

from evaluation.novelty import luma, memorised, nearest_two


@pytest.fixture(scope="module")
def training():
    return numpy.random.default_rng(0).random((40, 64, 64), dtype=numpy.float32)


def test_distances_are_those_of_a_plain_search():
    rng = numpy.random.default_rng(1)
    pictures, others = (rng.random((count, 6, 10), dtype=numpy.float32) for count in (5, 7))
    plain = numpy.array([[min(numpy.linalg.norm(one - numpy.roll(other, by, axis=1)) for by in range(10))
                          for other in others] for one in pictures])
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
