"""What a training takes of memory and disk, reckoned before it takes it.

The account holds for AdamW with averaged weights in float32. Activations are counted per token and channel,
as autograd keeps them with fused attention; `tests/training/test_resources.py` compares with autograd itself.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from models.lightningdit import LightningDiT
from training.fine_tuning import is_tuned

GIB = 2**30
# Bytes that a block keeps per token and channel for the backward pass, with query and key norms.
BLOCK_BYTES = {"32": 120, "bf16-mixed": 84, "16-mixed": 84}
OUTSIDE_BYTES = 20  # likewise, embeddings and last layer
RESIDUAL_BYTES = 4  # what a checkpointed block keeps: its input
ROOM = 0.9  # share of a device's memory that a run may take; the rest is the allocator's and the driver's


def count_parameters(arguments: dict[str, Any], tune: str = "full") -> tuple[int, int]:
    """Parameters of the LightningDiT that `arguments` describe: all, and those that `tune` changes."""
    with torch.device("meta"):
        model = LightningDiT(**arguments)
    tuned = sum(value.numel() for name, value in model.named_parameters() if is_tuned(name, value, tune))
    return sum(value.numel() for value in model.parameters()), tuned


def activation_bytes(arguments: dict[str, Any], batch_size: int, precision: str) -> int:
    """Bytes kept between the forward and the backward pass of one batch."""
    tokens = batch_size * (arguments["input_size"] // arguments["patch_size"]) ** 2
    block, depth = BLOCK_BYTES[precision], arguments["depth"]
    blocks = RESIDUAL_BYTES * depth + block if arguments.get("use_checkpoint") else block * depth
    return tokens * arguments["hidden_size"] * (blocks + OUTSIDE_BYTES)


def training_bytes(arguments: dict[str, Any], batch_size: int, precision: str, tune: str = "full") -> int:
    """Device memory of a training step: weights, average, gradients, two moments, activations."""
    parameters, tuned = count_parameters(arguments, tune)
    copies = 0 if precision == "32" else 2 * parameters  # autocast's 16-bit weights
    return 8 * parameters + 12 * tuned + copies + activation_bytes(arguments, batch_size, precision)


def largest_batch(arguments: dict[str, Any], memory: int, precision: str, tune: str = "full") -> int:
    """The largest power of two that fits as batch size into `memory` bytes; 0 where not even 1 does."""
    fixed = training_bytes(arguments, 0, precision, tune)
    fitting = int((memory * ROOM - fixed) / activation_bytes(arguments, 1, precision))
    return 0 if fitting < 1 else 2 ** (fitting.bit_length() - 1)


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
