"""Gaits of five people at 24 GHz (repository kmkim036/Radar-STFT-DeepLearning, 2021-2022), several days.

data/raw/220110/220110_2_0_15_RE.txt and ..._IM.txt (day, person, gait, take) hold I and Q of a Sense2GoL, an
integer a line: bursts of 128 samples at 3 kHz, one every 0.2 s. Scripts published with them say 650 Hz in
places, with which the walkers would be five times slower than the distances that they cover in 3 s. All walk
towards the sensor, as their echo's growth shows, and I + iQ turns backwards in all: Q runs the other way.
"""

from __future__ import annotations

from collections.abc import Mapping

from preparation.public_sets.contract import PublicSet, by_name

GAITS = {"0": "walk", "1": "run", "2": "stride", "3": "creep"}
PATTERN = r"/(?P<day>\d{6})_(?P<person>\d+)_(?P<gait>[0-3])_(?P<take>\d+)_(?:RE|IM)\.txt$"


def groups_of(match: Mapping[str, str]) -> dict[str, str]:
    return {
        "person": f"P{match['person']}",
        "condition": GAITS[match["gait"]],
        "recording": match["take"],
        "day": match["day"],
    }


SET = PublicSet(
    title="Gaits with a Sense2GoL (repository kmkim036/Radar-STFT-DeepLearning)",
    citation="github.com/kmkim036/Radar-STFT-DeepLearning",
    licence="none stated",
    find=by_name(".txt", PATTERN, "220110/220110_2_0_15_RE.txt", groups_of),
    # The carrier is the middle of the sensor's band, 24.05 to 24.25 GHz.
    settings={
        "carrier": 24.15e9,
        "prf": 3000.0,
        "burst_samples": 128,
        "burst_period": 0.2,
        "conjugate": True,
    },
)
