"""Toy walkers: the same for the same seed, told apart by person, windows that overlap as real ones do."""

import numpy
from matplotlib import colormaps

from radar.drawing import (
    BINS,
    FRAMES,
    HOP,
    SIZE,
    DrawnWalker,
    draw_power,
    draw_recording,
    draw_walker,
    to_picture,
)


def power_in(picture):
    """Brightness (BINS, FRAMES) back from a picture, by the nearest colour of the map."""
    table = (colormaps["jet"](numpy.arange(256))[:, :3] * 255).astype(numpy.uint8).astype(int)
    rows = (numpy.arange(BINS) * SIZE + SIZE // 2) // BINS
    columns = (numpy.arange(FRAMES) * SIZE + SIZE // 2) // FRAMES
    cells = numpy.asarray(picture)[rows][:, columns].astype(int)
    return numpy.abs(cells[:, :, None] - table).sum(-1).argmin(-1) / 255


def test_a_walker_belongs_to_seed_and_number():
    assert draw_walker(0, 1) == draw_walker(0, 1)
    assert len({draw_walker(seed, user) for seed in range(3) for user in range(5)}) == 15


def test_the_same_draws_give_the_same_pictures():
    walker = draw_walker(0, 1)
    first, again, other = (draw_recording(walker, 2, numpy.random.default_rng(seed)) for seed in (5, 5, 6))
    assert all((numpy.asarray(a) == numpy.asarray(b)).all() for a, b in zip(first, again))
    assert (numpy.asarray(first[0]) != numpy.asarray(other[0])).mean() > 0.2


def test_pictures_are_square_rgb_and_as_many_as_asked():
    for count in (1, 4):
        pictures = draw_recording(draw_walker(0, 2), count, numpy.random.default_rng(0))
        assert [(p.size, p.mode) for p in pictures] == [((SIZE, SIZE), "RGB")] * count


def test_neighbouring_windows_share_three_quarters():
    pictures = draw_recording(draw_walker(1, 3), 3, numpy.random.default_rng(0))
    one, two, three = map(power_in, pictures)
    assert (one[:, HOP:] == two[:, :-HOP]).all() and (two[:, HOP:] == three[:, :-HOP]).all()
    assert not (one == two).all() and 0.7 < 1 - HOP / FRAMES < 0.8


def test_the_picture_is_the_power_in_jet_colours():
    power = numpy.linspace(0, 1, BINS * FRAMES).reshape(BINS, FRAMES)
    assert numpy.abs(power_in(to_picture(power)) - power).max() < 0.02  # jet repeats a few colours


def test_the_torso_line_lies_at_the_walkers_velocity():
    walker = DrawnWalker(torso_velocity=0.4, cadence_hz=1.5, leg_reach=0.3, arm_reach=0.1, sway=0.01,
                         leg_brightness=0.3, arm_brightness=0.2, torso_width=0.03)
    velocity = numpy.linspace(1, -1, BINS)
    seen = []
    for seed in range(12):
        power = draw_power(walker, 3 * FRAMES, numpy.random.default_rng(seed))
        assert power.min() >= 0 and power.max() <= 1
        line = velocity[power.mean(1).argmax()]
        assert 0.25 < abs(line) < 0.6  # 0.4, varied by 10 % from walk to walk
        seen.append(numpy.sign(line))
    assert set(seen) == {-1.0, 1.0}  # towards the radar and away from it


def test_legs_beat_at_the_walking_cadence():
    walker = DrawnWalker(torso_velocity=0.3, cadence_hz=2.0, leg_reach=0.5, arm_reach=0.05, sway=0.01,
                         leg_brightness=0.8, arm_brightness=0.2, torso_width=0.02)
    frames = 360  # 20 s at 18 frames a second: a resolution of 0.05 Hz
    power = draw_power(walker, frames, numpy.random.default_rng(3))
    side = power[:32] if power[:32].mean() > power[-32:].mean() else power[-32:]  # beyond half the range
    beat = side.sum(0) - side.sum(0).mean()
    strongest = numpy.abs(numpy.fft.rfft(beat))[1:].argmax() + 1
    assert abs(strongest * 18 / frames - walker.cadence_hz) < 0.11
