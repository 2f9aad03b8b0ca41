"""Error against evaluations of every solver and grid, and the default sampler beside the published recipe.

    python -m benchmarks.bench_sampling --checkpoint best.safetensors [--tokenizer compact]
    python -m benchmarks.bench_sampling --quick

The recipe: Euler on 250 points, both branches at every step, fp32, eager, shift 0.3, guidance from t = 0.125
on. Errors are relative L2 distances of normalised latents to the converged ODE: dopri5 with float64 state and
float64 network, each part of the guidance interval on its own. Ends with status 1 when a condition on
correctness fails; speed is no condition.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from benchmarks.form import table
from benchmarks.turns import in_turn, report
from configs.command_line import run_script
from configs.schema import SampleConfig
from data.labels import LabelTable
from data.latent_stats import LatentStatistics
from data.progress import progress
from models.lightningdit import LightningDiT
from runtime.devices import resolve_device, resolve_precision, tokenizer_precision
from runtime.seeds import noise_for
from sampling.latent_sampler import LatentSampler
from sampling.model_file import DitPayload, load_trained
from tokenizer.vavae import VAVAE
from transport import Guidance, Sampler, create_transport
from transport.solvers import SOLVERS
from transport.timesteps import time_grid

INTERVAL, RECIPE_STEPS, RECIPE_SHIFT = (0.125, 1.0), 249, 0.3
GRIDS = {
    "even": (0.0, 0.0),
    "shift 0.3": (0.3, 0.0),
    "cosine": (0.0, 1.0),
    "default": (SampleConfig.timestep_shift, SampleConfig.timestep_cosine),
}
BUDGETS = (15, 27, 51)
PEERS = ("midpoint", "rk4", "explicit_adams")
MOST_EVALUATIONS = 27


@dataclass(frozen=True)
class Task:
    """One network, noise (N, C, H, W) float64 and labels (N,), on one device."""

    net: LightningDiT
    payload: DitPayload
    noise: Tensor
    labels: Tensor

    def guidance(self, scale: float) -> Guidance:
        null = self.net.null_class if self.net.config["class_dropout_prob"] else None
        return Guidance(self.net, null, scale, INTERVAL)

    def solve(self, scale: float, method: str, noise: Tensor, **settings) -> tuple[Tensor, int]:
        """End state and network evaluations per image."""
        guidance = self.guidance(scale)
        sample = Sampler(create_transport()).sample_ode(method, breaks=guidance.breaks, **settings)
        end = sample(noise, lambda x, t: guidance(x, t, self.labels))
        return end, guidance.evaluations


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--checkpoint", help="trained DiT of velocity on the Linear path")
    parser.add_argument("--tokenizer", default="compact")
    parser.add_argument("--guidance_scale", type=float, default=2.0)
    parser.add_argument("--images", type=int, default=3, help="images of the error curve (default 3)")
    parser.add_argument("--batch", type=int, default=8, help="images timed at once (default 8)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", default="auto", help="of ours; auto: by the GPU, 32 on a CPU")
    parser.add_argument("--compile", action="store_true", help="also time the compiled network")
    parser.add_argument("--few_steps", help="the checkpoint distilled into a few-step model, timed, too")
    parser.add_argument(
        "--quick", action="store_true", help="short curve, else of a tiny random network; nothing is written"
    )
    options = parser.parse_args([token for token in argv if token != "--debug"])
    if not (options.checkpoint or options.quick):
        parser.error("--checkpoint: a trained DiT is needed, or --quick")
    device = resolve_device("auto")
    net, payload = load_trained(options.checkpoint) if options.checkpoint else tiny()
    if payload.transport.get("prediction", "velocity") != "velocity" or (
        payload.transport.get("path_type", "Linear") != "Linear"
    ):
        parser.error("--checkpoint: the published recipe needs a velocity model on the Linear path")
    net = net.to(device)
    task = Task(net, payload, *inputs(net, payload, options.images, device))
    failures: list[str] = []
    body = [f"Network: {describe(net)}; guidance from t = {INTERVAL[0]} on. Tokenizer: {options.tokenizer}."]
    for scale in (1.0, options.guidance_scale):
        body.append(curve(task, scale, (MOST_EVALUATIONS,) if options.quick else BUDGETS, failures))
    body.append(speed(net, payload, options, device))
    command = f"python -m benchmarks.bench_sampling {' '.join(argv)}"
    title = "Sampling: error against evaluations, and time"
    sys.exit(report("sampling", title, command, "\n\n".join(body), failures, write=not options.quick))


def tiny() -> tuple[LightningDiT, DitPayload]:
    """A network of 16 tokens with random weights everywhere, and a payload for it."""
    generator = torch.Generator().manual_seed(0)
    net = LightningDiT(patch_size=4, hidden_size=64, depth=2, num_heads=2, num_classes=3)
    for parameter in net.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    statistics_ = LatentStatistics(torch.zeros(1, 32, 1, 1), torch.ones(1, 32, 1, 1))
    labels = LabelTable(["ID_1", "ID_2", "ID_3"])
    return net.eval().requires_grad_(False), DitPayload(net.config, {}, labels, statistics_, None, {}, {})


def describe(net: LightningDiT) -> str:
    config, millions = net.config, sum(p.numel() for p in net.parameters()) / 1e6
    return f"{millions:.1f} M parameters, width {config['hidden_size']}, depth {config['depth']}"


def inputs(net: LightningDiT, payload: DitPayload, num: int, device: torch.device) -> tuple[Tensor, Tensor]:
    shape = (net.config["in_channels"], *[net.config["input_size"]] * 2)
    noise = torch.stack([noise_for(shape, 0, "benchmark", k) for k in range(num)]).double()
    return noise.to(device), (torch.arange(num) % len(payload.labels)).to(device)


def recipe(net: LightningDiT, noise: Tensor, labels: Tensor, scale: float) -> Tensor:
    """The published sampler: both branches always, the unconditional one dropped before the interval."""
    x, null = noise.float(), torch.full_like(labels, net.null_class)
    grid = time_grid(RECIPE_STEPS, RECIPE_SHIFT).tolist()
    for t, t_next in zip(grid, grid[1:]):
        times = torch.full((2 * len(x),), t, device=x.device)
        conditional, unconditional = net(torch.cat([x, x]), times, torch.cat([labels, null])).chunk(2)
        guided = unconditional + scale * (conditional - unconditional)
        x = x + (t_next - t) * (guided if t >= INTERVAL[0] else conditional)
    return x


@torch.inference_mode()
def curve(task: Task, scale: float, budgets: Sequence[int], failures: list[str]) -> str:
    """The table of one guidance scale; what fails is added to `failures`."""
    exact = replace(task, net=copy.deepcopy(task.net).double())
    truth, loose = (
        exact.solve(scale, "dopri5", task.noise, atol=rtol / 10, rtol=rtol)[0] for rtol in (1e-6, 1e-5)
    )
    noise = task.noise.float()
    published = distance(recipe(task.net, noise, task.labels, scale), truth)
    if distance(loose, truth) > published / 20:
        failures.append(f"scale {scale:g}: the reference is not converged")
    default = settings_of()
    shape = {name: getattr(default, name) for name in ("num_steps", "timestep_shift", "timestep_cosine")}
    end, spent = task.solve(scale, default.sampler, noise, **shape)
    error = distance(end, truth)
    if error > published:
        failures.append(f"scale {scale:g}: the default errs by {error:.2e}, the recipe by {published:.2e}")
    if spent > MOST_EVALUATIONS:
        failures.append(f"scale {scale:g}: the default spends {spent} evaluations")
    rows = [
        ["recipe", "shift 0.3", f"{published:.2e} at {2 * RECIPE_STEPS}"],
        [f"**default** ({default.sampler}, {default.num_steps} steps)", "default", f"{error:.2e} at {spent}"],
    ]
    cases = [(method, name) for method in SOLVERS for name in GRIDS]
    for method, name in progress(cases, description=f"curve at scale {scale:g}"):
        rows.append([method, name, solver_row(task, scale, method, GRIDS[name], budgets, noise, truth)])
    rows += peers(task, scale, budgets, noise, truth)
    heading = f"Guidance scale {scale:g}; relative error to the converged ODE, at evaluations per image:"
    return f"{heading}\n\n{table(('solver', 'grid', 'error at evaluations'), rows)}"


def solver_row(
    task: Task,
    scale: float,
    method: str,
    grid: tuple[float, float],
    budgets: Sequence[int],
    noise: Tensor,
    truth: Tensor,
) -> str:
    cells, shape = [], {"timestep_shift": grid[0], "timestep_cosine": grid[1]}
    for budget in budgets:
        steps = most_steps(lambda n: cost(task, scale, method, num_steps=n, **shape), budget)
        if steps:
            end, spent = task.solve(scale, method, noise, num_steps=steps, **shape)
            cells.append(f"{distance(end, truth):.2e} at {spent}")
    return ", ".join(cells)


def cost(task: Task, scale: float, method: str, **settings) -> int:
    """Evaluations per image, counted on a network that costs nothing."""
    free = replace(task, net=Free(task.net), labels=task.labels[:1])
    return free.solve(scale, method, torch.zeros(1, 1), **settings)[1]


class Free:
    """Stands for a network: the same null class, no work."""

    def __init__(self, net: LightningDiT) -> None:
        self.null_class, self.config = net.null_class, net.config

    def __call__(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        return x


def most_steps(cost_of: Callable[[int], int], budget: int) -> int:
    """The largest number of steps within `budget`, 0 where one step is too dear."""
    steps = 0
    while steps < budget and cost_of(steps + 1) <= budget:
        steps += 1
    return steps


def peers(task: Task, scale: float, budgets: Sequence[int], noise: Tensor, truth: Tensor) -> list[list[str]]:
    """torchdiffeq's fixed steps on the even grid, which know nothing of the interval; flow-matching and
    torchcfm integrate by torchdiffeq.
    """
    from torchdiffeq import odeint

    free = replace(task, net=Free(task.net), labels=task.labels[:1])

    def run(method: str, steps: int, of: Task = task, x: Tensor = noise) -> tuple[Tensor, int]:
        times, guidance = torch.linspace(0, 1, steps + 1, dtype=torch.float64), of.guidance(scale)
        end = odeint(lambda t, y: guidance(y, float(t), of.labels), x, times, method=method)[-1]
        return end, guidance.evaluations

    def cell(method: str, budget: int) -> str:
        steps = most_steps(lambda count: run(method, count, free, torch.zeros(1, 1))[1], budget)
        end, spent = run(method, steps)
        return f"{distance(end, truth):.2e} at {spent}"

    return [
        [f"torchdiffeq {method}", "even", ", ".join(cell(method, budget) for budget in budgets)]
        for method in PEERS
    ]


def speed(net: LightningDiT, payload: DitPayload, options: argparse.Namespace, device: torch.device) -> str:
    """Times in turn: the recipe in fp32, the default sampler, if asked for compiled; and decoding."""
    config = settings_of(guidance_scale=options.guidance_scale)
    precision = resolve_precision(options.precision, device)
    noise, labels = inputs(net, payload, options.batch, device)
    noise, scale = noise.float(), payload.statistics.to(device)
    ways: dict[str, Callable[[], Tensor]] = {
        "recipe": lambda: scale.denormalise(recipe(net, noise, labels, config.guidance_scale))
    }
    models = {"default": (net, payload)}
    if options.few_steps:
        models["few steps"] = load_trained(options.few_steps)
    for (name, model), compile_ in itertools.product(models.items(), (False, True)[: 1 + options.compile]):
        draw = LatentSampler(*model, replace(config, compile=compile_), device, precision)
        draw(noise, labels)  # counts its evaluations
        name = f"{name}, {draw.network_evaluations} evaluations{', compiled' * compile_}"
        ways[name] = lambda draw=draw: draw(noise, labels)
    fast = VAVAE.from_file(options.tokenizer, device=device, precision=tokenizer_precision(precision))
    decoder = {**dict.fromkeys(ways, fast), "recipe": VAVAE.from_file(options.tokenizer, device=device)}
    latents: dict[str, Tensor] = {}

    def draw_by(name: str) -> None:
        latents[name] = ways[name]()

    with torch.inference_mode():
        alone = in_turn({name: partial(draw_by, name) for name in ways}, options.repeats, "drawing")
        decodes = {name: partial(decoder[name].decode, latents[name]) for name in ways}
        decoding = in_turn(decodes, options.repeats, "decoding")
    whole = {name: alone[name] + decoding[name] for name in ways}
    rows = []
    for name in ways:
        seconds = [f"{times[name] / options.batch:.3f}" for times in (alone, whole)]
        ratios = [f"{times['recipe'] / times[name]:.1f}" for times in (alone, whole)]
        rows.append([name, *seconds, *ratios])
    header = ("sampler", "s/image", "s/image with decode", "times as fast", "with decode")
    return (
        f"{options.batch} images at once, guidance {config.guidance_scale:g}, {options.repeats} rounds in "
        f"turn, medians; default in {precision}:\n\n{table(header, rows)}"
    )


def settings_of(**changes) -> SampleConfig:
    """Stage 3's defaults with the recipe's guidance interval."""
    return SampleConfig("-", "-", guidance_interval=list(INTERVAL), **changes)


def distance(x: Tensor, truth: Tensor) -> float:
    return float((x - truth).norm() / truth.norm())


if __name__ == "__main__":
    run_script(main)
