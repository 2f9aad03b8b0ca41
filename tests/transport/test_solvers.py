"""Order of convergence of every solver on problems with exact answers."""

import math

import pytest
import torch
from problems import EVALUATIONS, ODE_PROBLEMS, ORDERS

from transport.solvers import SOLVERS, Adams, CountedVelocity, adams_weights, solve_dopri5, solve_fixed
from transport.timesteps import time_grid


def end_error(problem, name, num_steps, shift):
    grid = time_grid(num_steps, shift).tolist()
    end = solve_fixed(problem.f, problem.x0, grid, SOLVERS[name]())
    return float((end - problem.exact(problem.x0, 1.0)).norm())


@pytest.mark.parametrize("shift", [0.0, 0.3])
@pytest.mark.parametrize("problem", ODE_PROBLEMS.values(), ids=ODE_PROBLEMS)
@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_order_of_convergence(name, problem, shift):
    # abm3's start and the rest of it err with opposite signs, which cancel on coarse grids.
    num_steps = (1024, 2048) if name == "abm3" else (64, 128)
    coarse, fine = (end_error(problem, name, n, shift) for n in num_steps)
    assert math.log2(coarse / fine) == pytest.approx(ORDERS[name], abs=0.25)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_evaluations_of_a_step(name):
    counted = CountedVelocity(lambda x, t: -x, 0.0, 1.0)
    solve_fixed(counted, torch.ones(1), [0.0, 0.1, 0.3, 0.4, 0.8, 1.0], SOLVERS[name]())
    assert counted.nfe == 5 * EVALUATIONS[name]


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_adams_weights_integrate_polynomials_exactly(degree):
    times, start, end = [0.4, 0.31, 0.17, 0.02][: degree + 1], 0.4, 0.55
    integral = sum(w * t**degree for w, t in zip(adams_weights(times, start, end), times))
    assert integral == pytest.approx((end ** (degree + 1) - start ** (degree + 1)) / (degree + 1), rel=1e-12)


def test_adams_weights_on_an_even_grid_are_the_textbooks():
    weights = [w / 0.1 for w in adams_weights([0.2, 0.1, 0.0], 0.2, 0.3)]
    assert weights == pytest.approx([23 / 12, -16 / 12, 5 / 12])
    assert [w / 0.1 for w in adams_weights([0.3, 0.2, 0.1], 0.2, 0.3)] == pytest.approx(
        [5 / 12, 8 / 12, -1 / 12]
    )


def test_adams_is_exact_where_the_velocity_is_a_parabola_in_time():
    """Once there are three velocities; earlier steps have fewer to go by."""
    grid = [0.0, 0.05, 0.2, 0.26, 0.5, 0.6, 1.0]
    step, past = Adams(), grid[:2][::-1]
    step.times, step.velocities = past, [torch.tensor(t**2) for t in past]
    start = torch.tensor([grid[2] ** 3 / 3], dtype=torch.float64)
    end = solve_fixed(lambda x, t: torch.full_like(x, t**2), start, grid[2:], step)
    assert float(end) == pytest.approx(1 / 3, rel=1e-7)


def test_a_mended_step_is_the_trapezoid_rule_and_costs_no_evaluation():
    counted, grid = CountedVelocity(lambda x, t: x, 0.0, 1.0), [0.0, 0.1, 0.3]
    end = solve_fixed(counted, torch.ones(1, dtype=torch.float64), grid, Adams())
    second = 1 + 0.1 / 2 * (1 + 1.1)  # mended by the velocity of the Euler step's end
    assert float(end) == pytest.approx(second + 0.2 * (1.1 + (1.1 - 1) / 0.1 * 0.1)) and counted.nfe == 2


@pytest.mark.parametrize("problem", ODE_PROBLEMS.values(), ids=ODE_PROBLEMS)
@pytest.mark.parametrize("pass_end", [False, True])
def test_dopri5_meets_its_tolerance(problem, pass_end):
    end = solve_dopri5(problem.f, problem.x0, 0.0, 1.0, 1e-10, 1e-10, pass_end)
    torch.testing.assert_close(end, problem.exact(problem.x0, 1.0), rtol=1e-8, atol=1e-8)


def test_dopri5_says_when_it_cannot_go_on():
    with pytest.raises(ValueError, match="dopri5 .* not finite"):
        solve_dopri5(lambda x, t: x * math.nan, torch.ones(2), 0.0, 1.0, 1e-6, 1e-3)


def test_dopri5_leaves_a_velocitys_own_assertion_alone():
    def broken(x, t):
        raise AssertionError("a slip in the model")

    with pytest.raises(AssertionError, match="a slip in the model"):
        solve_dopri5(broken, torch.ones(2), 0.0, 1.0, 1e-6, 1e-3)


def test_times_never_leave_the_interval_and_dtype_is_the_states():
    counted = CountedVelocity(lambda x, t: torch.full_like(x, t, dtype=torch.float16), 0.25, 0.75)
    assert counted(torch.zeros(1), 0.7500001) == 0.75 and counted(torch.zeros(1), 0.1) == 0.25
    assert counted(torch.zeros(1), 0.5).dtype == torch.float32
