"""Solvers of dx/dt = f(x, t): one step function each, and a dictionary that names them.

A step takes f(x, t), the time t and step dt as Python floats (so that no device is asked for a number), the
state x of any shape, and returns the state at t + dt. Orders and tableaus: Hairer, Norsett, Wanner, Solving
ODEs I, II.1 (one step) and III.5 (several steps on uneven grids).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor

from configs.errors import UserError

Velocity = Callable[[Tensor, float], Tensor]


def euler(f: Velocity, t: float, dt: float, x: Tensor) -> Tensor:
    """Order 1, 1 evaluation."""
    return x + dt * f(x, t)


def heun(f: Velocity, t: float, dt: float, x: Tensor) -> Tensor:
    """Order 2, 2 evaluations: the trapezoid rule with an Euler predictor."""
    k1 = f(x, t)
    k2 = f(x + dt * k1, t + dt)
    return x + dt / 2 * (k1 + k2)


def flow_map(f: Callable[..., Tensor], t: float, dt: float, x: Tensor) -> Tensor:
    """Exact, 1 evaluation, of an f(x, t, dt) that gives the mean velocity from t to t + dt."""
    return x + dt * f(x, t, dt)


class Adams:
    """Adams steps of order 3 of one trajectory on any grid, 1 evaluation each: make a new object for every
    trajectory.

    A step integrates the polynomial through the last three velocities. Before it the state is corrected: its
    velocity being known, the step that led to it is taken again by the polynomial that ends at it, and the
    velocity is kept (predict, evaluate, correct), which costs no evaluation.
    """

    order = 3

    def __init__(self) -> None:
        self.times: list[float] = []  # newest first, like the velocities
        self.velocities: list[Tensor] = []
        self.before: Tensor | None = None  # the state one step ago

    def __call__(self, f: Velocity, t: float, dt: float, x: Tensor) -> Tensor:
        self.velocities = [f(x, t), *self.velocities[: self.order - 1]]
        self.times = [t, *self.times[: self.order - 1]]
        if self.before is not None:
            x = self._advance(self.before, self.times[1], t)
        self.before = x
        return self._advance(x, t, t + dt)

    def _advance(self, x: Tensor, start: float, end: float) -> Tensor:
        for weight, velocity in zip(adams_weights(self.times, start, end), self.velocities):
            x = x + weight * velocity
        return x


def adams_weights(times: Sequence[float], start: float, end: float) -> list[float]:
    """Integrals from start to end of the Lagrange polynomials of `times`, found by matching moments: the sum
    of weight times value is the integral of every polynomial of degree below len(times)."""
    nodes = (numpy.array(times) - start) / (end - start)
    powers = numpy.arange(len(times))
    return ((end - start) * numpy.linalg.solve(nodes ** powers[:, None], 1 / (powers + 1))).tolist()


# Each makes the step function of a new trajectory.
SOLVERS: dict[str, Callable[[], Callable[..., Tensor]]] = {
    "euler": lambda: euler,
    "heun": lambda: heun,
    "abm3": Adams,
}
FLOW_MAP = {"flow_map": lambda: flow_map}  # of mean velocities
ADAPTIVE_SOLVERS = ("dopri5",)


@dataclass
class CountedVelocity:
    """Velocity as solvers call it: counted, answered in the state's dtype, never asked outside [t0, t1].

    Rounding takes t + dt a hair past the end of the grid, where a path may be undefined and guidance off.
    """

    velocity: Callable[..., Tensor]
    t0: float
    t1: float
    nfe: int = 0

    def __call__(self, x: Tensor, t: float, *span: float) -> Tensor:
        self.nfe += 1
        return self.velocity(x, min(max(t, self.t0), self.t1), *span).to(x.dtype)


def solve_fixed(f: Velocity, x: Tensor, grid: Sequence[float], step: Callable[..., Tensor]) -> Tensor:
    """Walk x along `grid`; returns the end state."""
    for t, t_next in zip(grid, grid[1:]):
        x = step(f, t, t_next - t, x)
    return x


def adaptive_solver() -> Callable:
    """torchdiffeq's odeint, which dopri5 alone needs; UserError where it is absent."""
    try:
        from torchdiffeq import odeint
    except ImportError as error:
        raise UserError(
            "sampling_method='dopri5' needs the package torchdiffeq: pip install torchdiffeq, "
            f"or choose one of {', '.join(SOLVERS)}"
        ) from error
    return odeint


def solve_dopri5(
    f: Velocity, x: Tensor, t0: float, t1: float, atol: float, rtol: float, pass_end: bool = False
) -> Tensor:
    """Adaptive Dormand-Prince 5(4) from t0 to t1 by torchdiffeq; returns the end state.

    `f(x, t)` receives t as a float, read from a tensor beside the state: an adaptive solver waits for the
    device at every step anyway. The last step ends on t1; with `pass_end` it runs past t1 and is interpolated
    back, which is torchdiffeq's default. Raises UserError where torchdiffeq is absent or the step size
    collapses.
    """
    odeint = adaptive_solver()
    times = torch.tensor([t0, t1], dtype=torch.float64, device=x.device)
    options = {} if pass_end else {"step_t": times[1:]}
    try:
        states = odeint(
            lambda t, y: f(y, float(t)), x, times, method="dopri5", atol=atol, rtol=rtol, options=options
        )
    except AssertionError as error:
        if not str(error).startswith(("underflow in dt", "non-finite values in state")):
            raise  # from the velocity, not from the solver
        raise UserError(
            f"dopri5 with atol={atol}, rtol={rtol} cannot go on: the velocity is not finite, or "
            f"the tolerances too tight; loosen rtol or use {', '.join(SOLVERS)}"
        ) from error
    return states[-1]
