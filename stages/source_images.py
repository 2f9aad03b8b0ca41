"""The images of stage 1: all of them checked before anything is written, then read ahead of the encoder."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from configs.command_line import say
from configs.errors import UserError
from configs.schema import ExtractConfig
from data.axes import Axes
from data.images import ImageRecord, Splits, by_user, inputs_digest, open_rgb, scan_images
from data.labels import listing
from data.physical_augmentation import ASPECTS, SPEEDS, another_walk
from data.tree import leave_out_flag
from runtime.seeds import generator
from tokenizer.vavae import preprocess

READ_AHEAD = 2  # batches
MOST_READERS = 8  # threads; more wait for the interpreter's lock


def check_images(splits: Splits, config: ExtractConfig) -> tuple[Splits, dict[str, str]]:
    """Decode every image once: the good ones per split, and a digest of their names and contents.

    All unreadable images are reported together (UserError), or left out with `skip_bad_images`; not all
    training images of a person, though.
    """
    bad: dict[str, str] = {}
    kept, digests = {}, {}
    for split, entries in splits.records.items():
        scan = scan_images(entries, num_readers(config), f"checking {split}")
        bad |= {f"{split}/{name}": reason for name, reason in scan.bad.items()}
        kept[split] = [record for record in entries if record.relative not in scan.bad]
        digests[split] = inputs_digest(kept[split], scan.digests)
    missing = set(splits.labels.names) - {record.user for record in kept["train"]}
    refuse_bad(bad, [name for name in splits.labels.names if name in missing], config)
    for name, reason in bad.items():
        say(f"skipped {name}: {reason}")
    for split in [split for split, entries in kept.items() if not entries]:
        say(f"warning: no readable image is left in {split}; it is left out")
        del kept[split]
    unread = {"unreadable": list(bad)} if bad else {}
    return replace(splits, records=kept, left_out={**splits.left_out, **unread}), digests


def refuse_bad(bad: dict[str, str], missing: list[str], config: ExtractConfig) -> None:
    """UserError for images that cannot be read, and for people of whom none is left."""
    if bad and not config.skip_bad_images:
        listed = "; ".join(f"{name}: {reason}" for name, reason in bad.items())
        raise UserError(
            f"{len(bad)} images cannot be read, nothing was written: {listed}; repair or remove them, or go "
            f"on without them by --skip_bad_images{f' {leave_out_flag(missing, ())}' if missing else ''}"
        )
    if missing:
        raise UserError(
            f"--data_dir {config.data_dir}: no readable training image is left of {listing(missing)}; repair "
            f"them, or go on without these people by {leave_out_flag(missing, ())}"
        )


class Sample(NamedTuple):
    """An image to encode: as it is (0), or its n-th change."""

    record: ImageRecord
    change: int = 0

    @property
    def name(self) -> str:
        return f"{self.record.relative}#{self.change}" if self.change else self.record.relative


def filled(records: Sequence[ImageRecord], count: int) -> list[Sample]:
    """All images, then of each folder that has fewer than `count` its own in turn, changed, up to `count`."""
    further = [
        Sample(images[place % len(images)], place // len(images))
        for images in by_user(records).values()
        for place in range(len(images), count)
    ]
    return [Sample(record) for record in records] + further


def check_filling(records: Sequence[ImageRecord], count: int | None, axes: Axes | None) -> None:
    """With a `count` errors of `require_edges`, and a note where no folder has fewer images."""
    if count is None:
        return
    require_edges(axes)
    if len(filled(records, count)) == len(records):
        say(f"note: --augment_to {count}: every folder has as many images, so that none is changed")


def require_edges(axes: Axes | None) -> list[float]:
    """Velocities (m/s) at the edges of all images; UserError: not known."""
    if axes is None:
        raise UserError(
            "--augment_to: requires the velocities at the images' edges, which --axes tells; of pictures "
            "that are not square also --geometry stretch, which keeps them"
        )
    return axes.edges()[:2]


def told_changes(count: int | None, edges: list[float]) -> dict[str, Any]:
    """What latents of changed images are known by."""
    return {"to": count, "edges": edges, "speeds": [*SPEEDS], "aspects": [*ASPECTS]}


def image_batches(
    samples: Sequence[Sample], firsts: Sequence[int], config: ExtractConfig, size: int, edges: Sequence[float]
) -> Iterator[torch.Tensor]:
    """uint8 batches (B,3,size,size) that begin at the samples `firsts`; threads read the next `READ_AHEAD`
    ones while the caller encodes. `edges` (m/s) of all images are wanted where samples are changed.
    """

    def load(sample: Sample) -> torch.Tensor:
        image = preprocess(open_rgb(sample.record), size, config.geometry)
        return another_walk(image, edges, generator("walk", sample.name)) if sample.change else image

    with ThreadPoolExecutor(num_readers(config)) as pool:
        waiting: deque[list[Future]] = deque()
        for first in [*firsts, *[None] * READ_AHEAD]:
            chosen = [] if first is None else samples[first : first + config.batch_size]
            waiting.append([pool.submit(load, sample) for sample in chosen])
            if len(waiting) > READ_AHEAD:
                yield torch.stack([future.result() for future in waiting.popleft()])


def num_readers(config: ExtractConfig) -> int:
    """Threads that read images: as asked, else one for each core, eight at most."""
    return config.num_workers or min(MOST_READERS, os.cpu_count() or 1)
