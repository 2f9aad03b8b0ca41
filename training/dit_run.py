"""The parts of a run of stage 2: its arithmetic, whether it compiles, its files and callbacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback

from configs.schema import TrainConfig, TransportConfig
from data.latents import LatentSet
from models.flops import evaluation_flops, training_flops
from models.lightningdit import LightningDiT
from runtime.compiling import worth_compiling
from runtime.devices import resolve_devices, tokenizer_precision
from sampling.model_file import DitPayload
from tokenizer.vavae import VAVAE
from training.batches import LatentDataModule
from training.callbacks import Previews, Throughput
from training.distillation import DistillationModule
from training.dit_module import DiTModule
from training.references import ReferenceModule
from training.run_files import RunFiles, validation_interval
from training.start import initial_network
from training.trial_steps import Trial, training_arithmetic
from transport import Transport

VALIDATIONS_IN_A_RUN = 50
MOST_BLOCKS = 6  # of the network on which arithmetic is tried
# Of the validation loss. Less tells no models apart, while gaits still grow more regular with the passes.
INDISTINCT = 0.005


def files_of(configs: dict[str, Any], total_steps: int, steps_per_pass: int) -> RunFiles:
    """What validates, logs and saves the run, `validate_every` steps or 50 times in all."""
    config: TrainConfig = configs["train"]
    return RunFiles(
        Path(config.output_dir),
        "checkpoints/best.safetensors",
        validation_interval(config, total_steps, VALIDATIONS_IN_A_RUN),
        total_steps,
        steps_per_pass,
        "val_loss",
        indistinct=INDISTINCT,
        reference=comparable(configs["transport"]) and config.distil_guidance is None,
    )


def module_of(
    start: Callable[[dict[str, Any]], LightningDiT], arguments: dict[str, Any], train: LatentSet, *parts: Any
) -> DiTModule:
    """What is fitted: the network that `start` makes of its constructor arguments, taught by the data or,
    with a flow map, by a teacher that starts likewise; `parts` as of `DiTModule` after the network.
    """
    net = start(arguments)
    if arguments["references"]:
        return ReferenceModule(net, *parts, train=train)
    if not arguments["flow_map"]:
        return DiTModule(net, *parts)
    return DistillationModule(start({**arguments, "flow_map": False}), net, *parts)


def callbacks_of(
    config: TrainConfig, arguments: dict[str, Any], every: int, vae: VAVAE | None
) -> list[Callback]:
    """Throughput at every validation, and previews where a tokenizer draws them; `config.precision` is the
    run's.
    """
    callbacks: list[Callback] = [Throughput(flops_of_a_sample(config, arguments), every, config.precision)]
    if vae:
        shown = every * config.preview_every, config.preview_users
        vae = vae.at(tokenizer_precision(config.precision))
        callbacks.append(Previews(vae, Path(config.output_dir) / "previews", *shown, config.precision))
    return callbacks


def flops_of_a_sample(config: TrainConfig, arguments: dict[str, Any]) -> int:
    """Operations of a sample's training; distilled, it goes twice through the network and through the teacher
    once, guided twice."""
    if config.distil_guidance is None:
        return training_flops(arguments)
    return 2 * training_flops(arguments) + (1 + (config.distil_guidance != 1)) * evaluation_flops(arguments)


def comparable(transport: TransportConfig) -> bool:
    """Whether the validation loss is the function that the shipped model's was. The training times do not
    matter: validation has its own."""
    return transport.use_cosine_loss and (transport.path_type, transport.prediction) == ("Linear", "velocity")


def arithmetic(
    config: TrainConfig,
    arguments: dict[str, Any],
    transport: Transport,
    payload: DitPayload,
    data: LatentDataModule,
    steps: int,
) -> str:
    """The precision of the `steps` that are left, for `auto` as tried on the network with its first
    `MOST_BLOCKS` blocks: all blocks are alike, and a few show which arithmetic is faster.
    """
    blocks = min(arguments["depth"], MOST_BLOCKS)

    def trial() -> Trial:
        net = initial_network({**arguments, "depth": blocks}, config.seed)
        module = DiTModule(net, transport, replace(config, compile=False), payload, steps, None)
        return module, data.trial_batch()

    batches = steps * config.accumulate * arguments["depth"] / blocks
    return training_arithmetic(Path(config.output_dir), config, batches, trial)


def compiles(config: TrainConfig, arguments: dict[str, Any], total_steps: int) -> bool:
    """Whether the run of `total_steps` compiles the network's blocks (`runtime.compiling`)."""
    device, _ = resolve_devices(config.accelerator, config.devices)

    def operations() -> int:
        return flops_of_a_sample(config, arguments) * config.batch_size * config.accumulate * total_steps

    return worth_compiling(config.compile, "train", operations, device)
