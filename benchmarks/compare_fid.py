"""Figures of stage4_evaluate.py fid beside those of torch-fidelity's own call on the same two folders.

    python -m benchmarks.compare_fid generated reference --inception_path inception.pth
    python -m benchmarks.compare_fid --quick    # of simulated walks and of noise, no form

All images have one size. Without weights a network of random ones is compared: its figures mean nothing, but
pass through the same arithmetic. The exit status is 1 where a figure differs by more than 1e-3.
"""

from __future__ import annotations

import argparse
import io
import shlex
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.form import table
from benchmarks.pictures import write_pictures, write_walks
from benchmarks.turns import report
from configs.command_line import run_script
from evaluation.fid import SUBSET, measure
from evaluation.image_sources import find_source
from evaluation.inception import LOGITS, NAME, POOLED, load_inception
from runtime.devices import resolve_device

TOLERANCE = 1e-3  # of the figure, of 1 where it is smaller


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "folders", nargs="*", type=Path, metavar="FOLDER", help="generated and reference images"
    )
    parser.add_argument("--inception_path", type=Path, help="weights of torch-fidelity's Inception")
    parser.add_argument("--quick", action="store_true", help="of 24 images each, no form")
    options = parser.parse_args([token for token in argv if token != "--debug"])
    if len(options.folders) != (0 if options.quick else 2):
        parser.error("expected two folders, or --quick alone")
    with tempfile.TemporaryDirectory() as scratch:
        folders = options.folders or [Path(scratch) / name for name in ("walks", "noise")]
        if options.quick:
            write_walks(folders[0], people=4, each=6)
            write_pictures(folders[1], 24)
        weights = options.inception_path or write_random_weights(Path(scratch) / "random.pth")
        body, faults = compare(*folders, weights)
    body += "" if options.inception_path else "\n\nInception with random weights."
    command = shlex.join(["python", "-m", "benchmarks.compare_fid", *argv])
    title = "FID and its relatives beside torch-fidelity's own call"
    sys.exit(report("fid", title, command, body, faults, write=not options.quick))


def write_random_weights(path: Path, seed: int = 0) -> Path:
    """A file as torch-fidelity's, of weights that keep the variance of what passes through the network."""
    from torch_fidelity import FeatureExtractorInceptionV3

    class Fresh(FeatureExtractorInceptionV3):
        """Keeps its first weights."""

        def load_state_dict(self, state: dict) -> None:
            pass

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    network = Fresh(NAME, [POOLED], feature_extractor_weights_path=nothing)
    draw = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            inputs = module.weight[0].numel()
            module.weight.data.normal_(0, (2 / inputs) ** 0.5, generator=draw)
    network.fc.weight.data.normal_(0, 0.5, generator=draw)
    torch.save(network.state_dict(), path)
    return path


def compare(generated: Path, reference: Path, weights: Path) -> tuple[str, list[str]]:
    """The table, and what is wrong."""
    sources = {"generated": find_source("", str(generated)), "reference": find_source("", str(reference))}
    device = resolve_device("auto")
    network = load_inception(str(weights), device, (POOLED, LOGITS), "--inception_path")
    sections = measure(sources, network, device, batch_size=32)
    ours, counts = sections["figures"], sections["counts"]
    theirs = own_call(generated, reference, weights, device, min(SUBSET, *counts.values()))
    rows, faults = [], []
    for name, value in theirs.items():
        error = abs(ours[name] - value) / max(1.0, abs(value))
        rows.append([name, f"{ours[name]:.7g}", f"{value:.7g}", f"{error:.1e}"])
        if not error <= TOLERANCE:
            faults.append(f"{name} is {ours[name]:.7g}, torch-fidelity says {value:.7g}")
    head = f"{counts['generated']} generated and {counts['reference']} reference images\n\n"
    return head + table(["figure", "fid", "torch-fidelity", "difference"], rows), faults


def own_call(
    generated: Path, reference: Path, weights: Path, device: torch.device, subset: int
) -> dict[str, float]:
    """What torch-fidelity itself finds, by its usual settings but for the size of KID's subsets."""
    from torch_fidelity import calculate_metrics

    return calculate_metrics(
        input1=str(generated),
        input2=str(reference),
        cuda=device.type == "cuda",
        **dict.fromkeys(("isc", "fid", "kid", "prc"), True),
        feature_extractor=NAME,
        feature_extractor_weights_path=str(weights),
        kid_subset_size=subset,
        samples_find_deep=True,
        cache=False,
        verbose=False,
    )


if __name__ == "__main__":
    run_script(main)
