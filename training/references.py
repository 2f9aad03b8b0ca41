"""Training of networks that know people by images of them (`models.references`): first the encoder, by
telling the training people apart, then the network, by references of the person whose image it draws.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from data.latent_stats import LatentStatistics
from data.latents import LatentSet
from data.progress import progress
from models.lightningdit import LightningDiT
from models.references import WIDTH, ReferenceEncoder, mean_vector, moments, references_of
from training.dit_module import DiTModule

MOST = 8  # references of a training image
APART = 4  # places between an image and its references: neighbours may be windows of one walk
RIDGE = 0.1  # least variance within a person of each moment; with less, measured people are told worse
NOTHING = 1e-6  # share of the strongest discriminant below which one is rounding
MANY = 512  # latents encoded at once


class ReferenceModule(DiTModule):
    """`DiTModule` whose network gets vectors of references instead of labels: the mean of 1 to `MOST` images
    of the same person, never the image itself nor its neighbours, so that what is learnt is to draw somebody
    at other moments than those that are shown.
    """

    known: Tensor
    table: Tensor

    def __init__(self, net: LightningDiT, *parts: Any, train: LatentSet) -> None:
        super().__init__(net, *parts)
        self._train = train
        self.register_buffer("table", Places.of(train.labels).table, persistent=False)

    def on_train_start(self) -> None:
        """Encode by the encoder of the run, which a checkpoint may just have brought."""
        super().on_train_start()
        encoder = copy.deepcopy(references_of(self.net).encoder).cpu()
        self.known = encoded(encoder, self._train, self.payload.statistics).to(self.device)

    def people_of(self, batch: dict[str, Any], draw: torch.Generator) -> Tensor:
        """(B, V) vectors of references."""
        rows = batch["rows"]
        shares = self.uniform(len(rows) * (MOST + 1), draw).view(len(rows), MOST + 1)
        chosen = Places(self.table).references(rows, shares[:, 1:])
        count = 1 + (shares[:, :1] * MOST).long()
        taken = torch.arange(MOST, device=rows.device) < count
        return mean_vector(self.known[chosen] * taken[..., None])


class Places:
    """Where each image stands among its person's: `table` (M, 4) int64 holds for each row its place, how many
    images the person has, where these begin in the order of people, and the row that stands there.
    """

    def __init__(self, table: Tensor) -> None:
        self.table = table

    @classmethod
    def of(cls, labels: Tensor) -> Places:
        order = torch.argsort(labels, stable=True)
        counts = torch.bincount(labels)
        first = counts.cumsum(0) - counts
        place = torch.empty_like(order)
        place[order] = torch.arange(len(labels)) - first[labels[order]]
        return cls(torch.stack([place, counts[labels], first[labels], order], dim=1))

    def references(self, rows: Tensor, shares: Tensor) -> Tensor:
        """(B, K) rows of the same person as `rows` (B,), by uniform numbers `shares` (B, K): at least `APART`
        places away, where the person has so many images; else any other one, and of a single image itself.
        """
        place, count, first = self.table[rows, :3].T[..., None]
        far = count - 1 - place.clamp(max=APART - 1) - (count - 1 - place).clamp(max=APART - 1)
        near = torch.where(far > 0, APART - 1, 0)
        left, right = torch.minimum(place, near), torch.minimum(count - 1 - place, near)
        usable = (count - 1 - left - right).clamp(min=1)
        chosen = torch.minimum((shares * usable).long(), usable - 1)
        chosen = torch.where(chosen >= place - left, chosen + left + 1 + right, chosen)
        return self.table[first + torch.where(count > 1, chosen, place), 3]


@torch.no_grad()
def encoded(encoder: ReferenceEncoder, latents: LatentSet, statistics: LatentStatistics) -> Tensor:
    """(M, V) vectors of all latents."""
    starts = range(0, len(latents), MANY)
    parts = [encoder(statistics.normalise(latents.latents[first : first + MANY])) for first in starts]
    return torch.cat(parts)


def know_people_(net: LightningDiT, train: LatentSet, statistics: LatentStatistics) -> None:
    """Give the network the vectors of the training people, by its encoder."""
    encoder = references_of(net).encoder
    vectors = encoded(encoder, train, statistics)
    for label in train.labels.unique().tolist():  # published latents name classes that they hold none of
        references_of(net).vectors[label] = mean_vector(vectors[train.labels == label])


def teach_(encoder: ReferenceEncoder, train: LatentSet, statistics: LatentStatistics) -> None:
    """Give the encoder the discriminants of the training people's `moments`; with an image of each, the
    directions in which these differ most.
    """
    _, labels, count = train.labels.unique(return_inverse=True, return_counts=True)
    sums = torch.zeros(len(count), encoder.project.in_features, dtype=torch.float64)
    squares = torch.zeros(sums.shape[1], sums.shape[1], dtype=torch.float64)
    for first in progress(range(0, len(train), MANY), description="encoder of references", unit="block"):
        block = slice(first, first + MANY)
        features = moments(statistics.normalise(train.latents[block])).double()
        sums.index_add_(0, labels[block], features)
        squares += features.T @ features
    means = sums / count[:, None]
    within = (squares - sums.T @ means) / len(train)
    directions, middle = discriminants(means, within), means.mean(0)
    variance = ((means - middle) @ directions).square().sum(dim=1).mean()
    state = {"project.weight": directions.T, "project.bias": -middle @ directions, "variance": variance}
    encoder.load_state_dict({name: value.float() for name, value in state.items()})


def discriminants(means: Tensor, within: Tensor) -> Tensor:
    """Linear discriminants (D, V) of people's `means` (P, D), from the covariance `within` a person (D, D):
    the directions of the largest variance between people, that within and `RIDGE` together being 1 in each
    (Fisher 1936, regularised as by Friedman 1989). Of few people the last, which tell nobody apart, are 0.
    """
    root = torch.linalg.cholesky(within + RIDGE * torch.eye(len(within), dtype=within.dtype))
    whitened = torch.linalg.solve_triangular(root, (means - means.mean(0)).T, upper=False)
    directions, strengths, _ = torch.linalg.svd(whitened, full_matrices=False)
    kept = directions[:, :WIDTH] * (strengths[:WIDTH] > NOTHING * strengths[0])
    columns = torch.linalg.solve_triangular(root.T, kept, upper=True)
    return functional.pad(columns, (0, WIDTH - columns.shape[1]))
