"""Training data in batches, in an order that is a function of position, so that a resumed run is the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch

from data.latents import LatentSet
from runtime.seeds import generator

SHARE_OF_DEVICE = 0.25  # of its free memory that the latents may take


@dataclass(eq=False)
class BatchStream:
    """All batches of one rank for a whole run; Lightning sees the run as one long epoch.

    Batch `p` holds rank `r`'s slice of global batch `p`, cut from a permutation of the data set drawn again
    for every pass from (seed, pass). Samples that do not fill a pass's last global batch are left out of that
    pass; a data set smaller than one global batch is repeated. `state_dict` is the number of batches handed
    out: Lightning stores it in the checkpoint. `seconds` is the time spent on making batches so far.
    """

    fetch: Callable[[torch.Tensor], dict[str, Any]]
    num_samples: int
    batch_size: int
    num_batches: int
    seed: int
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        self.position, self.seconds = 0, 0.0
        self._pass: tuple[int, torch.Tensor] | None = None

    @property
    def batches_per_pass(self) -> int:
        """Global batches in one pass over the data."""
        return max(1, self.num_samples // (self.batch_size * self.world_size))

    def indices(self, position: int) -> torch.Tensor:
        """(batch_size,) int64 indices of this rank's batch at `position`."""
        number, offset = divmod(position, self.batches_per_pass)
        if self._pass is None or self._pass[0] != number:
            self._pass = number, self._permutation(number)
        first = (offset * self.world_size + self.rank) * self.batch_size
        return self._pass[1][first : first + self.batch_size]

    def _permutation(self, number: int) -> torch.Tensor:
        draw = generator(self.seed, "order", number)
        repeats = -(-self.batch_size * self.world_size // self.num_samples)
        return torch.cat([torch.randperm(self.num_samples, generator=draw) for _ in range(repeats)])

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while self.position < self.num_batches:
            started = time.perf_counter()
            batch = self.fetch(self.indices(self.position))
            self.seconds += time.perf_counter() - started
            batch["position"] = self.position
            self.position += 1  # before handing out: a checkpoint written while the batch is used counts it
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]


class TensorDataModule(pl.LightningDataModule):
    """Training batches {name: rows, position} of `tensors` in memory, which have equally many rows."""

    def __init__(self, tensors: dict[str, Any], batch_size: int, num_batches: int, seed: int) -> None:
        super().__init__()
        self.tensors, self.num_samples = tensors, len(next(iter(tensors.values())))
        self.batch_size, self.num_batches, self.seed = batch_size, num_batches, seed

    def fetch(self, indices: torch.Tensor) -> dict[str, Any]:
        """One batch by index: a gather from memory, no files."""
        return {name: tensor[indices] for name, tensor in self.tensors.items()}

    def trial_batch(self) -> dict[str, Any]:
        """The first samples, again and again where they are fewer than a batch."""
        return {**self.fetch(torch.arange(self.batch_size) % self.num_samples), "position": 0}

    def train_dataloader(self) -> BatchStream:
        trainer: Any = self.trainer
        place = trainer.global_rank, trainer.world_size
        return BatchStream(self.fetch, self.num_samples, self.batch_size, self.num_batches, self.seed, *place)


class LatentDataModule(TensorDataModule):
    """Training batches {mean, std, labels, rows, position} from a `LatentSet`; `std` is absent when the set
    has none, `rows` are places in the set.

    With upstream's shards one of the plain and the flipped latents is taken, as upstream's loader does.
    """

    def __init__(self, train: LatentSet, batch_size: int, num_batches: int, seed: int) -> None:
        parts = {
            "mean": train.latents,
            "labels": train.labels,
            "rows": torch.arange(len(train.labels)),
            "std": train.latents_std,
            "flip": train.latents_flip,
        }
        tensors = {name: part for name, part in parts.items() if part is not None}
        super().__init__(tensors, batch_size, num_batches, seed)

    def fetch(self, indices: torch.Tensor) -> dict[str, Any]:
        return super().fetch(indices.to(self.tensors["labels"].device, non_blocking=True))

    def move_to(self, device: torch.device) -> None:
        """Gather on `device` from now on, where the latents take at most a quarter of its free memory."""
        size = sum(tensor.numel() * tensor.dtype.itemsize for tensor in self.tensors.values())
        if device.type == "cuda" and size <= SHARE_OF_DEVICE * torch.cuda.mem_get_info(device)[0]:
            self.tensors = {name: tensor[:].to(device) for name, tensor in self.tensors.items()}

    def train_dataloader(self) -> BatchStream:
        trainer: Any = self.trainer
        self.move_to(trainer.strategy.root_device)
        return super().train_dataloader()
