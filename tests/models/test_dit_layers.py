"""Layers against their formulas, and what must stay in float32."""

import math

import pytest
import torch
from torch.nn import functional as F

from models.layers import (
    Attention,
    AxialRotaryEmbedding,
    Mlp,
    RMSNorm,
    SwiGLU,
    attend,
    feed_forward_width,
    modulate,
)


def test_rmsnorm_is_its_formula():
    norm, x = RMSNorm(6), torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    torch.nn.init.uniform_(norm.weight)
    expected = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight
    torch.testing.assert_close(norm(x), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rmsnorm_computes_in_float32_and_returns_its_input_dtype(dtype):
    norm, generator = RMSNorm(512), torch.Generator().manual_seed(0)
    torch.nn.init.uniform_(norm.weight, generator=generator)
    x = (300 * torch.randn(4, 512, generator=generator)).to(dtype)  # whose squares overflow half precision
    with torch.autocast("cpu", torch.bfloat16):
        output = norm(x)
    assert output.dtype == dtype
    assert torch.equal(output, norm(x.float()).to(dtype))  # one rounding, at the end
    with torch.autocast("cpu", torch.bfloat16):
        assert norm(x.float()).dtype == torch.float32
    assert norm.to(dtype)(x).dtype == dtype


def rotate(rope, vector, place):
    """`vector` (d,) as the rotation leaves it at token `place`."""
    tokens = torch.zeros(1, 1, rope.freqs_cos.shape[0], vector.numel())
    tokens[0, 0, place] = vector
    return rope(tokens)[0, 0, place]


def test_rotation_turns_row_pairs_then_column_pairs():
    side, row, column = 5, 3, 2
    rope = AxialRotaryEmbedding(side, head_dim=8)
    turned = rotate(rope, torch.tensor([1.0, 0.0] * 4), row * side + column)
    angles = [place * 10_000 ** (-2 * i / 4) for place in (row, column) for i in range(2)]
    expected = [value for angle in angles for value in (math.cos(angle), math.sin(angle))]
    torch.testing.assert_close(turned, torch.tensor(expected), rtol=0, atol=1e-6)


def test_rotation_preserves_norms():
    x = torch.randn(2, 3, 36, 16, generator=torch.Generator().manual_seed(0))
    turned = AxialRotaryEmbedding(6, 16)(x)
    assert not torch.allclose(turned, x)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))


def test_rotated_products_depend_on_the_offset_alone():
    side = 7
    rope = AxialRotaryEmbedding(side, 12)
    q, k = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))

    def product(place_q, place_k):
        return torch.dot(rotate(rope, q, place_q), rotate(rope, k, place_k)).item()

    offset = 2 * side + 1  # two rows down, one column right
    products = [product(start, start + offset) for start in (0, 1, side, 3 * side + 4)]
    assert max(products) - min(products) < 1e-5
    assert abs(product(0, 1) - products[0]) > 1e-3
    assert abs(product(0, side) - product(0, 1)) > 1e-3  # a row is not a column


def test_rotation_computes_in_float32():
    rope = AxialRotaryEmbedding(4, 8)
    x = torch.randn(1, 2, 16, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert rope(x).dtype == torch.bfloat16
    assert torch.equal(rope(x), rope(x.float()).bfloat16())


@pytest.mark.parametrize("use_qknorm", [False, True])
@torch.no_grad()
def test_attention_is_its_formula(use_qknorm):
    torch.manual_seed(0)
    attention, rope = Attention(16, num_heads=2, use_qknorm=use_qknorm), AxialRotaryEmbedding(3, 8)
    x = torch.randn(2, 9, 16)
    q, k, v = (part.view(2, 9, 2, 8).transpose(1, 2) for part in attention.qkv(x).chunk(3, dim=-1))
    q, k = rope(attention.q_norm(q)), rope(attention.k_norm(k))
    mixed = (q @ k.transpose(-1, -2) / math.sqrt(8)).softmax(-1) @ v
    expected = attention.proj(mixed.transpose(1, 2).reshape(2, 9, 16))
    torch.testing.assert_close(attention(x, rope), expected)
    assert isinstance(attention.q_norm, RMSNorm) == use_qknorm


@pytest.mark.parametrize("tokens", [64, 300])
def test_attention_in_bfloat16_is_attention_within_rounding(tokens):
    draw = torch.Generator().manual_seed(0)
    exact = [torch.randn(2, 3, tokens, 16, generator=draw).bfloat16() for _ in "qkv"]
    weight = torch.randn(2, 3, tokens, 16, generator=draw)
    results = []
    for dtype in (torch.float32, torch.bfloat16):
        q, k, v = (part.detach().to(dtype).requires_grad_() for part in exact)
        mixed = attend(q, k, v)
        mixed.backward(weight.to(dtype))
        results.append([value.float() for value in (mixed.detach(), q.grad, k.grad, v.grad)])
    for expected, rounded in zip(*results):
        assert (rounded - expected).norm() < 0.02 * expected.norm()


@torch.no_grad()
def test_feed_forward_networks_are_their_formulas():
    torch.manual_seed(0)
    x, gated, plain = torch.randn(5, 8), SwiGLU(8, 12), Mlp(8, 12)
    a, b = gated.w12(x)[:, :12], gated.w12(x)[:, 12:]
    torch.testing.assert_close(gated(x), gated.w3(a * torch.sigmoid(a) * b))
    h = plain.fc1(x)
    gelu = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
    torch.testing.assert_close(plain(x), plain.fc2(gelu))
    assert not torch.equal(plain(x), plain.fc2(F.gelu(h)))


def test_feed_forward_widths_are_the_published_ones():
    assert [feed_forward_width(dim, 4.0, True) for dim in (96, 768, 1152)] == [256, 2048, 3072]
    assert feed_forward_width(96, 4.0, False) == 384


def test_modulation_with_and_without_shift():
    x, shift, scale = torch.randn(3, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    shift, scale = shift[:, 0], scale[:, 0]
    torch.testing.assert_close(modulate(x, shift, scale), x * (1 + scale[:, None]) + shift[:, None])
    torch.testing.assert_close(modulate(x, None, scale), x * (1 + scale[:, None]))
