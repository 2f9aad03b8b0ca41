"""Everything a training run leaves behind: checkpoints, the log, the curve; and when validation happens."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from configs.command_line import is_main_process, say
from configs.errors import UserError
from configs.schema import FitConfig
from data.atomic import replacing, write_text
from data.tables import csv_text
from training.claim import TIME_IS_UP
from training.curve import draw_report, reference_curve
from training.resumable import ResumableModule

TOLERATED = 0.01  # share of copies beyond that of held-out data
CHECKED = 0.2  # share of held-out data that look copied themselves, above which they measure nothing
Rank = tuple[bool, float]  # whether it copies, and the metric, lower being better


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files written under a temporary name, then renamed; read without running pickled
    code.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with replacing(path) as temporary:
            try:
                torch.save(checkpoint, temporary)
            except RuntimeError as error:  # torch's writer reports a full disk this way
                raise OSError(
                    f"{path}: could not be written ({str(error).splitlines()[0]}); the previous file is "
                    "intact; free some space and run the same command again"
                ) from error

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        return torch.load(path, map_location="cpu", weights_only=True)


def validation_interval(config: FitConfig, total_steps: int, times: int) -> int:
    """Steps from one validation to the next: as `config` says, else of about so many `times` in a run."""
    return config.validate_every or max(1, round(total_steps / times))


@dataclass(eq=False)
class RunFiles(Checkpoint):
    """Validate every `every` steps and at the end, then write, in this order, log and curve, the slim best
    weights, best.ckpt, last.ckpt.

    Only last.ckpt holds what resuming needs; best.ckpt has the averaged weights alone, so that the disk holds
    two whole checkpoints at most, and these only while last.ckpt is replaced. A run killed anywhere between
    two of these files resumes from the older last.ckpt, passes the same point again and writes the same
    files. `monitor` names the validation metric that decides which weights are best, among those that copy no
    more than held-out data do (`copies`), if there are any: the latest that are not worse than the best so
    far by more than the share `indistinct`; without validation data simply the latest. With `reference` the
    curve stands beside that of the shipped model, whose loss must be the same function.
    `deadline` (of time.monotonic) ends the run early, all of it saved; `patience` ends it for good, after so
    many validations without a better one.
    """

    folder: Path
    slim_name: str
    every: int
    total_steps: int
    steps_per_pass: int
    monitor: str
    higher_is_better: bool = False
    indistinct: float = 0.0
    reference: bool = False

    def __post_init__(self) -> None:
        self.best: Rank | None = None
        self.best_step = self.seen_step = 0
        self.rows: list[dict[str, float]] = []
        self.deadline = math.inf
        self.patience: int | None = None
        self.saving_time = 0.0  # of the slowest validation and save, in seconds
        self.late = self.stopped_early = False

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_step": self.best_step, "rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.best_step, self.rows = (state_dict[name] for name in ("best", "best_step", "rows"))

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.seen_step = trainer.global_step
        self._end_if_waited_for_nothing(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        due = step > 0 and (step % self.every == 0 or step == self.total_steps)
        if due or step % pl_module.config.log_every == 0 or trainer.strategy.root_device.type == "cpu":
            self._check(trainer, pl_module, outputs["loss"], weights=due)
        complete, self.seen_step = step != self.seen_step, step  # not amid batches whose gradients add up
        if due and (not self.rows or self.rows[-1]["step"] != step):
            started = time.monotonic()
            self._validate_and_save(trainer, pl_module)
            self._end_if_waited_for_nothing(trainer)
            self.saving_time = max(self.saving_time, time.monotonic() - started)
        elif self.late and complete:
            trainer.save_checkpoint(self.checkpoints / "last.ckpt")
        if self.late and complete and step < self.total_steps:
            self._stop_early(trainer)

    def _stop_early(self, trainer: pl.Trainer) -> None:
        trainer.should_stop = self.stopped_early = True
        line = f"time is up: stopped at step {trainer.global_step} of {self.total_steps}, everything is saved"
        if is_main_process():
            write_text(self.folder / TIME_IS_UP, f"{line}\n")
        say(f"{line}; the same command goes on")

    def _end_if_waited_for_nothing(self, trainer: pl.Trainer) -> None:
        if self.waited_for_nothing:
            trainer.should_stop = True
            say(f"training ends at step {trainer.global_step}: {self.ending()}")

    @property
    def waited_for_nothing(self) -> bool:
        """Whether the last `patience` validations brought nothing better."""
        since = sum(row["step"] > self.best_step for row in self.rows)
        return bool(self.patience and since >= self.patience)

    def ending(self) -> str:
        """Which weights are best, and why the run ended if it has."""
        rule = f"best at step {self.best_step}"
        if self.best is not None:
            rule += f", {self.monitor} {abs(self.best[1]):.4f}" + (", which copies" if self.best[0] else "")
        if self.waited_for_nothing:
            return f"{rule}; none better in {self.patience} validations"
        return f"{rule}; all steps done" if self.rows[-1]["step"] >= self.total_steps else rule

    def _check(self, trainer: pl.Trainer, module: ResumableModule, loss: torch.Tensor, weights: bool) -> None:
        """Collective decisions, so that every rank stops or none: is all finite (UserError), is time up?"""
        bad = ~torch.isfinite(loss.detach() + module.loss_sum)
        if weights:
            finite = torch.stack([torch.isfinite(p).all() for p in module.ema.parameters()]).all()
            bad = bad | ~finite.to(bad.device)
        late = bad.new_tensor(time.monotonic() + self.saving_time > self.deadline)
        any_bad, any_late = module.summed(torch.stack([bad, late]).float()).tolist()
        self.late = any_late > 0
        if any_bad:
            last = self.checkpoints / "last.ckpt"
            kept = f"{last} is intact" if last.exists() else "no checkpoint had been written"
            raise UserError(
                f"the loss is no longer finite at step {trainer.global_step}; {kept}; go on with a lower lr, "
                "--precision 32, or model.use_qknorm=true in a new --output_dir"
            )

    def _validate_and_save(self, trainer: pl.Trainer, module: ResumableModule) -> None:
        step = trainer.global_step
        module.place_average(needed=True)
        row = {
            "step": step,
            "epoch": round(step / self.steps_per_pass, 3),
            "train_loss": module.take_mean_loss(),
            **module.validate(),
        }
        self.rows.append(row)
        if unchecked(row) and len(self.rows) == 1:
            say(
                f"warning: {row['memorised_val']:.0%} of held-out latents repeat training ones themselves: "
                "whether the model copies cannot be said; look for images that are in train and in val"
            )
        value = row.get(self.monitor)
        if value is not None and not math.isfinite(value):
            raise UserError(
                f"{self.monitor} is no longer finite at step {step}; the last good checkpoint is kept; "
                "go on with a lower lr or --precision 32 in a new --output_dir"
            )
        better = value is None or self.newest_is_best()
        if better:
            self.best, self.best_step = None if value is None else self._rank(row), step
        self._save(trainer, module, better)
        for logger in trainer.loggers:
            logger.log_metrics({name: number for name, number in row.items() if name != "step"}, step=step)
        shown = (
            f"{self.monitor} {value:.4f}{' (best)' if better else ''}"
            if value is not None
            else "no validation data"
        )
        skipped = f", {module.skipped_steps} steps skipped by the loss scaler" if module.skipped_steps else ""
        say(f"step {step}/{self.total_steps}: train_loss {row['train_loss']:.4f}, {shown}{skipped}")

    def _rank(self, row: dict[str, float]) -> Rank:
        value = row[self.monitor]
        return copies(row), -value if self.higher_is_better else value

    def newest_is_best(self) -> bool:
        newest, (copying, lowest) = self._rank(self.rows[-1]), min(map(self._rank, self.rows))
        return newest[0] == copying and newest[1] <= lowest + self.indistinct * abs(lowest)

    def _save(self, trainer: pl.Trainer, module: ResumableModule, better: bool) -> None:
        """Collective: Lightning gathers on every rank, the main process writes."""
        if is_main_process():
            write_text(self.folder / "training_log.csv", csv_text(self.rows))
            self.draw()
            if better:
                module.export(self.folder / self.slim_name)
                AtomicCheckpointIO().save_checkpoint(module.best(), self.checkpoints / "best.ckpt")
        trainer.save_checkpoint(self.checkpoints / "last.ckpt")

    def draw(self) -> None:
        """training_report.png of all validations so far."""
        beside = reference_curve() if self.reference else []
        draw_report(self.rows, self.monitor, self.ending(), self.folder / "training_report.png", beside)


def copies(row: dict[str, float]) -> bool:
    """Whether the model repeats training data more often than held-out data do; False where these repeat
    them so often that they are no measure (`unchecked`).
    """
    return not unchecked(row) and row.get("memorised", 0.0) > row.get("memorised_val", 0.0) + TOLERATED


def unchecked(row: dict[str, float]) -> bool:
    """Whether held-out data are no measure of copying."""
    return row.get("memorised_val", 0.0) > CHECKED
