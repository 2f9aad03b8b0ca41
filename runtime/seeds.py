"""Randomness as a function of what it is for: (seed, purpose, counters), never of what ran before."""

from __future__ import annotations

import hashlib

import torch


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from any mix of numbers and names; the same on every machine."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator on `device` seeded by `derive_seed(*parts)`."""
    return torch.Generator(device).manual_seed(derive_seed(*parts))


def noise_for(shape: tuple[int, ...], *parts: int | str) -> torch.Tensor:
    """Standard normal noise of `shape`, float32 on the CPU: one draw per (parts), whatever the batch or
    device.
    """
    return torch.randn(shape, generator=generator(*parts))
