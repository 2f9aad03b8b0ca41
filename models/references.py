"""People known by images of them instead of by a row each: an encoder of images, and what conditions by it.

A network trained so draws people whom it has not seen from a few of their images (the idea of retrieval- and
image-conditioned generators, arXiv 2204.11824, 2301.12247; here identity alone goes in, as in speaker
verification, arXiv 1710.10467).

Shapes: N samples, C latent channels, S latent side, D channels, V = `WIDTH` of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.embedders import table_rows

WIDTH = 64
GROUPS = 8


def _convolution(inputs: int, outputs: int, stride: tuple[int, int] = (1, 1)) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(layer, nn.GroupNorm(GROUPS, outputs))


class ReferenceEncoder(nn.Module):
    """Says who walks in a latent image, normalised as for the network: (N, C, S, S) to unit vectors (N, V).

    Averages over time, the last axis, but not over velocity: what is told apart are people, not moments.
    """

    def __init__(self, in_channels: int, side: int, channels: int = 64):
        super().__init__()
        self.stem = _convolution(in_channels, channels, stride=(1, 2))  # half as many moments do
        self.blocks = nn.ModuleList(_convolution(channels, channels) for _ in range(3))
        self.project = nn.Linear(channels * side, WIDTH)

    def features(self, x: Tensor) -> Tensor:
        """(N, C, S, S) to (N, channels S): maps averaged over time."""
        x = self.stem(x).relu()
        for block in self.blocks:
            x = (x + block(x)).relu()
        return x.mean(dim=-1).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(self.project(self.features(x)), dim=1)


class ReferenceEmbedder(nn.Module):
    """Embeds people by vectors of their images; takes the place of `LabelEmbedder`.

    `vectors` (labels, V + K) are the known people's, each followed by K numbers that say which of the K
    conditions of `combinations` it shall be drawn in: a 1 at its place, or all 0, which means as in the
    images. After the labels' come the null class's, 0, and those of the conditions of nobody. A label stands
    for its vector; training gives vectors instead of labels.
    """

    vectors: Tensor
    num_parts = 1

    def __init__(
        self,
        num_classes: int,
        dim: int,
        dropout: float,
        combinations: Sequence[Sequence[int]] | None,
        in_channels: int,
        side: int,
    ):
        super().__init__()
        self.num_classes, self.dropout, self.combinations = num_classes, dropout, combinations
        self.num_conditions = max(0, table_rows(num_classes, dropout, combinations)[1] - 1)
        self.encoder = ReferenceEncoder(in_channels, side).requires_grad_(False)
        width = WIDTH + self.num_conditions
        self.register_buffer("vectors", torch.zeros(num_classes + 1 + self.num_conditions, width))
        self.mlp = nn.Sequential(nn.Linear(width, dim), nn.SiLU(), nn.Linear(dim, dim))

    def know_(self, people: Tensor) -> None:
        """Give the labels the vectors of their people, (labels, V)."""
        asked = torch.eye(self.num_conditions + 1)[:, : self.num_conditions]  # the last row for none, -1
        if self.combinations is not None:
            asked_of = asked[[condition for _, condition in self.combinations]]
            people = torch.cat([people, asked_of], dim=1)
        nobody = functional.pad(asked.roll(1, 0), (WIDTH, 0))
        self.vectors = torch.cat([people, nobody])

    @property
    def null_class(self) -> int:
        """Label that stands for nobody."""
        return self.num_classes

    def condition_of_nobody(self, condition: int) -> int:
        """As of `LabelEmbedder`."""
        return self.null_class + 1 + condition

    def forward(self, people: Tensor, drop: Tensor | None = None) -> Tensor:
        """Labels (N,) int64, or vectors (N, V + K), to (N, D).

        `drop` (N,) or (N, 1) bool says which people become nobody, in their conditions; without it, training
        mode draws them from the global random generator, and evaluation drops none.
        """
        vectors = people if people.is_floating_point() else self.vectors[people]
        if drop is None and self.training and self.dropout > 0:
            drop = torch.rand(len(vectors), device=vectors.device) < self.dropout
        who, condition = vectors.split([WIDTH, self.num_conditions], dim=1)
        if drop is not None:
            who = who.masked_fill(drop.view(-1, 1), 0.0)
        return self.mlp(torch.cat([WIDTH**0.5 * who, condition], dim=1))  # entries of about 1


def references_of(net: nn.Module) -> ReferenceEmbedder:
    """What tells a network with references whom to draw."""
    assert isinstance(net.y_embedder, ReferenceEmbedder)
    return net.y_embedder
