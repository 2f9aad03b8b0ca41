"""LightningDiT beside diffusers' UNet2DModel at equal processor time: what they draw of few or many images.

    python -m benchmarks.compare_unet latent_features [more ...] --real data_split --axes -1.2 5.2 2.1 30
    python -m benchmarks.compare_unet --quick    # of random latents, nothing drawn, no form

Each folder holds latents of stage 1 by the compact tokenizer, of the people of --real, perhaps of fewer
images. Both networks are trained from scratch by stage 2's step and the settings of
configs/microdoppler_xs.yaml (but for the UNet's learning rate) for --minutes of processor time each, draw
as stage 3 does, and are measured as stage 4 does beside all real images. The last averaged weights draw.
The exit status is 1 where a loss is not finite.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
from PIL import Image

from benchmarks.bench_training import XS, standing_alone, take_step, write_samples
from benchmarks.form import table
from benchmarks.peer_unet import ABSENT, initial_unet, installed
from benchmarks.turns import report
from configs.command_line import run_script, say
from configs.errors import UserError
from configs.load import load_preset, resolve
from data.axes import axes_of_images
from data.labels import LabelTable
from data.latent_stats import LatentStatistics
from data.latents import LatentSet, read_latents
from evaluation.features import ImageSet, describe, read
from evaluation.folders import find_real
from evaluation.judge import Judge
from evaluation.measure import measure, obtain_judges, units_of
from evaluation.report.tables import said
from sampling.model_file import DitPayload
from sampling.networks import Networks
from sampling.trained_model import TrainedModel, checked
from stages.train_dit import make_payload
from tokenizer.vavae import VAVAE
from training.batches import BatchStream, LatentDataModule
from training.dit_module import DiTModule
from training.ema import update_ema_
from training.start import initial_network, model_arguments
from transport import create_transport

Builder = Callable[[dict[str, Any], int], Any]  # of LightningDiT's arguments and a seed
BUILDERS: dict[str, Builder] = {"transformer": initial_network, "UNet": initial_unet}
QUICK_S = 5.0  # of processor time for each network with --quick
UNET_LR = 3e-3  # the best of three, benchmarks/results/unet_1_cpu_core_2026-11-29.md
COLUMNS = ("images", "network", "seed", "parameters", "steps")
FIGURES = ("named right", "KID", "KID, radar", "coverage", "memorised", "outside the real range")


class Real(NamedTuple):
    """What drawn images are measured beside: the people, "train" and "held_out", a judge, the axes."""

    people: LabelTable
    sets: dict[str, ImageSet]
    judge: Judge
    axes: list[float]


class Trained(NamedTuple):
    """The averaged network, what it draws by, its steps and the mean loss of the last 50."""

    net: Any
    payload: DitPayload
    steps: int
    loss: float


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, metavar="LATENTS", help="folders that stage 1 wrote")
    parser.add_argument("--real", type=Path, help="images split by stage 0")
    parser.add_argument("--axes", nargs="+", type=float, default=[], help="as of stage 4")
    parser.add_argument("--judge", type=Path, help="folder whose judge.safetensors is taken, or goes there")
    parser.add_argument("--networks", nargs="+", choices=BUILDERS, default=list(BUILDERS))
    parser.add_argument("--minutes", type=float, default=4.0, help="of processor time for each network")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each network (default 2)")
    parser.add_argument("--each", type=int, default=20, help="images drawn of each person (default 20)")
    parser.add_argument("--unet_lr", type=float, default=UNET_LR, help=f"its peak (default {UNET_LR:g})")
    parser.add_argument("--precision", choices=("32", "bf16-mixed"), default="bf16-mixed")
    parser.add_argument("--quick", action="store_true", help="within a minute, of random latents")
    options = parser.parse_args([token for token in argv if token != "--debug"])
    if not options.quick and not (options.folders and options.real):
        parser.error("expected folders of latents and --real, or --quick")
    if not installed():
        options.networks = [name for name in options.networks if name != "UNet"]
    if not options.networks:
        raise UserError(ABSENT)
    body, faults = quick(options) if options.quick else compare(options)
    body += "" if installed() else f"\n\n{ABSENT}"
    command = shlex.join(["python", "-m", "benchmarks.compare_unet", *argv])
    sys.exit(report("unet", "UNet or transformer", command, body, faults, write=not options.quick))


def quick(options: argparse.Namespace) -> tuple[str, list[str]]:
    """Seconds a step of each network on random latents, and what is wrong."""
    rows, faults = [], []
    with tempfile.TemporaryDirectory() as scratch:
        write_samples(Path(scratch))
        statistics = LatentStatistics(torch.zeros(1, 32, 1, 1), torch.ones(1, 32, 1, 1))
        statistics.save(Path(scratch) / "latents_stats.pt")
        latents = read_latents(Path(scratch), "train")
        for name in options.networks:
            trained = train(name, latents, settings(options, name, scratch, 0), QUICK_S / 60)
            faults += not_finite(name, trained)
            step = f"{1000 * QUICK_S / trained.steps:.0f} ms"
            rows.append((name, millions(trained.net), step, f"{trained.loss:.3f}"))
    return table(("network", "parameters", "a step", "loss"), rows), faults


def compare(options: argparse.Namespace) -> tuple[str, list[str]]:
    """The table of every folder, network and seed, and what is wrong; rows are said as they come."""
    real, vae = read_real(options), VAVAE.from_file("compact")
    rows: list[tuple[str, ...]] = []
    faults: list[str] = []
    figures: dict[str, Any] = {}
    data = {folder: read_latents(folder, "train") for folder in options.folders}
    for folder, latents in data.items():
        if latents.label_table != real.people:
            raise UserError(f"{folder}: people {latents.label_table.names}; expected {real.people.names}")
    for seed, folder, name in product(range(options.seeds), data, options.networks):
        trained = train(name, data[folder], settings(options, name, folder, seed), options.minutes)
        faults += not_finite(name, trained)
        figures = measured(draw(trained, vae, options.each, options.precision), real)
        run = (str(len(data[folder].labels)), name, str(seed), millions(trained.net), str(trained.steps))
        rows.append((*run, *cells(figures, "generated")))
        say(" | ".join((*rows[-1], f"loss {trained.loss:.3f}")))
    rows.append(("held-out real", *[""] * (len(COLUMNS) - 1), *cells(figures, "floor")))
    return table((*COLUMNS, *FIGURES), rows), faults


def settings(options: argparse.Namespace, name: str, folder: str | Path, seed: int) -> dict[str, Any]:
    """Stage 2's sections by the preset; the UNet has its own learning rate."""
    asked = {"latent_dir": str(folder), "seed": seed, "precision": options.precision}
    asked |= {"lr": options.unet_lr} if name == "UNet" else {}
    return resolve(("train", "model", "transport"), load_preset(XS), {"train": asked})


def train(name: str, latents: LatentSet, configs: dict[str, Any], minutes: float) -> Trained:
    """A network after `minutes` of processor time; its learning rate falls with the share that is over."""
    config, budget = configs["train"], 60 * minutes
    arguments = model_arguments(configs["model"], latents)
    payload = make_payload(configs, arguments, latents, None)
    transport, net = create_transport(**asdict(configs["transport"])), BUILDERS[name](arguments, config.seed)
    module = standing_alone(DiTModule(net, transport, config, payload, 10**6, None), config.precision)
    parts = module.configure_optimizers()
    optimizer, schedule = parts["optimizer"], parts["lr_scheduler"]["scheduler"]
    data = LatentDataModule(latents, config.batch_size, 10**6, config.seed)
    losses: list[float] = []
    started = time.process_time()
    for batch in BatchStream(data.fetch, data.num_samples, config.batch_size, 10**6, config.seed):
        losses.append(float(take_step(module, batch, optimizer, config.precision)))
        update_ema_(module.ema, module.net, len(losses), config.ema_decay)
        spent = time.process_time() - started
        module.total_steps = max(len(losses) + 1, round(len(losses) * budget / spent))
        schedule.step()
        if spent >= budget:
            break
    return Trained(module.ema, payload, len(losses), float(numpy.mean(losses[-50:])))


def draw(trained: Trained, vae: VAVAE, each: int, precision: str) -> numpy.ndarray:
    """Images (people * each, H, W, 3) uint8 as stage 3 draws them by the preset."""
    networks = Networks(trained.net, trained.payload, vae, precision)
    guidance = load_preset(XS)["sample"]["guidance_scale"]
    files = checked({"dit_checkpoint": "-", "vavae_path": "compact"})
    return TrainedModel(files, networks).draw("all", n=each, guidance=guidance)


def read_real(options: argparse.Namespace) -> Real:
    """Real images, and a judge that learnt from their training part."""
    splits = find_real(options.real)
    axes = axes_of_images(options.real, splits.paths(), options.axes)
    scales = axes.scales() if axes else []
    parts = {part: read(records, splits.labels, scales, "jet") for part, records in splits.records.items()}
    held_out = parts["test" if "test" in parts else "val"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.judge or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        judge = obtain_judges(folder, parts["train"], parts.get("val"), splits.labels, 0)[0]
    return Real(splits.labels, {"train": parts["train"], "held_out": held_out}, judge, scales)


def measured(images: numpy.ndarray, real: Real) -> dict[str, Any]:
    """Stage 4's sections of images (people * each, H, W, 3), equally many of each person in turn."""
    labels = numpy.arange(len(real.people)).repeat(len(images) // len(real.people))
    drawn = describe(map(Image.fromarray, images), labels, real.axes, "jet")
    return measure({**real.sets, "generated": drawn}, [real.judge], real.people, units_of(bool(real.axes)))


def cells(metrics: dict[str, Any], kind: str) -> list[str]:
    """FIGURES with their intervals: "generated", or real ones ("floor": distances of training images)."""
    shares = metrics["generated" if kind == "generated" else "real"]
    near, radar = metrics["distances"]["judge"], metrics["distances"]["radar"]
    figures = (shares["judged_right"], near["kid"][kind], radar["kid"][kind], near["coverage"][kind])
    return [" ".join(said(figure)) for figure in (*figures, shares["memorised"], shares["impossible"])]


def millions(net: torch.nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in net.parameters()) / 1e6:.1f} M"


def not_finite(name: str, trained: Trained) -> list[str]:
    return [] if math.isfinite(trained.loss) else [f"{name}: the loss is {trained.loss}"]


if __name__ == "__main__":
    run_script(main)
