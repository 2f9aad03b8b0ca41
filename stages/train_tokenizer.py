"""What train_tokenizer.py does: a tokenizer trained or fine-tuned on a folder of images."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from configs.command_line import is_main_process, say
from configs.dry_run import tell_plan
from configs.errors import UserError
from configs.keys import identity
from configs.load import to_yaml
from configs.schema import TokenizerConfig
from data.atomic import write_text
from data.folders import Rules
from data.images import ImageRecord, Splits, file_digest, find_splits, inputs_digest, open_rgb
from data.progress import progress
from data.split_check import check_split
from runtime.seeds import generator
from stages.reconstructions import SHOWN_IMAGES, show_reconstructions
from tokenizer.alignment import FoundationTeacher, load_teacher
from tokenizer.autoencoder import AutoencoderKL
from tokenizer.vavae import VAVAE, load_tokenizer, preprocess
from tokenizer.weights import resolve_path
from training.claim import claim_run, run_length, training_precision
from weight_files.hub import with_local_files

LATENT_SIDE = 16
RESOLUTION = 256
CROP_UNIT = 32  # pixels; so that crops have whole latent positions


def run(config: TokenizerConfig) -> None:
    """Train or fine-tune; writes tokenizer.safetensors (averaged weights of the best validation PSNR, half
    precision).

    Raises UserError or FileNotFoundError in one line for bad input, and when the loss is no longer finite.
    """
    config = with_local_files(config)
    folder, data = Path(config.output_dir), Path(config.data_dir)
    if config.crop and config.crop % CROP_UNIT:
        raise UserError(f"tokenizer.crop={config.crop}: expected a multiple of {CROP_UNIT} pixels")

    # Images, and the network to start from
    splits = find_splits(data, Rules(leave_out=config.leave_out))
    check_split(splits, config.data_dir, config.margins)
    train, val = (splits.records.get(split, []) for split in ("train", "val"))
    start = config.init_from
    net = fresh_tokenizer(config) if start is None else tokenizer_of(start, config)

    # Length and arithmetic
    total_steps, steps_per_pass = run_length(config, len(train))
    training_precision(config)  # refuses what the device lacks
    describe(config, net, splits, total_steps)

    # Training
    teacher = teacher_of(config)
    settings = {"tokenizer": identity(config, **contents(config, train, val))}
    # In every process: where only one refuses, the others would wait for it.
    with claim_run(folder, settings, config) as done:
        if config.dry_run:
            return tell_plan(
                {},
                reads=[f"{data}: {len(train)} training, {len(val)} validation images"],
                writes=[folder],
                does=f"train {max(0, total_steps - done)} steps",
            )
        if done >= total_steps:
            say(f"{folder} already holds {done} of {total_steps} steps with these settings; skipped")
            return finish(folder, val or train, config)
        # Only where something is fitted: Lightning takes longer to load than all above.
        from training.batches import TensorDataModule
        from training.fit import fit
        from training.tokenizer_module import TokenizerModule
        from training.tokenizer_run import arithmetic, files_of

        held_out = load_images(val, config.geometry, "validation")
        module = TokenizerModule(net, config, total_steps, held_out, teacher)
        files = files_of(config, total_steps, steps_per_pass)
        images, num_batches = load_images(train, config.geometry, "training"), total_steps * config.accumulate
        batches = TensorDataModule({"images": images}, config.batch_size, num_batches, config.seed)
        precision = arithmetic(config, net, teacher, batches, total_steps - done)
        if is_main_process():
            write_text(folder / "config.yaml", to_yaml({"tokenizer": config}))
        fit(module, batches, files, replace(config, precision=precision))
        if not files.stopped_early:
            finish(folder, val or train, config)


def describe(config: TokenizerConfig, net: AutoencoderKL, splits: Splits, total_steps: int) -> None:
    """Say what will be trained on what, for how long."""
    train, val = (splits.records.get(split, []) for split in ("train", "val"))
    parameters = sum(p.numel() for p in net.parameters())
    say(to_yaml({"tokenizer": config}).rstrip())
    say(
        f"tokenizer of {parameters / 1e6:.1f} M parameters; {len(train)} training and {len(val)} "
        f"validation images; {total_steps} steps"
    )
    say(splits.account())
    if not val:
        say(f"warning: {config.data_dir} has no val folder; the latest weights will count as best")


def contents(
    config: TokenizerConfig, train: Sequence[ImageRecord], val: Sequence[ImageRecord]
) -> dict[str, Any]:
    """What the images and the files of weights are known by."""
    start = file_digest(resolve_path(config.init_from)) if config.init_from else None
    teacher = file_digest(config.align_weights) if config.align_weights else None
    images = {"train": inputs_digest(train), "val": inputs_digest(val)}
    return {"data_dir": images, "init_from": start, "align_weights": teacher}


def finish(folder: Path, records: Sequence[ImageRecord], config: TokenizerConfig) -> None:
    """Show reconstructions, in the main process, and say what comes next."""
    path = folder / "tokenizer.safetensors"
    if is_main_process():
        vae, picture = VAVAE.from_file(path), folder / "reconstructions.png"
        show_reconstructions(records, vae, config.geometry, picture, at_once=SHOWN_IMAGES)
    say(
        f"wrote {path}; next: python stage1_extract_features.py --data_dir {config.data_dir} "
        f"--vavae_path {path}"
    )


def tokenizer_of(start: str, config: TokenizerConfig) -> AutoencoderKL:
    """The tokenizer of weights. UserError: another shape was asked for than they have; that of fresh ones is
    in every config.yaml.
    """
    net, fresh = load_tokenizer(start).requires_grad_(True), shape_of(TokenizerConfig(data_dir=""))
    for name, value in shape_of(config).items():
        if value not in (net.config[name], fresh[name]):
            raise UserError(
                f"--init_from {start}: its {name} is {net.config[name]}, not {value}; leave --{name} out, or "
                "train a fresh tokenizer without --init_from"
            )
    return net


def shape_of(config: TokenizerConfig) -> dict[str, Any]:
    """The constructor's arguments that the settings hold."""
    return {
        "embed_dim": config.embed_dim,
        "ch": config.ch,
        "ch_mult": list(config.ch_mult),
        "num_res_blocks": config.num_res_blocks,
        "patch_size": config.patch_size,
        "shortcut": config.shortcut,
    }


def fresh_tokenizer(config: TokenizerConfig) -> AutoencoderKL:
    """A new tokenizer whose weights depend on the seed only; it must turn 256 pixels into 16 latent
    positions.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(config.seed, "weights").initial_seed())
        net = AutoencoderKL(**shape_of(config))
    if net.downsampling * LATENT_SIDE != RESOLUTION:
        raise UserError(
            f"tokenizer.patch_size={config.patch_size} with {len(config.ch_mult)} entries in ch_mult halves "
            f"{net.downsampling}-fold, expected {RESOLUTION // LATENT_SIDE}-fold: patch_size x "
            "2^(levels - 1) = 16"
        )
    return net


def teacher_of(config: TokenizerConfig) -> FoundationTeacher | None:
    """The foundation model that latents are aligned with, if one is named."""
    if config.align_model is None:
        if config.align_weights:
            raise UserError(f"--align_weights {config.align_weights}: of which model? Add --align_model")
        return None
    if config.align_weights is None:
        raise UserError(
            f"tokenizer.align_model={config.align_model}: no weights; give their file by --align_weights"
        )
    return load_teacher(config.align_model, config.align_weights)


def load_images(records: Sequence[ImageRecord], geometry: str, what: str) -> torch.Tensor:
    """All images as one uint8 tensor (N,3,256,256), 197 kB each."""
    images = torch.empty(len(records), 3, RESOLUTION, RESOLUTION, dtype=torch.uint8)
    with ThreadPoolExecutor(4) as pool:
        loaded = pool.map(lambda record: preprocess(open_rgb(record), RESOLUTION, geometry), records)
        for index, image in enumerate(
            progress(loaded, total=len(records), description=f"reading {what} images", unit="img")
        ):
            images[index] = image
    return images
