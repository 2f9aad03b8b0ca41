"""What a training takes of memory and disk, exactly and before it allocates it: AdamW, averaged weights,
float32. Counted from the shapes; activations measured in forward passes of one and of two blocks.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch

from models.lightningdit import LightningDiT
from runtime.disk import require_space
from training.fine_tuning import is_tuned

FLOAT = 4
ROOM = 0.9  # share of a device's memory that a run may take; the rest is the allocator's and the driver's


def training_memory(
    arguments: dict[str, Any], batch_size: int, precision: str, ema_on_host: bool = False, tune: str = "full"
) -> dict[str, int]:
    """Bytes on the device of each part of a training step of `LightningDiT(**arguments)`.

    `weights`, `average`, `gradients` and `optimizer` (two moments) of what `tune` changes, and
    `activations`: what autograd keeps of one batch between the passes at its largest, 16-bit copies of the
    weights included, as if all weights were tuned.
    """
    depth = arguments["depth"]
    same = {**arguments, "use_checkpoint": False, "combinations": None}  # a second label row is no matter
    one, two = (activation_bytes(batch_size, precision, **{**same, "depth": d}) for d in (1, 2))
    block, rest = two - one, 2 * one - two
    with torch.device("meta"):
        net = LightningDiT(**arguments)
    parameters = sum(p.numel() * p.element_size() for p in net.parameters())
    buffers = sum(b.numel() * b.element_size() for b in net.buffers())
    tuned = count_parameters(arguments, tune)[1]
    activations = rest + depth * block
    if arguments.get("use_checkpoint"):
        tokens = (arguments["input_size"] // arguments["patch_size"]) ** 2
        inputs = batch_size * tokens * arguments["hidden_size"] * FLOAT
        copies = 0 if precision == "32" else parameters // 2  # autocast keeps them through the forward pass
        activations = rest + block + depth * inputs + copies
    return {
        "weights": parameters + buffers,
        "average": 0 if ema_on_host else parameters + buffers,
        "gradients": FLOAT * tuned,
        "optimizer": 2 * FLOAT * tuned,
        "activations": activations,
    }


def largest_batch(arguments: dict[str, Any], memory: int, precision: str) -> int:
    """The largest power of two that trains as batch size in `memory` bytes; 0 where not even 1 does."""
    one, two = (sum(training_memory(arguments, size, precision).values()) for size in (1, 2))
    fitting = int((memory * ROOM - one) / (two - one)) + 1 if one <= memory * ROOM else 0
    return fitting and 2 ** (fitting.bit_length() - 1)


def activation_bytes(batch_size: int, precision: str, **arguments: Any) -> int:
    """What autograd saves in a forward pass: 16-bit copies of weights, and as much again for every sample."""
    one, two = (saved_bytes(size, precision, **arguments) for size in (1, 2))
    return one + (batch_size - 1) * (two - one)


@functools.cache
def saved_bytes(batch_size: int, precision: str, **arguments: Any) -> int:
    """Bytes of all distinct storages that autograd saves in a forward pass, parameters and buffers aside,
    measured in one on the CPU.
    """
    with torch.device("meta"):
        net = LightningDiT(**arguments).train()
    net.to_empty(device="cpu")  # whatever the memory holds: values do not matter
    x = torch.zeros(batch_size, net.in_channels, net.input_size, net.input_size)
    t, y = torch.zeros(batch_size), torch.zeros(batch_size, dtype=torch.int64)
    parameters = {value.untyped_storage().data_ptr() for value in (*net.parameters(), *net.buffers())}
    saved: dict[int, torch.UntypedStorage] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage  # kept alive, so that no address is used again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision != "32"):
            net(x, t, y, torch.zeros(batch_size, dtype=torch.bool) if net.y_embedder.dropout else None)
    return sum(storage.nbytes() for address, storage in saved.items() if address not in parameters)


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
    require_space(
        folder,
        checkpoint_bytes(arguments, tune) - sum(files.values()),
        "its checkpoints",
        "free some space, or choose another --output_dir or a smaller model",
    )
