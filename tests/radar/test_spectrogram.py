"""Echoes and spectrograms against closed forms: where a velocity lies, how strong it is, what disturbs."""

import math

import numpy
import pytest
from scipy.special import ellipj, ellipk

from radar.colormap import from_rgb
from radar.echoes import Radar, iq_signal
from radar.spectrogram import (
    Spectrogram,
    burst_spectrogram,
    remove_clutter,
    spectrogram,
    to_image,
    to_unit,
    windows,
)

RATE = 200.0
CARRIERS = (77e9, 24e9, 5.8e9)


def clean(carrier_hz=77e9, **settings):
    quiet = dict(looks=1, noise_db=-math.inf, clutter_db=-math.inf, scintillation_share=0.0, bursts_per_s=0.0)
    return Radar(carrier_hz=carrier_hz, **{**quiet, **settings})


def echo(range_m, radar, cross_section_m2=1.0, seed=0):
    range_m = numpy.atleast_2d(range_m)
    return iq_signal(
        range_m,
        numpy.broadcast_to(cross_section_m2, range_m.shape),
        RATE,
        radar,
        numpy.random.default_rng(seed),
    )


def steady(velocity_mps, seconds=1.5, start_m=20.0):
    return start_m - velocity_mps * numpy.arange(int(seconds * RATE) + 1) / RATE


def of(iq, radar, **settings):
    return spectrogram(iq, radar.carrier_hz, radar.prf_hz, **settings)


def ridge(result):
    return result.velocity_mps[result.power_db.argmax(0)]


def decibels(iq):
    return 10 * numpy.log10(numpy.mean(numpy.abs(iq) ** 2) + 1e-30)


def test_the_default_pulse_rate_tells_6_4_metres_a_second_apart():
    for carrier in CARRIERS:
        radar = Radar(carrier_hz=carrier)
        assert radar.prf_hz * radar.wavelength_m / 2 == pytest.approx(6.4)
    assert Radar().prf_hz == pytest.approx(3287.6, abs=0.1)


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("velocity", (1.0, 2.36, -0.7))
def test_a_steady_target_lies_in_its_bin_and_has_its_power(carrier, velocity):
    radar = clean(carrier)
    result = of(echo(steady(velocity), radar, cross_section_m2=20.0**4), radar)
    assert numpy.abs(ridge(result) - velocity).max() <= 0.0251  # half a bin of 5 cm/s
    middle = len(result.time_s) // 2
    expected = -40 * math.log10((20.0 - velocity * result.time_s[middle]) / 20)
    assert result.power_db[:, middle].max() == pytest.approx(expected, abs=1.5)  # scalloping of the window


def test_approaching_is_up_in_the_picture():
    radar = clean()
    for velocity, rows in ((1.5, slice(0, 128)), (-1.5, slice(128, 256))):
        picture = to_image(to_unit(of(echo(steady(velocity), radar), radar).power_db))
        brightness = from_rgb(numpy.asarray(picture)).mean(1)
        assert brightness.argmax() in range(256)[rows] and brightness.max() > 0.9


def test_a_rotating_point_follows_its_closed_form():
    radar, radius, omega = clean(), 0.3, 2 * math.pi
    time = numpy.arange(int(3 * RATE) + 1) / RATE
    iq = echo(8 + radius * numpy.cos(omega * time), radar)
    result = of(iq, radar)
    assert numpy.abs(ridge(result) - radius * omega * numpy.sin(omega * result.time_s)).max() < 0.06
    fine = numpy.arange(iq.shape[1]) / radar.prf_hz  # phase from 200 Hz motion against the exact one
    exact = numpy.exp(-4j * numpy.pi / radar.wavelength_m * (8 + radius * numpy.cos(omega * fine)))
    assert numpy.abs(numpy.angle(iq[0] * exact.conj() / (iq[0, 0] * exact[0].conj()))).max() < 0.02


def test_a_pendulum_swings_with_the_speed_and_period_of_its_energy():
    radar, gravity, length, amplitude = clean(), 9.81, 0.8, math.radians(50)
    time = numpy.arange(int(6 * RATE) + 1) / RATE
    k, omega = math.sin(amplitude / 2), math.sqrt(gravity / length)
    angle = 2 * numpy.arcsin(k * ellipj(omega * time, k**2)[0])  # exact for any amplitude, lowest at time 0
    result = of(echo(6 - length * numpy.sin(angle), radar), radar)
    line = ridge(result)
    fastest = math.sqrt(2 * gravity * length * (1 - math.cos(amplitude)))
    assert line.max() == pytest.approx(fastest, abs=0.06) and line.min() == pytest.approx(-fastest, abs=0.06)
    rising = numpy.flatnonzero((line[:-1] < 0) & (line[1:] >= 0))
    period = numpy.diff(result.time_s[rising]).mean()
    assert len(rising) >= 2 and period == pytest.approx(4 * ellipk(k**2) / omega, rel=0.03)


def test_the_velocity_axis_rolls_and_unwraps():
    radar = clean()
    iq = echo(steady(4.0), radar)
    symmetric, shifted = of(iq, radar), of(iq, radar, velocity_range=(-1.2, 5.2))
    assert shifted.velocity_mps == pytest.approx(-1.2 + 0.05 * numpy.arange(128), abs=1e-6)
    assert (symmetric.velocity_mps[0], symmetric.velocity_mps[64]) == pytest.approx((-3.2, 0))
    assert (numpy.roll(symmetric.power_db, -40, axis=0) == shifted.power_db).all()
    assert ridge(symmetric) == pytest.approx(-2.4, abs=0.03) and ridge(shifted) == pytest.approx(4, abs=0.03)


def test_a_narrow_velocity_range_of_a_fast_radar_shows_the_same_velocities():
    radar = clean(prf_hz=20_000.0)
    result = of(echo(steady(1.7), radar), radar, velocity_range=(-1.2, 5.2))
    assert result.power_db.shape[0] == 128 and (numpy.diff(result.velocity_mps) > 0).all()
    assert result.velocity_mps[[0, -1]] == pytest.approx((-1.2, 5.15), abs=0.03)
    assert ridge(result) == pytest.approx(1.7, abs=0.03)


def test_frames_keep_to_their_times():
    radar = clean()
    result = of(echo(steady(1.0, seconds=4), radar), radar)
    assert numpy.diff(result.time_s) == pytest.approx(1 / 26, rel=0.01)
    half_window = 0.5 * 128 / radar.prf_hz
    assert half_window - 1e-9 <= result.time_s[0] and result.time_s[-1] <= 4 - half_window + 2 / radar.prf_hz


def test_power_is_the_sum_of_cross_sections():
    sections = numpy.array([0.5, 1.0, 2.0, 0.1])[:, None]
    ranges = numpy.stack([10 - v * numpy.arange(401) / RATE for v in (0.0, 0.5, 1.1, 1.9)])
    for share in (0.0, 0.5):
        radar = clean(looks=200, scintillation_share=share, carrier_hz=5.8e9)
        single = echo(ranges, radar, sections)
        expected = (sections / ranges**4).sum(0).mean()
        assert numpy.mean(numpy.abs(single) ** 2) == pytest.approx(expected, rel=0.1)
        gained = decibels(echo(ranges, radar, 4 * sections)) - decibels(single)
        assert gained == pytest.approx(6.0206, abs=1e-3)


def test_power_falls_with_the_fourth_power_of_range():
    near, far = (decibels(echo(steady(0.01, start_m=start), clean())) for start in (10.0, 20.0))
    assert near - far == pytest.approx(40 * math.log10(2), abs=0.05)


def test_the_spectrogram_keeps_energy():
    noise = numpy.random.default_rng(0).standard_normal((3, 20_000, 2)) @ numpy.array([1, 1j])
    window = numpy.blackman(129)[:-1]  # the periodic form
    result = spectrogram(noise, 77e9, Radar().prf_hz, frames_per_second=120.0)
    total = (10 ** (result.power_db / 10)).sum(0).mean()
    summed = (numpy.abs(noise) ** 2).mean(1).sum()  # Parseval, over the looks
    assert total == pytest.approx(summed * 128 * (window**2).sum() / window.sum() ** 2, rel=0.02)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_clutter_goes_and_the_walker_stays(carrier):
    still, cluttered = clean(carrier), clean(carrier, clutter_db=40.0)
    walker, both = (echo(steady(1.0, seconds=5), radar) for radar in (still, cluttered))
    clutter = both - walker
    assert decibels(clutter) - decibels(walker) == pytest.approx(40, abs=0.1)
    assert decibels(clutter) - decibels(remove_clutter(clutter, still.prf_hz)) > 30
    assert abs(decibels(walker) - decibels(remove_clutter(walker, still.prf_hz))) < 0.5
    assert ridge(of(both, still)) == pytest.approx(0, abs=0.01)
    assert ridge(of(remove_clutter(both, still.prf_hz), still)) == pytest.approx(1, abs=0.03)


def test_a_width_beyond_the_signal_removes_the_mean():
    iq = numpy.random.default_rng(0).standard_normal((2, 100)) + 3j
    assert remove_clutter(iq, 100.0, width_s=2.0) == pytest.approx(iq - iq.mean(1, keepdims=True))


def test_noise_is_as_strong_as_asked():
    quiet, noisy = (echo(steady(1.0, 4), clean(noise_db=level, looks=4)) for level in (-math.inf, -13.0))
    assert decibels(noisy - quiet) - decibels(quiet) == pytest.approx(-13, abs=0.2)


def test_bursts_raise_whole_columns():
    settings = dict(noise_db=-30.0)
    calm, hit = clean(**settings), clean(**settings, bursts_per_s=3.0, burst_db=25.0)
    before, after = (of(echo(steady(1.0, seconds=4), radar), radar).power_db for radar in (calm, hit))
    raised = numpy.median(after - before, axis=0)
    assert 2 <= (raised > 10).sum() <= 26 and (raised == 0).mean() > 0.6


def test_amplitudes_decorrelate_in_the_time_given():
    radar = clean(5.8e9, looks=60, scintillation_share=1.0, scintillation_s=0.2)
    iq = echo(numpy.full((1, int(40 * RATE)), 10.0), radar)
    lag = round(0.2 * radar.prf_hz)
    correlation = numpy.mean(iq[:, lag:] * iq[:, :-lag].conj()).real / numpy.mean(numpy.abs(iq) ** 2)
    assert correlation == pytest.approx(math.exp(-1), abs=0.05)


def test_seeds_reproduce_bit_for_bit():
    first, again, other = (echo(steady(1.0), Radar(bursts_per_s=2.0), seed=seed) for seed in (3, 3, 4))
    assert first.dtype == numpy.complex64 and first.shape == (4, int(1.5 * Radar().prf_hz) + 1)
    assert (first == again).all() and not (first == other).any()


def test_windows_share_three_quarters():
    power = numpy.arange(4 * 90, dtype=numpy.float32).reshape(4, 90)
    cuts = windows(Spectrogram(power, numpy.arange(90) / 26, numpy.arange(4.0)))
    assert [cut.power_db.shape for cut in cuts] == [(4, 55)] * 3
    assert (cuts[0].power_db[:, 14:] == cuts[1].power_db[:, :-14]).all()
    assert cuts[2].time_s[0] == 28 / 26 and (cuts[2].velocity_mps == numpy.arange(4.0)).all()


def test_units_span_the_dynamic_range_below_the_peak():
    assert to_unit(numpy.array([-90.0, -40, -25, -10]), 30.0) == pytest.approx([0, 0, 0.5, 1])
    power = numpy.append(numpy.zeros(999), 50.0)  # one bright cell does not darken a recording
    assert to_unit(power, 30.0, percentile=99)[:999] == pytest.approx(1)


def test_a_picture_is_made_of_the_spectrograms_cells():
    unit = numpy.rint(numpy.random.default_rng(0).random((32, 16)) * 255) / 255
    picture = to_image(unit, "viridis")
    assert (picture.size, picture.mode) == ((256, 256), "RGB")
    back = from_rgb(numpy.asarray(picture), "viridis")[::-1]
    inner = back.reshape(32, 8, 16, 16)[:, 2:-2, :, 2:-2]  # edges between cells are blended
    assert numpy.abs(inner - unit[:, None, :, None]).max() < 0.004


def test_an_edge_between_pixels_is_blended_there():
    """Forty columns of 6.4 pixels: each pixel is the mean under a triangle two pixels wide."""
    unit = numpy.tile([0.0, 1.0], (8, 20))
    row = numpy.asarray(to_image(unit, "gray"))[128, :, 0] / 255
    fine = numpy.repeat(unit[0], 8)
    distance = numpy.abs(numpy.arange(320) + 0.5 - (numpy.arange(256)[:, None] + 0.5) * 1.25) / 1.25
    weights = numpy.clip(1 - distance, 0, None)
    assert row == pytest.approx(weights @ fine / weights.sum(1), abs=0.01)
    assert ((row > 0.2) & (row < 0.8)).sum() >= 20


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda iq: spectrogram(iq, 77e9, 3287.6, velocity_range=(-1.2, 6.0)), "at most the 6.39"),
        (lambda iq: spectrogram(iq, 77e9, 3287.6, velocity_range=(2.0, 1.0)), "velocity_range 2 to 1"),
        (lambda iq: spectrogram(iq, 77e9, 3287.6, window_s=0.1), "window_s 0.1"),
        (lambda iq: spectrogram(iq[:100], 77e9, 3287.6), "100 samples, a window needs 128"),
        (lambda iq: windows(spectrogram(iq, 77e9, 3287.6)), "an image needs 55"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call(numpy.ones(2000, numpy.complex64))
    assert "\n" not in str(error.value)


def test_a_burst_gives_one_spectrum_with_its_echo_at_its_velocity():
    prf, carrier, velocity = 3000.0, 24e9, numpy.array([-1.5, 0.5, 2.0])
    time = numpy.arange(128) / prf
    bursts = 2 * numpy.exp(2j * numpy.pi * 2 * velocity[:, None] * carrier / 299_792_458 * time)
    shown = burst_spectrogram(bursts, carrier, prf, 0.2, num_bins=512)
    assert shown.time_s == pytest.approx([0.0212, 0.2212, 0.4212], abs=1e-4)
    assert shown.velocity_mps[shown.power_db.argmax(0)] == pytest.approx(velocity, abs=0.02)
    assert shown.power_db.max(0) == pytest.approx(10 * numpy.log10(4), abs=0.1)
    with pytest.raises(ValueError, match="expected 16 or more"):
        burst_spectrogram(bursts[:, :8], carrier, prf, 0.2)
    finer = burst_spectrogram(bursts, carrier, prf, 0.2, num_bins=64)  # as many bins as 128 pulses need
    assert finer.velocity_mps.size >= 128
    assert finer.velocity_mps[finer.power_db.argmax(0)] == pytest.approx(velocity, abs=0.08)
    with pytest.raises(ValueError, match="nobody moves at more than"):
        burst_spectrogram(bursts, carrier, 1e9, 0.2, velocity_range=(0.0, 2e5))
