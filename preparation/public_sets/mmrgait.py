"""MMRGait-1.0 (Xidian University, 2023): 121 people, eight directions of walking, three kinds of clothing.

001/NM-01/001-NM-01-000.MAT (person, clothing and its set, direction in degrees) holds `tfmap` in dB, a ready
matrix of velocity and time. Neither says which velocities and times these are.
"""

from __future__ import annotations

from collections.abc import Mapping

from preparation.public_sets.contract import PublicSet, by_name

CLOTHING = {"NM": "normal", "CT": "coat", "BG": "bag"}
PATTERN = r"/(?P<person>\d{3})-(?P<clothing>NM|CT|BG)-(?P<set>\d{2})-(?P<view>\d{3})\.mat$"


def groups_of(match: Mapping[str, str]) -> dict[str, str]:
    return {
        "person": f"P{match['person']}",
        "condition": CLOTHING[match["clothing"].upper()],
        "recording": f"{match['set']}-{match['view']}",
        "view": match["view"],
    }


SET = PublicSet(
    title="MMRGait-1.0 (Xidian University)",
    citation="L. Du et al., Journal of Radars 12(4), 892-905, 2023, doi:10.12000/JR22227",
    licence="not stated in its files; the journal's page decides",
    find=by_name(".mat", PATTERN, "001/NM-01/001-NM-01-000.MAT", groups_of),
    settings={"variable": "tfmap", "layout": "velocities,times", "scale": "db"},
    asked=("velocity_range", "duration"),
    whole=True,
)
