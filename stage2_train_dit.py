"""Stage 2: fit a user-conditioned LightningDiT to the latents of stage 1. The same command again resumes.

python stage2_train_dit.py --latent_dir latent_features --output_dir trained_models --max_epochs 100
"""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback

from configs.command_line import is_main_process, parse, preset_of, run_script, say
from configs.dry_run import tell_plan
from configs.errors import UserError
from configs.keys import identity, recorded
from configs.load import to_yaml
from configs.schema import TrainConfig, TransportConfig
from data.atomic import write_text
from data.latents import LatentSet, read_metadata
from evaluation.copy_watch import CopyWatch
from runtime.compiling import has_compiler
from runtime.devices import resolve_device, resolve_devices, tokenizer_precision
from sampling.model_file import DitPayload
from tokenizer.vavae import VAVAE
from training.batches import LatentDataModule, run_length
from training.budget import count_parameters, require_checkpoint_space, training_memory
from training.callbacks import Previews, Throughput, training_flops
from training.dit_module import DiTModule, initial_network
from training.fine_tuning import Initial
from training.fit import claim_run, fit, steps_done, training_precision
from training.run_files import RunFiles
from training.start import (
    as_built,
    axes_of,
    chosen_statistics,
    load_start,
    model_arguments,
    preset_for,
    read_people,
    read_statistics,
    starting_network,
    with_all_people,
)
from training.trial_steps import Trial, training_arithmetic
from transport import Transport, create_transport
from weight_files.hub import with_local_files

SMALL_DATA = Path(__file__).resolve().parent / "configs" / "microdoppler_s.yaml"
VALIDATIONS_IN_A_RUN = 50
MOST_BLOCKS = 6  # of the network on which arithmetic is tried
# Operations that take one core of a CPU ten minutes in fp32. Compiling costs it about one, and shortens steps
# by a tenth in fp32, by a quarter in bf16 (benchmarks/results).
LONG = 6e13
# Of the validation loss. Less tells no models apart, while gaits still grow more regular with the passes.
INDISTINCT = 0.005


def run(configs: dict[str, Any], preset: str | None = None) -> None:
    """Train; `configs` holds the sections train, model and transport, `preset` is the file they came from.

    Raises UserError or FileNotFoundError in one line for bad input, and when the loss is no longer finite.
    """
    config: TrainConfig = with_local_files(configs["train"])
    configs = {**configs, "train": config}
    folder = Path(config.output_dir)

    # People, latents, and the network to start from
    train, val, conditions = read_people(config)
    initial = load_start(config, configs["transport"], train)
    train, val = with_all_people(config, initial, train, val)
    arguments = model_arguments(configs["model"], train, initial, conditions)
    if initial:
        configs = {**configs, "model": as_built(configs["model"], arguments)}

    # Length and arithmetic
    accelerator, count = resolve_devices(config.accelerator, config.devices)
    count *= config.num_nodes
    lengths = config.max_epochs, config.max_steps
    total_steps, steps_per_pass = run_length(
        len(train.labels), config.batch_size, count, config.accumulate, *lengths
    )
    precision = training_precision(config)
    describe(configs, arguments, train, val, total_steps, f"{count} x {accelerator}", precision)

    # What identifies the run, and what its files carry
    settings = deciding_settings(configs, arguments, train, initial)
    payload = make_payload(configs, arguments, train, initial)
    vae = load_preview_tokenizer(config, payload)
    # In every process: where only one refuses, the others would wait for it.
    if steps_done(folder) < total_steps:
        require_checkpoint_space(folder, arguments, config.tune)

    # Training
    with claim_run(folder, settings, config) as done:
        if config.dry_run:
            return tell(config, done, total_steps)
        if done >= total_steps:
            say(f"{folder} already holds {done} of {total_steps} steps with these settings; skipped")
            return say_next(folder, preset)
        transport = create_transport(**asdict(configs["transport"]))
        data = LatentDataModule(train, config.batch_size, total_steps * config.accumulate, config.seed)
        precision = arithmetic(config, arguments, transport, payload, data, total_steps - done)
        config = replace(config, precision=precision, compile=compiles(config, arguments, total_steps))
        net = starting_network(initial, arguments, config, train)
        initial = None  # its memory is wanted for the training
        watch = CopyWatch(train, val, config.watch_copies, precision) if val and config.watch_copies else None
        module = DiTModule(net, transport, config, payload, total_steps, val, watch)
        files = files_of(configs, total_steps, steps_per_pass)
        callbacks = callbacks_of(config, arguments, files.every, vae)
        if is_main_process():
            write_text(folder / "config.yaml", to_yaml(configs))
        if done:
            say(f"going on from step {done}")
        fit(module, data, files, config, callbacks)
        if not files.stopped_early:
            say_next(folder, preset)


def files_of(configs: dict[str, Any], total_steps: int, steps_per_pass: int) -> RunFiles:
    """What validates, logs and saves the run, `validate_every` steps or 50 times in all."""
    config: TrainConfig = configs["train"]
    return RunFiles(
        Path(config.output_dir),
        "checkpoints/best.safetensors",
        config.validate_every or max(1, round(total_steps / VALIDATIONS_IN_A_RUN)),
        total_steps,
        steps_per_pass,
        "val_loss",
        indistinct=INDISTINCT,
        reference=comparable(configs["transport"]),
    )


def callbacks_of(
    config: TrainConfig, arguments: dict[str, Any], every: int, vae: VAVAE | None
) -> list[Callback]:
    """Throughput at every validation, and previews where a tokenizer draws them; `config.precision` is the
    run's.
    """
    callbacks: list[Callback] = [Throughput(training_flops(arguments), every, config.precision)]
    if vae:
        shown = every * config.preview_every, config.preview_users
        vae = vae.at(tokenizer_precision(config.precision))
        callbacks.append(Previews(vae, Path(config.output_dir) / "previews", *shown, config.precision))
    return callbacks


def tell(config: TrainConfig, done: int, total: int) -> None:
    """What a dry run says after the model has been described."""
    tell_plan(
        {},
        reads=[f"{config.latent_dir}: latents and statistics"],
        writes=[config.output_dir],
        does=f"train {max(0, total - done)} steps, {done} of {total} are done",
    )


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
        rows = torch.arange(config.batch_size) % len(data.tensors["labels"])
        return module, {**data.fetch(rows), "position": 0}

    batches = steps * config.accumulate * arguments["depth"] / blocks
    return training_arithmetic(Path(config.output_dir), config, batches, trial)


def compiles(config: TrainConfig, arguments: dict[str, Any], total_steps: int) -> bool:
    """Whether the run of `total_steps` compiles the network's blocks: as asked, else on a CPU where it is
    long. That hangs on nothing measured, so that a run gone on with goes on alike.
    """
    on_cpu = resolve_devices(config.accelerator, config.devices)[0] == "cpu"
    operations = training_flops(arguments, config.batch_size) * config.accumulate * total_steps
    if config.compile is not None or not on_cpu or operations < LONG:
        return bool(config.compile)
    if not has_compiler():
        say("compile: no C++ compiler (g++) here, which would shorten steps by a tenth to a quarter")
    return has_compiler()


def describe(
    configs: dict[str, Any],
    arguments: dict[str, Any],
    train: LatentSet,
    val: LatentSet | None,
    total_steps: int,
    hardware: str,
    precision: str,
) -> None:
    """Print the resolved configuration, the model's size and what the run will be."""
    config = configs["train"]
    parameters, tuned = count_parameters(arguments, config.tune)
    needed = training_memory(arguments, config.batch_size, precision, config.ema_on_host, config.tune)
    activations = needed.pop("activations")
    shown = "precision auto" if config.precision == "auto" else precision
    say(to_yaml(configs).rstrip())
    say(
        f"LightningDiT depth {arguments['depth']}, hidden {arguments['hidden_size']}, heads "
        f"{arguments['num_heads']}, "
        f"patch {arguments['patch_size']}: {parameters / 1e6:.1f} M parameters, "
        + (f"{tuned / 1e6:.2f} M of them tuned, " if tuned < parameters else "")
        + f"{sum(needed.values()) / 2**30:.2f} GiB for {', '.join(name for name in needed if needed[name])}, "
        f"{activations / 2**30:.2f} GiB for activations"
    )
    say(
        f"{len(train.labels)} training and {len(val.labels) if val else 0} validation latents of "
        f"{len(train.label_table)} people; {total_steps} steps of {config.batch_size} x "
        f"accumulation {config.accumulate} on {hardware}, {shown}"
    )


def deciding_settings(
    configs: dict[str, Any], arguments: dict[str, Any], train: LatentSet, initial: Initial | None
) -> dict[str, dict[str, Any]]:
    """What a folder's run is known by, section by section."""
    built = as_built(configs["model"], arguments)
    return {
        "train": identity(configs["train"], **contents(configs["train"], train, initial)),
        # A preset is known by what it stands for.
        "model": {**arguments, **identity(built), "use_checkpoint": None, "preset": None},
        "transport": identity(configs["transport"]),
    }


def contents(config: TrainConfig, train: LatentSet, initial: Initial | None) -> dict[str, Any]:
    """What the latents and the weights to start from are known by."""
    names = ("inputs_digest", "tokenizer_digest", "preprocessing")
    known = {name: train.metadata.get(name) for name in names}
    latents = {"statistics": chosen_statistics(config, initial), "count": len(train.labels), **known}
    return {"latent_dir": latents, "init_from": initial.digest if initial else None}


def make_payload(
    configs: dict[str, Any], arguments: dict[str, Any], train: LatentSet, initial: Initial | None
) -> DitPayload:
    """What travels in the checkpoint beside the weights."""
    settings = recorded(configs["train"], **contents(configs["train"], train, initial))
    return DitPayload(
        {**arguments, "use_checkpoint": False},
        asdict(configs["transport"]),
        train.label_table,
        read_statistics(configs["train"], train.latents.shape[1], initial),
        train.metadata.get("tokenizer_digest"),
        train.metadata.get("preprocessing") or {},
        settings,
        axes_of(train, configs["train"].latent_dir),
    )


def load_preview_tokenizer(config: TrainConfig, payload: DitPayload) -> VAVAE | None:
    """The tokenizer for previews on the main process; it must be the one that made the latents."""
    if not config.vavae_path or not is_main_process():
        return None
    device = resolve_device(resolve_devices(config.accelerator, config.devices)[0])
    vae = VAVAE.from_file(config.vavae_path, device=device)
    if payload.tokenizer_digest not in (None, vae.digest):
        raise UserError(
            f"--vavae_path {config.vavae_path}: not the tokenizer of these latents (digest "
            f"{vae.digest[:12]}, "
            f"expected {payload.tokenizer_digest[:12]}); give the one that stage 1 used"
        )
    return vae


def say_next(folder: Path, preset: str | None) -> None:
    further = f" --config {preset}" if preset else ""  # its settings of drawing
    say(
        f"wrote {folder / 'checkpoints'}; next: python stage3_inference.py --dit_checkpoint "
        f"{folder / 'checkpoints' / 'best.ckpt'} --vavae_path <tokenizer> --user_ids all{further}"
    )


def settings(argv: list[str]) -> dict[str, Any]:
    """The sections train, model and transport of a command line; for few latents, where it names neither a
    preset nor a model nor weights to start from, over those of `SMALL_DATA`.
    """
    read = partial(
        parse, "train", ("train", "model", "transport"), prog="stage2_train_dit.py", description=__doc__
    )
    configs = read(argv)
    if preset_of(argv) or configs["train"].init_from or configs["model"].preset != "auto":
        return configs
    count = (read_metadata(Path(configs["train"].latent_dir), "train") or {}).get("num_samples")
    if not isinstance(count, int) or preset_for(count) != "LightningDiT-S/2":
        return configs  # without a count the latents are refused later, by name
    say(f"preset: {SMALL_DATA.parent.name}/{SMALL_DATA.name}")
    return read(["--config", str(SMALL_DATA), *argv])


def main(argv: list[str]) -> None:
    run(settings(argv), preset_of(argv))


if __name__ == "__main__":
    run_script(main)
