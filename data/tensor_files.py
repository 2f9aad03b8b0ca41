"""safetensors files that everyone may read as usual, and whose bytes depend on nothing but their content."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file


def save_tensors(tensors: Mapping[str, torch.Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write `tensors` (contiguous, sharing no memory) and `metadata` to `path`.

    safetensors itself writes metadata in an order that differs between processes, and files that only their
    owner may read. OSError: the disk does not take it.
    """
    path.touch()
    usual = path.stat().st_mode
    try:
        save_file(dict(tensors), path, metadata=dict(metadata))
    except SafetensorError as error:
        raise OSError(
            f"{path}: could not be written ({error}); free some space and run the same command again"
        ) from error
    _sort_metadata(path)
    path.chmod(usual)


def _sort_metadata(path: Path) -> None:
    """Rewrite the header in place (its length in 8 bytes, then JSON, then spaces) with sorted metadata."""
    with open(path, "r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        if "__metadata__" in header:
            header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        assert len(text) <= length, "the same entries in another order are not longer"
        file.seek(8)
        file.write(text.ljust(length))
