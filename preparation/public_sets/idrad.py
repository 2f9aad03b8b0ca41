"""IDRad (Ghent University - imec, 2018): five people who walk freely in two rooms, 77 GHz chirps.

train/target5_001.hdf5 holds `radar` (frames, 256 chirps * 256 samples); the first sample of a chirp is its
number. Rate of samples (2 MHz) and slope (11.71875 MHz/us) are in the script published with it, carrier and
the 256 us from chirp to chirp in the one of its sister set, of the same rate and slope. The time from frame
to frame is in neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scipy.constants import speed_of_light

from configs.errors import UserError
from data.folders import FileRecord
from preparation.public_sets.contract import PublicSet, by_name
from radar.captures import Capture, Contents, Facts, Hints, read_as
from radar.captures.arrays import load_hdf5
from radar.spectrogram import Spectrogram

CHIRPS = SAMPLES = 256
RATE_HZ, SLOPE_HZ_PER_S = 2.0e6, 1.171875e13
RANGE_STEP_M = speed_of_light * RATE_HZ / (2 * SLOPE_HZ_PER_S * (SAMPLES - 1))
PATTERN = r"/(?P<session>[^/]+)/target(?P<person>\d+)_(?P<recording>\d+)\.hdf5$"


def groups_of(match: Mapping[str, str]) -> dict[str, str]:
    """The folders train, valid and test are rooms and times of their own."""
    return {
        "person": f"target{match['person']}",
        "session": match["session"],
        "recording": match["recording"],
    }


def load(path: Path, hints: Hints) -> Contents:
    arrays = load_hdf5(path, hints).arrays
    if "radar" not in arrays:
        raise UserError(
            f"no data set radar, found {', '.join(arrays) or 'none'}; expected the raw recordings: download "
            "these"
        )
    frames = arrays["radar"]
    if frames.size % (CHIRPS * SAMPLES) or len(frames) != frames.size // (CHIRPS * SAMPLES):
        raise UserError(
            f"radar {frames.shape}: expected frames of {CHIRPS} chirps of {SAMPLES} samples; download the "
            "raw recordings"
        )
    cube = frames.reshape(len(frames), CHIRPS, SAMPLES)[..., 1:]
    return Contents({"radar": cube}, Facts(range_step_m=RANGE_STEP_M), ("frames", "chirps", "samples"))


def read(record: FileRecord, hints: Hints) -> Capture | Spectrogram:
    return read_as(record.path, "IDRad's HDF5", load, hints)


SET = PublicSet(
    title="IDRad (Ghent University - imec)",
    citation="B. Vandersmissen et al., Indoor Person Identification Using a Low-Power FMCW Radar, "
    "IEEE Transactions on Geoscience and Remote Sensing 56(7), 3941-3952, 2018",
    licence="not stated with its code, which names Ghent University for permission of use",
    find=by_name(".hdf5", PATTERN, "train/target5_001.hdf5", groups_of),
    settings={"carrier": 77e9, "prf": 1 / 256e-6},
    asked=("burst_period",),
    read=read,
)
