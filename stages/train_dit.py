"""What stage 2 does: read and describe, then train what the folder's run lacks."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from configs.command_line import is_main_process, say
from configs.dry_run import tell_plan
from configs.errors import UserError
from configs.keys import changed, identity, idle_notes, recorded
from configs.load import to_yaml
from configs.schema import ModelConfig, TrainConfig
from data.atomic import write_text
from data.conditions import count_people
from data.latents import LatentSet
from runtime.devices import resolve_device, resolve_devices
from sampling.model_file import DitPayload
from tokenizer.vavae import VAVAE
from training.budget import count_parameters, require_checkpoint_space, training_memory
from training.claim import claim_run, run_length, steps_done, training_precision
from training.fine_tuning import Initial
from training.start import (
    axes_of,
    chosen_statistics,
    load_start,
    model_arguments,
    read_people,
    read_statistics,
    starting_network,
    with_all_people,
)
from transport import create_transport
from weight_files.hub import with_local_files


def run(configs: dict[str, Any], preset: str | None = None) -> None:
    """Train; `configs` holds the sections train, model and transport, `preset` is the file they came from.

    Raises UserError or FileNotFoundError in one line for bad input, and when the loss is no longer finite.
    """
    # People, latents, and the network to start from
    configs, train, val, initial, arguments = read_inputs(configs)
    config: TrainConfig = configs["train"]
    folder = Path(config.output_dir)

    # Length and arithmetic
    total_steps, steps_per_pass = run_length(config, len(train.labels))
    describe(configs, arguments, train, val, total_steps)

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
        # Only where something is fitted: Lightning takes longer to load than all above.
        from evaluation.copy_watch import CopyWatch
        from training.batches import LatentDataModule
        from training.dit_run import arithmetic, callbacks_of, compiles, files_of, module_of
        from training.fit import fit

        transport = create_transport(**asdict(configs["transport"]))
        data = LatentDataModule(train, config.batch_size, total_steps * config.accumulate, config.seed)
        precision = arithmetic(config, arguments, transport, payload, data, total_steps - done)
        config = replace(config, precision=precision, compile=compiles(config, arguments, total_steps))
        watch = CopyWatch(train, val, config.watch_copies, precision) if val and config.watch_copies else None
        start = partial(
            starting_network,
            initial,
            config=config,
            train=train,
            statistics=payload.statistics,
            resumed=done > 0,
        )
        module = module_of(start, arguments, train, transport, config, payload, total_steps, val, watch)
        del initial, start  # their memory is wanted for the training
        files = files_of(configs, total_steps, steps_per_pass)
        callbacks = callbacks_of(config, arguments, files.every, vae)
        if is_main_process():
            write_text(folder / "config.yaml", to_yaml(configs))
        if done:
            say(f"going on from step {done}")
        fit(module, data, files, config, callbacks)
        if not files.stopped_early:
            say_next(folder, preset)


def read_inputs(
    configs: dict[str, Any],
) -> tuple[dict[str, Any], LatentSet, LatentSet | None, Initial | None, dict[str, Any]]:
    """The sections with their files here, the training and validation latents, the weights to start from, the
    network's arguments.
    """
    config: TrainConfig = with_local_files(configs["train"])
    configs = {**configs, "train": config}
    train, val, conditions = read_people(config)
    initial = load_start(config, configs["transport"], train, configs["model"].references)
    train, val = with_all_people(config, initial, train, val)
    arguments = model_arguments(configs["model"], train, initial, conditions)
    if initial and config.distil_guidance is not None:  # its teacher tells people from nobody, or does not
        arguments |= {"flow_map": True, "class_dropout_prob": initial.net.config["class_dropout_prob"]}
    if initial:
        configs = {**configs, "model": as_built(configs["model"], arguments)}
    return configs, train, val, initial, arguments


def tell(config: TrainConfig, done: int, total: int) -> None:
    """What a dry run says after the model has been described."""
    tell_plan(
        {},
        reads=[f"{config.latent_dir}: latents and statistics"],
        writes=[config.output_dir],
        does=f"train {max(0, total - done)} steps, {done} of {total} are done",
    )


def describe(
    configs: dict[str, Any],
    arguments: dict[str, Any],
    train: LatentSet,
    val: LatentSet | None,
    total_steps: int,
) -> None:
    """Print the resolved configuration, the model's size, what the run will be and what it does not read."""
    config = configs["train"]
    accelerator, count = resolve_devices(config.accelerator, config.devices)
    precision = training_precision(config)
    parameters, tuned = count_parameters(arguments, config.tune)
    needed = training_memory(arguments, config.batch_size, precision, config.ema_on_host, config.tune)
    activations = needed.pop("activations")
    people = count_people(len(train.label_table), arguments["combinations"])
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
        f"{people}; {total_steps} steps of {config.batch_size} x "
        f"accumulation {config.accumulate} on {count * config.num_nodes} x {accelerator}, {shown}"
    )
    for note in unread(configs):
        say(note)


def unread(configs: dict[str, Any]) -> list[str]:
    """A note on each kind of keys that were asked for and do nothing in this training."""
    config: TrainConfig = configs["train"]

    def asked(section: str, *names: str) -> list[str]:
        return [f"{section}.{name}" for name in names if name in configs[section].given]

    idle = {}
    if config.distil_guidance is not None:
        times = asked("transport", "use_cosine_loss", "use_lognorm", "lognorm_loc")
        idle["distilling has a loss and times of its own"] = times
        idle["the guidance is distilled, too"] = asked("model", "class_dropout_prob")
    if config.distil_guidance is not None or config.tune == "person":
        idle["those of the model of --init_from stay"] = asked("train", "statistics")
    return idle_notes(idle)


def as_built(model: ModelConfig, arguments: dict[str, Any]) -> ModelConfig:
    """The section with the values that were used, so that the printed configuration tells no tale."""
    known = {item.name for item in fields(model)}
    return changed(model, **{name: value for name, value in arguments.items() if name in known})


def deciding_settings(
    configs: dict[str, Any], arguments: dict[str, Any], train: LatentSet, initial: Initial | None
) -> dict[str, dict[str, Any]]:
    """What a folder's run is known by, section by section."""
    built = as_built(configs["model"], arguments)
    return {
        "train": identity(configs["train"], **contents(configs["train"], train, initial)),
        # A preset is known by what it stands for.
        "model": {**arguments, **identity(built), "use_checkpoint": None, "preset": None, "flow_map": None},
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
