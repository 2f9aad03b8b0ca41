"""Simulated walkers in the layouts of public data sets, whose truth is known."""

from pathlib import Path

import numpy
from fmcw_walker import Chirps

GLASGOW = Chirps(5.6e9, 4e11, 128e3, 128, 1000.0)


def write_ancortek(path: Path, chirps: numpy.ndarray, radar: Chirps = GLASGOW) -> Path:
    """`chirps` (pulses, samples) as text: carrier, sweep in ms, samples, bandwidth, then a+bi a line."""
    bandwidth = radar.slope_hz_per_s * radar.samples / radar.sample_rate_hz
    header = [radar.carrier_hz, 1e3 / radar.prf_hz, radar.samples, bandwidth]
    scaled = (chirps / numpy.abs(chirps).max()).ravel()
    lines = [*(f"{value:g}" for value in header), *(f"{z.real:.4f}{z.imag:+.4f}i" for z in scaled)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path
