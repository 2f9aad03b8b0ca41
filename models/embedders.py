"""What goes into the transformer: patches with their places, the time, and the class.

Shapes: N samples, C latent channels, S latent side, T tokens, D channels.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from configs.errors import UserError

POSITION_BASE = 10_000.0


class PatchEmbed(nn.Module):
    """Cuts a latent image into square patches and projects each to D channels."""

    def __init__(self, patch_size: int, in_channels: int, dim: int):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, S, S) to (N, T, D), row by row."""
        return self.proj(x).flatten(2).transpose(1, 2)


def sincos_position_table(side: int, dim: int) -> Tensor:
    """Fixed place code (1, side², D), float32: D/2 channels for the column index, then D/2 for the row index.

    Each half is sin then cos of index · 10000^(-i/(D/4)), i < D/4 (the code of DiT, arXiv 2212.09748).
    """
    assert dim % 4 == 0, f"sine and cosine on two axes need a width that 4 divides, not {dim}"
    quarter = dim // 4
    frequencies = POSITION_BASE ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    angles = torch.outer(torch.arange(side, dtype=torch.float64), frequencies)
    code = torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, D/2)
    column = code[None, :, :].expand(side, side, -1)
    row = code[:, None, :].expand(side, side, -1)
    return torch.cat([column, row], dim=-1).reshape(1, side * side, dim).float()


class TimestepEmbedder(nn.Module):
    """Embeds the flow time t in [0, 1], t = 1 being data."""

    num_features = 256

    def __init__(self, dim: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(self.num_features, dim), nn.SiLU(), nn.Linear(dim, dim))

    def features(self, t: Tensor) -> Tensor:
        """cos then sin of t · 10000^(-i/128): (N,) to (N, 256), float32."""
        half = self.num_features // 2
        exponents = torch.arange(half, dtype=torch.float32, device=t.device) / half
        angles = t.float()[:, None] * torch.exp(-math.log(POSITION_BASE) * exponents)
        return torch.cat([angles.cos(), angles.sin()], dim=-1)

    def forward(self, t: Tensor) -> Tensor:
        """(N,) to (N, D)."""
        return self.mlp(self.features(t).to(next(self.mlp.parameters()).dtype))


class LabelEmbedder(nn.Module):
    """Embeds class labels and owns the null class, which classifier-free guidance needs (arXiv 2207.12598).

    The null class exists only where training drops labels; its row is the last one of `embedding_table`.

    With `combinations`, the embedding of label i is the sum of row `combinations[i][0]` of `embedding_table`
    and row `combinations[i][1]` of `condition_table`. So combinations never trained on have an embedding.
    The last row of each table, -1, stands for none. Labels beyond the null class are the conditions of
    nobody, in their order (`condition_of_nobody`).
    """

    def __init__(
        self, num_classes: int, dim: int, dropout: float, combinations: Sequence[Sequence[int]] | None = None
    ):
        super().__init__()
        self.num_classes = num_classes
        self.dropout = dropout
        rows = table_rows(num_classes, dropout, combinations)
        self.combinations: list[list[int]] | None = None
        self._moved: Tensor | None = None
        if combinations is not None:  # then the null class's, the conditions of nobody; last rows for -1
            pairs = [*combinations, (-1, -1), *((-1, condition) for condition in range(rows[1] - 1))]
            self.combinations = [[number % count for number, count in zip(pair, rows)] for pair in pairs]
        self.embedding_table = nn.Embedding(rows[0], dim)
        self.condition_table = nn.Embedding(rows[1], dim) if combinations is not None else None

    @property
    def null_class(self) -> int:
        """Label that stands for "no class"."""
        return self.num_classes

    def condition_of_nobody(self, condition: int) -> int:
        """Label that stands for a condition without a person; of none, -1, the null class."""
        return self.null_class + 1 + condition

    def forward(self, labels: Tensor, drop: Tensor | None = None) -> Tensor:
        """Labels (N,) int64 to (N, D).

        `drop` (N,) bool says which labels become the null class, whatever the mode; with combinations it may
        be (N, 2), for the two parts on their own. Without it, training mode draws them from the global
        random generator at the dropout's probability; evaluation drops none.
        """
        if drop is None and self.training and self.dropout > 0:
            drop = torch.rand((len(labels), self.num_parts), device=labels.device) < self.dropout
        if drop is not None and drop.ndim == 1:
            drop = drop[:, None]
        if self.combinations is None:
            labels = labels if drop is None else labels.masked_fill(drop[:, 0], self.null_class)
            return self.embedding_table(labels)
        numbers = self._numbers(labels.device)
        nobody = numbers[self.null_class]
        pairs = numbers[labels] if drop is None else torch.where(drop, nobody, numbers[labels])
        assert self.condition_table is not None
        return self.embedding_table(pairs[:, 0]) + self.condition_table(pairs[:, 1])

    def _numbers(self, device: torch.device) -> Tensor:
        """(labels, 2) rows of both tables for each label, moved to a device once: no weights, so no file
        holds them, and a network built without memory has them too.
        """
        if self._moved is None or self._moved.device != device:
            self._moved = torch.tensor(self.combinations, device=device)
        return self._moved

    @property
    def num_parts(self) -> int:
        """Into how many parts, each dropped on its own, a label falls: 2 with combinations, else 1."""
        return 1 if self.combinations is None else 2


def table_rows(
    num_classes: int, dropout: float, combinations: Sequence[Sequence[int]] | None
) -> tuple[int, int]:
    """Rows of a `LabelEmbedder`'s two tables; UserError for combinations that fit no labels."""
    if combinations is None:
        return num_classes + int(dropout > 0), 0
    if len(combinations) != num_classes or not dropout > 0:
        raise UserError(
            f"{len(combinations)} combinations for {num_classes} classes at class_dropout_prob {dropout}: "
            "expected one a class, and a dropout above 0, which trains the rows for none"
        )
    if any(len(pair) != 2 or min(pair) < -1 for pair in combinations):
        raise UserError("combinations: expected pairs of rows, from 0 on or -1 for none")
    first, second = zip(*combinations)
    return max(first) + 2, max(second) + 2
