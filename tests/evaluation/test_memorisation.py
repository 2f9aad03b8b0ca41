"""Copies are found, shifted, blended and hidden ones too; what is new is not called a copy."""

import numpy
import pytest

from evaluation.memorisation import MANY, NONE, SOME, Nearness, luma, memorised, nearness, usual_left, verdict


@pytest.fixture(scope="module")
def training():
    return numpy.random.default_rng(0).random((40, 64, 64), dtype=numpy.float32)


@pytest.fixture(scope="module")
def usual(training):
    """What independent images leave unexplained."""
    return usual_left(seen(numpy.random.default_rng(5).random((40, 64, 64), dtype=numpy.float32), training))


def seen(pictures, training):
    return nearness(pictures, training, quiet=True)


@pytest.mark.parametrize("extra", [0, 1])
def test_distances_are_those_of_a_plain_search(extra):
    """Over smooth images, which can be shifted by quarters of a cell, for 10 and for 11 cells."""
    rng = numpy.random.default_rng(1)
    cells = 10 + extra
    waves = rng.standard_normal((12, 6, 4)) + 1j * rng.standard_normal((12, 6, 4))

    def shifted(by):
        angle = 2j * numpy.pi * numpy.outer(numpy.arange(4), (numpy.arange(cells) - by) / cells)
        return (waves @ numpy.exp(angle)).real.astype(numpy.float32)

    pictures, others = shifted(0)[:5], shifted(0)[5:]
    moved = [shifted(by / 4)[5:] for by in range(4 * cells)]
    plain = numpy.array(
        [[min(numpy.linalg.norm(one - other[at]) for other in moved) for at in range(7)] for one in pictures]
    )
    nearest = nearness(pictures, others)
    assert numpy.allclose(nearest.distances, numpy.sort(plain, axis=1)[:, :2], rtol=1e-4)
    assert (nearest.places == numpy.argsort(plain, axis=1)[:, :2]).all()
    assert nearest.ratios == pytest.approx(nearest.distances[:, 0] / nearest.distances[:, 1])


def test_training_images_may_be_compared_in_parts(training, monkeypatch):
    pictures = numpy.random.default_rng(3).random((3, 64, 64), dtype=numpy.float32)
    whole = seen(pictures, training)
    monkeypatch.setattr("evaluation.memorisation.TRAINING_CHUNK", 7)
    parts = seen(pictures, training)
    assert (parts.places == whole.places).all()
    assert numpy.allclose(parts.distances, whole.distances) and numpy.allclose(parts.left, whole.left)


def test_copies_and_shifted_copies_are_memorised(training):
    rng = numpy.random.default_rng(2)
    copies = training[[3, 17, 39]]
    shifted = numpy.stack([numpy.roll(training[at], by, axis=1) for at, by in ((3, 1), (17, 32), (39, 63))])
    noisy = shifted + 0.05 * rng.standard_normal(shifted.shape, dtype=numpy.float32)
    for pictures in (copies, shifted, noisy):
        nearest = seen(pictures, training)
        assert memorised(nearest, numpy.nan).all() and list(nearest.places[:, 0]) == [3, 17, 39]


def test_shifts_that_are_no_whole_cells_hide_no_copy():
    """Of images with 256 columns, whose neighbours in training are overlapping windows of the same walk."""
    rng = numpy.random.default_rng(4)
    coarse = rng.random((64, 120)) * (1 + numpy.sin(numpy.arange(120) / 2.3))
    walk = numpy.repeat(coarse, 5, axis=1)[None, ..., None] * numpy.array([120, 120, 120])
    windows = numpy.concatenate([walk[:, :, start : start + 256] for start in range(0, 320, 64)])
    copies = numpy.roll(windows, 101, axis=2)  # 25 and a quarter cells

    def grey(pictures):
        return luma(pictures.reshape(len(pictures), 64, 64, 4, 3).mean(3).astype(numpy.uint8))

    nearest = seen(grey(copies), grey(windows))
    assert (nearest.places[:, 0] == range(5)).all() and memorised(nearest, numpy.nan).all()
    assert nearest.left.max() < 0.1  # a half of what is usual is 0.3 or more


def test_independent_pictures_are_new(training, usual):
    pictures = numpy.random.default_rng(3).random((50, 64, 64), dtype=numpy.float32)  # more than one batch
    nearest = seen(pictures, training)
    assert nearest.distances.shape == (50, 2) and not memorised(nearest, usual).any()
    # Independent uniform values: the expected square of a difference is 1/6.
    assert nearest.distances[:, 1] == pytest.approx((64 * 64 / 6) ** 0.5, rel=0.05)


def test_a_shift_in_velocity_is_no_copy(training, usual):
    assert not memorised(seen(numpy.roll(training[:3], 5, axis=1), training), usual).any()


def test_an_original_that_is_there_twice_hides_no_copy(training):
    twice = numpy.concatenate([training, training[:1]])
    assert memorised(seen(training[:1], twice), numpy.nan).all()


def test_nearly_equal_originals_hide_a_copy_from_the_ratio_but_not_from_what_is_left(training, usual):
    rng = numpy.random.default_rng(6)

    def again():
        return training[:4] + 0.05 * rng.standard_normal((4, 64, 64), dtype=numpy.float32)

    nearest = seen(numpy.roll(again(), 9, axis=2), numpy.concatenate([training, again()]))
    assert not memorised(nearest, numpy.nan).any() and memorised(nearest, usual).all()


@pytest.mark.parametrize(("weight", "shift"), [(0.7, 0), (0.5, 0), (0.5, 21)])
def test_blends_of_two_leave_nothing(training, usual, weight, shift):
    blends = weight * training[:8] + (1 - weight) * numpy.roll(training[8:16], shift, axis=2)
    nearest = seen(blends, training)
    assert not memorised(nearest, numpy.nan).any() and memorised(nearest, usual).all()
    assert (nearest.left == 0).all()


def test_blends_of_many_are_new(training, usual):
    blends = training[:36].reshape(6, 6, 64, 64).mean(0)
    assert not memorised(seen(blends, training), usual).any()


def test_what_is_left_is_blind_to_gain_and_offset(training):
    nearest = seen(0.3 * numpy.roll(training[:5], 7, axis=2) + 2, training)
    assert (nearest.left == 0).all()


def test_what_is_left_of_one_atom_is_the_sine_of_its_angle():
    """Two training waves of other frequencies; the image has a third, which nothing explains."""
    time = 2 * numpy.pi * numpy.arange(32) / 32
    waves = numpy.stack([numpy.cos(k * time) for k in (1, 2, 3)])[:, None].astype(numpy.float32)
    image = (3 * waves[0] + 4 * waves[2])[None]
    assert seen(image, waves[:2]).left == pytest.approx(4 / 5, abs=1e-4)


def test_an_image_without_motion_is_no_copy(training, usual):
    still = numpy.tile(numpy.random.default_rng(7).random((2, 64, 1), dtype=numpy.float32), 64)
    still[1] = 0
    nearest = seen(still, training)
    assert list(nearest.left) == [1, 1] and not memorised(nearest, usual).any()


def test_the_rule_is_a_third_of_the_second_nearest_or_half_of_what_is_usual():
    distances = numpy.array([[0.33, 1], [0.34, 1], [0, 0], [1, 1], [1, 1]])
    nearest = Nearness(distances, numpy.zeros((5, 2), int), numpy.array([0.8, 0.8, 0.8, 0.41, 0.4]))
    assert list(memorised(nearest, 0.8)) == [True, False, True, False, True]
    assert list(memorised(nearest, numpy.nan)) == [True, False, True, False, False]
    assert usual_left(nearest) == 0.8 and numpy.isnan(usual_left(Nearness(*(part[:0] for part in nearest))))


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


@pytest.mark.parametrize(
    ("generated", "real", "level"),
    [(0, 0, NONE), (1, 0, SOME), (5, 0, SOME), (6, 0, MANY), (6, 1, NONE), (9, 1, MANY)],
)
def test_verdicts_of_shares(generated, real, level):
    """Of 100 and 100 images; P(6 of 6 copies among the generated ones) = 0.0143, of 5 of 5 0.0297."""
    assert verdict({"hits": generated, "count": 100}, {"hits": real, "count": 100}) == level
