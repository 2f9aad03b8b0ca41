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
LEAST = 1e-12  # of a squared length that is divided by


class ReferenceEncoder(nn.Module):
    """Says who walks in a latent image, normalised as for the network: (N, C, S, S) to unit vectors (N, V).

    A linear map of `moments`, the discriminants of people (`training.references`). Small networks in its
    place told simulated people apart nearly as well, and measured ones, whom they had not seen, much worse.
    `variance` is the mean squared length of the training people's mean places, which have a mean of 0; within
    a person, images scatter by at most 1 in each direction.
    """

    variance: Tensor

    def __init__(self, in_channels: int, side: int):
        super().__init__()
        self.project = nn.Linear(3 * in_channels * side, WIDTH)
        self.register_buffer("variance", torch.zeros(()))

    def places(self, x: Tensor) -> Tensor:
        """(N, C, S, S) to (N, V), whose directions are what `forward` gives."""
        return self.project(moments(x))

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(self.places(x), dim=1)

    def vectors_of(self, x: Tensor, labels: Tensor) -> tuple[Tensor, float]:
        """Of people who are shown together, by images of labels 0 to P - 1 each: (P, V), without what they
        share and the training people lack, and how much of that is taken off, in [0, 1].

        Another radar, room or make of images moves everybody alike. By chance the mean of P people of the
        training's kind has a squared length of variance / P, and a little more for so few images of each.
        That share of it is left (in the manner of James and Stein, 1961, positive part), so that such people
        are moved little, and a single one, of whom nothing can be told, not at all.
        """
        each = self.places(x)
        places = [each[labels == label] for label in labels.unique()]
        shared = torch.stack([part.mean(dim=0) for part in places]).mean(dim=0)
        scatter = sum(WIDTH / len(part) for part in places) / len(places)
        by_chance = (self.variance + scatter) / len(places)
        share = (1 - by_chance / shared.square().sum().clamp(min=LEAST)).clamp(min=0) * (len(places) > 1)
        vectors = [mean_vector(functional.normalize(part - share * shared, dim=1)) for part in places]
        return torch.stack(vectors), share.item()


def moments(x: Tensor) -> Tensor:
    """Of each channel at each velocity its mean over time, its spread, and the spread of its change from one
    moment to the next: (N, C, S, S) to (N, 3 C S). People are told apart, not moments, so time goes.
    """
    parts = (x.mean(dim=-1), x.std(dim=-1, correction=0), x.diff(dim=-1).std(dim=-1, correction=0))
    return torch.cat([part.flatten(1) for part in parts], dim=1)


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
