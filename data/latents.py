"""Latents on disk: our safetensors files in and out, upstream's shards in and out.

N samples, C channels, H x W positions. `<split>.safetensors`, or above 50,000 samples
`<split>-00000-of-00012.safetensors`:

latents       (N, C, H, W) float32   posterior mean
latents_std   (N, C, H, W) float32   posterior standard deviation (optional)
latents_flip  (N, C, H, W) float32   posterior mean of the horizontally flipped images (optional)
labels        (N,) int64             class indices into the label table
user_ids      (N,) int64             the folders' numbers (index + 1 for a folder without one)
num_samples, num_users   (1,) int64  rows in this file, length of the label table

The header holds JSON strings: format_version, label_table, paths (of this file's rows), num_samples and
num_users (of the whole split), shard_index, num_shards, fingerprint (one extraction's mark, equal in all its
shards) and the caller's own entries.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from configs.errors import UserError
from data.atomic import replacing, temporary_name
from data.labels import LabelTable, listing, natural_key
from data.latent_stats import REBUILD, LatentStatistics
from data.row_tensor import Rows, RowTensor
from data.tensor_files import (
    change_metadata,
    copy_with_metadata,
    reserve_tensors,
    save_tensors,
    tensor_positions,
    write_values,
)

FORMAT_VERSION = 1
SHARD_SIZE = 50_000
UPSTREAM_SHARD_SIZE = 10_000
ROWS_AT_ONCE = 512  # 16 MB of (32, 16, 16) float32 latents
UPSTREAM_LAYOUT = "lightningdit"
KINDS = ("latents", "latents_std", "latents_flip")  # what a file may hold of each sample
UPSTREAM_PATTERN = "latents_rank*_shard*.safetensors"
OWN_KEYS = {
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

    def user_ids(self) -> torch.Tensor:
        """(N,) int64: every sample's folder number, or its label + 1 where the folder name ends in none."""
        return folder_numbers(self.label_table)[self.labels]


def folder_numbers(table: LabelTable) -> torch.Tensor:
    """(num_users,) int64: each folder's number, or its index + 1 where its name has none; index + 1 for all
    where two people would share a number.
    """
    numbers = [table.number(index) for index in range(len(table))]
    usable = [index + 1 if n is None or n >= 2**63 else n for index, n in enumerate(numbers)]
    usable = usable if len(set(usable)) == len(usable) else list(range(1, len(usable) + 1))
    return torch.tensor(usable, dtype=torch.int64)


# Writing


def write_latents(
    folder: str | os.PathLike,
    split: str,
    latents: torch.Tensor,
    latents_std: torch.Tensor | None,
    labels: torch.Tensor,
    label_table: LabelTable,
    paths: Sequence[str],
    metadata: Mapping[str, object],
    shard_size: int = SHARD_SIZE,
    latents_flip: torch.Tensor | None = None,
) -> list[Path]:
    """Write one split's latents in the layout above, in place of an earlier extraction's; return the files.

    `metadata` holds JSON values: tokenizer digest, preprocessing and whatever decides that the file is still
    the right one. UserError: tensors that do not fit together, values that are not finite, labels outside
    the table.
    """
    latent_set = LatentSet(
        latents.detach().cpu().float(),
        None if latents_std is None else latents_std.detach().cpu().float(),
        labels.detach().cpu(),
        label_table,
        list(paths),
        dict(metadata),
        latents_flip,
    )
    _refuse_flawed(latent_set, f"{folder}: {split} latents cannot be written")
    kinds = tuple(kind for kind in KINDS if getattr(latent_set, kind) is not None)
    files = LatentFiles(
        folder,
        split,
        tuple(latents.shape[1:]),
        latent_set.labels,
        label_table,
        paths,
        metadata,
        kinds,
        shard_size,
    )
    with files.written():
        files.put(0, *(getattr(latent_set, kind) for kind in kinds))
    return files.paths


class LatentFiles:
    """The files of one split, filled row by row: by several processes, in any order, none holding them all.

    One process surrounds the work by `written()`; any process may `put` rows inside. `sample_shape` is
    (C, H, W).
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        split: str,
        sample_shape: tuple[int, ...],
        labels: torch.Tensor,
        label_table: LabelTable,
        sample_paths: Sequence[str],
        metadata: Mapping[str, object],
        kinds: tuple[str, ...] = KINDS[:2],
        shard_size: int = SHARD_SIZE,
    ) -> None:
        assert re.fullmatch(r"\w+", split) and not OWN_KEYS & set(metadata) and shard_size > 0
        self.folder, self.split, self.shard_size = Path(folder), split, shard_size
        self.labels, self.table, self.sample_paths = labels, label_table, list(sample_paths)
        self.num_shards = -(-len(labels) // shard_size)
        self.paths = [self.folder / name for name in _file_names(split, self.num_shards)]
        values = {
            "format_version": FORMAT_VERSION,
            "label_table": list(label_table.names),
            "num_users": len(label_table),
            "num_samples": len(labels),
            "num_shards": self.num_shards,
        }
        self.header = {key: json.dumps(value) for key, value in {**values, **metadata}.items()}
        self.kinds = kinds
        self.row_bytes, self.sample_shape = math.prod(sample_shape) * 4, tuple(sample_shape)
        self._positions: dict[Path, dict[str, int]] = {}

    @contextmanager
    def written(self) -> Iterator[None]:
        """Reserve the files; on leaving, rename them into place, or remove them on an error."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as renames:  # every shard is complete under a temporary name before any is renamed
            temporary = [renames.enter_context(replacing(path)) for path in self.paths]
            for index, path in enumerate(temporary):
                self._reserve(index, path)
            yield
            fingerprint = json.dumps(self._fingerprint(temporary))
            for path in temporary:
                change_metadata(path, "fingerprint", fingerprint)
            for stale in set(_present_files(self.folder, self.split)) - set(self.paths):
                stale.unlink()

    def put(self, first: int, *tensors: torch.Tensor) -> None:
        """Write rows from `first` on: for each of `kinds` (n, C, H, W) float32 on the CPU."""
        end = first + len(tensors[0])
        for start in range(first - first % self.shard_size, end, self.shard_size):
            path = temporary_name(self.paths[start // self.shard_size])
            if path not in self._positions:
                self._positions[path] = tensor_positions(path)
            low, high = max(first, start), min(end, start + self.shard_size)
            for name, rows in zip(self.kinds, tensors, strict=True):
                position = self._positions[path][name] + (low - start) * self.row_bytes
                write_values(path, position, rows[low - first : high - first].contiguous())

    def _reserve(self, index: int, path: Path) -> None:
        rows = slice(index * self.shard_size, (index + 1) * self.shard_size)
        labels = self.labels[rows]
        small = {
            "labels": labels,
            "user_ids": folder_numbers(self.table)[labels],
            "num_samples": torch.tensor([len(labels)]),
            "num_users": torch.tensor([len(self.table)]),
        }
        shapes = {name: (torch.int64, tuple(tensor.shape)) for name, tensor in small.items()}
        shapes |= {name: (torch.float32, (len(labels), *self.sample_shape)) for name in self.kinds}
        details = {
            "paths": json.dumps(self.sample_paths[rows]),
            "shard_index": json.dumps(index),
            "fingerprint": json.dumps("0" * 64),
        }
        reserve_tensors(shapes, path, self.header | details)
        for name, tensor in small.items():
            write_values(path, tensor_positions(path)[name], tensor.contiguous())

    def _fingerprint(self, files: Sequence[Path]) -> str:
        """One extraction's mark: SHA-256 over header, sample paths and values."""
        digest = hashlib.sha256(json.dumps([self.header, self.sample_paths], sort_keys=True).encode())
        for name in (*self.kinds, "labels"):
            for path in files:
                with safe_open(path, framework="pt") as file:
                    rows = file.get_slice(name)
                    for start in range(0, rows.get_shape()[0], ROWS_AT_ONCE):
                        digest.update(rows[start : start + ROWS_AT_ONCE].numpy())
        return digest.hexdigest()


def change_entry(folder: str | os.PathLike, split: str, name: str, value: object) -> None:
    """Give one of the caller's own entries of a split's header another JSON value; all else stays."""
    for path in _complete_files(Path(folder), split):
        with replacing(path) as temporary:
            copy_with_metadata(path, temporary, name, json.dumps(value))


def _file_names(split: str, num_shards: int) -> list[str]:
    if num_shards == 1:
        return [f"{split}.safetensors"]
    return [f"{split}-{index:05d}-of-{num_shards:05d}.safetensors" for index in range(num_shards)]


def export_lightningdit(
    latent_set: LatentSet, folder: str | os.PathLike, shard_size: int = UPSTREAM_SHARD_SIZE
) -> list[Path]:
    """Write a folder that upstream's loader reads: its shards and latents_stats.pt; return the shards.

    Upstream's loader draws `latents` or `latents_flip` at random. A mirrored spectrogram is another motion,
    so without flipped latents of its own the set repeats `latents` there: the draw then changes nothing. The
    statistics are those of `latents`, which is all that upstream trains on. UserError: the folder holds
    latents in our layout.
    """
    folder = Path(folder)
    ours = [path.name for path in folder.glob("*.safetensors") if not path.match(UPSTREAM_PATTERN)]
    if ours:
        raise UserError(
            f"{folder}: holds other latents ({listing(sorted(ours), 5)}), whose statistics "
            "the export would overwrite; export to another folder"
        )
    _refuse_flawed(latent_set, f"{folder}: these latents cannot be exported")
    statistics = LatentStatistics.from_latents(latent_set.latents)
    flipped = latent_set.latents if latent_set.latents_flip is None else latent_set.latents_flip
    sources = {"latents": latent_set.latents, "latents_flip": flipped, "labels": latent_set.labels}
    starts = range(0, len(latent_set), shard_size)
    files = [folder / f"latents_rank00_shard{index:03d}.safetensors" for index in range(len(starts))]
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as renames:
        for path, start in zip(files, starts):
            # safetensors refuses tensors that share memory, as the repeated latents do
            tensors = {name: tensor[start : start + shard_size].clone() for name, tensor in sources.items()}
            save_tensors(tensors, renames.enter_context(replacing(path)), {})
        for stale in set(folder.glob(UPSTREAM_PATTERN)) - set(files):
            stale.unlink()
    statistics.save(folder / "latents_stats.pt")
    return files


# Reading


def read_latents(folder: str | os.PathLike, split: str) -> LatentSet:
    """Read one split in our layout, or, where there is none, for "train" upstream's shards.

    Upstream's label table is its class numbers as strings. FileNotFoundError: no such folder or split.
    UserError: damaged or incomplete files, shards of different extractions, an unknown format version,
    tensors that do not fit together, values that are not finite.
    """
    folder = Path(folder)
    files = _complete_files(folder, split)
    if files:
        latent_set = _read_own(files)
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
        files = _complete_files(Path(folder), split)
        return _without_shard_keys(_read_headers(files)[0]) if files else None
    except (ValueError, OSError):
        return None


def _upstream_files(folder: Path) -> list[Path]:
    return sorted(folder.glob(UPSTREAM_PATTERN), key=lambda path: natural_key(path.name))


def _present_files(folder: Path, split: str) -> list[Path]:
    pattern = re.compile(rf"{re.escape(split)}(-\d{{5}}-of-\d{{5}})?\.safetensors")
    return sorted(path for path in folder.glob("*.safetensors") if pattern.fullmatch(path.name))


def _complete_files(folder: Path, split: str) -> list[Path]:
    """The files of a split in order, possibly none; UserError where some are missing or left over."""
    present = [path.name for path in _present_files(folder, split)]
    if not present:
        return []
    num_shards = int(present[-1].split("-of-")[1][:5]) if "-of-" in present[-1] else 1
    expected = _file_names(split, num_shards)
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
            header = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
        version = header.get("format_version")
        if version != FORMAT_VERSION:
            raise UserError(f"{path}: format version {version!r}, expected {FORMAT_VERSION}; {REBUILD}")
        missing = sorted(OWN_KEYS - set(header))
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


def _read_own(files: Sequence[Path]) -> LatentSet:
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
