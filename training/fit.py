"""One way to fit, by Lightning: from the last checkpoint, as far as the run goes."""

from __future__ import annotations

import logging
import math
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.strategies import DDPStrategy

from configs.errors import UserError
from configs.schema import FitConfig
from runtime.devices import lightning_precision, resolve_devices
from runtime.out_of_memory import is_out_of_memory
from training.callbacks import progress_callback
from training.claim import training_precision
from training.loggers import loggers_of
from training.resumable import ResumableModule
from training.run_files import AtomicCheckpointIO, RunFiles


def fit(
    module: ResumableModule,
    data: pl.LightningDataModule,
    files: RunFiles,
    config: FitConfig,
    callbacks: Sequence[pl.Callback] = (),
    arithmetic: Precision | None = None,
) -> None:
    """Train `module` up to `files.total_steps` or for `config.max_hours`, from last.ckpt where there is one.

    `arithmetic`, Lightning's plugin with the loss scaler if any, takes the place of `config.precision`.
    KeyboardInterrupt: stopped from the keyboard.
    """
    # When to stop, and where to go on
    files.deadline = time.monotonic() + 3600 * (config.max_hours or math.inf)
    files.patience = config.patience
    quiet_lightning()
    last = files.checkpoints / "last.ckpt"
    trainer = trainer_of(config, files, callbacks, arithmetic)

    # The training, and what its faults mean to the user
    try:
        trainer.fit(module, datamodule=data, ckpt_path=str(last) if last.is_file() else None)
    except SystemExit as error:
        if trainer.interrupted:  # Lightning ends the process on Ctrl-C; the scripts have a word to say first
            raise KeyboardInterrupt from error
        raise
    except (RuntimeError, MemoryError) as error:
        first = error.__context__
        if isinstance(first, OSError):  # then Lightning 2.5 ends its logger, which misses the folder too
            raise first from None
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"out of memory with --batch_size {config.batch_size} ({str(error).partition(chr(10))[0]}); "
            "stage 2 goes on with --use_checkpoint in this --output_dir; else take --batch_size "
            f"{max(1, config.batch_size // 2)} accumulate={2 * config.accumulate}, or a smaller model, in "
            "another one"
        ) from error


def trainer_of(
    config: FitConfig, files: RunFiles, callbacks: Sequence[pl.Callback], arithmetic: Precision | None
) -> pl.Trainer:
    """Lightning's trainer, whose validation, checkpoints and curve are those of `files`."""
    accelerator, count = resolve_devices(config.accelerator, config.devices)
    return pl.Trainer(
        accelerator=accelerator,
        devices=count,
        num_nodes=config.num_nodes,
        strategy=strategy(count * config.num_nodes),
        max_epochs=-1,
        max_steps=files.total_steps,
        precision=(
            None if arithmetic else lightning_precision(training_precision(config))  # type: ignore[arg-type]
        ),
        accumulate_grad_batches=config.accumulate,
        gradient_clip_val=config.gradient_clip or None,
        callbacks=[progress_callback(), *callbacks, files],
        plugins=[AtomicCheckpointIO(), *([arithmetic] if arithmetic else [])],
        logger=loggers_of(config.logger, files.folder, asdict(config)),
        log_every_n_steps=config.log_every,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_checkpointing=True,
        use_distributed_sampler=False,
        default_root_dir=files.folder,
        enable_progress_bar=sys.stderr.isatty(),
    )


def strategy(count: int) -> Any:
    """DDP across processes that Lightning starts; buffers are constants, or totals of a process's own, and
    gradients are not held twice.
    """
    return DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True) if count > 1 else "auto"


def quiet_lightning() -> None:
    """Keep Lightning's hints about choices we make on purpose out of the user's sight."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*torch.utils._pytree.*")
    # Its successor does not exist in older versions of torch, which we serve too.
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated.*")
    warnings.filterwarnings(
        "ignore", message=".*no `val_dataloader`.*|.*does not have many workers.*|.*eval mode.*"
    )
    warnings.filterwarnings("ignore", message="Experiment logs directory .* exists and is not empty.*")
    warnings.filterwarnings(
        "ignore", message="The number of training batches .* is smaller than the logging.*"
    )
    warnings.filterwarnings("ignore", message=".*`isinstance\\(treespec, LeafSpec\\)`.*")
