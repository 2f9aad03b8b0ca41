"""Quantities of walks to and fro, the rule of what lies outside the real range, distances in their units."""

import numpy
import pytest

from data.labels import LabelTable
from evaluation.distances import draw_equal
from evaluation.motion import QUANTITIES, differences, kinematics_distance, outside_real_range, quantities
from radar.kinematics import Kinematics


def walk(sign):
    lines = numpy.array([[1.0, 1.2], [3.0, numpy.nan], [-0.5, -0.7]])  # torso, faster, slower envelope
    torso, faster, slower = sign * lines
    upper, lower = (faster, slower) if sign > 0 else (slower, faster)
    return Kinematics(torso, upper, lower, numpy.zeros(4), float(torso.mean()), 3.6, 1.9, 0.8)


@pytest.mark.parametrize("sign", [1, -1])
def test_coming_and_going_are_the_same_walk(sign):
    assert quantities(walk(sign)) == pytest.approx((1.1, 3.0, -0.6, 3.6, 1.9, 0.8))


def test_a_dark_picture_has_no_quantities():
    nothing = numpy.full(5, numpy.nan)
    assert numpy.isnan(quantities(Kinematics(nothing, nothing, nothing, nothing))).all()


def test_outside_the_real_range_is_what_no_training_image_shows():
    rng = numpy.random.default_rng(0)
    training, others = (rng.standard_normal((2000, 6)) * numpy.geomspace(1e-2, 1e3, 6) for _ in range(2))
    assert outside_real_range(others, training).mean() == pytest.approx(0.05, abs=0.015)
    motion = numpy.zeros((4, 6))
    motion[1, 0], motion[2, 5], motion[3, 3] = 0.06, -6e3, numpy.nan
    assert outside_real_range(motion, training).tolist() == [False, True, True, True]


def test_a_combination_can_be_outside_the_real_range():
    """Two quantities that go together: either value is usual, both at once are not."""
    training = numpy.repeat(numpy.random.default_rng(0).standard_normal((1000, 1)), 6, axis=1)
    motion = numpy.ones((2, 6))
    motion[1, ::2] = -1
    assert outside_real_range(motion, training).tolist() == [False, True]


def test_windows_of_the_same_steps_do_not_narrow_what_is_possible():
    rng = numpy.random.default_rng(0)
    walks = rng.standard_normal((500, 6))
    windows = numpy.repeat(walks[:300], 6, axis=0)
    windows += 1e-3 * rng.standard_normal(windows.shape)
    assert outside_real_range(walks[300:], windows).mean() < 0.15


def test_what_often_cannot_be_measured_is_not_outside_the_real_range():
    rng = numpy.random.default_rng(0)
    training, motion = rng.standard_normal((100, 6)), numpy.zeros((2, 6))
    training[:3, 4], motion[:, 4], motion[1, 0] = numpy.nan, numpy.nan, numpy.nan
    assert outside_real_range(motion, training).tolist() == [False, True]
    training[:, 4] = numpy.nan
    assert outside_real_range(motion, training).tolist() == [False, True]
    assert not outside_real_range(motion[:1], training[:7]).any()  # too few to say


def test_a_shift_is_as_far_as_it_is_wide():
    x = numpy.random.default_rng(0).standard_normal((30, len(QUANTITIES)))
    shifts = numpy.array([0.1, -0.2, 0.3, 0, 0.5, *[0] * (len(QUANTITIES) - 5)])
    y = x[::-1] + shifts
    assert list(differences(x, y).values()) == pytest.approx(abs(shifts))
    y[3, 0], y[:, -1] = numpy.nan, numpy.nan
    distances = differences(x, y)
    assert distances[QUANTITIES[0]] == pytest.approx(0.1, abs=0.1) and numpy.isnan(distances[QUANTITIES[-1]])


def test_mixed_up_people_show_per_person_only():
    labels = numpy.repeat([0, 1], 20)
    speeds = numpy.where(labels == 0, 1.0, 2.0)[:, None] * numpy.ones(len(QUANTITIES))
    motion = {"held_out": speeds, "generated": speeds[::-1], "train": speeds}
    draws = draw_equal(dict.fromkeys(motion, labels), 0)
    distances = kinematics_distance(
        motion, draws, LabelTable(("ID_1", "ID_2")), dict.fromkeys(QUANTITIES, "m/s")
    )
    velocity = distances["torso_velocity"]
    assert velocity["unit"] == "m/s" and velocity["generated"]["value"] == velocity["floor"]["value"] == 0
    assert velocity["per_person"] == {"ID_1": 1.0, "ID_2": 1.0}
    assert velocity["per_person_floor"] == {"ID_1": 0.0, "ID_2": 0.0}
