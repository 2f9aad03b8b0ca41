"""Simulated walkers in the layouts of public data sets, whose truth is known.

Each writer takes the folder to fill and a mapping of paths (as the set names its files) to walks.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy
import scipy.io
from fmcw_walker import RATE_HZ, Chirps, beat, pulse_times

from radar.echoes import Radar, iq_signal
from radar.spectrogram import Spectrogram, remove_clutter, spectrogram
from radar.walker import Motion

Walks = Mapping[str, Motion]
GLASGOW = Chirps(5.6e9, 4e11, 128e3, 128, 1000.0)
SMALL_GLASGOW = replace(GLASGOW, samples=32, sample_rate_hz=32e3)
IDRAD = Chirps(76.3e9, 1.171875e13, 2e6, 256, 1 / 256e-6)
SHOWN_MPS, MAP_S = (-2.0, 4.0), 3.0


def glasgow(root: Path, walks: Walks) -> None:
    for name, moved in walks.items():
        when = pulse_times(SMALL_GLASGOW, moved)
        write_ancortek(root / name, beat(SMALL_GLASGOW, moved, when)[:, 0], SMALL_GLASGOW)


def write_ancortek(path: Path, chirps: numpy.ndarray, radar: Chirps = GLASGOW) -> Path:
    """`chirps` (pulses, samples) as text: carrier, sweep in ms, samples, bandwidth, then a+bi a line."""
    bandwidth = radar.slope_hz_per_s * radar.samples / radar.sample_rate_hz
    header = [radar.carrier_hz, 1e3 / radar.prf_hz, radar.samples, bandwidth]
    scaled = (chirps / numpy.abs(chirps).max()).ravel()
    lines = [*(f"{value:g}" for value in header), *(f"{z.real:.4f}{z.imag:+.4f}i" for z in scaled)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def idrad(root: Path, walks: Walks, frame_s: float = 0.2) -> None:
    """Frames of 256 chirps, of one in four of the body's points; a chirp's first sample is its number."""
    for name, moved in walks.items():
        few = replace(moved, range_m=moved.range_m[::4], cross_section_m2=moved.cross_section_m2[::4])
        frames = int((moved.time_s[-1] - 0.07) / frame_s)
        when = (numpy.arange(frames)[:, None] * frame_s + numpy.arange(256) / IDRAD.prf_hz).ravel()
        chirps = beat(IDRAD, few, when)[:, 0].real
        samples = numpy.round(1000 * chirps / numpy.abs(chirps).max()).reshape(frames, 256, 256)
        samples[..., 0] = numpy.arange(256)
        write_hdf5(root / name, radar=samples.reshape(frames, -1).astype(numpy.float32))


def mmrgait(root: Path, walks: Walks) -> None:
    for name, moved in walks.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(root / name, {"tfmap": 130.0 + seen(moved).power_db})


def mvdoppler(root: Path, walks: Walks) -> None:
    """Amplitudes of two radars, of which the second sees half of the velocity; people are in the table."""
    rows = ["ID,exp_fname,fname,pattern,subject,snapshot_idx"]
    for number, (name, moved) in enumerate(walks.items()):
        slower = replace(moved, range_m=moved.range_m / 2 + 4)
        maps = [10 ** (seen(one).power_db / 20) for one in (moved, slower)]
        write_hdf5(root / "Data" / f"{name}.h5", radar_dat=numpy.stack(maps, -1))
        rows.append(f"{number},exp_{number // 2},{name},{name.rpartition('_')[0]},{number // 2},{number}")
    (root / "Labels_and_metadata").mkdir(parents=True)
    (root / "Labels_and_metadata/design_table.csv").write_text("\n".join(rows) + "\n")


def sense2gol(root: Path, walks: Walks) -> None:
    """Bursts of 128 samples at 3 kHz every 0.2 s, 12-bit integers; Q is smaller and runs backwards."""
    for name, moved in walks.items():
        iq = received(moved, Radar(24.15e9, 3000.0, looks=1, bursts_per_s=0.0))[0]
        bursts = iq[: len(iq) // 600 * 600].reshape(-1, 600)[:, :128].ravel()
        scaled = 300 * bursts / numpy.abs(bursts).max()
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        for part, values in (("RE", scaled.real), ("IM", -0.7 * scaled.imag)):
            lines = (str(round(value) + 2090) for value in values)
            (root / f"{name}_{part}.txt").write_text("\n".join(lines) + "\n")


def seen(moved: Motion) -> Spectrogram:
    """The middle of SHOWN_MPS and MAP_S of a walk as a 24 GHz radar draws it, 96 velocities by 60 times."""
    radar = Radar(24e9, 2000.0, looks=2, bursts_per_s=0.0)
    iq = remove_clutter(received(moved, radar), radar.prf_hz)
    shown = spectrogram(iq, 24e9, 2000.0, num_bins=96, frames_per_second=20, velocity_range=SHOWN_MPS)
    frames = round(MAP_S * 20)
    return replace(shown, power_db=shown.power_db[:, :frames], time_s=shown.time_s[:frames])


def received(moved: Motion, radar: Radar) -> numpy.ndarray:
    return iq_signal(
        moved.range_m, moved.cross_section_m2, RATE_HZ, radar, numpy.random.default_rng(len(moved.time_s))
    )


def write_hdf5(path: Path, **arrays: numpy.ndarray) -> None:
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
