"""Latents files as they are written: row by row by several processes, whole or not at all; and the folder
that upstream's loader reads. `data.latents` has the layout.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from safetensors import safe_open

from configs.errors import UserError
from data.atomic import replacing, temporary_name
from data.labels import LabelTable, listing
from data.latent_stats import LatentStatistics
from data.latents import (
    FORMAT_VERSION,
    HEADER_KEYS,
    KINDS,
    UPSTREAM_PATTERN,
    LatentSet,
    complete_files,
    file_names,
    folder_numbers,
    present_files,
)
from data.tensor_files import (
    change_metadata,
    copy_with_metadata,
    reserve_tensors,
    save_tensors,
    tensor_positions,
    write_values,
)

SHARD_SIZE = 50_000
UPSTREAM_SHARD_SIZE = 10_000
ROWS_AT_ONCE = 512  # 16 MB of (32, 16, 16) float32 latents


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
        assert re.fullmatch(r"\w+", split) and not HEADER_KEYS & set(metadata) and shard_size > 0
        self.folder, self.split, self.shard_size = Path(folder), split, shard_size
        self.labels, self.table, self.sample_paths = labels, label_table, list(sample_paths)
        self.num_shards = -(-len(labels) // shard_size)
        self.paths = [self.folder / name for name in file_names(split, self.num_shards)]
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
            for stale in set(present_files(self.folder, self.split)) - set(self.paths):
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
    for path in complete_files(Path(folder), split):
        with replacing(path) as temporary:
            copy_with_metadata(path, temporary, name, json.dumps(value))


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
