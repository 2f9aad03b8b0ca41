"""People known by images of them instead of by a row each: an encoder of images, and what conditions by it.

A network trained so draws people whom it has not seen from a few of their images (the idea of retrieval- and
image-conditioned generators, arXiv 2204.11824, 2301.12247; here identity alone goes in, as in speaker
verification, arXiv 1710.10467).

Shapes: N samples, C latent channels, S latent side, D channels, V = `WIDTH` of a vector.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

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

    `vectors` (num_classes + 1, V) are the known people's, the last one, 0, that of the null class. A label
    stands for its person's vector; training gives vectors instead of labels.
    """

    vectors: Tensor
    num_parts = 1

    def __init__(self, num_classes: int, dim: int, dropout: float, in_channels: int, side: int):
        super().__init__()
        self.num_classes, self.dropout = num_classes, dropout
        self.encoder = ReferenceEncoder(in_channels, side).requires_grad_(False)
        self.register_buffer("vectors", torch.zeros(num_classes + 1, WIDTH))
        self.mlp = nn.Sequential(nn.Linear(WIDTH, dim), nn.SiLU(), nn.Linear(dim, dim))

    @property
    def null_class(self) -> int:
        """Label that stands for nobody."""
        return self.num_classes

    def forward(self, people: Tensor, drop: Tensor | None = None) -> Tensor:
        """Labels (N,) int64, or vectors (N, V), to (N, D).

        `drop` (N,) or (N, 1) bool says which of them become nobody; without it, training mode draws them
        from the global random generator, and evaluation drops none.
        """
        vectors = people if people.is_floating_point() else self.vectors[people]
        if drop is None and self.training and self.dropout > 0:
            drop = torch.rand(len(vectors), device=vectors.device) < self.dropout
        if drop is not None:
            vectors = vectors.masked_fill(drop.view(-1, 1), 0.0)
        return self.mlp(WIDTH**0.5 * vectors)  # entries of about 1


def references_of(net: nn.Module) -> ReferenceEmbedder:
    """What tells a network with references whom to draw."""
    assert isinstance(net.y_embedder, ReferenceEmbedder)
    return net.y_embedder


def mean_vector(vectors: Tensor) -> Tensor:
    """What several images' unit vectors (..., K, V) say together, (..., V): the mean's direction."""
    return functional.normalize(vectors.mean(dim=-2), dim=-1)
