"""Radar signatures of human activities (University of Glasgow, 2019): 5.8 GHz, chirps of an Ancortek radar.

Seven campaigns, each a folder like "1 December 2017 Dataset", hold 1P36A01R01.dat: activity, person of the
campaign, activity again, repetition. Numbers of people start anew in each campaign. The header of each file
says all of the radar (`radar.captures.ancortek`).
"""

from __future__ import annotations

from collections.abc import Mapping

from preparation.public_sets.contract import PublicSet, by_name

# As its data sheet numbers them; a comment in its MATLAB code has 4 and 5 the other way round.
ACTIVITIES = {
    "1": "walking",
    "2": "sitting",
    "3": "standing",
    "4": "picking",
    "5": "drinking",
    "6": "falling",
}
PATTERN = (
    r"(?:^|/)(?P<campaign>[1-7]) [^/]*/(?:[^/]+/)*"
    r"(?P<activity>[1-6])[ _]?P(?P<person>\d+)[ _]?A0?(?P=activity)[ _]?R(?P<repetition>\d+)\.dat$"
)
EXAMPLE = "1 December 2017 Dataset/1P36A01R01.dat"


def groups_of(match: Mapping[str, str]) -> dict[str, str]:
    """A person is one of a campaign: P36 of the first is another one than P36 of the sixth."""
    return {
        "person": f"C{match['campaign']}P{int(match['person']):02d}",
        "condition": ACTIVITIES[match["activity"]],
        "session": match["campaign"],
        "recording": f"{int(match['repetition'])}",
    }


SET = PublicSet(
    title="Radar signatures of human activities (University of Glasgow)",
    citation="F. Fioranelli et al., University of Glasgow, 2019, doi:10.5525/gla.researchdata.848",
    licence="CC BY 4.0",
    find=by_name(".dat", PATTERN, EXAMPLE, groups_of),
    settings={"velocity_range": [-6.0, 6.0]},  # what its own example shows
)
