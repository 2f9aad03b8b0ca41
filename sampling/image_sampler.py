"""Images of chosen people as stage 3 draws and writes them: file names, batches, settings in each file.

`PersonSampler` draws into memory, `ImageSampler` into a folder.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy
import torch
from PIL import Image
from torch import Tensor

from configs.command_line import say
from configs.errors import UserError
from configs.keys import identity, recorded
from configs.schema import SampleConfig
from data.axes import FLAG, agreed, given_axes
from data.kept_values import KeptValues
from data.labels import LabelTable
from data.sheets import save_png
from models.flops import evaluation_flops
from models.lightningdit import LightningDiT
from runtime.compiling import worth_compiling
from runtime.devices import candidate_precisions, resolve_precision
from runtime.out_of_memory import Fitting
from runtime.precision import RECORD, choose, choose_tokenizer, trial_size
from runtime.seeds import noise_for
from sampling.imagenet import class_in_a_file_name, class_name
from sampling.latent_sampler import LatentSampler
from sampling.model_file import DitPayload, weights_digest
from tokenizer.vavae import VAVAE, as_rows

METADATA = "micro_doppler"
PATTERNS = {"flat": "micro_doppler_*.png", "folders": "*/micro_doppler_*.png"}  # of the images, by layout


@dataclass(frozen=True)
class Wanted:
    """One image asked for: person by label index, running number from 1, posix path in its folder."""

    label: int
    number: int
    name: str


def wanted(labels: LabelTable, label: int, number: int, layout: str = "flat") -> Wanted:
    """Image `number` of person `label`; `layout` as of `SampleConfig`."""
    name = file_name(labels, label, number)
    return Wanted(label, number, f"{escaped(labels.names[label])}/{name}" if layout == "folders" else name)


def wanted_of(labels: LabelTable, users: Sequence[int], count: int, layout: str = "flat") -> list[Wanted]:
    """The first `count` images of each of `users`."""
    return [wanted(labels, user, number, layout) for user in users for number in range(1, count + 1)]


def shared_out(labels: LabelTable, users: Sequence[int], total: int, layout: str = "flat") -> list[Wanted]:
    """`total` images of `users`, equally many of each, one more of the first where they do not divide."""
    each, further = divmod(total, len(users))
    more = wanted_of(labels, users[:further], each + 1, layout)
    return more + wanted_of(labels, users[further:], each, layout)


def batches_of(images: Sequence[Wanted], size: int) -> list[Sequence[Wanted]]:
    """`images` in parts of `size`, the last one smaller."""
    return [images[first : first + size] for first in range(0, len(images), size)]


def people_of(images: Sequence[Wanted]) -> int:
    """How many people are in them."""
    return len({image.label for image in images})


def escaped(name: str) -> str:
    """A person's name as part of a path: odd characters as %20, and nothing that a path would obey; never one
    for two names.
    """
    quoted = re.sub(r"[^\w.-]", lambda match: quote(match[0], safe=""), name)
    return re.sub(r"^\.", "%2E", quoted)


def file_name(labels: LabelTable, label: int, number: int) -> str:
    """micro_doppler_user07_001.png for ID_7; the folder's full name where its number is missing or not its
    own alone; of ImageNet's classes micro_doppler_class207_golden_retriever_001.png.
    """
    person = class_in_a_file_name(labels, label) or (
        f"user{labels.number(label):02d}" if labels.is_only(label) else escaped(labels.names[label])
    )
    return f"micro_doppler_{person}_{number:03d}.png"


def figure_name(image: Wanted) -> str:
    """figure_user07.png, of the person of an image."""
    return f"figure_{Path(image.name).stem.removeprefix('micro_doppler_').rpartition('_')[0]}.png"


@dataclass
class PersonSampler:
    """Draws images of people by their running numbers: image k of a person depends on `seed`, the person and
    k only, up to rounding. `tell` takes the line that says that memory ran out.
    """

    payload: DitPayload
    draw: LatentSampler
    vae: VAVAE
    seed: int
    tell: Callable[[str], None] = field(default=say, kw_only=True)

    def __post_init__(self) -> None:
        warning = "; matrix products of another shape round differently, so images may differ by a rounding"
        self._latents = Fitting(self._draw, sys.maxsize, warning, self.tell)
        self._pixels = Fitting(self._decoded, sys.maxsize, warning, self.tell)

    def latents(self, batch: Sequence[Wanted]) -> numpy.ndarray:
        """Latents (N, C, h, w) float32 of one batch in the tokenizer's own scale; errors as of `pixels`."""
        (latents,) = self._latents(*self._starts(batch))
        return latents.cpu().numpy()

    def pixels(self, batch: Sequence[Wanted]) -> numpy.ndarray:
        """Images (N, H, W, 3) uint8 of one batch; UserError where latents are not finite."""
        (pixels,) = self._pixels(*self._starts(batch))
        return as_rows(pixels)

    def _starts(self, batch: Sequence[Wanted]) -> tuple[Tensor, Tensor]:
        """Noise (N, 1 + restarts, C, h, w) and labels (N,) of a batch."""
        names, shape = self.payload.labels.names, self.vae.latent_shape

        def noise_of(one: Wanted, purpose: str, *number: int) -> Tensor:
            return noise_for(shape, self.seed, purpose, names[one.label], one.number, *number)

        restarts = range(self.draw.settings.restarts)
        noise = [
            torch.stack([noise_of(one, "sample"), *(noise_of(one, "restart", k) for k in restarts)])
            for one in batch
        ]
        return torch.stack(noise), torch.tensor([one.label for one in batch])

    def _draw(self, noise: Tensor, labels: Tensor) -> tuple[Tensor]:
        latents = self.draw(noise, labels)
        if not torch.isfinite(latents).all():
            raise UserError(
                f"guidance_scale {self.draw.settings.guidance_scale:g} at --precision {self.draw.precision} "
                "gave latents that are not finite; use --precision 32 or a lower --guidance_scale"
            )
        return (latents,)

    def _decoded(self, noise: Tensor, labels: Tensor) -> tuple[Tensor]:
        return (self.vae.decode(*self._draw(noise, labels)),)


@dataclass
class ImageSampler(PersonSampler):
    """Draws into `folder`, which its caller keeps locked. `settings` are told in each image."""

    folder: Path
    settings: dict[str, Any]

    def at(self, network: str, tokenizer: str, compile: bool) -> ImageSampler:
        """This sampler in another arithmetic, with the network's blocks compiled or not."""
        taken = {"precision": network, "tokenizer_precision": tokenizer, "compile": compile}
        draw = self.draw.at(network).compiled(compile)
        return replace(self, draw=draw, vae=self.vae.at(tokenizer), settings={**self.settings, **taken})

    def draw_batch(self, batch: Sequence[Wanted]) -> int:
        """Draw one batch and write those of its images that are not there; how many they were.

        The whole batch is drawn even if a part is there: matrix products of another shape round differently,
        and a run that was stopped and continued shall end in the same bytes.
        """
        missing = {image.name for image in batch if not (self.folder / image.name).exists()}
        if missing:
            for image, pixels in zip(batch, self.pixels(batch), strict=True):
                if image.name in missing:
                    self.save(image, pixels)
        return len(missing)

    def save(self, image: Wanted, pixels: numpy.ndarray) -> None:
        """Write one image with its settings inside."""
        row = {
            "file": image.name,
            "user": self.payload.labels.names[image.label],
            "user_number": self.payload.labels.number(image.label),
            "label": image.label,
            **({"class": name} if (name := class_name(self.payload.labels, image.label)) else {}),
            "sample": image.number,
            "network_evaluations": self.draw.network_evaluations,
            **self.settings,
        }
        path = self.folder / image.name
        path.parent.mkdir(exist_ok=True)
        save_png(Image.fromarray(pixels), path, {METADATA: json.dumps(row)})


def arithmetic(
    sampler: ImageSampler, config: SampleConfig, images: int, missing: int
) -> tuple[str, str, bool]:
    """The arithmetic of network and tokenizer that draw what is `missing` of the `images` of the sampler's
    folder: as asked for, or for `auto` each as kept there, else the faster one as tried on an evaluation and
    a decoding. It is kept even where nothing was tried, so that all images of a folder are drawn alike.

    Last, whether the network's blocks are compiled; all `images` decide that, the drawn ones, too.
    """
    device, store = sampler.draw.device, KeptValues(sampler.folder / RECORD)
    if not missing:
        return sampler.draw.precision, sampler.vae.precision, False

    def decode(precision: str, count: int) -> Tensor:
        return sampler.vae.at(precision).decode(torch.zeros(count, *sampler.vae.latent_shape))

    network, evaluations = resolve_precision(config.precision, device), missing * sampler.draw.solve.num_steps
    if config.precision == "auto":
        size = trial_size(1 if config.sampler == "dopri5" else config.batch_size, evaluations)
        network = choose(
            "network",
            lambda: evaluation(sampler, size),
            candidate_precisions(device),
            device,
            evaluations / size,
            store,
            lasting=True,
        )
    tokenizer = choose_tokenizer(
        config.precision, decode, device, missing, config.batch_size, store, lasting=True
    )

    def operations() -> int:
        return images * sampler.draw.evaluations() * evaluation_flops(sampler.payload.model)

    return network, tokenizer, worth_compiling(config.compile, "draw", operations, device.type)


def evaluation(sampler: ImageSampler, size: int) -> Callable[[str], Tensor]:
    """A function that evaluates the guided network on `size` latents in a named arithmetic."""
    noise = torch.stack([noise_for(sampler.vae.latent_shape, "trial", number) for number in range(size)])
    labels, draw = torch.arange(size) % len(sampler.payload.labels), sampler.draw.one_evaluation()
    return lambda precision: draw.at(precision)(noise, labels)


def build_image_sampler(
    config: SampleConfig,
    net: LightningDiT,
    payload: DitPayload,
    vae: VAVAE,
    precision: str,
    judges: Mapping[str, str],
) -> tuple[ImageSampler, dict[str, Any]]:
    """What draws into `config.output_dir`, and what that folder is known by.

    `judges` are the digests of a selecting judge's file and of its training images, if one selects.
    """
    payload = with_axes(config, payload)
    axes = payload.axes
    digests = {"dit": weights_digest(net), "tokenizer": vae.digest, **judges}
    draw = LatentSampler(net, payload, config, vae.device, precision)
    config = draw.settings  # as they act on this model
    claimed = identity(
        config,
        dit_checkpoint=digests["dit"],
        vavae_path=vae.digest,
        latents_stats=payload.statistics.digest(),
        select=judges.get("selector"),
        references=None,  # whom they show is among the network's weights
    )
    taken = {"precision": precision, "compile": bool(config.compile), "device": vae.device.type}
    settings = {**recorded(config), **digests, **taken}
    claimed["few_steps"] = None  # where it acts it is num_steps
    del settings["few_steps"], settings["axes"]  # of these each is a column of its own
    settings |= axes.known() if axes else {}
    return ImageSampler(payload, draw, vae, config.seed, Path(config.output_dir), settings), claimed


def with_axes(config: SampleConfig, payload: DitPayload) -> DitPayload:
    """The payload with what --axes says beside what its file told; UserError where they differ."""
    axes = agreed((config.dit_checkpoint, payload.axes), (FLAG, given_axes(config.axes)))
    return replace(payload, axes=axes)
