"""Sampler: from noise to data along the probability-flow ODE."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from transport.names import require_known
from transport.paths import Path
from transport.solvers import (
    ADAPTIVE_SOLVERS,
    FLOW_MAP,
    SOLVERS,
    CountedVelocity,
    adaptive_solver,
    solve_dopri5,
    solve_fixed,
)
from transport.timesteps import grids_between, restarted_grids, time_grid
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
        restarts: int = 0,
        restart_interval: Sequence[float] = (0.2, 0.6),
    ) -> "OdeSample":
        """Sampler: sample(noise, velocity) -> end state, with sample.nfe of the last call.

        `sampling_method`: one of `solvers.SOLVERS` on num_steps intervals (see
        `timesteps.time_grid`), flow_map, whose velocity(x, t, span) is the mean one over an interval, or
        dopri5, which chooses its own steps from atol and rtol. At `breaks` the velocity jumps, as
        `Guidance.breaks` says: steps end there, and each part sees its own side only. Euler, of order 1
        anyway, keeps the published grid.

        `restarts` times the state that reached the later end of `restart_interval` is noised back to its
        earlier end and carried forth again (Restart sampling, arXiv 2306.14878), by steps as dense as
        the grid's there; fresh noise shrinks the errors that the steps before and the network have left.

        Raises UserError for an unknown name or an invalid value, and for dopri5 without torchdiffeq.
        """
        require_known("sampling_method", sampling_method, (*SOLVERS, *ADAPTIVE_SOLVERS, *FLOW_MAP))
        if sampling_method in ADAPTIVE_SOLVERS:
            adaptive_solver()  # absent, it is missed now and not at the first step
        make = partial(time_grid, timestep_shift=timestep_shift, cosine=timestep_cosine)
        breaks = () if sampling_method == "euler" else breaks
        interval = self.transport.sample_interval
        if not restarts:
            grids = grids_between(num_steps, breaks, make, *interval)
        else:
            grids = restarted_grids(num_steps, breaks, make, interval, restarts, restart_interval)
        return OdeSample(sampling_method, grids, atol, rtol, self.transport.path)


@dataclass
class OdeSample:
    """Callable made by `Sampler.sample_ode`; `nfe` counts velocity evaluations of its last call.

    A grid that begins before the one in front of it ends is a restart.
    """

    method: str
    grids: list[list[float]]
    atol: float
    rtol: float
    path: Path
    nfe: int = 0

    @property
    def num_steps(self) -> int:
        """Intervals of all grids together."""
        return sum(len(grid) - 1 for grid in self.grids)

    @torch.no_grad()
    def __call__(
        self, noise: Tensor, velocity: Callable[..., Tensor], fresh: Iterable[Tensor] = ()
    ) -> Tensor:
        """Carry noise (N, ...) to data, in float32 at least; `fresh` is the noise of each restart."""
        x = noise.to(torch.promote_types(noise.dtype, torch.float32))
        self.nfe = 0
        fresh, reached = iter(fresh), -math.inf
        for grid in self.grids:
            if grid[0] < reached:
                x = self.path.noised_back(x, next(fresh).to(x), reached, grid[0])
            reached = grid[-1]
            # The hair that keeps an evaluation off a jump also keeps it on this part's side.
            t0 = grid[0] if grid is self.grids[0] else math.nextafter(grid[0], math.inf)
            t1 = grid[-1] if grid is self.grids[-1] else math.nextafter(grid[-1], -math.inf)
            counted = CountedVelocity(velocity, t0, t1)
            x = self._solve(counted, x, grid)
            self.nfe += counted.nfe
        return x

    def _solve(self, counted: CountedVelocity, x: Tensor, grid: list[float]) -> Tensor:
        if fixed := (SOLVERS | FLOW_MAP).get(self.method):
            return solve_fixed(counted, x, grid, fixed())
        # Published dopri5 results look past t = 1. An interval that ends before 1 does so because of a pole.
        if pass_end := counted.t1 == 1:
            counted.t1 = math.inf
        return solve_dopri5(counted, x, grid[0], grid[-1], self.atol, self.rtol, pass_end)
