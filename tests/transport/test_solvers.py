"""Order of convergence of every solver on problems with exact answers."""

import math

import pytest
import torch
from problems import ODE_PROBLEMS

from transport.solvers import SOLVERS, CountedVelocity, solve_dopri5, solve_fixed
from transport.timesteps import time_grid

ORDERS = {"euler": 1, "heun": 2, "midpoint": 2, "heun3": 3, "rk4": 4}
EVALUATIONS = {"euler": 1, "heun": 2, "midpoint": 2, "heun3": 3, "rk4": 4}


def end_error(problem, name, num_steps, shift):
    grid = time_grid(num_steps, shift).tolist()
    end = solve_fixed(problem.f, problem.x0, grid, SOLVERS[name])
    return float((end - problem.exact(problem.x0, 1.0)).norm())


@pytest.mark.parametrize("problem", ODE_PROBLEMS.values(), ids=ODE_PROBLEMS)
def test_exact_answers_solve_their_equation(problem):
    h = 1e-5
    for t in (0.1, 0.6):
        slope = (problem.exact(problem.x0, t + h) - problem.exact(problem.x0, t - h)) / (2 * h)
        torch.testing.assert_close(slope, problem.f(problem.exact(problem.x0, t), t), rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(problem.exact(problem.x0, 0.0), problem.x0)


@pytest.mark.parametrize("shift", [0.0, 0.3])
@pytest.mark.parametrize("problem", ODE_PROBLEMS.values(), ids=ODE_PROBLEMS)
@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_order_of_convergence(name, problem, shift):
    coarse, fine = (end_error(problem, name, n, shift) for n in (64, 128))
    assert math.log2(coarse / fine) == pytest.approx(ORDERS[name], abs=0.25)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_evaluations_of_a_step(name):
    counted = CountedVelocity(lambda x, t: -x, 0.0, 1.0)
    SOLVERS[name](counted, 0.0, 0.1, torch.ones(1))
    assert counted.nfe == EVALUATIONS[name]


@pytest.mark.parametrize("name", ["rk4", "heun3"])
def test_same_rule_as_torchdiffeq(name):
    torchdiffeq = pytest.importorskip("torchdiffeq")
    problem, grid = ODE_PROBLEMS["growth"], time_grid(4, 0.3)
    expected = torchdiffeq.odeint(lambda t, x: problem.f(x, float(t)), problem.x0, grid, method=name)[-1]
    torch.testing.assert_close(solve_fixed(problem.f, problem.x0, grid.tolist(), SOLVERS[name]), expected,
                               rtol=1e-12, atol=0)


@pytest.mark.parametrize("problem", ODE_PROBLEMS.values(), ids=ODE_PROBLEMS)
@pytest.mark.parametrize("pass_end", [False, True])
def test_dopri5_meets_its_tolerance(problem, pass_end):
    end = solve_dopri5(problem.f, problem.x0, 0.0, 1.0, 1e-10, 1e-10, pass_end)
    torch.testing.assert_close(end, problem.exact(problem.x0, 1.0), rtol=1e-8, atol=1e-8)


def test_dopri5_runs_backwards_and_stays_inside():
    problem, seen = ODE_PROBLEMS["forced"], []

    def f(x, t):
        seen.append(t)
        return problem.f(x, t)

    start = solve_dopri5(f, problem.exact(problem.x0, 1.0), 1.0, 0.0, 1e-10, 1e-10)
    torch.testing.assert_close(start, problem.x0, rtol=1e-7, atol=1e-8)
    assert all(isinstance(t, float) and 0 <= t <= 1 for t in seen)


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
