"""What the DiT's and the tokenizer's training share: averaged weights, optimizer, step randomness, validation
contract.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from configs.schema import FitConfig
from configs.version import VERSION
from runtime.seeds import generator
from training.ema import update_ema_
from training.loss_scale import SkippedSteps, scaler_of


class ResumableModule(pl.LightningModule):
    """A network `net`, its moving average `ema`, AdamW with warm-up and decay, and totals of the training
    loss.

    Sub-classes give `training_step`, `validate` and `export`. `config` is the section of the schema.

    A step is one call of the optimizer: `trainer.global_step`, `max_steps`, the log and the position in the
    data count all of them. Those that fp16's loss scaler skips teach nothing: the average, its warm-up and
    the learning rate stay where they are.
    """

    net: Any
    ema: Any
    config: Any  # the section that the sub-class trains by
    loss_sum: Tensor
    loss_count: Tensor

    def __init__(self, net: nn.Module, config: FitConfig, total_steps: int) -> None:
        super().__init__()
        self.net, self.ema = net, copy.deepcopy(net).requires_grad_(False).eval()
        self.config, self.total_steps = config, total_steps
        self.register_buffer("loss_sum", torch.zeros(()), persistent=False)
        self.register_buffer("loss_count", torch.zeros(()), persistent=False)
        self._updates = 0
        self._skipped = SkippedSteps(limit=total_steps)

    def train(self, mode: bool = True) -> ResumableModule:
        """The averaged network stays in evaluation mode whatever the mode of the rest."""
        super().train(mode)
        self.ema.eval()
        return self

    def validate(self) -> dict[str, float]:
        """Losses on the validation data with fixed noise; called on every rank at the same step."""
        raise NotImplementedError

    def export(self, path: Path) -> None:
        """Write the slim weights file that the next stage reads."""
        raise NotImplementedError

    def batch_generator(self, position: int) -> torch.Generator:
        """Generator of the draws for global batch `position`, the same on every rank."""
        return generator(self.config.seed, "train", position, device=self.device)

    def slice_of_rank(self, draws: Tensor) -> Tensor:
        """This rank's part of a tensor drawn for the global batch, so that more ranks see the same draws."""
        count = len(draws) // self.trainer.world_size
        return draws[self.trainer.global_rank * count : (self.trainer.global_rank + 1) * count]

    def normal_like(self, values: Tensor, draws: torch.Generator) -> Tensor:
        """This rank's part of standard normal noise for the global batch."""
        shape = (len(values) * self.trainer.world_size, *values.shape[1:])
        return self.slice_of_rank(torch.randn(shape, generator=draws, device=self.device))

    def uniform(self, count: int, draws: torch.Generator) -> Tensor:
        """This rank's part of uniform numbers (count,) for the global batch."""
        shape = (count * self.trainer.world_size,)
        return self.slice_of_rank(torch.rand(shape, generator=draws, device=self.device))

    def count_loss(self, loss: Tensor) -> None:
        """Add a batch's loss to the totals since the last validation, without waiting for the device."""
        self.loss_sum += loss.detach()
        self.loss_count += 1
        if self.trainer.global_step % self.config.log_every == 0:
            self.log("train_loss", loss.detach(), prog_bar=True, batch_size=self.config.batch_size)

    def take_mean_loss(self) -> float:
        """Mean training loss since the last call over all ranks; resets the totals."""
        totals = self.summed(torch.stack([self.loss_sum, self.loss_count]))
        self.loss_sum.zero_(), self.loss_count.zero_()
        return float(totals[0] / totals[1].clamp(min=1))

    def summed(self, values: Tensor) -> Tensor:
        """Sum over ranks."""
        return (
            self.trainer.strategy.reduce(values, reduce_op="sum") if self.trainer.world_size > 1 else values
        )

    def optimizer_step(self, *arguments: Any, **keywords: Any) -> None:
        super().optimizer_step(*arguments, **keywords)
        self.place_average()
        if not self._skipped.settle():
            self._updates += 1
            update_ema_(self.ema, self.net, self._updates, self.config.ema_decay)

    def lr_scheduler_step(self, scheduler: torch.optim.lr_scheduler.LRScheduler, metric: Any) -> None:
        """The learning rate goes on with the steps that taught something."""
        if not self._skipped.last:
            scheduler.step()

    def loss_scale(self) -> Tensor | float:
        """The loss scaler's factor, a scalar on the device; 1 without a scaler."""
        scaler = scaler_of(self.trainer)
        return 1.0 if scaler is None else scaler.scale(torch.ones((), device=self.device))

    @property
    def skipped_steps(self) -> int:
        """Steps that the loss scaler has skipped since the run began, in earlier sessions too."""
        return self.trainer.global_step - self._updates

    def place_average(self, needed: bool = False) -> None:
        """Put the averaged network on the device or, where asked and not `needed` there, on the host."""
        self.ema.to("cpu" if self.config.ema_on_host and not needed else self.device)

    def on_train_start(self) -> None:
        self.place_average()

    def trained_parameters(self) -> list[nn.Parameter]:
        """What the optimizer changes."""
        return [parameter for parameter in self.net.parameters() if parameter.requires_grad]

    def configure_optimizers(self) -> Any:
        config = self.config
        optimizer = torch.optim.AdamW(
            self.trained_parameters(),
            lr=config.lr,
            betas=(0.9, config.beta2),
            weight_decay=config.weight_decay,
            fused=self.device.type in ("cpu", "cuda"),
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate_factor(step, self.total_steps, config.warmup_steps, config.lr_decay)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Take a loss scaler's scale from the gradients, then clip the norm of the true ones. Lightning
        refuses to clip under a fused optimizer, which is the fast one: left alone, that takes the scale from
        them afterwards.
        """
        scaler = scaler_of(self.trainer)
        if scaler is not None:
            self._skipped.unscale_(scaler, optimizer)
        if gradient_clip_val:
            torch.nn.utils.clip_grad_norm_(self.trained_parameters(), gradient_clip_val)

    def best(self) -> dict[str, Any]:
        """Content of best.ckpt: the averaged weights under `ema.`, and what the module adds."""
        weights = {f"ema.{name}": value for name, value in self.ema.state_dict().items()}
        return {"state_dict": weights, "global_step": self.trainer.global_step, **self.description()}

    def description(self) -> dict[str, Any]:
        """What a checkpoint says beside the weights, for those who read it elsewhere."""
        return {"version": VERSION}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        totals = self.summed(torch.stack([self.loss_sum, self.loss_count])).tolist()
        checkpoint.update(ema_updates=self._updates, loss_totals=totals, **self.description())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._updates = checkpoint["ema_updates"]
        if self.trainer.is_global_zero:  # totals of all ranks, counted once
            for total, value in zip((self.loss_sum, self.loss_count), checkpoint["loss_totals"]):
                total.fill_(value)


def rate_factor(step: int, total_steps: int, warmup_steps: int, decay: str) -> float:
    """Learning rate at `step` as a share of its peak."""
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    done = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    if decay == "linear":
        return 1.0 - done
    return 0.5 * (1.0 + math.cos(math.pi * done)) if decay == "cosine" else 1.0
