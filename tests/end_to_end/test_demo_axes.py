import numpy
import pytest

from radar.person import draw_walker
from radar.recording import Setup, draw_recording
from run_complete_pipeline import DEMO_AXES


def test_demo_axes_are_the_edges_of_simulated_pictures():
    rng = numpy.random.default_rng(0)
    edges = next(iter(draw_recording(draw_walker(rng), 1, Setup(), rng, True)[1])).edges
    shown = [edges["lowest_mps"], edges["highest_mps"], edges["end_s"] - edges["start_s"]]
    assert shown == pytest.approx(DEMO_AXES, abs=0.01)
