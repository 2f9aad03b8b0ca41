"""Trained models as files: slim safetensors, Lightning checkpoints, published checkpoints."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from configs.errors import UserError
from configs.json_text import parse_json
from configs.version import VERSION
from data.atomic import replacing
from data.axes import Axes
from data.labels import LabelTable
from data.latent_stats import LatentStatistics
from data.tensor_files import save_tensors
from models.embedders import table_rows
from models.lightningdit import LightningDiT
from models.weights import infer_architecture, load_dit, people_table
from transport import create_transport
from weight_files.hub import local_file
from weight_files.reading import WeightFile, load_strict, values_digest

FORMAT = "microdoppler-dit-1"
DEMO = "demo"  # the word for the model of simulated walkers that ships with the project
DEMO_FILE = Path(__file__).resolve().parents[1] / "pretrained" / "microdoppler_dit_demo.safetensors"
REFERENCES = "references"  # the word for the one that draws people from images of them
REFERENCES_FILE = DEMO_FILE.with_name("microdoppler_dit_references.safetensors")
GAITS = "gaits"  # the word for the one whose people walk in many ways
GAITS_FILE = DEMO_FILE.with_name("microdoppler_dit_gaits.safetensors")
SHIPPED = {DEMO: DEMO_FILE, REFERENCES: REFERENCES_FILE, GAITS: GAITS_FILE}
DEMO_AXES = Axes(-1.225, 5.175, 2.108, 32.0, "jet")  # of its training images; its file does not tell them
PAYLOAD_KEY = "microdoppler"
CONDITION_TABLE = "y_embedder.condition_table.weight"


@dataclass(frozen=True)
class DitPayload:
    """All that sampling needs beside the weights.

    `model` and `transport` are constructor arguments; `tokenizer_digest` is None where it is not known, and
    so are the `axes` of the images.
    """

    model: dict[str, Any]
    transport: dict[str, Any]
    labels: LabelTable
    statistics: LatentStatistics
    tokenizer_digest: str | None
    preprocessing: dict[str, Any]
    config: dict[str, Any]
    axes: Axes | None = None

    def to_json(self) -> str:
        """The payload as text, with the version that writes it; float32 statistics survive exactly."""
        return json.dumps(
            {
                "format": FORMAT,
                "version": VERSION,
                "model": self.model,
                "transport": self.transport,
                "labels": list(self.labels.names),
                "statistics": {
                    "mean": self.statistics.mean.flatten().tolist(),
                    "std": self.statistics.std.flatten().tolist(),
                },
                "tokenizer_digest": self.tokenizer_digest,
                "preprocessing": self.preprocessing,
                "config": self.config,
                "axes": self.axes and self.axes.known(),
            },
            sort_keys=True,
        )

    @classmethod
    def from_json(cls, text: str, source: str) -> DitPayload:
        """Inverse of `to_json`; UserError naming `source` when something is missing."""
        try:
            content = parse_json(text)
            if content["format"] != FORMAT:
                raise UserError(f"format {content['format']!r}, expected {FORMAT!r}")
            mean, std = (
                torch.tensor(content["statistics"][name]).view(1, -1, 1, 1) for name in ("mean", "std")
            )
            return cls(
                content["model"],
                content["transport"],
                LabelTable.from_json(json.dumps(content["labels"])),
                LatentStatistics(mean, std),
                content["tokenizer_digest"],
                content["preprocessing"],
                content["config"],
                Axes.of(content.get("axes"), source),
            )
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(
                f"{source}: damaged metadata ({error}); train again or use another copy"
            ) from error


def write_slim(path: Path, weights: dict[str, torch.Tensor], payload: DitPayload) -> None:
    """Weights and payload as one safetensors file, atomically; equal inputs give equal bytes."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in sorted(weights.items())}
    with replacing(path) as temporary:
        save_tensors(tensors, temporary, {PAYLOAD_KEY: payload.to_json()})


def is_published(path: str | os.PathLike) -> bool:
    """Whether a checkpoint is of another project, whose files tell no statistics."""
    return str(path) not in SHIPPED and Path(path).suffix not in (".safetensors", ".ckpt")


def load_trained(
    path: str | os.PathLike, latents_stats: str | os.PathLike | None = None
) -> tuple[LightningDiT, DitPayload]:
    """The averaged network (evaluation mode, float32, CPU) and its payload.

    Takes best.safetensors, best.ckpt/last.ckpt, a word of `SHIPPED` (a file called so is ./demo), or a
    published `.pt`, for which `latents_stats` must be given. UserError or FileNotFoundError in one line for
    anything else.
    """
    is_demo, path = path == DEMO, SHIPPED.get(str(path)) or local_file(path)
    file = WeightFile(path, "file", "stage 2 writes checkpoints/best.ckpt", "--dit_checkpoint")
    if is_published(path):
        file.require()
        return _load_published(path, latents_stats)
    state, payload = _read_slim(file) if path.suffix == ".safetensors" else _read_lightning(file)
    if latents_stats is not None:
        raise UserError(
            f"--latents_stats {latents_stats}: {path.name} carries its own statistics; leave the flag out"
        )
    return _build(state, payload, str(path)), replace(payload, axes=DEMO_AXES) if is_demo else payload


def _build(state: dict[str, torch.Tensor], payload: DitPayload, source: str) -> LightningDiT:
    """The described network with these weights; UserError naming `source` where the parts do not fit."""
    way_out = "train again or use another copy"
    try:
        described = dict(payload.model)
        inferred = infer_architecture(state, described.get("num_heads"))
        require_rows(state, described)
        untold = ("mlp_ratio", "class_dropout_prob", "use_checkpoint", "num_classes", "combinations")
        described = {"flow_map": False, "references": False} | described  # not told before there were such
        wrong = {key for key in inferred if inferred[key] != described.get(key)}.difference(untold)
        if wrong:  # before such a model is built, which may be of any size
            raise UserError(f"the weights have another {', '.join(sorted(wrong))}")
        with torch.device("meta"):  # no point in drawing weights that are overwritten at once
            model = LightningDiT(**payload.model)
        create_transport(**payload.transport)
    except (TypeError, ValueError, AssertionError, ArithmeticError, RuntimeError) as error:
        raise UserError(f"{source}: metadata does not describe a valid model ({error}); {way_out}") from error
    sizes = payload.statistics.num_channels, len(payload.labels)
    if sizes != (model.in_channels, model.null_class):
        raise UserError(
            f"{source}: statistics of {sizes[0]} channels and a table of {sizes[1]} users, but a "
            f"model of {model.in_channels} channels and {model.null_class} users; {way_out}"
        )
    load_strict(model, state, source)
    return model.eval().requires_grad_(False)


def require_rows(state: dict[str, torch.Tensor], described: dict[str, Any]) -> None:
    """UserError: the weights know another number of people than the description tells."""
    tables = (state.get(name, ()) for name in (people_table(state), CONDITION_TABLE))
    stated: list[Any] = [
        described.get(name) for name in ("num_classes", "class_dropout_prob", "combinations")
    ]
    expected = (stated[0] + 1, 0) if described.get("references") else table_rows(*stated)
    if tuple(map(len, tables)) != expected:
        raise UserError("the weights have another num_classes")


def _read_slim(file: WeightFile) -> tuple[dict[str, torch.Tensor], DitPayload]:
    state, metadata = file.safetensors()
    if PAYLOAD_KEY not in metadata:
        raise file.refusal("no model description inside", "expected best.safetensors of stage 2")
    return state, DitPayload.from_json(metadata[PAYLOAD_KEY], str(file.path))


def _read_lightning(file: WeightFile) -> tuple[dict[str, torch.Tensor], DitPayload]:
    content = file.torch()
    if not isinstance(content, dict) or PAYLOAD_KEY not in content or "state_dict" not in content:
        text = f"not a checkpoint of stage 2 (no {PAYLOAD_KEY!r} entry)"
        raise file.refusal(text, "expected checkpoints/best.ckpt")
    state = {
        name.removeprefix("ema."): value
        for name, value in content["state_dict"].items()
        if name.startswith("ema.")
    }
    return state, DitPayload.from_json(content[PAYLOAD_KEY], str(file.path))


def _load_published(path: Path, latents_stats: str | os.PathLike | None) -> tuple[LightningDiT, DitPayload]:
    model = load_dit(path)
    if latents_stats is None:
        raise UserError(
            f"--dit_checkpoint {path}: a published checkpoint carries no latent statistics; "
            "give --latents_stats latents_stats.pt"
        )
    statistics = LatentStatistics.load(latents_stats)
    if statistics.num_channels != model.in_channels:
        raise UserError(
            f"--latents_stats {latents_stats}: {statistics.num_channels} channels, {path.name} has "
            f"{model.in_channels}; give the statistics of the latents that it was trained on"
        )
    labels = LabelTable(tuple(str(index) for index in range(model.null_class)))
    payload = DitPayload(model.config, {}, labels, statistics, None, {}, {})
    return model.eval().requires_grad_(False), payload


def weights_digest(model: LightningDiT) -> str:
    """SHA-256 over the sorted names and float32 values: names the weights, whatever file they came from."""
    return values_digest(model, torch.float32, "{name}")
