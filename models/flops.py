"""Operations of a LightningDiT, counted as it runs on shapes alone; two per multiply-add."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from models.lightningdit import LightningDiT


def training_flops(arguments: dict[str, Any], batch_size: int = 1) -> int:
    """Operations of one forward and backward pass of `LightningDiT(**arguments)`.

    Exact for matrix products, convolutions and attention, which is all that counts; what activation
    checkpointing computes twice counts once (arXiv 2204.02311, appendix B).
    """
    return _of_all_blocks(arguments, batch_size, backward=True)


def evaluation_flops(arguments: dict[str, Any], batch_size: int = 1) -> int:
    """Those of one forward pass."""
    return _of_all_blocks(arguments, batch_size, backward=False)


def _of_all_blocks(arguments: dict[str, Any], batch_size: int, backward: bool) -> int:
    """All blocks are alike, so two shallow networks tell those of a deep one."""
    one, two = (counted_flops({**arguments, "depth": depth}, batch_size, backward) for depth in (1, 2))
    return one + (arguments["depth"] - 1) * (two - one)


def counted_flops(arguments: dict[str, Any], batch_size: int, backward: bool = True) -> int:
    """The same, counted on the whole network."""
    with torch.device("meta"):
        net = LightningDiT(**{**arguments, "use_checkpoint": False})
        x = torch.empty(batch_size, net.in_channels, net.input_size, net.input_size)
        t, y = torch.empty(batch_size), torch.empty(batch_size, dtype=torch.int64)
        with FlopCounterMode(display=False) as counter:
            output = net(x, t, y, None)
            if backward:
                output.sum().backward()
    return counter.get_total_flops()
