"""Laws of training times, interval ends and sampling grids."""

import pytest
import torch
from scipy.stats import kstest, norm

from configs.errors import UserError
from transport import create_transport
from transport.timesteps import (
    grids_between,
    logit_normal_times,
    restarted_grids,
    time_grid,
    time_interval,
    uniform_times,
)

NUM = 20000


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def logit_normal_cdf(loc):
    return lambda t: norm.cdf(torch.logit(torch.as_tensor(t)).numpy() - loc)


@pytest.mark.parametrize("loc", [0.0, -0.5])
def test_logit_normal_law(loc):
    times = logit_normal_times(NUM, loc=loc, generator=seeded())
    assert kstest(times.double().numpy(), logit_normal_cdf(loc)).statistic < 1.63 / NUM**0.5


def test_uniform_law_on_an_interval():
    times = uniform_times(NUM, (0.2, 0.9), generator=seeded())
    assert kstest(times.double().numpy(), lambda t: (t - 0.2) / 0.7).statistic < 1.63 / NUM**0.5


@pytest.mark.parametrize("use_lognorm, loc", [(True, 0), (True, -0.8), (False, 0)])
def test_transport_draws_the_law_it_was_told(use_lognorm, loc):
    transport = create_transport(use_lognorm=use_lognorm, lognorm_loc=loc)
    times = transport.draw_times(NUM, seeded(1)).double().numpy()
    cdf = logit_normal_cdf(loc) if use_lognorm else lambda t: t
    assert kstest(times, cdf).statistic < 1.63 / NUM**0.5


@pytest.mark.parametrize("draw", [uniform_times, logit_normal_times])
def test_times_stay_inside_and_repeat(draw):
    times = draw(NUM, (1e-3, 1 - 1e-3), generator=seeded(3))
    assert times.min() >= 1e-3 and times.max() <= 1 - 1e-3
    assert torch.equal(times, draw(NUM, (1e-3, 1 - 1e-3), generator=seeded(3)))
    assert not torch.equal(times, draw(NUM, (1e-3, 1 - 1e-3), generator=seeded(4)))


@pytest.mark.parametrize(
    "path_type, prediction, train, sample",
    [
        ("Linear", "velocity", (0, 1), (0, 1)),
        ("GVP", "velocity", (0, 1), (0, 1)),
        ("Linear", "noise", (1e-3, 1 - 1e-3), (1e-3, 1 - 1e-3)),
        ("GVP", "score", (1e-3, 1 - 1e-3), (1e-3, 1 - 1e-3)),
        ("VP", "velocity", (0, 1 - 1e-5), (0, 1 - 1e-3)),
        ("VP", "noise", (0, 1 - 1e-5), (0, 1 - 1e-3)),
    ],
)
def test_published_interval_ends(path_type, prediction, train, sample):
    assert time_interval(path_type, prediction) == train
    assert time_interval(path_type, prediction, sampling=True) == sample


def test_given_eps_is_used_and_bounded():
    assert time_interval("Linear", "velocity", 0.01) == (0.01, 0.99)
    with pytest.raises(ValueError, match="train_eps=0.5"):
        create_transport(train_eps=0.5)
    with pytest.raises(ValueError, match="sample_eps=-0.1"):
        create_transport(sample_eps=-0.1)


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0, 3.0])
def test_grid_has_one_point_more_than_steps_and_exact_ends(shift):
    grid = time_grid(7, shift, 1e-3, 1 - 1e-3)
    assert grid.dtype == torch.float64 and len(grid) == 8
    assert grid[0] == 1e-3 and grid[-1] == 1 - 1e-3
    assert (grid.diff() > 0).all()


def test_shift_formula_and_its_off_values():
    even = torch.linspace(0, 1, 11, dtype=torch.float64)
    torch.testing.assert_close(time_grid(10, 0.3), 0.3 * even / (1 - 0.7 * even))
    assert torch.equal(time_grid(10, 0.0), even)
    torch.testing.assert_close(time_grid(10, 1.0), even)
    assert time_grid(10, 0.3).diff()[0] < 0.1 < time_grid(10, 0.3).diff()[-1]


def test_cosine_share_and_its_symmetry():
    even = torch.linspace(0, 1, 11, dtype=torch.float64)
    cosine = (1 - torch.cos(torch.pi * even)) / 2
    torch.testing.assert_close(time_grid(10, cosine=1.0), cosine)
    torch.testing.assert_close(time_grid(10, cosine=0.5), (even + cosine) / 2)
    grid = time_grid(10, 0.3, cosine=0.5)
    torch.testing.assert_close(grid, 0.3 * (even + cosine) / 2 / (1 - 0.7 * (even + cosine) / 2))
    with pytest.raises(ValueError, match="timestep_cosine=1.5"):
        time_grid(10, cosine=1.5)


def test_grids_meet_at_the_breaks_and_spend_the_steps_where_one_grid_would():
    first, second, third = grids_between(10, (0.72, 0.31, 0.31), time_grid, 0.0, 1.0)
    assert (first[0], first[-1], second[0], second[-1], third[0], third[-1]) == (0, 0.31, 0.31, 0.72, 0.72, 1)
    assert [len(grid) - 1 for grid in (first, second, third)] == [3, 4, 3]
    assert grids_between(1, (0.5,), time_grid, 0.0, 1.0) == [[0.0, 1.0]]
    assert [len(grid) for grid in grids_between(2, (0.01,), time_grid, 0.0, 1.0)] == [2, 2]
    assert grids_between(4, (0.0, 1.0), time_grid, 0.0, 1.0) == [time_grid(4).tolist()]


@pytest.mark.parametrize("num_steps, shift", [(0, 0.0), (-3, 0.0), (5, -0.1), (5, float("nan"))])
def test_impossible_grids_are_refused(num_steps, shift):
    with pytest.raises(ValueError, match="num_steps=|timestep_shift="):
        time_grid(num_steps, shift)


def test_restarted_grids_walk_their_interval_again_and_share_out_the_steps():
    first, again, other, last = restarted_grids(10, (), time_grid, (0.0, 1.0), 2, (0.2, 0.8))
    assert (first[0], first[-1], again[0], again[-1], last[0], last[-1]) == (0, 0.8, 0.2, 0.8, 0.8, 1)
    assert again == other and [len(grid) - 1 for grid in (first, again, last)] == [8, 6, 2]
    parts = restarted_grids(10, (0.3,), time_grid, (0.0, 1.0), 1, (0.2, 0.8))
    assert [(grid[0], grid[-1]) for grid in parts] == [(0, 0.3), (0.3, 0.8), (0.2, 0.3), (0.3, 0.8), (0.8, 1)]
    for fewest in (1, 2):
        few = restarted_grids(fewest, (0.1,), time_grid, (0.0, 1.0), 1, (0.2, 0.6))
        assert [len(grid) - 1 for grid in few] == [1, 5, 1]


@pytest.mark.parametrize("interval", [(0.0, 0.6), (0.6, 0.2), (0.2, 1.0)])
def test_impossible_restarts_are_refused(interval):
    with pytest.raises(UserError, match="restart_interval="):
        restarted_grids(10, (), time_grid, (0.0, 1.0), 1, interval)
