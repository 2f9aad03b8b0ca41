"""LightningDiT, the velocity network of latent flow matching (arXiv 2501.01423), and its presets.

Shapes: N samples, C latent channels, S latent side, T = (S/patch)² tokens, D channels. Parameter names are
those of the published weights, which therefore load by name.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from configs.errors import UserError
from models.embedders import LabelEmbedder, PatchEmbed, TimestepEmbedder, sincos_position_table
from models.layers import (
    Attention,
    AxialRotaryEmbedding,
    Mlp,
    RMSNorm,
    SwiGLU,
    add_gated,
    feed_forward_width,
    modulate,
)
from models.references import ReferenceEmbedder

NORM_EPS = 1e-6


def block_norm(dim: int, use_rmsnorm: bool) -> nn.Module:
    """Norm before a modulation: RMSNorm with a weight, or LayerNorm without one."""
    return RMSNorm(dim, NORM_EPS) if use_rmsnorm else nn.LayerNorm(dim, NORM_EPS, elementwise_affine=False)


def modulation(dim: int, num_chunks: int) -> nn.Sequential:
    """Network from the condition (N, D) to `num_chunks` vectors of D channels, side by side."""
    return nn.Sequential(nn.SiLU(), nn.Linear(dim, num_chunks * dim))


class LightningDiTBlock(nn.Module):
    """Attention and feed-forward, modulated and gated by the condition (adaLN-Zero, arXiv 2212.09748)."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float,
        use_qknorm: bool,
        use_swiglu: bool,
        use_rmsnorm: bool,
        wo_shift: bool,
    ):
        super().__init__()
        width = feed_forward_width(dim, mlp_ratio, use_swiglu)
        self.wo_shift = wo_shift
        self.norm1 = block_norm(dim, use_rmsnorm)
        self.attn = Attention(dim, num_heads, use_qknorm, use_rmsnorm)
        self.norm2 = block_norm(dim, use_rmsnorm)
        self.mlp = SwiGLU(dim, width) if use_swiglu else Mlp(dim, width)
        self.adaLN_modulation = modulation(dim, 4 if wo_shift else 6)

    def forward(self, x: Tensor, c: Tensor, rope: AxialRotaryEmbedding | None = None) -> Tensor:
        """Tokens (N, T, D) under a condition (N, D) to tokens of the same shape."""
        chunks = self.adaLN_modulation(c).chunk(4 if self.wo_shift else 6, dim=-1)
        if self.wo_shift:
            chunks = (None, *chunks[:2], None, *chunks[2:])
        shift_attn, scale_attn, gate_attn, shift_mlp, scale_mlp, gate_mlp = chunks
        x = add_gated(x, gate_attn, self.attn(modulate(self.norm1(x), shift_attn, scale_attn), rope))
        return add_gated(x, gate_mlp, self.mlp(modulate(self.norm2(x), shift_mlp, scale_mlp)))


class FinalLayer(nn.Module):
    """Last norm, modulation and projection of each token to the values of its patch."""

    def __init__(self, dim: int, out_features: int, use_rmsnorm: bool):
        super().__init__()
        self.norm_final = block_norm(dim, use_rmsnorm)
        self.linear = nn.Linear(dim, out_features)
        self.adaLN_modulation = modulation(dim, 2)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Tokens (N, T, D) under a condition (N, D) to (N, T, patch²·C)."""
        shift, scale = self.adaLN_modulation(c).chunk(2, dim=-1)
        return self.linear(modulate(self.norm_final(x), shift, scale))


def unpatchify(tokens: Tensor, patch_size: int) -> Tensor:
    """Tokens (N, T, patch²·C), row-major on a square grid, to images (N, C, S, S)."""
    side = round(tokens.shape[1] ** 0.5)
    return rearrange(tokens, "n (h w) (p q c) -> n c (h p) (w q)", h=side, w=side, p=patch_size, q=patch_size)


class LightningDiT(nn.Module):
    """Diffusion transformer from a noised latent, its time and its class to the velocity there.

    `input_size` is the latent side S, `patch_size` the patch side, `class_dropout_prob` the share of labels
    that training replaces by the null class (0: the model has none). `learn_sigma` adds output channels that
    variance-learning weights hold; they are computed and left out of the result. `wo_shift` modulates without
    shifts. `use_checkpoint` recomputes each block's activations in the backward pass: less memory, more time.
    `combinations` makes labels pairs of rows that add up (see `LabelEmbedder`). `flow_map` lets the network
    know a span of time, over which its output is the mean velocity (arXiv 2505.18825, 2505.13447).
    `references` conditions on vectors of people's images instead of rows (see `ReferenceEmbedder`).

    Raises UserError for sizes that do not divide.
    """

    def __init__(
        self,
        input_size: int = 16,
        patch_size: int = 1,
        in_channels: int = 32,
        hidden_size: int = 1152,
        depth: int = 28,
        num_heads: int = 16,
        mlp_ratio: float = 4.0,
        class_dropout_prob: float = 0.1,
        num_classes: int = 31,
        learn_sigma: bool = False,
        use_qknorm: bool = False,
        use_swiglu: bool = True,
        use_rope: bool = True,
        use_rmsnorm: bool = True,
        wo_shift: bool = False,
        use_checkpoint: bool = False,
        combinations: Sequence[Sequence[int]] | None = None,
        flow_map: bool = False,
        references: bool = False,
    ):
        config = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        super().__init__()
        check_sizes(input_size, patch_size, hidden_size, num_heads, use_rope, class_dropout_prob)
        self._config = config
        self.in_channels = in_channels
        self.patch_size = patch_size
        self.input_size = input_size
        self.use_checkpoint = use_checkpoint

        side = input_size // patch_size
        out_channels = in_channels * (2 if learn_sigma else 1)
        self.x_embedder = PatchEmbed(patch_size, in_channels, hidden_size)
        self.t_embedder = TimestepEmbedder(hidden_size)
        self.span_embedder = TimestepEmbedder(hidden_size) if flow_map else None
        self.y_embedder = self._embedder()
        self.register_buffer("pos_embed", sincos_position_table(side, hidden_size))
        self.feat_rope = AxialRotaryEmbedding(side, hidden_size // num_heads) if use_rope else None
        self.blocks = nn.ModuleList(
            LightningDiTBlock(
                hidden_size, num_heads, mlp_ratio, use_qknorm, use_swiglu, use_rmsnorm, wo_shift
            )
            for _ in range(depth)
        )
        self.final_layer = FinalLayer(hidden_size, patch_size**2 * out_channels, use_rmsnorm)
        self.initialise_weights()

    def _embedder(self) -> LabelEmbedder | ReferenceEmbedder:
        config = self._config
        sizes = config["num_classes"], config["hidden_size"], config["class_dropout_prob"]
        if not config["references"]:
            return LabelEmbedder(*sizes, config["combinations"])
        if config["combinations"] is not None:
            raise UserError("references: people in conditions are learnt by rows; leave out --conditions")
        return ReferenceEmbedder(*sizes, config["in_channels"], config["input_size"])

    @property
    def null_class(self) -> int:
        """Label that stands for "no class": `num_classes`."""
        return self.y_embedder.null_class

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, from which `LightningDiT(**config)` builds the same architecture."""
        return dict(self._config)

    def initialise_weights(self) -> None:
        """Draw a new model's weights; zero gates and a zero last projection make it the zero velocity."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        patch = self.x_embedder.proj
        nn.init.xavier_uniform_(patch.weight.detach().flatten(1))  # a view: the matrix that each patch meets
        assert patch.bias is not None
        nn.init.zeros_(patch.bias)
        for module in (*self.y_embedder.modules(), *self.t_embedder.modules()):
            if isinstance(module, (nn.Embedding, nn.Linear)):
                nn.init.normal_(module.weight, std=0.02)
        if self.span_embedder is not None:  # a new map is that of Euler's steps
            nn.init.normal_(self.span_embedder.mlp.get_parameter("0.weight"), std=0.02)
            nn.init.zeros_(self.span_embedder.mlp.get_parameter("2.weight"))
        closing = [module.adaLN_modulation[-1] for module in (*self.blocks, self.final_layer)]
        for layer in (*closing, self.final_layer.linear):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self, x: Tensor, t: Tensor, y: Tensor, drop: Tensor | None = None, span: Tensor | None = None
    ) -> Tensor:
        """Velocity (N, C, S, S) at latents x (N, C, S, S), times t (N,) in [0, 1] and labels y (N,) int64, or
        with `references` vectors y (N, V).

        `drop` (N,) bool replaces labels by the null class; without it, training mode drops at random (see
        `LabelEmbedder`, also for labels of two parts). A network with `flow_map` gives the mean velocity on
        the way from t to t + span, (N,), of which none is 0.
        """
        tokens = self.x_embedder(x) + self.pos_embed  # (N, T, D)
        c = self.t_embedder(t) + self.y_embedder(y, drop)  # (N, D)
        if self.span_embedder is not None:
            c = c + self.span_embedder(0 * t if span is None else span)
        for block in self.blocks:
            if self.use_checkpoint and self.training:
                tokens = checkpoint(block, tokens, c, self.feat_rope, use_reentrant=False)
            else:
                tokens = block(tokens, c, self.feat_rope)
        images = unpatchify(self.final_layer(tokens, c), self.patch_size)
        return images[:, : self.in_channels]


def check_sizes(
    input_size: int,
    patch_size: int,
    hidden_size: int,
    num_heads: int,
    use_rope: bool,
    class_dropout_prob: float,
) -> None:
    """Raise UserError, naming the argument and a way out, for sizes of which no model can be built."""
    if input_size % patch_size:
        raise UserError(f"patch_size {patch_size} does not divide input_size {input_size}; choose a divisor")
    if hidden_size % num_heads or hidden_size % 4:
        raise UserError(f"hidden_size {hidden_size} must be a multiple of 4 and of num_heads {num_heads}")
    if use_rope and hidden_size // num_heads % 4:
        raise UserError(
            f"hidden_size {hidden_size} over num_heads {num_heads} is {hidden_size // num_heads} channels a "
            "head, which use_rope needs to be a multiple of 4; change either, or set use_rope to false"
        )
    if not 0 <= class_dropout_prob < 1:
        raise UserError(f"class_dropout_prob {class_dropout_prob} is out of range: expected 0 up to below 1")


# depth, hidden_size, num_heads. S is this project's; the others are the published ones.
_SIZES = {
    "S": (12, 384, 6),
    "B": (12, 768, 12),
    "L": (24, 1024, 16),
    "XL": (28, 1152, 16),
    "1p0B": (24, 1536, 24),
    "1p6B": (28, 1792, 28),
}

LightningDiT_models: dict[str, partial[LightningDiT]] = {
    f"LightningDiT-{size}/{patch_size}": partial(
        LightningDiT, depth=depth, hidden_size=hidden_size, num_heads=num_heads, patch_size=patch_size
    )
    for size, (depth, hidden_size, num_heads) in _SIZES.items()
    for patch_size in (1, 2)
}
