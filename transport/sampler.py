"""Sampler: from noise to data along the probability-flow ODE."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from transport.names import require_known
from transport.solvers import (
    ADAPTIVE_SOLVERS,
    SOLVERS,
    CountedVelocity,
    Velocity,
    adaptive_solver,
    solve_dopri5,
    solve_fixed,
)
from transport.timesteps import grids_between, time_grid
from transport.transport import Transport


class Sampler:
    """Draws samples along a transport's path. Velocities are callables velocity(x, t) ->
    dx/dt, like x; t is a Python float. `Transport.velocity` makes one from a model of any prediction,
    `Guidance` guides it."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def sample_ode(
        self,
        sampling_method: str = "euler",
        num_steps: int = 250,
        atol: float = 1e-6,
        rtol: float = 1e-3,
        timestep_shift: float = 0.0,
        timestep_cosine: float = 0.0,
        breaks: Sequence[float] = (),
    ) -> "OdeSample":
        """Deterministic sampler: sample(noise, velocity) -> end state, with sample.nfe of the last call.

        `sampling_method`: euler, heun or abm3 (see `solvers.Adams`) on num_steps intervals (see
        `timesteps.time_grid`), or dopri5, which chooses its own steps from atol and
        rtol. At `breaks` the velocity jumps, as `Guidance.breaks` says: steps end there, and each part sees
        its own side only. Euler, of order 1 anyway, keeps the published grid. Raises UserError for an
        unknown name or an invalid value, and for dopri5 without torchdiffeq.
        """
        require_known("sampling_method", sampling_method, (*SOLVERS, *ADAPTIVE_SOLVERS))
        if sampling_method in ADAPTIVE_SOLVERS:
            adaptive_solver()  # absent, it is missed now and not at the first step
        make = partial(time_grid, timestep_shift=timestep_shift, cosine=timestep_cosine)
        breaks = () if sampling_method == "euler" else breaks
        grids = grids_between(num_steps, breaks, make, *self.transport.sample_interval)
        return OdeSample(sampling_method, grids, atol, rtol)


def _after(on_step: Callable[[int], None], done: int, steps: int) -> None:
    """Report `steps` of a part of the grid before which `done` were taken."""
    on_step(done + steps)


class OdeSample:
    """Callable made by `Sampler.sample_ode`; `nfe` counts velocity evaluations of its last call."""

    def __init__(self, method: str, grids: list[list[float]], atol: float, rtol: float) -> None:
        self.method = method
        self.grids = grids
        self.atol = atol
        self.rtol = rtol
        self.nfe = 0

    @torch.no_grad()
    def __call__(
        self, noise: Tensor, velocity: Velocity, on_step: Callable[[int], None] | None = None
    ) -> Tensor:
        """Carry noise (N, ...) to data, in float32 at least; on_step(steps done) follows every fixed step."""
        x = noise.to(torch.promote_types(noise.dtype, torch.float32))
        self.nfe = done = 0
        for grid in self.grids:
            # The hair that keeps an evaluation off a jump also keeps it on this part's side.
            t0 = grid[0] if grid is self.grids[0] else math.nextafter(grid[0], math.inf)
            t1 = grid[-1] if grid is self.grids[-1] else math.nextafter(grid[-1], -math.inf)
            counted = CountedVelocity(velocity, t0, t1)
            report = on_step and partial(_after, on_step, done)
            x = self._solve(counted, x, grid, report)
            self.nfe += counted.nfe
            done += len(grid) - 1
        return x

    def _solve(
        self, counted: CountedVelocity, x: Tensor, grid: list[float], on_step: Callable[[int], None] | None
    ) -> Tensor:
        if self.method in SOLVERS:
            return solve_fixed(counted, x, grid, SOLVERS[self.method](), on_step)
        # Published dopri5 results look past t = 1. An interval that ends before 1 does so because of a pole.
        if pass_end := counted.t1 == 1:
            counted.t1 = math.inf
        return solve_dopri5(counted, x, grid[0], grid[-1], self.atol, self.rtol, pass_end)
