"""safetensors files that everyone may read as usual, and whose bytes depend on nothing but their content."""

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from configs.json_text import parse_json

DTYPE_NAMES = {torch.float32: "F32", torch.int64: "I64"}


def save_tensors(tensors: Mapping[str, torch.Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write `tensors` (contiguous, sharing no memory) and `metadata` to `path`.

    safetensors itself writes metadata in an order that differs between processes, and files that only their
    owner may read. OSError: the disk does not take it.
    """
    path.touch()
    usual = path.stat().st_mode
    with _needing_room(path):
        save_file(dict(tensors), path, metadata=dict(metadata))
    _rewrite_metadata(path, lambda metadata: metadata)  # sorted
    path.chmod(usual)


@contextmanager
def _needing_room(path: Path) -> Iterator[None]:
    """Say in one line what to do when the disk does not take a file."""
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise OSError(
            f"{path}: could not be written ({error}); free some space and run the same command again"
        ) from error


def reserve_tensors(
    tensors: Mapping[str, tuple[torch.dtype, tuple[int, ...]]], path: Path, metadata: Mapping[str, str]
) -> None:
    """Make `path` a safetensors file whose values are all zero.

    `tensors` are dtypes and shapes, the widest dtype first, which keeps every tensor aligned. Any process
    may then write values in place, so that no process has to hold them all.
    """
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for name, (dtype, shape) in tensors.items():
        start, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": DTYPE_NAMES[dtype], "shape": shape, "data_offsets": [start, end]}
    text = _head(header)
    with _needing_room(path), open(path, "wb") as file:
        file.write(text)
        file.truncate(len(text) + end)


def _head(header: dict[str, Any]) -> bytes:
    """How a file begins: the header's length in 8 bytes, then JSON, padded so that values are aligned."""
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    return len(text).to_bytes(8, "little") + text


def copy_with_metadata(source: Path, target: Path, name: str, value: str) -> None:
    """Make `target` a copy of `source` whose metadata hold `value` under `name`, of any length."""
    with _needing_room(target), open(source, "rb") as old, open(target, "wb") as new:
        header = parse_json(old.read(int.from_bytes(old.read(8), "little")))
        header["__metadata__"] = dict(sorted({**header.get("__metadata__", {}), name: value}.items()))
        new.write(_head(header))
        shutil.copyfileobj(old, new)


def tensor_positions(path: Path) -> dict[str, int]:
    """Where in the file each tensor's bytes begin."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = parse_json(file.read(length))
    return {
        name: 8 + length + entry["data_offsets"][0]
        for name, entry in header.items()
        if name != "__metadata__"
    }


def write_values(path: Path, position: int, values: torch.Tensor) -> None:
    """Put the bytes of a contiguous CPU tensor at `position` of an existing file; OSError: no room."""
    with _needing_room(path), open(path, "r+b") as file:
        file.seek(position)
        file.write(memoryview(values.numpy().data).cast("B"))


def change_metadata(path: Path, name: str, value: str) -> None:
    """Replace one entry of a file's metadata by another of the same length or shorter."""
    _rewrite_metadata(path, lambda metadata: {**metadata, name: value})


def _rewrite_metadata(path: Path, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    """Rewrite the header in place (its length in 8 bytes, then JSON, then spaces) with sorted metadata."""
    with open(path, "r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = parse_json(file.read(length))
        if "__metadata__" in header:
            header["__metadata__"] = dict(sorted(change(header["__metadata__"]).items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        assert len(text) <= length, "a header has no room to grow"
        file.seek(8)
        file.write(text.ljust(length))
