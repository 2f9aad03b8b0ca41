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
from data.conditions import NONE
from data.latent_stats import LatentStatistics
from data.latents import LatentSet
from data.progress import progress
from models.lightningdit import LightningDiT
from models.references import WIDTH, ReferenceEncoder, references_of
from runtime.seeds import generator
from training.dit_module import DiTModule

MOST = 8  # references of a training image
PASSES, BATCH, PEAK = 30, 64, 2e-3
SHARPNESS = 16.0  # of the softmax over cosines
LEAST_AGREEMENT = 0.1  # of new images as a share of the taught ones'; less is an encoder of no use
TOLD = 0.5  # share of training images whose condition is told
DROPPED, SMOOTHING, NOISE = 0.2, 0.05, 0.1
MANY = 512  # latents encoded at once


class ReferenceModule(DiTModule):
    """`DiTModule` whose network gets vectors of references instead of labels: the mean of 1 to `MOST` images
    of the same folder, never the image itself nor its neighbours, so that what is learnt is to draw somebody
    at other moments than those that are shown. The mean is the shorter, the more these disagree.

    Of people in conditions every other image is drawn so; for the others the network is told the image's
    condition, and shown the person in any one.
    """

    known: Tensor
    doubt = 0.0
    folders: Tensor
    people: Tensor
    conditions: Tensor

    def __init__(self, net: LightningDiT, *parts: Any, train: LatentSet) -> None:
        super().__init__(net, *parts)
        self._train = train
        person, condition = torch.tensor(pairs_of(net))[train.labels].T
        asked = functional.one_hot(condition + 1, references_of(net).num_conditions + 1)[:, 1:]
        self.register_buffer("folders", Places.of(train.labels).table, persistent=False)
        self.register_buffer("people", Places.of(person).table, persistent=False)
        self.register_buffer("conditions", asked.float(), persistent=False)

    def on_train_start(self) -> None:
        """Encode by the encoder of the run, which a checkpoint may just have brought."""
        super().on_train_start()
        encoder = copy.deepcopy(references_of(self.net).encoder).cpu()
        self.known = encoded(encoder, self._train, self.payload.statistics).to(self.device)
        if self.val is not None:
            new = encoded(encoder, self.val, self.payload.statistics)
            self.doubt = doubt(self.known.cpu(), self._train.labels, new, self.val.labels)

    def people_of(self, batch: dict[str, Any], draw: torch.Generator) -> Tensor:
        """(B, V + K) vectors of references, and the conditions that are told."""
        rows, conditions = batch["rows"], self.conditions[batch["rows"]]
        shown = rows
        if conditions.shape[1]:
            told, other = self.uniform(2 * len(rows), draw).view(2, len(rows), 1)
            told = (told < TOLD) & conditions.any(dim=1, keepdim=True)
            other = Places(self.people).references(rows, other, self.config.references_apart)
            shown = torch.where(told & ~self._together(rows, other), other, rows[:, None])[:, 0]
            conditions = conditions * told
        shares = self.uniform(len(rows) * (MOST + 1), draw).view(len(rows), MOST + 1)
        chosen = Places(self.folders).references(shown, shares[:, 1:], self.config.references_apart)
        count = 1 + (shares[:, :1] * MOST).long()
        taken = torch.arange(MOST, device=rows.device) < count
        vectors = self.known[chosen]
        noise = self.normal_like(vectors, draw) / WIDTH**0.5
        vectors = (vectors + self.doubt * noise) / (1 + self.doubt**2) ** 0.5
        people = (vectors * taken[..., None]).sum(dim=1) / count
        return torch.cat([people, conditions], dim=1)

    def _together(self, rows: Tensor, other: Tensor) -> Tensor:
        """(B, 1) whether `other` (B, 1) are images of the same folders as `rows` (B,)."""
        first = self.folders[:, Places.FIRST]
        return first[other] == first[rows][:, None]


def doubt(known: Tensor, labels: Tensor, new: Tensor, new_labels: Tensor) -> float:
    """Length of the noise by which vectors `known` (N, V) of images that an encoder was taught by become as
    unsure of their people as `new` ones (M, V) of the same people, which it was not: the network shall trust
    those of people whom it is shown no more than they deserve. 0 where nobody has two images.
    """
    sums = torch.zeros(int(labels.max()) + 1, WIDTH).index_add_(0, labels, known)
    counts = torch.bincount(labels)
    others = (counts - 1)[labels]
    taught = ((sums[labels] * known).sum(dim=1) - 1) / others  # an image agrees with itself by 1
    new, new_labels = new[new_labels < len(sums)], new_labels[new_labels < len(sums)]
    fresh = (sums[new_labels] * new).sum(dim=1) / counts[new_labels]
    agreement = fresh[counts[new_labels] > 0].mean() / taught[others > 0].mean()
    return float((agreement.nan_to_num(1.0).clamp(LEAST_AGREEMENT, 1.0) ** -2 - 1).sqrt())


class Places:
    """Where each image stands among its person's: `table` (M, 4) int64 holds for each row its place, how many
    images the person has, where these begin in the order of people, and the row that stands there.
    """

    FIRST = 2  # the column of where the person's images begin

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

    def references(self, rows: Tensor, shares: Tensor, apart: int) -> Tensor:
        """(B, K) rows of the same person as `rows` (B,), by uniform numbers `shares` (B, K): at least `apart`
        places away, where the person has so many images; else any other one, and of a single image itself.
        """
        place, count, first = self.table[rows, :3].T[..., None]
        far = count - 1 - place.clamp(max=apart - 1) - (count - 1 - place).clamp(max=apart - 1)
        near = torch.where(far > 0, apart - 1, 0)
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


def pairs_of(net: LightningDiT) -> list[list[int]]:
    """Person and condition of each label."""
    return net.config["combinations"] or [[label, NONE] for label in range(net.null_class)]


def know_people_(net: LightningDiT, train: LatentSet, statistics: LatentStatistics) -> None:
    """Give the network the vectors of the training people, by its encoder: of each label's images, and of a
    combination never recorded those of its person in all others.
    """
    vectors = encoded(references_of(net).encoder, train, statistics)
    pairs = torch.tensor(pairs_of(net))
    counted = torch.cat([vectors, torch.ones(len(vectors), 1)], dim=1)
    sums = torch.zeros(len(pairs), WIDTH + 1).index_add_(0, train.labels, counted)
    of_people = torch.zeros(len(pairs), WIDTH + 1).index_add_(0, pairs[:, 0], sums)[pairs[:, 0]]
    sums = torch.where(sums[:, -1:] > 0, sums, of_people)
    references_of(net).know_(sums[:, :-1] / sums[:, -1:])


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
