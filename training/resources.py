"""What a training takes of the disk, reckoned before it takes it: AdamW, averaged weights, float32."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from models.lightningdit import LightningDiT
from training.fine_tuning import is_tuned

GIB = 2**30


def count_parameters(arguments: dict[str, Any], tune: str = "full") -> tuple[int, int]:
    """Parameters of the LightningDiT that `arguments` describe: all, and those that `tune` changes."""
    with torch.device("meta"):
        model = LightningDiT(**arguments)
    tuned = sum(value.numel() for name, value in model.named_parameters() if is_tuned(name, value, tune))
    return sum(value.numel() for value in model.parameters()), tuned


def checkpoint_bytes(arguments: dict[str, Any], tune: str = "full") -> int:
    """Most disk space that stage 2 holds at one moment: last and its successor being written, each with
    weights, average and two moments, and the averaged weights in best.ckpt and best.safetensors.
    """
    parameters, tuned = count_parameters(arguments, tune)
    return 2 * (8 * parameters + 8 * tuned) + 8 * parameters


def require_checkpoint_space(folder: Path, arguments: dict[str, Any], tune: str = "full") -> None:
    """`require_space` for a run of stage 2; files it has written already count as taken."""
    files = {(s.st_dev, s.st_ino): s.st_size for s in map(Path.stat, (folder / "checkpoints").glob("*.*"))}
    require_space(folder, checkpoint_bytes(arguments, tune) - sum(files.values()),
                  "its checkpoints", "free some space, or choose another --output_dir or a smaller model")


def require_space(folder: Path, needed: int, what: str,
                  way_out: str = "free some space, or choose another folder") -> None:
    """OSError, in one line, where the disk of `folder` (which need not exist) lacks `needed` bytes."""
    free = free_space(folder)
    if free < needed:
        raise OSError(f"{folder}: {free / GIB:.2f} GiB are free, {what} may take {needed / GIB:.2f} GiB; "
                      f"{way_out}")


def free_space(folder: Path) -> int:
    """Bytes free on the disk that holds, or will hold, `folder`."""
    existing = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    return shutil.disk_usage(existing).free
