"""Latents on disk: our safetensors files in and out, upstream's shards in and out.

N samples, C channels, H x W positions. `<split>.safetensors`, or above 50,000 samples
`<split>-00000-of-00012.safetensors`:

latents       (N, C, H, W) float32   posterior mean
latents_std   (N, C, H, W) float32   posterior standard deviation (optional)
labels        (N,) int64             class indices into the label table
user_ids      (N,) int64             the folders' numbers (index + 1 for a folder without one)
num_samples, num_users   (1,) int64  rows in this file, length of the label table

The header holds JSON strings: format_version, label_table, paths (of this file's rows), num_samples and
num_users (of the whole split), shard_index, num_shards, fingerprint (one extraction's mark, equal in all its
shards) and the caller's own entries.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from data.atomic import replacing
from data.labels import LabelTable, listing, natural_key
from data.latent_stats import REBUILD, LatentStatistics
from data.tensor_files import save_tensors

FORMAT_VERSION = 1
SHARD_SIZE = 50_000
UPSTREAM_SHARD_SIZE = 10_000
UPSTREAM_PATTERN = "latents_rank*_shard*.safetensors"
OWN_KEYS = {"format_version", "label_table", "paths", "num_samples", "num_users",
            "shard_index", "num_shards", "fingerprint"}


@dataclass(frozen=True, eq=False)
class LatentSet:
    """All latents of one split; the tensors may be memory-mapped, so do not write to them.

    `latents_flip` exists only in upstream's files: latents of the horizontally flipped images.
    """

    latents: torch.Tensor  # (N, C, H, W) float32
    latents_std: torch.Tensor | None  # (N, C, H, W) float32
    labels: torch.Tensor  # (N,) int64
    label_table: LabelTable
    paths: list[str]
    metadata: dict = field(default_factory=dict)
    latents_flip: torch.Tensor | None = None  # (N, C, H, W) float32

    def __len__(self) -> int:
        return len(self.latents)

    def user_ids(self) -> torch.Tensor:
        """(N,) int64: every sample's folder number, or its label + 1 where the folder name ends in none."""
        numbers = [self.label_table.number(index) for index in range(len(self.label_table))]
        usable = [index + 1 if n is None or n >= 2**63 else n for index, n in enumerate(numbers)]
        return torch.tensor(usable, dtype=torch.int64)[self.labels]


# Writing


def write_latents(folder: str | os.PathLike, split: str, latents: torch.Tensor,
                  latents_std: torch.Tensor | None, labels: torch.Tensor, label_table: LabelTable,
                  paths: Sequence[str], metadata: Mapping[str, object],
                  shard_size: int = SHARD_SIZE) -> list[Path]:
    """Write one split's latents in the layout above, in place of an earlier extraction's; return the files.

    `metadata` holds JSON values: tokenizer digest, preprocessing and whatever decides that the file is still
    the right one. ValueError: tensors that do not fit together, values that are not finite, labels outside
    the table.
    """
    assert re.fullmatch(r"\w+", split) and not OWN_KEYS & set(metadata) and shard_size > 0
    folder = Path(folder)
    latent_set = LatentSet(latents.detach().cpu().float(),
                           None if latents_std is None else latents_std.detach().cpu().float(),
                           labels.detach().cpu(), label_table, list(paths), dict(metadata))
    _refuse_flawed(latent_set, f"{folder}: {split} latents cannot be written")
    num_shards = -(-len(latent_set) // shard_size)
    files = [folder / name for name in _file_names(split, num_shards)]
    header = _shared_header(latent_set, num_shards)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as renames:  # every shard is complete under a temporary name before any is renamed
        for index, path in enumerate(files):
            rows = slice(index * shard_size, (index + 1) * shard_size)
            own = header | {"paths": json.dumps(latent_set.paths[rows]), "shard_index": json.dumps(index)}
            save_tensors(_shard_tensors(latent_set, rows), renames.enter_context(replacing(path)), own)
        for stale in set(_present_files(folder, split)) - set(files):
            stale.unlink()
    return files


def _file_names(split: str, num_shards: int) -> list[str]:
    if num_shards == 1:
        return [f"{split}.safetensors"]
    return [f"{split}-{index:05d}-of-{num_shards:05d}.safetensors" for index in range(num_shards)]


def _shard_tensors(latent_set: LatentSet, rows: slice) -> dict[str, torch.Tensor]:
    labels = latent_set.labels[rows]
    tensors = {"latents": latent_set.latents[rows], "labels": labels, "user_ids": latent_set.user_ids()[rows],
               "num_samples": torch.tensor([len(labels)]),
               "num_users": torch.tensor([len(latent_set.label_table)])}
    if latent_set.latents_std is not None:
        tensors["latents_std"] = latent_set.latents_std[rows]
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def _shared_header(latent_set: LatentSet, num_shards: int) -> dict[str, str]:
    names = list(latent_set.label_table.names)
    values = {"format_version": FORMAT_VERSION, "label_table": names, "num_users": len(names),
              "num_samples": len(latent_set), "num_shards": num_shards}
    header = {key: json.dumps(value) for key, value in {**values, **latent_set.metadata}.items()}
    digest = hashlib.sha256(json.dumps([header, latent_set.paths], sort_keys=True).encode())
    for tensor in (latent_set.latents, latent_set.latents_std, latent_set.labels):
        if tensor is not None:
            digest.update(tensor.contiguous().numpy())
    return header | {"fingerprint": json.dumps(digest.hexdigest())}


def export_lightningdit(latent_set: LatentSet, folder: str | os.PathLike,
                        shard_size: int = UPSTREAM_SHARD_SIZE) -> list[Path]:
    """Write a folder that upstream's loader reads: its shards and latents_stats.pt; return the shards.

    Upstream's loader draws `latents` or `latents_flip` at random. A mirrored spectrogram is another motion,
    so without flipped latents of its own the set repeats `latents` there: the draw then changes nothing. The
    statistics are those of `latents`, which is all that upstream trains on. ValueError: the folder holds
    latents in our layout.
    """
    folder = Path(folder)
    ours = [path.name for path in folder.glob("*.safetensors") if not path.match(UPSTREAM_PATTERN)]
    if ours:
        raise ValueError(f"{folder}: holds other latents ({listing(sorted(ours), 5)}), whose statistics "
                         "the export would overwrite; export to another folder")
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
            tensors = {name: tensor[start:start + shard_size].clone() for name, tensor in sources.items()}
            save_tensors(tensors, renames.enter_context(replacing(path)), {})
        for stale in set(folder.glob(UPSTREAM_PATTERN)) - set(files):
            stale.unlink()
    statistics.save(folder / "latents_stats.pt")
    return files


# Reading


def read_latents(folder: str | os.PathLike, split: str) -> LatentSet:
    """Read one split in our layout, or, where there is none, for "train" upstream's shards.

    Upstream's label table is its class numbers as strings. FileNotFoundError: no such folder or split.
    ValueError: damaged or incomplete files, shards of different extractions, an unknown format version,
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
            raise FileNotFoundError(f"{folder}: {what}; expected {split}.safetensors: make it with "
                                    "stage1_extract_features.py")
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
    """The files of a split in order, possibly none; ValueError where some are missing or left over."""
    present = [path.name for path in _present_files(folder, split)]
    if not present:
        return []
    num_shards = int(present[-1].split("-of-")[1][:5]) if "-of-" in present[-1] else 1
    expected = _file_names(split, num_shards)
    if present != expected:
        differing = sorted(set(present) ^ set(expected))
        raise ValueError(f"{folder}: the files of split {split!r} are not one complete set (missing or left "
                         f"over: {listing(differing, 5)}); {REBUILD}")
    return [folder / name for name in present]


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file raises into one line that names it."""
    try:
        yield
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: damaged or incomplete latents file ({reason}); {REBUILD}") from error


def _read_headers(files: Sequence[Path]) -> list[dict]:
    headers = []
    for index, path in enumerate(files):
        with _reading(path), safe_open(path, framework="pt") as file:
            header = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
        version = header.get("format_version")
        if version != FORMAT_VERSION:
            raise ValueError(f"{path}: format version {version!r}, expected {FORMAT_VERSION}; {REBUILD}")
        missing = sorted(OWN_KEYS - set(header))
        if missing:
            raise ValueError(f"{path}: header lacks {listing(missing)}; {REBUILD}")
        headers.append(header)
        if (header["num_shards"], header["shard_index"]) != (len(files), index) or \
                header["fingerprint"] != headers[0]["fingerprint"]:
            raise ValueError(f"{path}: belongs to another extraction than {files[0].name}; {REBUILD}")
    return headers


def _without_shard_keys(header: dict) -> dict:
    return {key: value for key, value in header.items() if key not in ("paths", "shard_index", "num_shards")}


def _read_own(files: Sequence[Path]) -> LatentSet:
    headers = _read_headers(files)
    tensors = _read_tensors(files, ("latents", "labels"), ("latents_std",))
    with _reading(files[0]):
        table = LabelTable.from_json(json.dumps(headers[0]["label_table"]))
        held, promised = [len(tensors["latents"]), len(table)], [headers[0][key] for key in
                                                                 ("num_samples", "num_users")]
        if held != promised:
            raise ValueError(f"{held} samples and users, the header says {promised}")
        paths = [path for header in headers for path in header["paths"]]
        if not all(isinstance(path, str) for path in paths):
            raise ValueError("paths are no texts")
    return LatentSet(tensors["latents"], tensors.get("latents_std"), tensors["labels"], table, paths,
                     _without_shard_keys(headers[0]))


def _read_upstream(files: Sequence[Path]) -> LatentSet:
    tensors = _read_tensors(files, ("latents", "labels"), ("latents_flip",))
    labels = tensors["labels"].long()
    with _reading(files[0]):
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < 2**20:
            raise ValueError(f"labels from {int(labels.min())} to {int(labels.max())} are no class numbers")
    num_classes = int(labels.max()) + 1 if labels.numel() else 1
    table = LabelTable(tuple(map(str, range(num_classes))))  # index i is class number i, seen or not
    paths = [f"{files[0].parent.name}#{row}" for row in range(len(labels))]
    return LatentSet(tensors["latents"], None, labels, table, paths, {"layout": "lightningdit"},
                     tensors.get("latents_flip"))


def _read_tensors(files: Sequence[Path], required: Sequence[str],
                  optional: Sequence[str]) -> dict[str, torch.Tensor]:
    """Tensors of all files joined along the sample axis; an optional one must be in all files or in none."""
    parts: dict[str, list[torch.Tensor]] = {}
    for path in files:
        with _reading(path), safe_open(path, framework="pt") as file:
            names = [*required, *(name for name in optional if name in file.keys())]
            for name in names:
                tensor = file.get_tensor(name)
                if name.startswith("latents") and not tensor.is_floating_point():
                    raise ValueError(f"{name} are {tensor.dtype}, expected floating-point numbers")
                parts.setdefault(name, []).append(tensor.float() if name.startswith("latents") else tensor)
    joined = {}
    for name, tensors in parts.items():
        with _reading(files[0]):
            if len(tensors) < len(files):
                raise ValueError(f"{name} is in {len(tensors)} of {len(files)} shards")
            joined[name] = tensors[0] if len(tensors) == 1 else torch.cat(tensors)
    return joined


def _refuse_flawed(latent_set: LatentSet, what: str) -> None:
    flaw = _flaw(latent_set)
    if flaw:
        raise ValueError(f"{what} ({flaw}); {REBUILD}")


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
    if latent_set.latents_std is not None and bool((latent_set.latents_std < 0).any()):
        return "latents_std holds negative values"
    if labels.dtype != torch.int64 or tuple(labels.shape) != shape[:1] or len(latent_set.paths) != shape[0]:
        return (f"{shape[0]} latents, labels {labels.dtype} {tuple(labels.shape)}, {len(latent_set.paths)} "
                "paths, expected one int64 label and one path each")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(latent_set.label_table):
        return f"labels from {low} to {high}, the label table has {len(latent_set.label_table)} users"
    return None
