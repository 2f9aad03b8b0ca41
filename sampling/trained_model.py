"""Drawing from Python by the steps of stage 3: `load(...).draw(...)`.

What is not an error but worth knowing goes to the logger `sampling.trained_model`; nothing is printed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy

from configs.errors import UserError
from configs.load import resolve
from configs.schema import SampleConfig
from data.axes import Axes
from data.conditions import Conditions, count_people
from runtime.devices import resolve_device
from sampling.arrays import middles, require_axes, to_decibels, with_colour_map
from sampling.image_sampler import PersonSampler, batches_of, wanted_of, with_axes
from sampling.imagenet import label_indices
from sampling.latent_sampler import LatentSampler, is_few_step
from sampling.networks import Networks, load_networks
from sampling.references import with_people_of
from weight_files.hub import with_local_files

if TYPE_CHECKING:
    from typing_extensions import Unpack

LOG = logging.getLogger(__name__)
KEYS = {"guidance": "guidance_scale", "steps": "num_steps"}  # shorter here than on stage 3's command line


class Settings(TypedDict, total=False):
    """Settings of `draw`, all optional. They are stage 3's (`configs.schema.SampleConfig`), with its defaults
    and ranges; `guidance` is its --guidance_scale (1: none) and `steps` its --num_steps.
    """

    guidance: float
    guidance_condition: float | None
    guidance_person: float | None
    guidance_interval: Sequence[float]
    guidance_channels: int | None
    guidance_rescale: float
    steps: int
    few_steps: int
    sampler: str
    timestep_shift: float
    timestep_cosine: float
    restarts: int
    restart_interval: Sequence[float]
    atol: float
    rtol: float
    seed: int
    batch_size: int


class Batch(NamedTuple):
    """Images drawn together: whose, their running numbers from 1, and what `draw` gives of them, (N, ...)."""

    people: tuple[str, ...]
    numbers: tuple[int, ...]
    drawn: numpy.ndarray


class Decibels(NamedTuple):
    """Images as power: `db` (N, V, T) float32 below the brightest colour, velocity ascending, and the middles
    of its rows `velocity_mps` (V,) in m/s and of its columns `time_s` (T,) in s.
    """

    db: numpy.ndarray
    velocity_mps: numpy.ndarray
    time_s: numpy.ndarray


class TrainedModel:
    """A trained network with its tokenizer, as `load` gives it.

    `people` are the names that it draws, with conditions where it knows them (ID_8_backpack), in the order of
    its labels; `precision` is the network's arithmetic; `axes` say what edges (m/s, s) and colours (dB) of
    its images stand for, None: not known. A model that is `few_step` has its own guidance and solver.
    """

    def __init__(self, config: SampleConfig, networks: Networks) -> None:
        self._config, self._networks = config, networks
        self._payload = with_axes(config, networks.payload)
        self.people: tuple[str, ...] = self._payload.labels.names
        self.precision = networks.precision
        self.axes: Axes | None = self._payload.axes
        self.few_step = is_few_step(self._payload)

    @property
    def conditions(self) -> Conditions | None:
        """What each of `people` means, of a model of people in conditions; None of another one."""
        pairs = self._payload.model.get("combinations")
        return None if pairs is None else Conditions(self._payload.labels, pairs)

    def __repr__(self) -> str:
        people = count_people(len(self.people), self._payload.model.get("combinations"))
        return f"<{self._config.dit_checkpoint}: {people}, {self.axes or 'axes not known'}>"

    def draw(
        self,
        people: str | int | Sequence[str | int],
        n: int = 4,
        *,
        latents: bool = False,
        progress: Callable[[int, int], object] | None = None,
        **settings: Unpack[Settings],
    ) -> numpy.ndarray:
        """Images 1 to `n` of each of `people`, in the order asked for, (people * n, H, W, 3) uint8: the bytes
        that stage 3 writes at the same settings, precision and batch size.

        `people` are one or several of what --user_ids takes: names, numbers, ranges ("1-5") and "all". With
        `latents` it gives latents (people * n, C, h, w) float32 in the tokenizer's own scale instead.
        `progress(done, total)` is called after each batch. UserError: an unknown person or setting, a value
        out of range, latents that are not finite.
        """
        batches = self.batches(people, n, latents=latents, progress=progress, **settings)
        return numpy.concatenate([batch.drawn for batch in batches])

    def batches(
        self,
        people: str | int | Sequence[str | int],
        n: int = 4,
        *,
        latents: bool = False,
        progress: Callable[[int, int], object] | None = None,
        **settings: Unpack[Settings],
    ) -> Iterator[Batch]:
        """What `draw` gives, batch by batch, for more images than memory holds; errors before the first."""
        config = self._settings(n, settings)
        net, payload, vae, precision = self._networks
        labels = self._payload.labels
        asked = [people] if isinstance(people, (str, int)) else people
        users = label_indices(labels, [str(one) for one in asked])
        draw = LatentSampler(net, payload, config, vae.device, precision)
        sampler = PersonSampler(payload, draw, vae, config.seed, tell=LOG.warning)
        images = wanted_of(labels, users, config.num_samples_per_user)
        drawn_by = sampler.latents if latents else sampler.pixels

        def drawn() -> Iterator[Batch]:
            done = 0
            for batch in batches_of(images, config.batch_size):
                names = tuple(labels.names[one.label] for one in batch)
                made = Batch(names, tuple(one.number for one in batch), drawn_by(batch))
                done += len(batch)
                if progress:
                    progress(done, len(images))
                yield made

        return drawn()

    def decibels(self, images: numpy.ndarray) -> Decibels:
        """Images (N, H, W, 3) uint8 of `draw` as numbers with axes.

        UserError: the model's axes or the colours' range are not known (`load(..., axes=...)` tells them), or
        the colours are of no known map.
        """
        axes = require_axes(self.axes, self._config.dit_checkpoint)
        axes = with_colour_map(axes, images, "an image drawn")
        db = numpy.stack([to_decibels(image, axes) for image in images])
        return Decibels(db, *middles(axes, db.shape[1:]))

    def _settings(self, n: int, given: Mapping[str, Any]) -> SampleConfig:
        """Stage 3's configuration with the settings of a call."""
        known = Settings.__annotations__
        unknown = [name for name in given if name not in known]
        if unknown:
            raise UserError(f"{unknown[0]}: no setting of draw; expected {', '.join(known)}")
        named = {KEYS.get(name, name): value for name, value in given.items()}
        files = {name: getattr(self._config, name) for name in ("dit_checkpoint", "vavae_path")}
        return checked({**files, "num_samples_per_user": n, **named})


def checked(given: dict[str, Any]) -> SampleConfig:
    """Stage 3's configuration with the keys `given`; UserError: a value of another kind or out of range."""
    return resolve(("sample",), {"sample": given})["sample"]


def load(
    model: str | os.PathLike,
    tokenizer: str | os.PathLike,
    *,
    references: str | os.PathLike | None = None,
    margins: str = "refuse",
    latents_stats: str | os.PathLike | None = None,
    axes: Sequence[float] = (),
    device: str = "auto",
    precision: str = "auto",
) -> TrainedModel:
    """The model of a file and its tokenizer, ready to draw: stage 3's --dit_checkpoint and --vavae_path, with
    their words `demo`, `references` and `compact` for those that ship, and hf:// names.

    `references`, a folder of images of new people, is for models that know people by images: what all shown
    people share is taken for their radar's, so one is drawn otherwise in another company. `margins` "keep"
    takes figures with margins among them.
    `latents_stats` is for published checkpoints, which carry none; `axes` (lowest and highest velocity in
    m/s, length in s, perhaps range in dB) for models whose file tells none. `precision` "auto" is fp32 on a
    CPU and 16 bits on a GPU that has them; stage 3's `auto` may measure, so name one to compare bytes.
    UserError or FileNotFoundError in one line: what is given is not what it should be.
    """
    config = with_local_files(
        checked(
            {
                "dit_checkpoint": str(model),
                "vavae_path": str(tokenizer),
                "references": None if references is None else str(references),
                "margins": margins,
                "latents_stats": None if latents_stats is None else str(latents_stats),
                "axes": list(axes),
                "device": device,
                "precision": precision,
            }
        ),
        LOG.info,
    )
    where = resolve_device(config.device)
    files = config.dit_checkpoint, config.vavae_path, config.latents_stats
    networks = load_networks(*files, where, config.precision)
    if config.references:
        networks = with_people_of(config.references, networks, config.margins, LOG.info)
    return TrainedModel(config, networks)
