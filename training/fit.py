"""One way to run a training: refuse a folder that holds another run, resume if it holds this one, fit."""

from __future__ import annotations

import logging
import math
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.strategies import DDPStrategy

from configs.command_line import is_main_process, say
from configs.errors import UserError
from configs.schema import FitConfig
from data.atomic import share_file
from data.run_record import check_record, claim_folder, lock_folder
from runtime.devices import lightning_precision, resolve_devices, resolve_precision
from runtime.out_of_memory import is_out_of_memory
from training.callbacks import progress_callback
from training.loggers import loggers_of, require_loggers
from training.resumable import ResumableModule
from training.run_files import TIME_IS_UP, AtomicCheckpointIO, RunFiles
from weight_files.reading import WeightFile


@contextmanager
def claim_run(folder: Path, settings: dict[str, dict[str, Any]], config: FitConfig) -> Iterator[int]:
    """Keep `folder` for the run with `settings` (by section) within the block, bringing what
    `config.resume_from` holds into an empty one.

    Yields the optimizer steps already done. UserError: the folder or the earlier one holds another run,
    another process writes there, or what `config.logger` requires is not installed.
    """
    require_loggers(config.logger)
    fixed = {f"{section}.{key}": value for section in settings for key, value in settings[section].items()}
    last = folder / "checkpoints" / "last.ckpt"
    earlier = Path(config.resume_from) if config.resume_from and not last.is_file() else None
    if earlier is not None:
        if not ((earlier / "run.json").is_file() and (earlier / "checkpoints" / "last.ckpt").is_file()):
            raise UserError(
                f"--resume_from {earlier}: no run.json and checkpoints/last.ckpt inside; expected the "
                "--output_dir of an earlier session"
            )
        check_record(earlier, fixed, way_out="repeat its settings, or leave --resume_from out")
    with claim_folder(folder, fixed, "checkpoints/*", config.dry_run):
        if is_main_process() and not config.dry_run:
            last.parent.mkdir(exist_ok=True)
            (folder / TIME_IS_UP).unlink(missing_ok=True)
            if earlier is not None:
                with lock_folder(earlier):
                    bring(earlier, folder)
        yield steps_done(earlier if config.dry_run and earlier else folder)


def bring(earlier: Path, folder: Path) -> None:
    """Copy or link a run's files; last.ckpt at the end, being what makes the folder one to go on from."""
    files = [path for path in (*earlier.iterdir(), *(earlier / "checkpoints").iterdir()) if path.is_file()]
    for path in sorted(files, key=lambda path: path.name == "last.ckpt"):
        if not path.name.startswith(".") and path.name != "run.json":
            share_file(path, folder / path.relative_to(earlier))
    say(f"starting from {earlier}")


def steps_done(folder: Path) -> int:
    """Optimizer steps in `folder`'s last checkpoint; 0 without one, UserError for a damaged one."""
    last = folder / "checkpoints" / "last.ckpt"
    if not last.is_file():
        return 0
    file = WeightFile(last, "checkpoint", "restore it, or delete the folder")
    checkpoint = file.torch()
    if not isinstance(checkpoint, dict) or "global_step" not in checkpoint:
        raise file.refusal("not a checkpoint of a training")
    return int(checkpoint["global_step"])


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


def training_precision(config: FitConfig) -> str:
    """The resolved precision of a run on the devices it asks for."""
    accelerator, _ = resolve_devices(config.accelerator, config.devices)
    return resolve_precision(config.precision, torch.device(accelerator))


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
