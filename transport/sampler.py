"""Sampler: from noise to data by ODE or SDE, and from data to its likelihood."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from configs.errors import UserError
from transport.names import require_known
from transport.paths import Path
from transport.solvers import (
    ADAPTIVE_SOLVERS,
    SOLVERS,
    CountedVelocity,
    Velocity,
    adaptive_solver,
    solve_dopri5,
    solve_fixed,
)
from transport.timesteps import NOISE_SCORE_EPS, grids_between, time_grid
from transport.transport import Transport, draw_noise

Generators = torch.Generator | Sequence[torch.Generator] | None

# g(t) in the SDE dx = [v + g score] dt + sqrt(2 g) dW, before the factor diffusion_norm. Every g >= 0 keeps
# the marginals of the ODE. "sigma" fades with the noise; "constant" does not; "sbdm" is the reverse-time
# diffusion of arXiv 2011.13456, which on Linear and GVP has a pole at t = 0 and needs small steps there.
DIFFUSION_FORMS: dict[str, Callable[[Path, Tensor], Tensor]] = {
    "constant": lambda path, t: torch.ones_like(t),
    "sigma": lambda path, t: path.sigma(t),
    "sbdm": lambda path, t: path.drift_var(t),
}
LAST_STEPS = ("mean", "euler")
PROBES = ("rademacher", "gaussian")


class Sampler:
    """Draws samples and likelihoods along a transport's path. Velocities are callables velocity(x, t) ->
    dx/dt, like x; t is a Python float. `Transport.velocity` makes one from a model of any prediction,
    `Guidance` guides it."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def sample_ode(self, sampling_method: str = "euler", num_steps: int = 250, atol: float = 1e-6,
                   rtol: float = 1e-3, timestep_shift: float = 0.0, timestep_cosine: float = 0.0,
                   breaks: Sequence[float] = ()) -> "OdeSample":
        """Deterministic sampler: sample(noise, velocity) -> end state, with sample.nfe of the last call.

        `sampling_method`: euler, heun, heun3, midpoint, rk4, ab2, ab3 or abm3 (see `solvers.Adams`) on
        num_steps intervals (see `timesteps.time_grid`), or dopri5, which chooses its own steps from atol and
        rtol. At `breaks` the velocity jumps, as `Guidance.breaks` says: steps end there, and each part sees
        its own side only. Euler, of order 1 anyway, keeps the published grid. Raises UserError for an
        unknown name or an impossible value, and for dopri5 without torchdiffeq.
        """
        require_known("sampling_method", sampling_method, (*SOLVERS, *ADAPTIVE_SOLVERS))
        if sampling_method in ADAPTIVE_SOLVERS:
            adaptive_solver()  # absent, it is missed now and not at the first step
        make = partial(time_grid, timestep_shift=timestep_shift, cosine=timestep_cosine)
        breaks = () if sampling_method == "euler" else breaks
        grids = grids_between(num_steps, breaks, make, *self.transport.sample_interval)
        return OdeSample(sampling_method, grids, atol, rtol)

    def sample_sde(self, num_steps: int = 250, diffusion_form: str = "sigma", diffusion_norm: float = 1.0,
                   generator: Generators = None, last_step: str = "mean",
                   last_step_size: float = 0.04) -> "SdeSample":
        """Stochastic sampler, Euler-Maruyama on dx = [v + w^2/2 score] dt + w dW (SiT, arXiv 2401.08740).

        w^2 = 2 diffusion_norm g(t) with g = 1 ("constant"), sigma(t) ("sigma") or drift_var(t) ("sbdm").
        num_steps - 1 equal steps end at 1 - last_step_size, where the score still exists; one step without
        noise goes to t = 1: "mean" along the SDE's drift, "euler" along the ODE's. `generator` is one
        generator, or one for each sample, which makes a sample independent of its batch. Returns
        sample(noise, velocity), with sample.nfe.
        """
        require_known("diffusion_form", diffusion_form, DIFFUSION_FORMS)
        require_known("last_step", last_step, LAST_STEPS)
        if num_steps < 2:
            raise UserError(f"num_steps={num_steps!r} must be at least 2: stochastic steps and a last one")
        if not (math.isfinite(diffusion_norm) and diffusion_norm >= 0):
            raise UserError(f"diffusion_norm={diffusion_norm!r} must be a finite number >= 0")
        start = self.transport.sample_interval[0]
        if diffusion_form == "sbdm":
            start = max(start, NOISE_SCORE_EPS)
        if not 0 < last_step_size < 1 - start:
            raise UserError(f"last_step_size={last_step_size!r} must lie in (0, {1 - start}): "
                            "t = 1 has no score")
        grid = time_grid(num_steps - 1, 0.0, start, 1 - last_step_size).tolist()
        form = DIFFUSION_FORMS[diffusion_form]
        return SdeSample(self.transport.path, grid, form, diffusion_norm, generator, last_step)

    def log_likelihood(self, x1: Tensor, velocity: Velocity, *, probe: str = "rademacher",
                       generator: torch.Generator | None = None, atol: float = 1e-6,
                       rtol: float = 1e-3) -> tuple[Tensor, Tensor]:
        """Log density (N,) in nats of data x1 (N, ...), and the noise (like x1) that the ODE carries to x1.

        Instantaneous change of variables along the probability-flow ODE by dopri5, with one Hutchinson probe
        for the divergence (arXiv 1810.01367): unbiased, exact where the Jacobian is diagonal and the probe
        "rademacher". Needs a velocity on all of [0, 1], so Linear or GVP without eps; raises UserError
        otherwise.
        """
        require_known("probe", probe, PROBES)
        if self.transport.sample_interval != (0.0, 1.0):
            raise UserError("likelihood needs a velocity on [0, 1], not on "
                            f"{self.transport.sample_interval}: use path_type Linear, prediction velocity")
        x1 = x1.to(torch.promote_types(x1.dtype, torch.float32))
        direction = draw_noise(x1.shape, x1.device, x1.dtype, generator)
        if probe == "rademacher":
            direction = torch.where(direction < 0, -1.0, 1.0).to(x1)
        state = (x1, x1.new_zeros(len(x1)))
        with torch.no_grad():
            noise, change = solve_dopri5(_with_divergence(velocity, direction), state, 1.0, 0.0, atol, rtol)
        # d log p / dt = -div v, and `change` is the integral of div v from t = 1 down to t = 0.
        return standard_normal_log_density(noise) + change, noise


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
    def __call__(self, noise: Tensor, velocity: Velocity,
                 on_step: Callable[[int], None] | None = None) -> Tensor:
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

    def _solve(self, counted: CountedVelocity, x: Tensor, grid: list[float],
               on_step: Callable[[int], None] | None) -> Tensor:
        if self.method in SOLVERS:
            return solve_fixed(counted, x, grid, SOLVERS[self.method](), on_step)
        # Published dopri5 results look past t = 1. An interval that ends before 1 does so because of a pole.
        if pass_end := counted.t1 == 1:
            counted.t1 = math.inf
        return solve_dopri5(counted, x, grid[0], grid[-1], self.atol, self.rtol, pass_end)


class SdeSample:
    """Callable made by `Sampler.sample_sde`; `nfe` counts velocity evaluations of its last call."""

    def __init__(self, path: Path, grid: list[float], form: Callable[[Path, Tensor], Tensor], norm: float,
                 generator: Generators, last_step: str) -> None:
        self.path = path
        self.grid = grid
        self.form = form
        self.norm = norm
        self.generator = generator
        self.last_step = last_step
        self.nfe = 0

    @torch.no_grad()
    def __call__(self, noise: Tensor, velocity: Velocity,
                 on_step: Callable[[int], None] | None = None) -> Tensor:
        """Carry noise (N, ...) to data at t = 1, in float32 at least; on_step(steps done) follows every
        step."""
        x = noise.to(torch.promote_types(noise.dtype, torch.float32))
        counted = CountedVelocity(velocity, self.grid[0], self.grid[-1])
        x = solve_fixed(counted, x, self.grid, self._stochastic_step, on_step)
        x = self._final_step(counted, x)
        if on_step is not None:
            on_step(len(self.grid))
        self.nfe = counted.nfe
        return x

    def _stochastic_step(self, f: Velocity, t: float, dt: float, x: Tensor) -> Tensor:
        wiener = draw_noise_per_sample(x, self.generator) * math.sqrt(dt)
        half_w2 = self._half_w2(t)
        return x + self._drift(f(x, t), x, t) * dt + torch.sqrt(2 * half_w2) * wiener

    def _final_step(self, f: Velocity, x: Tensor) -> Tensor:
        t = self.grid[-1]
        v = f(x, t)
        return x + (self._drift(v, x, t) if self.last_step == "mean" else v) * (1 - t)

    def _drift(self, v: Tensor, x: Tensor, t: float) -> Tensor:
        # Scalar float64 times on the CPU multiply device tensors without a wait and without widening them.
        score = self.path.score_from_velocity(v, x, torch.tensor(t, dtype=torch.float64))
        return v + self._half_w2(t) * score

    def _half_w2(self, t: float) -> Tensor:
        return self.norm * self.form(self.path, torch.tensor(t, dtype=torch.float64))


def draw_noise_per_sample(x: Tensor, generator: Generators) -> Tensor:
    """Standard normal noise like x (N, ...), from one generator, or from N generators, one a sample."""
    if generator is None or isinstance(generator, torch.Generator):
        return draw_noise(x.shape, x.device, x.dtype, generator)
    assert len(generator) == len(x), f"{len(generator)} generators for {len(x)} samples"
    return torch.stack([draw_noise(x.shape[1:], x.device, x.dtype, one) for one in generator])


def standard_normal_log_density(x: Tensor) -> Tensor:
    """Log density (N,) in nats of x (N, ...) under N(0, 1) in every component."""
    return (-0.5 * (x**2 + math.log(2 * math.pi))).flatten(1).sum(1)


def _with_divergence(velocity: Velocity, direction: Tensor) -> Callable:
    def augmented(state: tuple[Tensor, Tensor], t: float) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = state[0].detach().requires_grad_()
            v = velocity(x, min(max(t, 0.0), 1.0)).to(x.dtype)
            product = torch.autograd.grad(v, x, direction)[0]
        return v.detach(), (product * direction).flatten(1).sum(1)

    return augmented
