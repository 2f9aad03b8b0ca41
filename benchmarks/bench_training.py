"""A training step of ours against the published loop: fp32 eager, one file opening for each sample, an
average updated parameter by parameter, the loss read after every step.

    python -m benchmarks.bench_training [--runs XS:16 S/2:64 B/1:32] [--steps 5] [--compile] [--quick]

Each run is a model and a batch size; XS is configs/microdoppler_xs.yaml. "ours, 32" is stage 2's eager step
in fp32: what other arithmetic and compiled blocks gain is told against it. These loops see the same samples,
noise and times, so their losses must agree; the exit status is 1 where they do not. Beside them, where they
are installed, torchcfm's loop around diffusers' network of the same sizes (`benchmarks.peer_training`).
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors import safe_open

from benchmarks.form import table
from benchmarks.peer_training import ABSENT, PeerLoop, installed
from benchmarks.turns import report
from configs.command_line import run_script
from configs.load import load_preset, resolve
from configs.schema import TrainConfig
from data.labels import LabelTable
from data.latent_files import LatentFiles
from data.latent_stats import LatentStatistics
from data.latents import LatentSet, read_latents
from data.progress import progress
from models.flops import training_flops
from models.lightningdit import LightningDiT_models
from runtime.devices import autocast, resolve_device, resolve_precision
from runtime.precision import DTYPES, measured_rate, now
from sampling.model_file import DitPayload
from training.batches import BatchStream, LatentDataModule
from training.dit_module import DiTModule
from training.ema import decay_at, update_ema_
from training.start import initial_network
from transport import create_transport

SAMPLES, PEOPLE = 256, 4
XS = Path(__file__).resolve().parents[1] / "configs" / "microdoppler_xs.yaml"
LARGEST_DIFFERENCE = {"32": 1e-5, "bf16-mixed": 0.03, "16-mixed": 0.03}  # of the losses, relative


class Loop:
    """A training as the benchmark drives it, step by step."""

    def __init__(self, arguments: dict[str, Any], batch_size: int, precision: str, compile: bool) -> None:
        self.device, self.precision = resolve_device("auto"), precision
        self.config = settings(batch_size, compile)
        statistics = LatentStatistics(torch.zeros(1, 32, 1, 1), torch.ones(1, 32, 1, 1))
        payload = DitPayload(
            arguments, {}, LabelTable([f"ID_{i}" for i in range(PEOPLE)]), statistics, None, {}, {}
        )
        net = initial_network(arguments, 0)
        module = DiTModule(net, create_transport(), self.config, payload, 1000, None).to(self.device)
        self.module = standing_alone(module, precision)
        self.step_number, self.loaded = 0, 0.0

    def backward(self, batch: dict[str, Any], optimizer: torch.optim.Optimizer) -> torch.Tensor:
        self.step_number += 1
        return take_step(self.module, batch, optimizer, self.precision)


def standing_alone(module: DiTModule, precision: str) -> DiTModule:
    """The module with what it asks of Lightning's trainer, which is not there."""
    module.trainer = SimpleNamespace(global_rank=0, world_size=1, global_step=1, precision=precision)
    module.log = lambda *arguments, **keywords: None
    return module


def take_step(
    module: DiTModule, batch: dict[str, Any], optimizer: torch.optim.Optimizer, precision: str
) -> torch.Tensor:
    """One step of stage 2 without its average; the loss."""
    with autocast(module.device, precision):
        loss = module.training_step(batch, 0)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(module.net.parameters(), 1.0)
    optimizer.step()
    return loss.detach()


class Ours(Loop):
    """What stage 2 does in a step, without what Lightning adds around it."""

    def __init__(self, folder: Path, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.optimizer = self.module.configure_optimizers()["optimizer"]
        data = LatentDataModule(read_latents(folder, "train"), self.config.batch_size, 10**6, 0)
        data.move_to(self.device)
        self.stream = BatchStream(data.fetch, SAMPLES, self.config.batch_size, 10**6, 0)
        self.batches = iter(self.stream)

    def step(self) -> torch.Tensor:
        batch = next(self.batches)
        batch = {
            name: value.to(self.device) if torch.is_tensor(value) else value for name, value in batch.items()
        }
        loss = self.backward(batch, self.optimizer)
        update_ema_(self.module.ema, self.module.net, self.step_number, self.config.ema_decay)
        self.loaded = self.stream.seconds
        return loss


class Published(Loop):
    """The loop of the published recipe, written out."""

    def __init__(self, folder: Path, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.file = folder / "train.safetensors"
        config = self.config
        self.optimizer = torch.optim.AdamW(
            self.module.net.parameters(),
            lr=config.lr,
            betas=(0.9, config.beta2),
            weight_decay=config.weight_decay,
        )
        self.stream = BatchStream(self.load, SAMPLES, config.batch_size, 10**6, 0)
        self.batches = iter(self.stream)

    def load(self, indices: torch.Tensor) -> dict[str, torch.Tensor]:
        items = [self.item(int(index)) for index in indices]
        return {name: torch.stack([item[name] for item in items]) for name in items[0]}

    def item(self, index: int) -> dict[str, torch.Tensor]:
        names = {"mean": "latents", "std": "latents_std", "labels": "labels"}
        with safe_open(self.file, framework="pt") as file:
            return {name: file.get_slice(key)[index : index + 1][0] for name, key in names.items()}

    def step(self) -> torch.Tensor:
        batch = {
            name: value.to(self.device) if torch.is_tensor(value) else value
            for name, value in next(self.batches).items()
        }
        loss = self.backward(batch, self.optimizer)
        decay = decay_at(self.step_number, self.config.ema_decay)
        with torch.no_grad():
            for mine, other in zip(self.module.ema.parameters(), self.module.net.parameters()):
                mine.mul_(decay).add_(other, alpha=1 - decay)
        self.loaded = self.stream.seconds
        loss.item()
        return loss


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", nargs="+", default=["S/2:64", "B/1:32"], metavar="MODEL:BATCH")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--precision", default="auto", help="of ours; auto: by the GPU, 32 on a CPU")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--quick", action="store_true", help="within a minute: S/2 of two blocks, batch 4")
    options = parser.parse_args([token for token in argv if token != "--debug"])
    rows, faults = [], []
    for run in ["S/2:4"] if options.quick else options.runs:
        model, _, batch = run.partition(":")
        sizes = load_preset(XS)["model"] if model == "XS" else {"preset": f"LightningDiT-{model}"}
        arguments = {
            **LightningDiT_models[sizes.pop("preset")].keywords,
            **sizes,
            "num_classes": PEOPLE,
            "use_qknorm": True,
            "input_size": 16,
            "in_channels": 32,
            "class_dropout_prob": 0.1,
        }
        if options.quick:
            arguments["depth"] = 2
        rows_of_run, wrong = measure(run, arguments, int(batch), options)
        rows += rows_of_run
        faults += wrong
    columns = (
        "run",
        "loop",
        "first",
        "a step",
        "images/s",
        "times ours, 32",
        "of the matrix rate",
        "loading",
    )
    command = shlex.join(["python", "-m", "benchmarks.bench_training", *argv])
    body = table(columns, rows) + ("" if installed() else f"\n\n{ABSENT}")
    sys.exit(report("training", "A step of training", command, body, faults, write=not options.quick))


def measure(
    run: str, arguments: dict[str, Any], batch: int, options: argparse.Namespace
) -> tuple[list[tuple[str, ...]], list[str]]:
    """Rows of the table for one model, and what is wrong; the loops take their steps in turn."""
    device = resolve_device("auto")
    precision = resolve_precision(options.precision, device)
    with tempfile.TemporaryDirectory() as work:
        write_samples(Path(work))
        loops: dict[str, Loop | PeerLoop] = {
            "published, 32": Published(Path(work), arguments, batch, "32", False)
        }
        arithmetics = dict.fromkeys(("32", precision))
        for name in arithmetics:
            loops[f"ours, {name}"] = Ours(Path(work), arguments, batch, name, False)
        for name in arithmetics if options.compile else ():
            loops[f"ours, {name}, compiled"] = Ours(Path(work), arguments, batch, name, True)
        compared = tuple(loops)
        loops |= peers(read_latents(Path(work), "train"), arguments, batch, arithmetics, options.compile)
        seconds: dict[str, list[float]] = {name: [] for name in loops}
        losses: dict[str, list[float]] = {name: [] for name in loops}
        for _ in progress(range(options.steps + 1), description=run):
            for name, loop in loops.items():
                started = now(device)
                loss = loop.step()
                seconds[name].append(now(device) - started)
                losses[name].append(float(loss))
    published = losses["published, 32"]
    faults = []
    for name in compared:
        difference = max(abs(a - b) / b for a, b in zip(losses[name], published))
        if not difference <= LARGEST_DIFFERENCE[loops[name].precision]:
            faults.append(f"{run}: losses of '{name}' differ by {difference:.1e} from the published loop's")
    slow = statistics.median(seconds["ours, 32"][1:])
    rates = {name: measured_rate(device, DTYPES.get(name, torch.float32)) for name in arithmetics}
    flops = training_flops(arguments, batch)
    rows = []
    for name, loop in loops.items():
        second = statistics.median(seconds[name][1:])
        rows.append(
            (
                run,
                name,
                f"{seconds[name][0]:.1f} s",
                f"{second * 1000:.0f} ms",
                f"{batch / second:.2f}",
                f"{slow / second:.2f}",
                f"{flops / second / rates[loop.precision]:.0%}" if name in compared else "",
                f"{loop.loaded / sum(seconds[name]):.1%}",
            )
        )
    return rows, faults


def peers(
    latents: LatentSet, arguments: dict[str, Any], batch: int, arithmetics: Iterable[str], compile: bool
) -> dict[str, PeerLoop]:
    """Others' loops by name, eager and, where asked for, compiled; none where they are not installed."""
    if not installed():
        return {}
    device, loops = resolve_device("auto"), {}
    data = LatentDataModule(latents, batch, 10**6, 0)
    data.move_to(device)
    for name in arithmetics:
        for way in ("", ", compiled")[: 1 + compile]:
            loop = PeerLoop(data.fetch, SAMPLES, arguments, settings(batch), device, name, bool(way))
            loops[f"torchcfm, diffusers ({loop.millions:.1f} M), {name}{way}"] = loop
    return loops


def settings(batch_size: int, compile: bool = False) -> TrainConfig:
    """Of all loops."""
    given = {"latent_dir": "-", "batch_size": batch_size, "compile": compile, "warmup_steps": 0, "lr": 1e-3}
    return resolve(("train",), {"train": given})["train"]


def write_samples(folder: Path) -> None:
    draw = torch.Generator().manual_seed(0)
    latents = torch.randn(SAMPLES, 32, 16, 16, generator=draw)
    labels = torch.arange(SAMPLES) % PEOPLE
    table_ = LabelTable([f"ID_{i}" for i in range(PEOPLE)])
    files = LatentFiles(folder, "train", latents.shape[1:], labels, table_, ["-"] * SAMPLES, {})
    with files.written():
        files.put(0, latents, 0.1 * latents.abs())


if __name__ == "__main__":
    run_script(main)
