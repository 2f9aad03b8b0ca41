"""FID and its relatives as papers have them, by torch-fidelity and its Inception network.

FID (arXiv 1706.08500), Inception Score (1606.03498), KID (1801.01401), precision and recall (1904.06991),
in that library's settings. The network was trained on photographs; docs/fid.md says what that means here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from configs.command_line import say
from configs.dry_run import tell_plan
from configs.errors import UserError
from configs.keys import identity
from configs.schema import FidConfig
from configs.version import VERSION
from data.atomic import read_object, write_text
from data.image_array import read_statistics
from data.images import file_digest
from data.progress import progress
from data.run_record import claim_folder
from evaluation.image_sources import ImageSource, find_source
from evaluation.inception import LOGITS, POOLED, WIDTH, load_inception
from runtime.devices import resolve_device
from weight_files.hub import with_local_files

COMPARABLE = 2048  # images: with fewer, the covariance of so many features is singular
SUBSET = 1000  # images of each of KID's subsets, where there are so many
PARTS, NEIGHBOURS = 10, 3  # of the Inception Score; of precision and recall
FIGURES = {
    "frechet_inception_distance": "FID",
    "inception_score": "Inception Score",
    "kernel_inception_distance": "KID",
    "precision": "precision",
    "recall": "recall",
}
SECTIONS = ("accounts", "counts", "figures", "left_out")  # of fid.json, that `lines` tells of
Features = dict[str, Tensor]


def run(config: FidConfig) -> None:
    """FID, Inception Score, KID, precision and recall by torch-fidelity, into fid.json."""
    config = with_local_files(config)
    device = resolve_device(config.device)
    network = load_inception(config.inception_path, device, (POOLED, LOGITS), "--inception_path")
    sources = {name: find_source(f"--{name}", getattr(config, name)) for name in ("generated", "reference")}
    for source in sources.values():
        require_two(source, source.count)
    claimed = identity(
        config,
        inception_path=file_digest(str(config.inception_path)),
        **{name: source.digest for name, source in sources.items()},
    )
    folder, path = Path(config.output_dir), Path(config.output_dir) / "fid.json"
    with claim_folder(folder, claimed, path.name, config.dry_run):
        if config.dry_run:
            return tell(config, sources, path)
        if path.is_file():
            say(f"{path} was measured on the same images: skipped")
            sections = read_object(path, "delete it, and it is measured again", SECTIONS)
        else:
            sections = {"inputs": claimed, **measure(sources, network, device, config.batch_size)}
            write_text(path, json.dumps(sections, indent=1) + "\n")
    say("\n".join([*lines(sections), f"all figures are in {path}"]))


def tell(config: FidConfig, sources: dict[str, ImageSource], path: Path) -> None:
    """What a dry run says."""
    tell_plan(
        {"fid": config},
        reads=[f"{source.path}: {source.count or 'no'} images" for source in sources.values()],
        writes=[] if path.is_file() else [config.output_dir],
        does="show what was measured" if path.is_file() else "measure by torch-fidelity's Inception",
    )


def require_two(source: ImageSource, count: int | None) -> None:
    """UserError: fewer than two images, of which nothing spreads."""
    if count is not None and count < 2:
        raise UserError(f"{source.account(count)}; expected 2 images or more")


def measure(
    sources: dict[str, ImageSource], network: torch.nn.Module, device: torch.device, batch_size: int
) -> dict[str, Any]:
    """The sections of fid.json but its inputs."""
    features = {
        name: features_of(source, network, device, batch_size)
        for name, source in sources.items()
        if source.count is not None
    }
    counts = {name: len(features[name][POOLED]) if name in features else None for name in sources}
    figures, left_out = figures_of(sources, features)
    return {
        "versions": {
            "version": VERSION,
            "torch": torch.__version__,
            "torch-fidelity": version("torch-fidelity"),
        },
        "accounts": {name: source.account(counts[name] or 0) for name, source in sources.items()},
        "counts": counts,
        "figures": figures,
        "left_out": left_out,
    }


def features_of(
    source: ImageSource, network: torch.nn.Module, device: torch.device, batch_size: int
) -> Features:
    """Pooled features (N, WIDTH) and logits (N, 1008), float32 on the CPU, of the images that can be read."""
    outputs: list[tuple[Tensor, ...]] = []
    images = progress(source.images(), total=source.count, description=source.path.name, unit="img")
    with torch.no_grad():
        for batch in batches(images, batch_size):
            outputs.append(tuple(part.cpu() for part in network(batch.to(device))))
    require_two(source, sum(len(part[0]) for part in outputs))
    return {name: torch.cat(parts) for name, parts in zip((POOLED, LOGITS), zip(*outputs))}


def batches(images: Iterable[numpy.ndarray], size: int) -> Iterator[Tensor]:
    """uint8 (B, 3, H, W) of at most `size` neighbours; images of another size begin another batch."""
    batch: list[numpy.ndarray] = []
    for image in images:
        if batch and (len(batch) == size or image.shape != batch[0].shape):
            yield torch.from_numpy(numpy.stack(batch)).permute(0, 3, 1, 2)
            batch = []
        batch.append(image)
    if batch:
        yield torch.from_numpy(numpy.stack(batch)).permute(0, 3, 1, 2)


def figures_of(
    sources: dict[str, ImageSource], features: dict[str, Features]
) -> tuple[dict[str, float], list[str]]:
    """Figures by torch-fidelity's names, and what could not be measured, with the reason."""
    # Not at the top: nothing else needs it.
    from torch_fidelity.metric_fid import fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    statistics = {name: statistics_of(source, features.get(name)) for name, source in sources.items()}
    figures = fid_statistics_to_metric(statistics["generated"], statistics["reference"], verbose=False)
    left_out = []
    if "generated" in features and len(features["generated"][LOGITS]) >= PARTS:
        figures |= isc_features_to_metric(features["generated"][LOGITS], PARTS)
    else:
        left_out.append(f"Inception Score requires {PARTS} generated images")
    pooled = [features[name][POOLED] for name in sources if name in features]
    least = min(map(len, pooled)) if len(pooled) == 2 else 0
    if least:
        figures |= kid_features_to_metric(*pooled, kid_subset_size=min(SUBSET, least), verbose=False)
    else:
        left_out.append("KID requires images on both sides, not statistics alone")
    if least > NEIGHBOURS:
        # Distances in parts, whose memory does not grow with the square of the count.
        figures |= prc_features_to_metric(
            *pooled, prc_neighborhood=NEIGHBOURS, save_cpu_ram=True, verbose=False
        )
    else:
        left_out.append(f"precision and recall require {NEIGHBOURS + 1} images on both sides")
    return figures, left_out


def statistics_of(source: ImageSource, features: Features | None) -> dict[str, numpy.ndarray]:
    """mu (WIDTH,) and sigma (WIDTH, WIDTH), float64: what an .npz brings, as in ADM's evaluator, else of the
    features.
    """
    from torch_fidelity.metric_fid import fid_features_to_statistics

    if source.has_statistics:
        return dict(zip(("mu", "sigma"), read_statistics(source.path, WIDTH)))
    assert features is not None
    return {
        name: values.astype(numpy.float64)
        for name, values in fid_features_to_statistics(features[POOLED]).items()
    }


def lines(sections: dict[str, Any]) -> list[str]:
    """What was read, the figures, what is missing, and what the count does to them."""
    figures, counts = sections["figures"], sections["counts"]
    varied = (
        min(count or 0 for count in counts.values()) > SUBSET
    )  # else each of KID's subsets is the whole set
    shown = []
    for name, words in FIGURES.items():
        value = figures.get(name, figures.get(f"{name}_mean"))
        spread = figures.get(f"{name}_std") if varied or words != "KID" else None
        if value is not None:
            shown.append(f"{words} {value:.4g}" + ("" if spread is None else f" ± {spread:.2g}"))
    said = [f"{name}: {account}" for name, account in sections["accounts"].items()]
    said += [", ".join(shown), *(f"not measured: {reason}" for reason in sections["left_out"])]
    few = [f"{count} {name}" for name, count in counts.items() if count is not None and count < COMPARABLE]
    if few:
        said.append(
            f"warning: FID of {' and '.join(few)} images is biased upwards; figures of fewer than "
            f"{COMPARABLE:,} images do not compare with published ones, nor with those of other counts"
        )
    return said
