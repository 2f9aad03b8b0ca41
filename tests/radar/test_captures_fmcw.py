"""Raw chirps and range cells of simulated walkers: range, velocity and sign are the simulator's."""

from dataclasses import replace

import numpy
import pytest
from fmcw_walker import Chirps, beat, pulse_times, torso_range_m, torso_velocity_mps, walking
from public_layouts import GLASGOW, write_ancortek

from configs.errors import UserError
from radar.captures import Facts, Hints, read
from radar.kinematics import measure
from radar.spectrogram import burst_spectrogram, remove_clutter, spectrogram

CHIRPS = Chirps(60e9, 16e12, 1e6, 48, 2000.0)
TOLD = Facts(CHIRPS.carrier_hz, CHIRPS.prf_hz, range_step_m=CHIRPS.range_step_m)


def solid(moved):
    """The walker with one point for a torso, which alone has the velocity that is compared; a spread torso's
    line wanders with its points' interference, in a perfect recording as well.
    """
    torso = numpy.array([name == "torso" for name in moved.part])
    joined = {
        name: numpy.vstack([getattr(moved, name)[torso].mean(0), getattr(moved, name)[~torso]])
        for name in ("range_m", "velocity_mps", "cross_section_m2")
    }
    joined["cross_section_m2"][0] *= 4 * torso.sum()
    return replace(moved, part=("torso", *numpy.array(moved.part)[~torso]), **joined)


@pytest.fixture(scope="module", params=[True, False], ids=["approaching", "receding"])
def recorded(request):
    """Motion across more than twenty range cells, times of pulses, chirps (pulses, receivers, samples)."""
    moved = solid(walking(20.5 * CHIRPS.range_step_m / 1.2, 1.2, request.param))
    when = pulse_times(CHIRPS, moved)
    assert numpy.ptp(torso_range_m(moved, when)) > 20 * CHIRPS.range_step_m
    return moved, when, beat(CHIRPS, moved, when, receivers=2)


def saved(path, array):
    numpy.save(path, array)
    return path


def check(capture, moved, when):
    """Range within a cell, and the torso's velocity within 0.05 m/s, in 95 % of the frames."""
    off = numpy.abs(capture.range_m - torso_range_m(moved, when)) / CHIRPS.range_step_m
    assert (off <= 1).mean() >= 0.95
    moving, settings = remove_clutter(capture.looks, capture.prf_hz), (capture.carrier_hz, capture.prf_hz)
    shown = spectrogram(moving, *settings, num_bins=256)
    unit = numpy.clip(1 + (shown.power_db - shown.power_db.max()) / 30, 0, 1)
    torso_mps = measure(unit, shown.time_s, shown.velocity_mps).torso_mps
    assert (numpy.abs(torso_mps - torso_velocity_mps(moved, shown.time_s)) <= 0.05).mean() >= 0.95


def layouts(chirps):
    """Ways to keep chirps (pulses, receivers, samples): an array each, and the words for its axes."""
    frames = len(chirps) // 50
    cut = chirps[: 50 * frames]
    cells = numpy.fft.fft(chirps * numpy.hanning(CHIRPS.samples), axis=-1)[..., :36]
    middle = numpy.exp(1j * numpy.pi * numpy.arange(36) * (CHIRPS.samples - 1) / CHIRPS.samples)
    pair = numpy.stack([chirps.real, chirps.imag], -1)
    return {
        "pulses,receivers,samples": chirps,
        "receivers,pulses,samples": chirps.swapaxes(0, 1),
        "samples,receivers,chirps": chirps.T,
        "pulses,receivers,samples,iq": pair,
        f"receivers,chirps*samples={CHIRPS.samples}": chirps.swapaxes(0, 1).reshape(2, -1),
        "frames,chirps,receivers,samples": cut.reshape(frames, 50, 2, -1),
        "ranges,pulses,receivers": cells.transpose(2, 0, 1),
        "pulses,receivers,ranges": (cells * middle).conj(),
    }


@pytest.mark.parametrize("layout", layouts(numpy.zeros((100, 2, CHIRPS.samples), complex)))
def test_the_walker_is_followed_through_the_cells(layout, recorded, tmp_path):
    moved, when, chirps = recorded
    facts = replace(TOLD, burst_period_s=0.025) if "frames" in layout else TOLD
    array = layouts(chirps)[layout]
    capture = read(saved(tmp_path / "rec.npy", array), Hints(facts, layout=tuple(layout.split(","))))
    assert capture.receivers == 2 and capture.bursts == 1
    if "frames" in layout:
        when = when[: array.shape[0] * 50]
    check(capture, moved, when)


def test_real_samples_hold_half_as_many_cells(recorded, tmp_path):
    moved, when, _ = recorded
    finer = replace(CHIRPS, samples=96, sample_rate_hz=2e6)
    chirps = beat(finer, moved, when).real
    layout = ("pulses", "receivers", "samples")
    capture = read(saved(tmp_path / "rec.npy", chirps), Hints(TOLD, layout=layout))
    check(capture, moved, when)


def test_frames_with_a_pause_are_bursts(recorded, tmp_path):
    moved, _, _ = recorded
    when = (numpy.arange(int(moved.time_s[-1] / 0.1) - 1)[:, None] * 0.1 + numpy.arange(64) / 2000).ravel()
    chirps = beat(CHIRPS, moved, when).reshape(-1, 64, 1, CHIRPS.samples)
    layout = ("frames", "chirps", "receivers", "samples")
    path = saved(tmp_path / "rec.npy", chirps)
    capture = read(path, Hints(replace(TOLD, burst_period_s=0.1), layout=layout))
    assert capture.bursts == len(chirps) and capture.burst_period_s == 0.1
    off = numpy.abs(capture.range_m - torso_range_m(moved, when)) / CHIRPS.range_step_m
    assert (off <= 1).mean() >= 0.95
    still = capture.looks - capture.looks.mean(-1, keepdims=True)
    shown = burst_spectrogram(still, capture.carrier_hz, capture.prf_hz, 0.1)
    line = shown.velocity_mps[shown.power_db.argmax(0)]
    assert numpy.median(numpy.abs(line - torso_velocity_mps(moved, shown.time_s))) < 0.06
    with pytest.raises(UserError, match="--burst_period in s"):
        read(path, Hints(TOLD, layout=layout))


def test_chirps_without_a_walker_and_with_holes(tmp_path):
    rng, layout = numpy.random.default_rng(0), ("pulses", "samples")
    noise = rng.standard_normal((1000, 32, 2)) @ numpy.array([1, 1j])
    with pytest.raises(UserError, match="nothing in it moves"):
        read(saved(tmp_path / "rec.npy", noise), Hints(TOLD, layout=layout))
    noise[500] = 0
    with pytest.raises(UserError, match="chirp 500 holds zeros only: packets were lost"):
        read(saved(tmp_path / "rec.npy", noise), Hints(TOLD, layout=layout))
    with pytest.raises(UserError, match="range cells without phase"):
        read(saved(tmp_path / "rec.npy", numpy.abs(noise)), Hints(TOLD, layout=("pulses", "ranges")))


def test_text_of_ancortek_says_all(tmp_path):
    radar = replace(GLASGOW, samples=32, sample_rate_hz=32e3)
    moved = solid(walking(5.0, 1.6))
    when = pulse_times(radar, moved)
    path = write_ancortek(tmp_path / "1P36A01R01.dat", beat(radar, moved, when)[:, 0], radar)
    capture = read(path)
    assert (capture.carrier_hz, capture.prf_hz, capture.receivers) == (5.8e9, 1000.0, 1)
    assert capture.range_step_m == pytest.approx(299_792_458 / 2 / 400e6, rel=1e-6)
    off = numpy.abs(capture.range_m - torso_range_m(moved, when)) / capture.range_step_m
    assert (off <= 1).mean() >= 0.95
    moving = remove_clutter(capture.looks, 1000.0)
    shown = spectrogram(moving, 5.8e9, 1000.0, velocity_range=(-6, 6))
    line = shown.velocity_mps[shown.power_db.argmax(0)]
    assert (numpy.abs(line - torso_velocity_mps(moved, shown.time_s)) < 0.1).mean() >= 0.95


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["5.8e9", "1", "16", "4e8", *["1+2i"] * 33], "33 samples are no whole sweeps of 16"),
        (["5.8e9", "1", "16", "0", *["1+2i"] * 32], "a bandwidth of 0 Hz is of no frequency sweep"),
        (["5.8e9", "1", "16", "4e8", *["1+2i"] * 15, "1+2"], "cannot be read as Ancortek text"),
    ],
)
def test_text_of_ancortek_that_cannot_be(lines, said, tmp_path):
    path = tmp_path / "a.dat"
    path.write_text("\n".join(lines))
    with pytest.raises(UserError, match=said):
        read(path)
