"""Exponential moving average of weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def decay_at(step: int, decay: float) -> float:
    """Decay for update number `step` (from 1): min(decay, step/(step + 9)).

    The warm-up forgets the initial weights, which a constant 0.999 would keep for thousands of steps.
    """
    return min(decay, step / (step + 9.0))


@torch.no_grad()
def update_ema_(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Move the parameters of `average` towards those of `network` in place, and copy its buffers.

    The two may be on different devices.
    """
    decay = decay_at(step, decay)
    ours: list[Tensor] = list(average.parameters())
    theirs: list[Tensor] = list(network.parameters())
    if ours[0].device == theirs[0].device:
        get_ema_multi_avg_fn(decay)(ours, theirs, None)
    else:  # one at a time: the host needs no second copy of all
        for mine, other in zip(ours, theirs, strict=True):
            mine.lerp_(other.to(mine.device), 1.0 - decay)
    for target, source in zip(average.buffers(), network.buffers(), strict=True):
        target.copy_(source)
