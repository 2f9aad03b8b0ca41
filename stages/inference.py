"""What stage 3 does: it draws what is missing, or until enough images pass a selecting judge."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
from PIL import Image

from configs.command_line import is_main_process, say
from configs.dry_run import tell_plan
from configs.errors import UserError
from configs.keys import changed
from configs.schema import SampleConfig
from data.atomic import write_text
from data.images import file_digest
from data.labels import listing
from data.progress import progress
from data.run_record import claim_folder
from data.tables import csv_text, read_rows
from evaluation.selection import KEPT, Selector, acceptance, digest_of, select
from runtime.devices import resolve_device, resolve_devices
from runtime.disk import require_space
from runtime.processes import start_process_group
from sampling.arrays import require_axes, with_map_of_files, write_arrays, write_figure
from sampling.image_folder import finish, title
from sampling.image_sampler import (
    PATTERNS,
    ImageSampler,
    Wanted,
    arithmetic,
    batches_of,
    build_image_sampler,
    figure_name,
    people_of,
    shared_out,
    wanted,
    wanted_of,
)
from sampling.image_set import write_npz
from sampling.imagenet import DEMO_CLASSES, label_indices
from sampling.latent_sampler import unread
from sampling.model_file import is_published
from sampling.networks import load_networks
from sampling.references import with_people_of
from weight_files.hub import with_local_files

DEMO_COLUMNS = 4
# Upstream's demo (the other settings are the configuration's).
DEMO: dict[str, Any] = {
    "user_ids": list(DEMO_CLASSES),
    "num_samples_per_user": 1,
    "num_samples": None,
    "guidance_scale": 9.0,
    "guidance_interval": [0.0, 1.0],
    "timestep_shift": 0.0,
}


def run(config: SampleConfig) -> None:
    """Draw what `config` asks for and is not there yet; then samples.csv and the grid of all images asked
    for.

    Raises UserError or FileNotFoundError in one line for bad input; existing images are never overwritten.
    """
    config = with_local_files(config)
    if config.demo_grid:
        config = changed(config, **DEMO)
    device = resolve_device(config.device)
    resolve_devices(device.type, config.devices)
    # The main process alone refuses; further ones start once all is well.
    if not is_main_process():
        return draw_all(None, config, device)
    prepared = prepare(config, device)
    with claim_folder(prepared.sampler.folder, prepared.claimed, PATTERNS[config.layout], config.dry_run):
        if config.dry_run:
            tell(prepared, config)
        elif prepared.selector:
            draw_selected(prepared, prepared.selector, config)
        else:
            draw_all(prepared, config, device)


def tell(prepared: Prepared, config: SampleConfig) -> None:
    """What a dry run says."""
    folder, users = prepared.sampler.folder, prepared.users
    if config.select:
        keep = config.keep or config.num_samples_per_user
        kept_before = sum(bool(row["file"]) for row in selection_rows(folder))
        does = (
            f"select {keep} images of each of {len(users)} people, {kept_before} are there, from at most "
            f"{config.attempts * keep}"
        )
    else:
        images, missing = wished(prepared, config)
        require_room(prepared.sampler, images, missing, config)
        does = f"draw {len(missing)} of {len(images)} images of {people_of(images)} people"
    tell_plan(
        {"sample": config},
        reads=[config.dit_checkpoint, config.vavae_path],
        writes=[folder],
        does=f"{does}; {prepared.sampler.draw.solver}",
    )


def wished(prepared: Prepared, config: SampleConfig) -> tuple[list[Wanted], set[Wanted]]:
    """All images asked for, and those of them that are not there."""
    labels, users = prepared.sampler.payload.labels, prepared.users
    if config.num_samples is None:
        images = wanted_of(labels, users, config.num_samples_per_user, config.layout)
    else:
        images = shared_out(labels, users, config.num_samples, config.layout)
    return images, {image for image in images if not (prepared.sampler.folder / image.name).exists()}


def require_room(
    sampler: ImageSampler, images: Sequence[Wanted], missing: Collection[Wanted], config: SampleConfig
) -> None:
    """OSError where the disk lacks room for the missing images, and with --npz for all of them once more."""
    count = len(missing) + (len(images) if config.npz else 0)
    require_space(sampler.folder, count * 3 * sampler.vae.image_size**2, "the images")


def draw_all(prepared: Prepared | None, config: SampleConfig, device: torch.device) -> None:
    """Draw what is missing, shared by as many processes as were asked for."""
    taken = prepared and arithmetic(prepared.sampler, config, *map(len, wished(prepared, config)))
    group = start_process_group(device, config.devices)
    taken = group.broadcast(taken)
    prepared = prepared or prepare(config, group.device)
    sampler, users = prepared.sampler.at(*taken), prepared.users
    folder = sampler.folder
    images, missing = wished(prepared, config)
    require_room(sampler, images, missing, config)
    say(
        f"{len(images)} images of {people_of(images)} people, {len(images) - len(missing)} of them there: "
        + (f"drawing {len(missing)} on {device} ({sampler.draw.precision})" if missing else "drawing skipped")
        + f"; {sampler.draw.solver}"
    )
    batches = batches_of(images, config.batch_size)
    # Only the main process looks which are there: another may have begun to draw.
    shard = group.shard(group.broadcast([batch for batch in batches if missing & set(batch)]))
    with progress(total=len(missing & set().union(*shard)), description="drawing", unit="img") as bar:
        for batch in shard:
            group.end_with_the_main_process()
            bar.update(sampler.draw_batch(batch))
    group.barrier()
    if not group.rank:
        write_beside(sampler, images, users, config)
        say(
            f"wrote {len(missing)} images to {folder}; look at {folder / 'micro_doppler_grid.png'}; "
            f"next: python stage4_evaluate.py --real <data_split> --generated {folder} "
            "--output_dir evaluation_report"
        )


def write_beside(
    sampler: ImageSampler, images: Sequence[Wanted], users: Sequence[int], config: SampleConfig
) -> None:
    """What stands beside the images: the tables, the grid, and what --arrays and --npz ask for."""
    columns = DEMO_COLUMNS if config.demo_grid else None
    finish(sampler.folder, images, sampler.payload.labels, users, columns, config.layout)
    if config.npz and images:
        write_npz(sampler.folder, images, sampler.vae.image_size)
    write_numbers(sampler, images, config)


def write_numbers(sampler: ImageSampler, images: Sequence[Wanted], config: SampleConfig) -> None:
    """With --arrays, the .npz of `images` that lack it, and a figure of each person, figure_user07.png."""
    if not config.arrays:
        return
    folder, axes = sampler.folder, require_axes(sampler.payload.axes, config.dit_checkpoint)
    axes = with_map_of_files(axes, [folder / image.name for image in images])  # one for arrays and figures
    written = write_arrays(folder, [image.name for image in images], axes)
    people: dict[int, list[Wanted]] = {}
    for image in images:
        people.setdefault(image.label, []).append(image)
    for label, shown in people.items():
        path = folder / figure_name(shown[0])
        write_figure(path, title(sampler.payload.labels, label), [folder / one.name for one in shown], axes)
    say(f"wrote {written} arrays beside the images, and {len(people)} figures: {folder / 'figure_*.png'}")


class Prepared(NamedTuple):
    """What draws, the label indices of the people asked for, the selecting judge, and by which settings the
    folder is known.
    """

    sampler: ImageSampler
    users: list[int]
    selector: Selector | None
    claimed: dict[str, Any]


def prepare(config: SampleConfig, device: torch.device) -> Prepared:
    """Load the networks; every refusal of an input happens here."""
    statistics = config.latents_stats if is_published(config.dit_checkpoint) else None
    files = config.dit_checkpoint, config.vavae_path, statistics
    networks = load_networks(*files, device, config.precision)
    if config.references:
        networks = with_people_of(config.references, networks, config.margins)
    net, payload, vae, precision = networks
    for note in unread(payload, config):
        say(note)
    users = label_indices(payload.labels, config.user_ids)
    selector = load_selector(config, [payload.labels.names[user] for user in users])
    judges = {}
    if config.select and selector:
        training = digest_of(selector.training_files)
        judges = {"selector": file_digest(config.select), "selector_training": training}
    sampler, claimed = build_image_sampler(config, net, payload, vae, precision, judges)
    if config.arrays:
        require_axes(sampler.payload.axes, config.dit_checkpoint)
    return Prepared(sampler, users, selector, claimed)


def load_selector(config: SampleConfig, people: Sequence[str]) -> Selector | None:
    """The selecting judge, refused where it does not know all `people` asked for; None without --select."""
    if not config.select:
        if config.keep is not None:
            raise UserError(f"--keep {config.keep}: --keep requires --select")
        return None
    if config.num_samples is not None:
        raise UserError(
            f"--num_samples {config.num_samples}: --select keeps so many of each person; give --keep instead"
        )
    if config.devices != "1":
        raise UserError(f"--devices {config.devices}: --select draws on one device; leave --devices out")
    selector = Selector.load(config.select)
    unknown = [name for name in people if name not in selector.people.names]
    if unknown:
        raise UserError(
            f"--select {config.select}: knows {listing(selector.people.names)}, asked for are "
            f"{listing(unknown)}; leave them out of --user_ids, or train a judge that knows them"
        )
    return selector


def draw_selected(prepared: Prepared, selector: Selector, config: SampleConfig) -> None:
    """Draw until enough images of each person have passed or the bound is reached; selection.csv tells of
    every image drawn. A run that was stopped, or one that asks for more, goes on from it.
    """
    sampler, users = prepared[:2]
    folder, labels = sampler.folder, sampler.payload.labels
    table, rows, images = folder / "selection.csv", selection_rows(folder), []
    keep = config.keep or config.num_samples_per_user
    missing = keep * len(users) - sum(row["decision"] == KEPT for row in rows)
    sampler = sampler.at(*arithmetic(sampler, config, keep * len(users), max(0, missing)))
    say(f"selecting {keep} images of each of {len(users)} people from at most {config.attempts * keep}")
    with progress(total=keep * len(users), description="selecting", unit="img") as bar:
        for user in users:
            decided = [row for row in rows if row["user"] == labels.names[user]]
            asked = partial(wanted, labels, user, layout=config.layout)
            kept_before = [asked(int(row["sample"])) for row in decided if row["decision"] == KEPT]
            bar.update(len(kept_before))
            images += kept_before
            drawn = select(
                partial(pixels_of, sampler, user),
                selector,
                labels.names[user],
                keep=keep,
                most=config.attempts * keep,
                batch_size=config.batch_size,
                earlier=decided,
                kept=[numpy.asarray(Image.open(folder / image.name)) for image in kept_before],
            )
            for batch in drawn:
                for row, pixels in batch:
                    image = asked(row["sample"])
                    if row["decision"] == KEPT:
                        sampler.save(image, pixels)
                        images.append(image)
                        bar.update()
                    rows.append({**row, "file": image.name if row["decision"] == KEPT else ""})
                write_text(table, csv_text(rows))
    say("\n".join(acceptance(rows, labels.names[user], keep) for user in users))
    write_beside(sampler, images, users, config)
    say(f"{len(images)} images are in {folder}; every image drawn is told of in {table}")


def pixels_of(sampler: ImageSampler, user: int, numbers: Sequence[int]) -> numpy.ndarray:
    """Images (N, H, W, 3) of one person by their running numbers."""
    return sampler.pixels([wanted(sampler.payload.labels, user, number) for number in numbers])


def selection_rows(folder: Path) -> list[dict[str, Any]]:
    """What an earlier run decided; an image that is gone since is drawn and decided anew."""
    path = folder / "selection.csv"
    if not path.is_file():
        return []
    rows = read_rows(path, "the table of a selection", "remove it, or choose another folder", "file")
    return [row for row in rows if not row["file"] or (folder / row["file"]).is_file()]
