"""People whom nobody trained on, for a network with references: their vectors from a few of their images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from configs.command_line import say
from configs.errors import UserError
from data.axes import Axes, agreed, axes_of_images
from data.cropping import refuse_margins
from data.examination import examine_files
from data.folders import FileRecord
from data.images import find_images, open_rgb
from data.tree import account
from models.lightningdit import LightningDiT
from models.references import references_of
from models.weights import VECTORS
from sampling.model_file import REFERENCES
from sampling.networks import Networks
from tokenizer.vavae import preprocess
from weight_files.reading import load_strict

BATCH = 16


def with_people_of(
    folder: str, networks: Networks, margins: str, tell: Callable[[str], None] = say
) -> Networks:
    """The networks, which know the people of the images in `folder` (new/ID_32/*.png) instead of those that
    they were trained on. `tell` takes the lines that say what was read.

    FileNotFoundError: no such folder. UserError: no images of people in it, one that cannot be read, figures
    with margins unless `margins` is "keep", images of other axes or colours than the model's, or a network
    that knows people by rows.
    """
    net, payload, vae, _ = networks
    require_references(net, f"--references {folder}")
    images = find_images(folder)
    tell(f"references: {account(len(images.records), 'image', images.left_out)}")
    latents = latents_of(networks, images.records)  # first: it names an image that cannot be read
    require_like_trained(folder, images.records, payload.axes, margins)
    labels = torch.tensor([images.labels.index(record.user) for record in images.records])
    people, share = references_of(net).encoder.vectors_of(payload.statistics.normalise(latents), labels)
    if share > 0:
        tell(
            f"references: {share:.0%} of what these {len(people)} people share is taken off as their radar's"
        )
    arguments = {**payload.model, "num_classes": len(people)}
    with torch.device("meta"):
        known = LightningDiT(**arguments)
    nobody = torch.zeros_like(people[0])
    state = {**net.state_dict(), VECTORS: torch.stack([*people, nobody])}
    load_strict(known, state, "references")
    payload = replace(payload, model=arguments, labels=images.labels)
    return networks._replace(net=known.eval().requires_grad_(False), payload=payload)


def require_references(net: LightningDiT, flag: str) -> None:
    """UserError: the network knows people by rows."""
    if not net.config["references"]:
        raise UserError(
            f"{flag}: the model has a row for each person that it was trained on; give {REFERENCES}, or one "
            "trained with model.references=true, which know people by images"
        )


def require_like_trained(folder: str, records: Sequence[FileRecord], axes: Axes | None, margins: str) -> None:
    """UserError: the images are told to have other axes than those trained on, are figures with margins that
    shall not be kept, or have other colours, so that the encoder would take them for other walks.
    """
    agreed(("the model", axes), (folder, axes_of_images(folder, [record.path for record in records], ())))
    seen = examine_files(records)
    if margins == "refuse":
        refuse_margins(
            seen,
            f"--references {folder}",
            f"cut them to their plot areas (stage0_prepare.py split --input_dir {folder} --output_dir cut "
            "--val_fraction 0 --crop auto) and give cut/train, or take them as they are by --margins keep",
        )
    if axes and axes.colour_map and seen.colour_map != axes.colour_map:
        raise UserError(
            f"--references {folder}: {seen.colour_map or 'no known'} colour map, expected "
            f"{axes.colour_map}, which the model was trained on; draw the recordings anew in it "
            "(stage0_prepare.py spectrogram)"
        )


def latents_of(networks: Networks, records: Sequence[FileRecord]) -> Tensor:
    """(N, C, h, w) latents of the images on the CPU, in fp32: people shall not hang on the processor."""
    vae, preprocessing = networks.vae.at("32"), networks.payload.preprocessing
    geometry = preprocessing.get("geometry", "stretch")
    images = (preprocess(open_rgb(record), vae.image_size, geometry) for record in records)
    pixels = torch.stack(list(images))
    return torch.cat([vae.encode(part).mean.float().cpu() for part in pixels.split(BATCH)])
