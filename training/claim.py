"""What a training asks of its folder and its machine before it loads Lightning."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from configs.command_line import is_main_process, say
from configs.errors import UserError
from configs.schema import FitConfig
from data.atomic import share_file
from data.run_record import check_record, claim_folder, lock_folder
from runtime.devices import resolve_devices, resolve_precision
from weight_files.reading import WeightFile

NO_LOGGER = "none"
TIME_IS_UP = "time_is_up.txt"  # there while a run is unfinished because --max_hours have passed


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
    if config.resume_from and not earlier:
        say(f"{folder} has a run of its own, which goes on; --resume_from {config.resume_from} is not read")
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
    """Copy or link a run's files, not what says that its time was up; last.ckpt at the end, being what makes
    the folder one to go on from.
    """
    files = [path for path in (*earlier.iterdir(), *(earlier / "checkpoints").iterdir()) if path.is_file()]
    for path in sorted(files, key=lambda path: path.name == "last.ckpt"):
        if not path.name.startswith(".") and path.name not in ("run.json", TIME_IS_UP):
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


def run_length(config: FitConfig, num_samples: int) -> tuple[int, int]:
    """Optimizer steps of a run and of one pass over the data; `max_steps` overrides `max_epochs`."""
    count = resolve_devices(config.accelerator, config.devices)[1] * config.num_nodes
    batches_per_pass = max(1, num_samples // (config.batch_size * count))
    steps_per_pass = max(1, batches_per_pass // config.accumulate)
    return config.max_steps or config.max_epochs * steps_per_pass, steps_per_pass


def training_precision(config: FitConfig) -> str:
    """The resolved precision of a run on the devices it asks for."""
    accelerator, _ = resolve_devices(config.accelerator, config.devices)
    return resolve_precision(config.precision, torch.device(accelerator))


def require_loggers(names: Sequence[str]) -> None:
    """UserError: a package is not installed, or none stands beside others."""
    if NO_LOGGER in names and len(names) > 1:
        raise UserError(f"--logger {' '.join(names)}: expected none alone, or names without it")
    lacking = [name for name in names if name in ("wandb", "mlflow") and not importlib.util.find_spec(name)]
    if lacking:
        raise UserError(f"--logger {lacking[0]}: requires the package {lacking[0]}: pip install {lacking[0]}")
