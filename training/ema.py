"""Exponential moving average of weights."""

from __future__ import annotations

import torch
from torch import nn


def decay_at(step: int, decay: float) -> float:
    """Decay for update number `step` (from 1): min(decay, step/(step + 9)).

    The warm-up forgets the initial weights, which a constant 0.999 would keep for thousands of steps.
    """
    return min(decay, step / (step + 9.0))


@torch.no_grad()
def update_ema_(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Move `average` towards `network` in place; floating-point state by decay, everything else copied."""
    weight = 1.0 - decay_at(step, decay)
    target, source = average.state_dict(), network.state_dict()
    names = [name for name, value in target.items() if value.is_floating_point()]
    torch._foreach_lerp_([target[name] for name in names], [source[name] for name in names], weight)
    for name, value in target.items():
        if not value.is_floating_point():
            value.copy_(source[name])
