"""What the tokenizer keeps of real images: the ceiling of everything that is drawn in its latents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from data.images import ImageRecord, open_rgb
from data.progress import progress
from evaluation.estimates import estimate_of
from evaluation.features import ImageSet
from evaluation.judge import Judge, to_input
from evaluation.motion import QUANTITIES
from tokenizer.losses import psnr, ssim
from tokenizer.vavae import VAVAE, as_rows, preprocess


def reconstructions(
    vae: VAVAE, latents: numpy.ndarray, records: Sequence[ImageRecord], fidelity: dict[str, list[float]]
) -> Iterator[Image.Image]:
    """Each image decoded from its latents (N, C, h, w); its PSNR (dB) and SSIM go to `fidelity`."""
    for z, record in zip(progress(latents, description="reconstructing", unit="img"), records, strict=True):
        decoded = vae.decode(torch.from_numpy(z)[None])
        original = preprocess(open_rgb(record), vae.image_size)
        pair = decoded, original[None]
        fidelity.setdefault("psnr_db", []).append(float(psnr(*pair)))
        fidelity.setdefault("ssim", []).append(float(ssim(*pair)))
        yield Image.fromarray(as_rows(decoded)[0])


@torch.no_grad()
def perceptual_distance(judge: Judge, a: numpy.ndarray, b: numpy.ndarray) -> numpy.ndarray:
    """(N,) distances of images (N, V, T, 3) as the judge takes them: its maps with every position's channels
    of length 1, their squared differences averaged over positions and maps. LPIPS (Zhang et al.,
    arXiv 1801.03924) without learned weights, on the only network at hand that knows such images.
    """

    def maps(images: Tensor) -> Iterator[Tensor]:
        for layer in judge.maps(to_input(images).to(judge.temperature.device)):
            yield functional.normalize(layer, dim=1)

    pairs = zip(*(torch.from_numpy(images).split(judge.batch) for images in (a, b)), strict=True)
    return torch.cat(
        [
            torch.stack([(p - q).square().sum(1).mean((1, 2)) for p, q in zip(maps(x), maps(y))])
            .mean(0)
            .cpu()
            for x, y in pairs
        ]
    ).numpy()


def tokenizer_check(
    judge: Judge, real: ImageSet, rebuilt: ImageSet, fidelity: dict[str, list[float]], unit: str
) -> dict[str, Any]:
    """Estimates over the held-out images; `perceptual_floor` is between real ones of the same person."""
    order = numpy.argsort(real.labels, kind="stable")
    neighbour, same = order[1:], real.labels[order[1:]] == real.labels[order[:-1]]
    first, second = order[:-1][same], neighbour[same]
    error = numpy.abs(rebuilt.motion - real.motion)[:, QUANTITIES.index("torso_velocity")]
    estimates = {name: estimate_of(numpy.array(values)) for name, values in fidelity.items()}
    return estimates | {
        "perceptual": estimate_of(perceptual_distance(judge, real.seen, rebuilt.seen)),
        "perceptual_floor": estimate_of(perceptual_distance(judge, real.seen[first], real.seen[second])),
        f"torso_error_{unit}": estimate_of(error),
    }
