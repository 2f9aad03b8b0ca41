"""What all recordings say together: a sign that is swapped is seen by the law of range, notes are grouped."""

import numpy
import pytest

from preparation.advice import direction, grouped, hold_out_advice, sign_advice
from radar.echoes import Radar, iq_signal
from radar.person import Walker
from radar.spectrogram import remove_clutter, spectrogram, windows
from radar.walker import Walk, motion

RADAR = Radar()


@pytest.fixture(scope="module", params=[True, False], ids=["coming", "going"])
def iq(request):
    start = 5.0 if request.param else 2.0
    moved = motion(Walker(speed_mps=1.2), Walk(2.6, request.param, start_range_m=start), 200.0)
    seen = iq_signal(moved.range_m, moved.cross_section_m2, 200.0, RADAR, numpy.random.default_rng(0))
    return remove_clutter(seen, RADAR.prf_hz)


def windows_of(iq):
    return windows(spectrogram(iq, RADAR.carrier_hz, RADAR.prf_hz))


def test_an_echo_grows_when_the_walker_comes(iq):
    assert direction(windows_of(iq)) == 1 and direction(windows_of(iq.conj())) == -1


def test_a_walker_on_the_spot_tells_nothing():
    time = numpy.arange(8000) / RADAR.prf_hz
    still = numpy.exp(1j * numpy.sin(9 * time))
    assert direction(windows_of(still)) == 0


def test_most_of_the_recordings_decide():
    assert not sign_advice([-1] * 4, False) and not sign_advice([1] * 2 + [-1] * 7, False)
    (said,) = sign_advice([0] * 3 + [1] + [-1] * 7, False)
    assert "in 7 of 11 recordings" in said and said.endswith("give --conjugate")
    assert sign_advice([-1] * 5, True)[0].endswith("leave --conjugate out")


def test_notes_of_one_kind_do_not_hide_others():
    notes = [(f"rec{number}.npy", f"I and Q: gain 1.{number}") for number in range(9)]
    lines = grouped([*notes, ("rec3.npy", "has changed: drawn anew")])
    assert lines[:3] == [
        "rec0.npy: I and Q: gain 1.0",
        "rec1.npy: I and Q: gain 1.1",
        "rec2.npy: I and Q: gain 1.2",
    ]
    assert lines[3:] == ["and 6 more such notes (I and Q)", "rec3.npy: has changed: drawn anew"]


def test_a_day_is_held_out_that_leaves_everybody_for_training():
    def rows(**days):
        return [{"file": f"{who}/{day}.png", "person": who, "day": day} for day in days for who in days[day]]

    assert not hold_out_advice([]) and not hold_out_advice(rows(mon="ab"))
    assert not hold_out_advice(rows(mon="a", tue="b"))
    assert hold_out_advice(rows(mon="abc", tue="abd", wed="ab")).startswith(", with --hold_out 'day=wed'")
    assert hold_out_advice(rows(mon="aabb", tue="ab", wed="b")).startswith(", with --hold_out 'day=tue'")
