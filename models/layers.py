"""Layers of the diffusion transformer.

Shapes: N samples, T tokens, D channels, H heads, d = D/H channels a head. Tokens are in row-major order of a
square grid. Whatever is sensitive to precision (norms, rotation) computes in float32 and gives its input's
dtype back.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROTARY_BASE = 10_000.0
FEW_TOKENS = 256


class RMSNorm(nn.RMSNorm):
    """x / rms(x) · weight over the last axis, computed in float32 (arXiv 1910.07467)."""

    def __init__(self, dim: int, eps: float = 1e-6):
        super().__init__(dim, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (…, dim) to the same shape and dtype."""
        return F.rms_norm(x.float(), self.normalized_shape, self.weight.float(), self.eps).to(x.dtype)


def modulate(x: Tensor, shift: Tensor | None, scale: Tensor) -> Tensor:
    """x·(1 + scale) + shift for tokens (N, T, D) and conditions (N, D); no shift where it is None."""
    gain = 1 + scale.unsqueeze(1)
    return x * gain if shift is None else torch.addcmul(shift.unsqueeze(1), x, gain)


def add_gated(x: Tensor, gate: Tensor, update: Tensor) -> Tensor:
    """Residual step x + gate·update for tokens (N, T, D) and a gate (N, D)."""
    return torch.addcmul(x, gate.unsqueeze(1), update)


def axial_angles(side: int, head_dim: int) -> Tensor:
    """Rotation angles (side², d) in radians, float64; half of them go by the row, half by the column.

    Pair i of an axis turns by position · 10000^(-2i/(d/2)) (arXiv 2104.09864; on two axes, arXiv 2303.11331).
    """
    half = head_dim // 2
    frequencies = ROTARY_BASE ** (-torch.arange(0, half, 2, dtype=torch.float64) / half)
    positions = torch.arange(side, dtype=torch.float64)
    angles = torch.outer(positions, frequencies).repeat_interleave(2, dim=1)  # (side, d/2)
    row = angles[:, None, :].expand(side, side, half)
    column = angles[None, :, :].expand(side, side, half)
    return torch.cat([row, column], dim=-1).reshape(side * side, head_dim)


class AxialRotaryEmbedding(nn.Module):
    """Rotates queries and keys by their place on the grid, so that their product depends on the offset alone.

    The tables are persistent buffers because published weights hold them.
    """

    freqs_cos: Tensor
    freqs_sin: Tensor

    def __init__(self, side: int, head_dim: int):
        super().__init__()
        assert head_dim % 4 == 0, f"two axes of pairs need a head dimension that 4 divides, not {head_dim}"
        angles = axial_angles(side, head_dim)
        self.register_buffer("freqs_cos", angles.cos().float())
        self.register_buffer("freqs_sin", angles.sin().float())

    def forward(self, x: Tensor) -> Tensor:
        """Rotate (N, H, T, d); each neighbouring pair (a, b) turns as a + ib would. Same shape and dtype."""
        wide = x.float()
        turned = torch.stack((-wide[..., 1::2], wide[..., 0::2]), dim=-1).flatten(-2)
        return (wide * self.freqs_cos + turned * self.freqs_sin).to(x.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q·kᵀ/√d)·v over (N, H, T, d).

    While a CPU trains in bfloat16 the scores are written out: the backward pass of torch's fused kernel does
    without the processor's bfloat16 products and takes three times as long (two for 256 tokens). They stay
    small beside the other activations for so few tokens.
    """
    trains = torch.is_grad_enabled() and v.dtype == torch.bfloat16 and v.device.type == "cpu"
    if trains and v.shape[2] <= FEW_TOKENS:
        q, k, v = (part.contiguous() for part in (q * q.shape[-1] ** -0.5, k, v))
        return torch.softmax(q @ k.transpose(-2, -1), dim=-1) @ v
    return F.scaled_dot_product_attention(q, k, v)


class Attention(nn.Module):
    """Multi-head self-attention with optional normalisation of queries and keys (before they are rotated)."""

    def __init__(self, dim: int, num_heads: int, use_qknorm: bool = False, use_rmsnorm: bool = True):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        norm = RMSNorm if use_rmsnorm else nn.LayerNorm
        self.q_norm = norm(dim // num_heads) if use_qknorm else nn.Identity()
        self.k_norm = norm(dim // num_heads) if use_qknorm else nn.Identity()
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, rope: AxialRotaryEmbedding | None = None) -> Tensor:
        """Tokens (N, T, D) to tokens of the same shape."""
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (N, H, T, d) each
        q, k = self.q_norm(q), self.k_norm(k)
        if rope is not None:
            q, k = rope(q), rope(k)
        mixed = attend(q.to(v.dtype), k.to(v.dtype), v)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """Gated feed-forward network w3(silu(a)·b) with (a, b) = w12(x) (arXiv 2002.05202)."""

    def __init__(self, dim: int, hidden_dim: int):
        super().__init__()
        self.w12 = nn.Linear(dim, 2 * hidden_dim)
        self.w3 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) to (…, D)."""
        gate, value = self.w12(x).chunk(2, dim=-1)
        return self.w3(F.silu(gate) * value)


class Mlp(nn.Module):
    """Feed-forward network fc2(gelu(fc1(x))) with the tanh form of GELU."""

    def __init__(self, dim: int, hidden_dim: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) to (…, D)."""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


def feed_forward_width(dim: int, mlp_ratio: float, use_swiglu: bool) -> int:
    """Hidden channels of a feed-forward network: ratio·D, two thirds of it for SwiGLU's three matrices."""
    width = int(dim * mlp_ratio)
    return int(2 / 3 * width) if use_swiglu else width
