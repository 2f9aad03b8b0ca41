"""Latents as they are read from disk: our safetensors files, or upstream's shards.

N samples, C channels, H x W positions. `<split>.safetensors`, or above 50,000 samples
`<split>-00000-of-00012.safetensors`:

latents       (N, C, H, W) float32   posterior mean
latents_std   (N, C, H, W) float32   posterior standard deviation (optional)
latents_flip  (N, C, H, W) float32   posterior mean of the horizontally flipped images (optional)
labels        (N,) int64             class indices into the label table
user_ids      (N,) int64             the folders' numbers (index + 1 for a folder without one)
num_samples, num_users   (1,) int64  rows in this file, length of the label table

The header holds JSON strings: format_version, label_table, paths (of this file's rows; path#n is the n-th
change of an image), num_samples and num_users (of the whole split), shard_index, num_shards, fingerprint (one
extraction's mark, equal in all its shards) and the caller's own entries.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from configs.errors import UserError
from configs.json_text import parse_json
from data.labels import LabelTable, listing, natural_key
from data.latent_stats import REBUILD
from data.row_tensor import Rows, RowTensor

FORMAT_VERSION = 1
UPSTREAM_LAYOUT = "lightningdit"
KINDS = ("latents", "latents_std", "latents_flip")  # what a file may hold of each sample
UPSTREAM_PATTERN = "latents_rank*_shard*.safetensors"
HEADER_KEYS = {
    "format_version",
    "label_table",
    "paths",
    "num_samples",
    "num_users",
    "shard_index",
    "num_shards",
    "fingerprint",
}


@dataclass(frozen=True, eq=False)
class LatentSet:
    """All latents of one split, memory-mapped, so do not write to them; several shards are `RowTensor`s.

    `latents_flip` are latents of the horizontally flipped images, where they were wanted.
    """

    latents: Rows  # (N, C, H, W) float32
    latents_std: Rows | None  # (N, C, H, W) float32
    labels: torch.Tensor  # (N,) int64
    label_table: LabelTable
    paths: list[str]
    metadata: dict = field(default_factory=dict)
    latents_flip: Rows | None = None  # (N, C, H, W) float32

    def __len__(self) -> int:
        return len(self.latents)


def folder_numbers(table: LabelTable) -> torch.Tensor:
    """(num_users,) int64: each folder's number, or its index + 1 where its name has none; index + 1 for all
    where two people would share a number.
    """
    numbers = [table.number(index) for index in range(len(table))]
    usable = [index + 1 if n is None or n >= 2**63 else n for index, n in enumerate(numbers)]
    usable = usable if len(set(usable)) == len(usable) else list(range(1, len(usable) + 1))
    return torch.tensor(usable, dtype=torch.int64)


# Files


def file_names(split: str, num_shards: int) -> list[str]:
    if num_shards == 1:
        return [f"{split}.safetensors"]
    return [f"{split}-{index:05d}-of-{num_shards:05d}.safetensors" for index in range(num_shards)]


# Reading


def read_latents(folder: str | os.PathLike, split: str) -> LatentSet:
    """Read one split in our layout, or, where there is none, for "train" upstream's shards.

    Upstream's label table is its class numbers as strings. FileNotFoundError: no such folder or split.
    UserError: damaged or incomplete files, shards of different extractions, an unknown format version,
    tensors that do not fit together, values that are not finite.
    """
    folder = Path(folder)
    files = complete_files(folder, split)
    if files:
        latent_set = _read_ours(files)
    else:
        files = _upstream_files(folder) if split == "train" else []
        if not files:
            what = f"no latents of split {split!r}" if folder.is_dir() else "no such latents folder"
            raise FileNotFoundError(
                f"{folder}: {what}; expected {split}.safetensors: make it with stage1_extract_features.py"
            )
        latent_set = _read_upstream(files)
    _refuse_flawed(latent_set, f"{files[0]}: damaged latents file")
    return latent_set


def read_metadata(folder: str | os.PathLike, split: str) -> dict | None:
    """The header of a split in our layout: the caller's entries, label_table, num_samples, fingerprint, …

    None where it is absent, incomplete, damaged or of another format version, so that it is built anew.
    Reads headers only.
    """
    try:
        files = complete_files(Path(folder), split)
        return _without_shard_keys(_read_headers(files)[0]) if files else None
    except (ValueError, OSError):
        return None


def _upstream_files(folder: Path) -> list[Path]:
    return sorted(folder.glob(UPSTREAM_PATTERN), key=lambda path: natural_key(path.name))


def present_files(folder: Path, split: str) -> list[Path]:
    pattern = re.compile(rf"{re.escape(split)}(-\d{{5}}-of-\d{{5}})?\.safetensors")
    return sorted(path for path in folder.glob("*.safetensors") if pattern.fullmatch(path.name))


def complete_files(folder: Path, split: str) -> list[Path]:
    """The files of a split in order, possibly none; UserError where some are missing or left over."""
    present = [path.name for path in present_files(folder, split)]
    if not present:
        return []
    num_shards = int(present[-1].split("-of-")[1][:5]) if "-of-" in present[-1] else 1
    expected = file_names(split, num_shards)
    if present != expected:
        differing = sorted(set(present) ^ set(expected))
        raise UserError(
            f"{folder}: the files of split {split!r} are not one complete set (missing or left "
            f"over: {listing(differing, 5)}); {REBUILD}"
        )
    return [folder / name for name in present]


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file raises into one line that names it."""
    try:
        yield
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: damaged or incomplete latents file ({reason}); {REBUILD}") from error


def _read_headers(files: Sequence[Path]) -> list[dict]:
    headers = []
    for index, path in enumerate(files):
        with _reading(path), safe_open(path, framework="pt") as file:
            header = {key: parse_json(value) for key, value in (file.metadata() or {}).items()}
        version = header.get("format_version")
        if version != FORMAT_VERSION:
            raise UserError(f"{path}: format version {version!r}, expected {FORMAT_VERSION}; {REBUILD}")
        missing = sorted(HEADER_KEYS - set(header))
        if missing:
            raise UserError(f"{path}: header lacks {listing(missing)}; {REBUILD}")
        headers.append(header)
        if (header["num_shards"], header["shard_index"]) != (len(files), index) or header[
            "fingerprint"
        ] != headers[0]["fingerprint"]:
            raise UserError(f"{path}: belongs to another extraction than {files[0].name}; {REBUILD}")
    return headers


def _without_shard_keys(header: dict) -> dict:
    return {key: value for key, value in header.items() if key not in ("paths", "shard_index", "num_shards")}


def _read_ours(files: Sequence[Path]) -> LatentSet:
    headers = _read_headers(files)
    tensors = _read_tensors(files, ("latents", "labels"), ("latents_std", "latents_flip"))
    with _reading(files[0]):
        table = LabelTable.from_json(json.dumps(headers[0]["label_table"]))
        held, promised = (
            [len(tensors["latents"]), len(table)],
            [headers[0][key] for key in ("num_samples", "num_users")],
        )
        if held != promised:
            raise UserError(f"{held} samples and users, the header says {promised}")
        paths = [path for header in headers for path in header["paths"]]
        if not all(isinstance(path, str) for path in paths):
            raise UserError("paths are no texts")
    return LatentSet(
        tensors["latents"],
        tensors.get("latents_std"),
        tensors["labels"],
        table,
        paths,
        _without_shard_keys(headers[0]),
        tensors.get("latents_flip"),
    )


def _read_upstream(files: Sequence[Path]) -> LatentSet:
    tensors = _read_tensors(files, ("latents", "labels"), ("latents_flip",))
    labels = tensors["labels"].long()
    with _reading(files[0]):
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < 2**20:
            raise UserError(f"labels from {int(labels.min())} to {int(labels.max())} are no class numbers")
    num_classes = int(labels.max()) + 1 if labels.numel() else 1
    table = LabelTable(tuple(map(str, range(num_classes))))  # index i is class number i, seen or not
    paths = [f"{files[0].parent.name}#{row}" for row in range(len(labels))]
    return LatentSet(
        tensors["latents"],
        None,
        labels,
        table,
        paths,
        {"layout": UPSTREAM_LAYOUT},
        tensors.get("latents_flip"),
    )


def _read_tensors(files: Sequence[Path], required: Sequence[str], optional: Sequence[str]) -> dict[str, Any]:
    """Tensors of all files joined along the sample axis; an optional one must be in all files or in none."""
    parts: dict[str, list[torch.Tensor]] = {}
    for path in files:
        with _reading(path), safe_open(path, framework="pt") as file:
            names = [*required, *(name for name in optional if name in file.keys())]
            for name in names:
                tensor = file.get_tensor(name)
                if name.startswith("latents") and not tensor.is_floating_point():
                    raise UserError(f"{name} are {tensor.dtype}, expected floating-point numbers")
                parts.setdefault(name, []).append(tensor.float() if name.startswith("latents") else tensor)
    joined = {}
    for name, tensors in parts.items():
        with _reading(files[0]):
            if len(tensors) < len(files):
                raise UserError(f"{name} is in {len(tensors)} of {len(files)} shards")
            join = RowTensor if name.startswith("latents") else torch.cat  # a copy of labels is small
            joined[name] = tensors[0] if len(tensors) == 1 else join(tensors)
    return joined


def _refuse_flawed(latent_set: LatentSet, what: str) -> None:
    flaw = _flaw(latent_set)
    if flaw:
        raise UserError(f"{what} ({flaw}); {REBUILD}")


def _flaw(latent_set: LatentSet) -> str | None:
    """What keeps the parts from fitting together, or which values are unusable; None when all is well."""
    shape, labels = tuple(latent_set.latents.shape), latent_set.labels
    if len(shape) != 4 or 0 in shape or shape[2] != shape[3]:
        return f"latents have shape {shape}, expected (N, C, H, H) with nothing empty"
    for name in ("latents", "latents_std", "latents_flip"):
        tensor = getattr(latent_set, name)
        if tensor is None:
            continue
        if tuple(tensor.shape) != shape:
            return f"{name} has shape {tuple(tensor.shape)}, latents {shape}"
        bad = [row for row, sample in enumerate(tensor) if not sample.isfinite().all()]
        if bad:
            return f"{name} holds values that are not finite in sample {listing(bad, 5)}"
    if latent_set.latents_std is not None and any(bool((row < 0).any()) for row in latent_set.latents_std):
        return "latents_std holds negative values"
    if labels.dtype != torch.int64 or tuple(labels.shape) != shape[:1] or len(latent_set.paths) != shape[0]:
        return (
            f"{shape[0]} latents, labels {labels.dtype} {tuple(labels.shape)}, {len(latent_set.paths)} "
            "paths, expected one int64 label and one path each"
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(latent_set.label_table):
        return f"labels from {low} to {high}, the label table has {len(latent_set.label_table)} users"
    return None
