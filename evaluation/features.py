"""Images as numbers: what the judge sees, how the person moves, and the spaces in which sets are compared.

judge    what the first judge's last layer sees, 1024 numbers
radar    QUANTITIES of `evaluation.motion` and the mean Doppler profile in 32 bands, weighing alike
latents  the tokenizer's latents, pooled: mean and deviation over time of each channel in 4 bands of velocity
         (256 numbers for 32 channels), so that a few hundred images can fill the space
inception, dinov2  networks whose weights the user has; distances in them do not compare with published ones
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy
import torch
from PIL import Image
from torch import Tensor

from data.images import ImageRecord, open_rgb
from data.labels import LabelTable
from data.progress import progress
from evaluation.inception import POOLED, load_inception
from evaluation.judge import reduced
from evaluation.motion import QUANTITIES, quantities
from radar.kinematics import from_image
from tokenizer.alignment import load_teacher
from tokenizer.vavae import VAVAE, preprocess, to_float

UNKNOWN_AXES = (0.0, 128.0, 2.0)  # Doppler bins; cadence is then sought at 2 to 6 steps an image
BANDS, LATENT_BANDS, BATCH = 32, 4, 16
Networks = Mapping[str, tuple[Callable[[Tensor], Tensor], int]]  # by name, and the side of what they see


class ImageSet(NamedTuple):
    """What is kept of N images: reduced ones (N, 128, 64, 3) uint8, whose (N,), QUANTITIES (N, Q), Doppler
    profile (N, BANDS), and where a judge takes them so, whole ones (N, side, side, 3) uint8.
    """

    images: numpy.ndarray
    labels: numpy.ndarray
    motion: numpy.ndarray
    profile: numpy.ndarray
    whole: numpy.ndarray | None = None

    @property
    def seen(self) -> numpy.ndarray:
        """The images as the judge takes them."""
        return self.images if self.whole is None else self.whole

    def at(self, places: numpy.ndarray) -> ImageSet:
        """Some of them."""
        whole = None if self.whole is None else self.whole[places]
        return ImageSet(*(values[places] for values in self[:4]))._replace(whole=whole)

    def beside(self, others: ImageSet) -> ImageSet:
        """These, then the others."""
        both = ImageSet(*(numpy.concatenate(pair) for pair in zip(self[:4], others[:4])))
        if self.whole is None or others.whole is None:
            return both
        return both._replace(whole=numpy.concatenate([self.whole, others.whole]))


def describe(
    pictures: Iterable[Image.Image],
    labels: numpy.ndarray,
    axes: Sequence[float] = (),
    colour_map: str = "jet",
    side: int | None = None,
) -> ImageSet:
    """Of RGB images of any size, whose they are (N,), and `axes` as `data.axes.Axes.scales` gives them, or
    none; with `side` whole images, too. Errors of `radar.colormap.from_rgb`.
    """
    images, motion, profiles, whole = [], [], [], []
    for picture in pictures:
        kinematics = from_image(numpy.asarray(picture), axes or UNKNOWN_AXES, colour_map)
        images.append(reduced(picture))
        if side:
            whole.append(preprocess(picture, side).permute(1, 2, 0).numpy())
        motion.append(quantities(kinematics))
        profiles.append(kinematics.profile.reshape(BANDS, -1).mean(1))
    figures = numpy.array(motion)
    figures[:, QUANTITIES.index("cadence")] *= 1 if axes else UNKNOWN_AXES[2]
    kept = numpy.stack(images), numpy.asarray(labels), figures, numpy.stack(profiles)
    return ImageSet(*kept, numpy.stack(whole) if whole else None)


def read(
    records: Sequence[ImageRecord],
    people: LabelTable,
    axes: Sequence[float],
    colour_map: str,
    side: int | None = None,
) -> ImageSet:
    """`describe` of images of files."""
    return read_with({}, records, people, axes, colour_map, side)[0]


def read_with(
    networks: Networks,
    records: Sequence[ImageRecord],
    people: LabelTable,
    axes: Sequence[float],
    colour_map: str,
    side: int | None = None,
) -> tuple[ImageSet, dict[str, numpy.ndarray]]:
    """`read`, and (N, ...) of each of `networks`: every file is decoded once for all."""
    labels = numpy.array([people.index(record.user) for record in records])
    features: dict[str, list[numpy.ndarray]] = {}
    opened = map(open_rgb, progress(records, description="reading", unit="img"))
    images = describe(seen_by(networks, opened, features), labels, axes, colour_map, side)
    return images, {name: numpy.concatenate(parts) for name, parts in features.items()}


# Spaces


def common_scale(sets: dict[str, numpy.ndarray], columns: bool = False) -> dict[str, numpy.ndarray]:
    """Features (N, D) of every set, float64, less the training mean over the training deviation: one number
    for all, so that directions keep their weight, or with `columns` each column's, for unlike units.
    """
    training = sets["train"].astype(numpy.float64)
    mean, deviation = training.mean(0), training.std(0)
    if columns:
        scale = numpy.where(deviation > 1e-9, deviation, 1.0)
    else:
        scale = numpy.maximum(numpy.sqrt((deviation**2).mean()), 1e-9)
    return {name: (values - mean) / scale for name, values in sets.items()}


def radar_space(sets: dict[str, ImageSet]) -> dict[str, numpy.ndarray]:
    """(N, 6 + BANDS); a quantity that cannot be measured counts as the training mean."""
    known = numpy.isfinite(sets["train"].motion)
    usual = numpy.nansum(sets["train"].motion, axis=0) / known.sum(0).clip(1)
    motion = {name: numpy.where(numpy.isnan(part.motion), usual, part.motion) for name, part in sets.items()}
    weight = numpy.sqrt(len(QUANTITIES) / BANDS)
    profiles = common_scale({name: part.profile for name, part in sets.items()}, columns=True)
    motion = common_scale(motion, columns=True)
    return {name: numpy.hstack([motion[name], weight * profiles[name]]) for name in sets}


def latent_space(latents: dict[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
    """(N, 2 * LATENT_BANDS * C) of latents (N, C, h, w), h a multiple of LATENT_BANDS."""

    def pooled(z: numpy.ndarray) -> numpy.ndarray:
        bands = z.reshape(*z.shape[:2], LATENT_BANDS, -1, z.shape[3]).mean(3)
        return numpy.concatenate([bands.mean(3), bands.std(3)], axis=1).reshape(len(z), -1)

    return common_scale({name: pooled(z) for name, z in latents.items()})


# Networks over images


def seen_by(
    networks: Networks, pictures: Iterable[Image.Image], features: dict[str, list[numpy.ndarray]]
) -> Iterator[Image.Image]:
    """The images as they come. Of every BATCH of them float32 (B, ...) of each network, which sees uint8
    (B, 3, size, size), goes to `features` by its name.
    """
    waiting: dict[str, list[Tensor]] = {name: [] for name in networks}

    def look(name: str) -> None:
        outputs = networks[name][0](torch.stack(waiting[name]))
        features.setdefault(name, []).append(outputs.float().cpu().numpy())
        waiting[name].clear()

    for picture in pictures:
        for name, (_, size) in networks.items():
            waiting[name].append(preprocess(picture, size))
            if len(waiting[name]) == BATCH:
                look(name)
        yield picture
    for name in filter(waiting.get, networks):
        look(name)


def encoder(vae: VAVAE) -> Callable[[Tensor], Tensor]:
    """Posterior means (B, C, h, w)."""
    return lambda images: vae.encode(images).mean


def inception(path: str, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Features (B, 2048), those of FID. Errors of `load_inception`."""
    network = load_inception(path, device, (POOLED,), "--inception")
    return torch.no_grad()(lambda images: network(images.to(device))[0])


def dinov2(path: str, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Mean patch token (B, 384) of timm's smallest DINOv2. Errors of `load_teacher`."""
    network = load_teacher("vit_small_patch14_dinov2", path).to(device)
    return lambda images: network(to_float(images.to(device))).mean((2, 3))


NETWORKS = {"inception": (inception, 299), "dinov2": (dinov2, 224)}  # and the side of the images they see
