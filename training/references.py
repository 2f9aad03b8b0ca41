"""Training of networks that know people by images of them (`models.references`): first the encoder, by
telling the training people apart, then the network, by references of the person whose image it draws.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from configs.command_line import say
from data.latent_stats import LatentStatistics
from data.latents import LatentSet
from data.progress import progress
from models.lightningdit import LightningDiT
from models.references import WIDTH, ReferenceEncoder, mean_vector, references_of
from runtime.seeds import generator
from training.dit_module import DiTModule

MOST = 8  # references of a training image
APART = 4  # places between an image and its references: neighbours may be windows of one walk
PASSES, BATCH, PEAK = 20, 64, 2e-3
SHARPNESS = 16.0  # of the softmax over cosines
DROPPED, SMOOTHING, NOISE = 0.2, 0.05, 0.1
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
    for label in range(len(train.label_table)):
        references_of(net).vectors[label] = mean_vector(vectors[train.labels == label])


def teach_(encoder: ReferenceEncoder, train: LatentSet, statistics: LatentStatistics, seed: int) -> None:
    """Fit the encoder by the cross-entropy of cosines with a direction for each person (as NormFace, arXiv
    1704.06369): AdamW with a cosine to zero, latents rolled in time and noised. The global random state is
    left as it was.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(generator(seed, "references").initial_seed())
        fresh_(encoder.requires_grad_(True))
        directions = nn.Parameter(torch.randn(len(train.label_table), WIDTH))
        optimizer = torch.optim.AdamW([*encoder.parameters(), directions], lr=PEAK, weight_decay=0.05)
        steps = PASSES * math.ceil(len(train) / BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in progress(range(PASSES), description="encoder of references", unit="pass"):
            right = 0
            for chosen in torch.randperm(len(train)).split(BATCH):
                x = varied(statistics.normalise(train.latents[chosen]))
                z = encoder.project(functional.dropout(encoder.features(x), DROPPED))
                cosines = functional.normalize(z, dim=1) @ functional.normalize(directions, dim=1).T
                labels = train.labels[chosen]
                loss = functional.cross_entropy(SHARPNESS * cosines, labels, label_smoothing=SMOOTHING)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                right += int((cosines.argmax(1) == labels).sum())
        encoder.requires_grad_(False)
    say(f"encoder of references: {right / len(train):.1%} of {len(train)} training images told apart")


def fresh_(encoder: ReferenceEncoder) -> None:
    """Draw the encoder's weights as its layers do by themselves."""
    for module in encoder.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.GroupNorm)):
            module.reset_parameters()


def varied(x: Tensor) -> Tensor:
    """Latents (N, C, S, S) rolled in time, each by its own shift, and noised."""
    size = x.shape[-1]
    places = (torch.arange(size) + torch.randint(size, (len(x), 1))) % size
    rolled = x.gather(3, places[:, None, None, :].expand_as(x))
    return rolled + NOISE * torch.randn_like(x)
