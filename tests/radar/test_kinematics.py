"""Kinematics read back from spectrograms whose ridges, edges and rates are known in closed form."""

import dataclasses

import numpy
import pytest

from radar.colormap import to_rgb
from radar.kinematics import from_image, measure

FRAMES, BINS, DURATION = 55, 128, 2.1
TIME = (numpy.arange(FRAMES) + 0.5) * DURATION / FRAMES
VELOCITY = -1.2 + (numpy.arange(BINS) + 0.5) * 6.4 / BINS
BIN = VELOCITY[1] - VELOCITY[0]


@dataclasses.dataclass
class Gait:
    """A spectrogram of known truth: torso ridge, legs `reach` above it, a band filled from 0 to them."""

    rate: float = 1.9
    speed: float = 1.1
    sway: float = 0.15
    reach: float = 2.0
    uneven: float = 0.0
    phase: float = 0.4

    def torso(self):
        return self.speed + self.sway * numpy.sin(2 * numpy.pi * self.rate * TIME + self.phase)

    def legs(self):
        step = numpy.sin(numpy.pi * self.rate * TIME + self.phase) ** 2
        stride = 1 + self.uneven * numpy.cos(numpy.pi * self.rate * TIME + self.phase)
        return self.torso() + 0.3 + self.reach * step * stride

    def power(self, seed=None, gain=0.9):
        velocity = VELOCITY[:, None]
        ridge = numpy.exp(-0.5 * ((velocity - self.torso()) / 0.08) ** 2)
        leg = 0.55 * numpy.exp(-0.5 * ((velocity - self.legs()) / 0.06) ** 2)
        band = 0.45 * ((velocity > 0) & (velocity < self.legs()))
        power = numpy.maximum(ridge, numpy.maximum(leg, band))
        if seed is not None:
            rng = numpy.random.default_rng(seed)
            power = speckled(power, rng)
            power[:, rng.integers(5, 50, 2)] += 0.25  # bursts
            power[:, rng.integers(5, 50, 2)] = 0.0  # lost frames
        return numpy.clip(gain * power, 0.0, 1.0)


def speckled(power, rng):
    """Full speckle: power times an exponential variate, on a scale of 50 dB, above a floor of noise."""
    linear = 10 ** (5 * power) * rng.exponential(1.0, power.shape)
    return numpy.clip(numpy.log10(linear) / 5, 0.0, 1.2)


def read(power):
    return measure(power, TIME, VELOCITY)


def figures(measured):
    return [measured.torso_velocity_mps, measured.bandwidth_mps, measured.cadence_hz, measured.periodicity]


@pytest.mark.parametrize("speed", [0.7, 1.1, 1.6])
def test_the_torso_line_is_found_under_speckle_bursts_and_lost_frames(speed):
    for seed in range(5):
        gait = Gait(speed=speed, phase=seed)
        measured = read(gait.power(seed))
        assert measured.torso_velocity_mps == pytest.approx(gait.torso().mean(), rel=0.01)
        assert numpy.sqrt(numpy.mean((measured.torso_mps - gait.torso()) ** 2)) < 0.5 * BIN


def test_the_torso_line_passes_brighter_flecks_and_crossing_arcs():
    gait = Gait()
    power = 0.8 * gait.power()
    for frame in (12, 13, 30, 44):
        row = numpy.searchsorted(VELOCITY, gait.torso()[frame]) + 6
        power[row : row + 3, frame] = 0.95
    assert numpy.abs(read(power).torso_mps - gait.torso()).max() < BIN


def test_the_cadence_of_three_to_five_steps_is_within_three_percent():
    for rate in numpy.arange(1.4, 2.41, 0.1):
        for seed in range(3):
            measured = read(Gait(rate=rate, phase=2.1 * seed).power(seed))
            assert measured.cadence_hz == pytest.approx(rate, rel=0.03), (rate, seed)
            assert measured.periodicity > 0.5


@pytest.mark.parametrize("uneven", [0.2, 0.4])
def test_steps_are_counted_not_strides_when_the_legs_differ(uneven):
    for rate in (1.4, 1.7, 2.0, 2.4):
        for seed in range(3):
            measured = read(Gait(rate=rate, uneven=uneven, phase=2.1 * seed).power(seed))
            assert measured.cadence_hz == pytest.approx(rate, rel=0.03), (rate, seed)


def test_sharp_crests_do_not_bend_the_cadence():
    """A torso that surges briefly and glides long, as measured walkers' do."""
    for rate in (1.5, 1.9, 2.3):
        surge = 1.0 + 0.3 * (0.5 + 0.5 * numpy.cos(2 * numpy.pi * rate * TIME + 1.0)) ** 3
        ridge = numpy.exp(-0.5 * ((VELOCITY[:, None] - surge) / 0.08) ** 2)
        measured = read(speckled(ridge, numpy.random.default_rng(0)))
        assert measured.cadence_hz == pytest.approx(rate, rel=0.03)


def test_either_source_alone_gives_the_cadence():
    still_torso, still_legs = Gait(sway=0.0), Gait(reach=0.0)
    for gait in (still_torso, still_legs):
        assert read(gait.power(0)).cadence_hz == pytest.approx(gait.rate, rel=0.03)


def test_envelopes_follow_the_edges_of_a_filled_band_within_one_bin():
    upper = 2.4 + 0.8 * numpy.sin(2 * numpy.pi * 1.9 * TIME)
    velocity = VELOCITY[:, None]
    band = 0.6 * ((velocity > 0.0) & (velocity < upper)) + 0.3 * (abs(velocity - 1.1) < 0.08)
    for seed in range(3):
        rng = numpy.random.default_rng(seed)
        measured = read(speckled(band, rng))
        assert numpy.abs(measured.upper_mps - upper).mean() < BIN
        assert numpy.abs(measured.lower_mps).mean() < BIN
        assert measured.bandwidth_mps == pytest.approx(upper.mean(), abs=1.5 * BIN)


def test_a_burst_lifts_the_whole_column_and_widens_nothing():
    power = Gait().power()
    burst = power.copy()
    burst[:, 20:23] = numpy.minimum(burst[:, 20:23] + 0.3, 1.0)
    clean, disturbed = read(power), read(burst)
    assert numpy.abs(clean.upper_mps - disturbed.upper_mps).max() < 2 * BIN
    assert numpy.abs(clean.lower_mps - disturbed.lower_mps).max() < 2 * BIN


def test_bandwidth_grows_with_the_legs_reach():
    widths = [read(Gait(reach=reach).power(1)).bandwidth_mps for reach in (0.5, 1.2, 2.0, 2.8)]
    assert numpy.all(numpy.diff(widths) > 0.2)


def test_a_mirrored_picture_gives_mirrored_lines():
    power = Gait(uneven=0.2).power(3)
    ahead, back = read(power), measure(power[::-1], TIME, -VELOCITY[::-1])
    assert back.torso_mps == pytest.approx(-ahead.torso_mps, abs=1e-6)
    assert back.upper_mps == pytest.approx(-ahead.lower_mps, nan_ok=True)
    assert back.torso_velocity_mps < 0
    assert figures(back)[1:] == pytest.approx(figures(ahead)[1:], rel=1e-6)


def test_neither_gain_nor_offset_changes_anything():
    power = Gait().power(4, gain=0.6)
    for changed in (0.5 * power, 0.2 + power):
        assert figures(read(changed)) == pytest.approx(figures(read(power)), rel=1e-6)


def test_noise_alone_is_not_periodic():
    rng = numpy.random.default_rng(0)
    noise = [read(rng.random((BINS, FRAMES))).periodicity for _ in range(10)]
    assert numpy.mean(noise) < 0.3 < 0.6 < read(Gait().power(0)).periodicity


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0, numpy.nan])
def test_an_empty_picture_gives_nan(level):
    measured = read(numpy.full((BINS, FRAMES), level))
    assert numpy.isnan(figures(measured)).all()
    assert measured.torso_mps.shape == (FRAMES,) and numpy.isnan(measured.torso_mps).all()


def test_a_picture_too_short_for_two_steps_has_a_torso_and_no_cadence():
    measured = measure(Gait().power()[:, :10], TIME[:10], VELOCITY)
    assert numpy.isnan([measured.cadence_hz, measured.periodicity]).all()
    assert measured.torso_velocity_mps == pytest.approx(Gait().torso()[:10].mean(), rel=0.02)


def test_pixel_axes_give_pixels():
    gait = Gait()
    step_s = DURATION / FRAMES
    measured = measure(gait.power(0), numpy.arange(FRAMES), numpy.arange(BINS), (1.0 * step_s, 3.0 * step_s))
    assert measured.cadence_hz == pytest.approx(gait.rate * step_s, rel=0.03)
    assert measured.torso_velocity_mps == pytest.approx((gait.torso().mean() - VELOCITY[0]) / BIN, rel=0.01)


def test_a_picture_measures_like_the_spectrogram_it_shows():
    power = Gait().power(5)
    rows, columns = (numpy.arange(256) * n // 256 for n in (BINS, FRAMES))
    rgb = to_rgb(power[::-1][rows][:, columns], "jet")
    measured = from_image(rgb, (-1.2, 5.2, DURATION))
    assert figures(measured) == pytest.approx(figures(read(power)), rel=0.02)
    assert numpy.abs(measured.torso_mps - read(power).torso_mps).mean() < 0.2 * BIN


@pytest.mark.parametrize("frames_per_s", [26.0, 10.0, 5.0, None])
def test_steps_are_told_as_far_as_the_frames_show_them(frames_per_s):
    image = to_rgb(Gait().power()[::-1], "jet")
    known = [] if frames_per_s is None else [frames_per_s]
    kinematics = from_image(image, (-1.2, 5.2, TIME[-1] + TIME[0], *known))
    expected = numpy.nan if frames_per_s == 5 else Gait().rate
    assert kinematics.cadence_hz == pytest.approx(expected, rel=0.03, nan_ok=True)
