"""Where a run's figures and pictures are logged beside its own files: Lightning's loggers, by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy
from PIL import Image
from pytorch_lightning.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from training.claim import NO_LOGGER

PROJECT = "micro-doppler"  # what trackers call all runs together


def loggers_of(names: Sequence[str], folder: Path, settings: dict[str, Any]) -> list[Logger]:
    """TensorBoard and CSV logs lie in one new `lightning_logs/version_N` of `folder` per start. wandb and
    mlflow are told `settings`, and go where their own environment variables say (WANDB_MODE=offline,
    MLFLOW_TRACKING_URI), else into `folder`, wandb to its server as well.
    """
    version = CSVLogger(folder, name="lightning_logs").version
    here: dict[str, Any] = {"save_dir": folder, "name": "lightning_logs", "version": version}
    uri, database = os.environ.get("MLFLOW_TRACKING_URI"), (folder / "mlflow.db").absolute()
    tracked: dict[str, Any] = {"tracking_uri": uri or f"sqlite:///{database}"}
    tracked |= {} if uri else {"artifact_location": (folder / "mlruns").absolute().as_uri()}
    makers: dict[str, Callable[[], Logger]] = {
        "csv": lambda: CSVLogger(**here),
        "tensorboard": lambda: TensorBoardLogger(**here),
        "wandb": lambda: WandbLogger(name=folder.name, save_dir=folder, project=PROJECT),
        "mlflow": lambda: MLFlowLogger(PROJECT, folder.name, **tracked),
    }
    made = [makers[name]() for name in names if name != NO_LOGGER]
    for logger in made:
        if isinstance(logger, (WandbLogger, MLFlowLogger)):
            logger.log_hyperparams(settings)
    return made


def log_picture(loggers: Iterable[Logger], name: str, path: Path, step: int) -> None:
    """Hand a picture to those that show pictures."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            with Image.open(path) as picture:
                logger.experiment.add_image(name, numpy.array(picture), step, dataformats="HWC")
        elif isinstance(logger, WandbLogger):
            logger.log_image(name, [str(path)], step=step)
        elif isinstance(logger, MLFlowLogger):
            logger.experiment.log_artifact(logger.run_id, str(path), name)
