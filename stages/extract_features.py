"""What stage 1 does: every image encoded once by a frozen tokenizer, latents and statistics written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from configs.command_line import is_main_process, say
from configs.dry_run import tell_plan
from configs.schema import ExtractConfig
from data.axes import Axes, axes_of_images
from data.examination import Examination
from data.folders import WHITE, Rules
from data.imagenet_stats import imagenet_statistics, with_channels
from data.images import Splits, find_splits
from data.kept_values import KeptValues
from data.labels import LabelTable, listing
from data.latent_files import LatentFiles, change_entry, export_lightningdit
from data.latent_stats import LatentStatistics, write_statistics
from data.latents import KINDS, LatentSet, read_latents, read_metadata
from data.progress import progress
from data.run_record import existing_folder, lock_folder
from data.split_check import check_split
from data.tree import SPLIT_NAMES
from runtime.compiling import compiled_tokenizer
from runtime.devices import resolve_device, resolve_devices, resolve_precision, tokenizer_precision
from runtime.disk import require_space
from runtime.out_of_memory import Fitting
from runtime.precision import RECORD, choose_tokenizer
from runtime.processes import ProcessGroup, start_process_group
from stages.reconstructions import check_reconstruction
from stages.source_images import (
    Sample,
    check_filling,
    check_images,
    filled,
    image_batches,
    require_edges,
    told_changes,
)
from tokenizer.vavae import VAVAE
from tokenizer.weights import resolve_path
from weight_files.hub import with_local_files

CHECK_IMAGE = "reconstruction_check.png"
EXPORT = "lightningdit"
DERIVED = (CHECK_IMAGE, "latents_stats.pt", "stats_recommendation.txt", f"{EXPORT}/latents_stats.pt")


@dataclass(frozen=True)
class Job:
    """One split to encode: its images, their edges for those that are changed, what is written beside."""

    split: str
    samples: list[Sample]
    edges: list[float]
    labels: LabelTable
    metadata: dict[str, Any]


def run(config: ExtractConfig) -> None:
    """Extract every split of `config.data_dir`; what is already there for the same inputs is left alone.

    Raises UserError or FileNotFoundError in one line for bad input; nothing is written then.
    """
    config = with_local_files(config)
    device = resolve_device(config.device)
    resolve_devices(device.type, config.devices)
    # The main process alone looks at the inputs and refuses; further processes get the jobs from it.
    inputs = read_inputs(config, device) if is_main_process() else None
    with lock_folder(Path(config.output_path), config.dry_run, "--output_path"):
        jobs = jobs_of(inputs, config) if inputs else []
        if inputs and config.dry_run:
            return tell(inputs, jobs, config)
        if inputs:
            record_axes(inputs, jobs, config)
        if inputs and jobs:
            remove_derived(config)
            jobs = in_arithmetic(jobs, inputs.vae, config)
        group = start_process_group(device, config.devices)
        vae = inputs.vae if inputs else load_tokenizer(config, group.device)
        jobs = group.broadcast(jobs)
        vae = vae.at(jobs[0].metadata["precision"]) if jobs else vae
        vae = compiled_tokenizer(vae) if config.compile else vae
        for job in jobs:
            extract_split(job, vae, config, group)
        if inputs:
            finish(replace(inputs, vae=vae), jobs, config)


@dataclass(frozen=True)
class Inputs:
    """All images, their digest by split and their axes, and what encodes them."""

    splits: Splits
    digests: dict[str, str]
    vae: VAVAE
    imagenet: LatentStatistics | None
    axes: Axes | None


def read_inputs(config: ExtractConfig, device: torch.device) -> Inputs:
    """Read and check all inputs; nothing is written."""
    existing_folder(folder := Path(config.output_path), "--output_path")  # before all reading
    imagenet = imagenet_statistics(config.imagenet_stats, resolve_path(config.vavae_path), folder)
    # Links to nowhere count as images that cannot be read, of which all are told at once.
    splits = find_splits(config.data_dir, Rules(leave_out=config.leave_out), dead_links=True)
    splits, digests = check_images(splits, config)
    seen = check_split(splits, config.data_dir, config.margins)
    axes = axes_of(splits, seen, config)
    check_filling(splits.records["train"], config.augment_to, axes)  # before anything is written
    vae = load_tokenizer(config, device)
    imagenet = with_channels(imagenet, vae.latent_shape[0], config.imagenet_stats)
    say(f"tokenizer {Path(config.vavae_path).name} on {device}, digest {vae.digest[:12]}")
    return Inputs(splits, digests, vae, imagenet, axes)


def axes_of(splits: Splits, seen: Examination, config: ExtractConfig) -> Axes | None:
    """What axes.csv or --axes tell of all images, with the colour map that these have; None: not known."""
    axes = axes_of_images(config.data_dir, splits.paths(), config.axes)
    if axes is None:
        say("axes of the images: not known; --axes tells them, once for all stages")
        return None
    if config.geometry != "stretch" and any(width != height for width, height in seen.sizes):
        say(f"--geometry {config.geometry} moves the edges of these images: their axes are not carried on")
        return None
    say(f"axes of all images: {axes}")
    maps = [name for name in seen.colour_maps if name]
    return replace(axes, colour_map=maps[0] if len(maps) == 1 else None)


def tell(inputs: Inputs, jobs: list[Job], config: ExtractConfig) -> None:
    """What a dry run says."""
    counts = ", ".join(f"{len(entries)} of {split}" for split, entries in inputs.splits.records.items())
    encoded = sum(len(job.samples) for job in jobs)
    tell_plan(
        {"extract": config},
        reads=[f"{config.data_dir}: images, {counts}"],
        writes=[f"{config.output_path}: latents of {listing(job.split for job in jobs) or 'none'}"],
        does=f"encode {encoded} images, {config.batch_size} at once",
    )


def remove_derived(config: ExtractConfig) -> None:
    """Remove what was made from latents that are to be replaced."""
    for name in DERIVED:
        (Path(config.output_path) / name).unlink(missing_ok=True)


def jobs_of(inputs: Inputs, config: ExtractConfig) -> list[Job]:
    """The splits to encode."""
    folder, vae, jobs = Path(config.output_path), inputs.vae, []
    for split, entries in inputs.splits.records.items():
        samples = filled(entries, config.augment_to or 0 if split == "train" else 0)
        further: dict[str, Any] = {"time_flip": True} if config.time_flip else {}
        further |= {"white": entries[0].white} if entries[0].white != WHITE else {}
        edges = require_edges(inputs.axes) if len(samples) > len(entries) else []
        further |= {"augment": told_changes(config.augment_to, edges)} if edges else {}
        metadata = {
            "tokenizer_digest": vae.digest,
            "inputs_digest": inputs.digests[split],
            "preprocessing": {"geometry": config.geometry, "size": vae.image_size, **further},
            "precision": vae.precision,
            **({"axes": inputs.axes.known()} if inputs.axes else {}),
        }
        if is_current(read_metadata(folder, split), metadata, inputs.splits.labels, config):
            say(f"{split}: {len(samples)} latents are there for the same images and tokenizer; skipped")
            continue
        space = len(samples) * math.prod(vae.latent_shape) * 4 * (3 if config.time_flip else 2)
        require_space(folder, space, f"the latents of {split}")
        jobs.append(Job(split, samples, edges, inputs.splits.labels, metadata))
    return jobs


def record_axes(inputs: Inputs, jobs: list[Job], config: ExtractConfig) -> None:
    """Put the axes into latents that stay and say others, or none."""
    if not inputs.axes:
        return
    folder, axes = Path(config.output_path), inputs.axes.known()
    for split in inputs.splits.records.keys() - {job.split for job in jobs}:
        if (read_metadata(folder, split) or {}).get("axes") != axes:
            change_entry(folder, split, "axes", axes)
            say(f"{split}: the axes are in its latents now")


def in_arithmetic(jobs: Sequence[Job], vae: VAVAE, config: ExtractConfig) -> list[Job]:
    """The jobs with the tokenizer's precision in their metadata, for `auto` the faster one."""
    store, images = KeptValues(Path(config.output_path) / RECORD), sum(len(job.samples) for job in jobs)

    def encode(precision: str, count: int) -> torch.Tensor:
        grey = torch.full((count, 3, vae.image_size, vae.image_size), 128, dtype=torch.uint8)
        return vae.at(precision).encode(grey).mean

    precision = choose_tokenizer(config.precision, encode, vae.device, images, config.batch_size, store)
    return [replace(job, metadata={**job.metadata, "precision": precision}) for job in jobs]


def load_tokenizer(config: ExtractConfig, device: torch.device) -> VAVAE:
    precision = tokenizer_precision(resolve_precision(config.precision, device))
    return VAVAE.from_file(config.vavae_path, device=device, precision=precision)


def finish(inputs: Inputs, jobs: Sequence[Job], config: ExtractConfig) -> None:
    """What the main process makes of all latents: statistics, the check image, the export."""
    folder, records = Path(config.output_path), inputs.splits.records
    remove_other_splits(folder, records)
    train = read_latents(folder, "train")
    statistics = LatentStatistics.from_latents(train.latents, train.latents_std)
    say(f"Recommendation: {write_statistics(folder, statistics, inputs.imagenet).choice}")
    if not (folder / CHECK_IMAGE).exists():
        check_reconstruction(records.get("val", records["train"]), inputs.vae, config, folder / CHECK_IMAGE)
    write_export(train, folder, config)
    say(inputs.splits.account())
    extracted = [sample for job in jobs for sample in job.samples]
    changed = sum(sample.change > 0 for sample in extracted)
    counts = f"{len(extracted)} latents" + f", {changed} of them of changed images," * (changed > 0)
    say(f"wrote {counts} to {folder}; next: python stage2_train_dit.py --latent_dir {folder}")


def is_current(
    existing: dict[str, Any] | None, metadata: dict[str, Any], labels: LabelTable, config: ExtractConfig
) -> bool:
    """True when an existing file's metadata agree with what would be written, people included.

    The precision counts only where one was asked for: with auto, another machine's latents are kept. Axes
    change no latent, but that changed images have edges: `record_axes` puts them into files that are there.
    """
    if existing is None or existing.get("label_table") != list(labels.names):
        return False
    free = {"axes", *(["precision"] if config.precision == "auto" else [])}
    return all(existing.get(name) == value for name, value in metadata.items() if name not in free)


def extract_split(job: Job, vae: VAVAE, config: ExtractConfig, group: ProcessGroup) -> None:
    """Encode this process's share of one split, batch by batch, into the split's files: posterior means and
    standard deviations, and with `time_flip` the means of the mirrored images.

    The batches are the same for every number of processes, and so are the latents.
    """
    indices = torch.tensor([job.labels.index(sample.record.user) for sample in job.samples])
    names = [sample.name for sample in job.samples]
    kinds = KINDS if config.time_flip else KINDS[:2]
    files = LatentFiles(
        config.output_path, job.split, vae.latent_shape, indices, job.labels, names, job.metadata, kinds
    )

    def encoded(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        posterior = vae.encode(images)
        rows = posterior.mean.cpu(), posterior.std.cpu()
        return (*rows, vae.encode(images.flip(-1)).mean.cpu()) if config.time_flip else rows

    encode = Fitting(encoded, config.batch_size)
    firsts = list(range(0, len(job.samples), config.batch_size))
    with files.written() if not group.rank else nullcontext():
        group.barrier()  # for the reserved files
        shard = group.shard(firsts)
        images = sum(len(job.samples[first : first + config.batch_size]) for first in shard)
        with (
            progress(total=images, description=f"encoding {job.split}", unit="img") as bar,
            ThreadPoolExecutor(1) as writer,
        ):
            batches = image_batches(job.samples, shard, config, vae.image_size, job.edges)
            written = None
            for first, batch in zip(shard, batches):
                group.end_with_the_main_process()
                rows = encode(batch)
                if written:
                    written.result()  # one batch is written while the next is encoded, no more
                written = writer.submit(files.put, first, *rows)
                bar.update(len(batch))
            if written:
                written.result()
        group.barrier()  # for every row
    group.barrier()  # for the file under its own name


def remove_other_splits(folder: Path, records: dict[str, Any]) -> None:
    """Remove latents of splits that the data folder no longer has, so that nobody trains or validates on
    them.
    """
    for split in SPLIT_NAMES:
        for path in [folder / f"{split}.safetensors", *folder.glob(f"{split}-*-of-*.safetensors")]:
            if split not in records and path.exists():
                path.unlink()
                say(f"removed {path}: the data folder has no {split} any more")


def write_export(train: LatentSet, folder: Path, config: ExtractConfig) -> None:
    """The folder for upstream's loader, when asked for; one made earlier follows the latents."""
    export = folder / EXPORT
    complete = (export / "latents_stats.pt").exists()  # written last
    if not complete and (config.export == EXPORT or export.is_dir()):
        export_lightningdit(train, export)
