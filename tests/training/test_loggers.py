"""What each logger keeps of a run: its figures, and pictures where it shows any."""

import importlib.util

import numpy
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from configs.errors import UserError
from training.claim import require_loggers
from training.loggers import log_picture, loggers_of

SETTINGS = {"lr": 1e-3, "logger": ["csv"]}


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "step_3.png"
    Image.fromarray(numpy.full((4, 6, 3), 200, dtype=numpy.uint8)).save(path)
    return path


def kept_by(name, folder, picture):
    """The one logger of that name, having seen a loss and a picture of step 3."""
    (logger,) = loggers_of([name], folder, SETTINGS)
    logger.log_metrics({"val_loss": 0.5}, step=3)
    log_picture([logger], "preview", picture, 3)
    logger.finalize("success")
    return logger


def test_tensorboard_keeps_both(tmp_path, picture):
    kept_by("tensorboard", tmp_path / "run", picture)
    events = EventAccumulator(str(tmp_path / "run/lightning_logs/version_0")).Reload()
    assert [(one.step, one.value) for one in events.Scalars("val_loss")] == [(3, 0.5)]
    assert [(one.step, one.height, one.width) for one in events.Images("preview")] == [(3, 4, 6)]


def test_csv_keeps_figures_in_the_folder_of_tensorboard(tmp_path, picture):
    both = loggers_of(["tensorboard", "csv"], tmp_path, SETTINGS)
    assert {logger.log_dir for logger in both} == {str(tmp_path / "lightning_logs/version_0")}
    kept_by("csv", tmp_path, picture)
    assert (tmp_path / "lightning_logs/version_0/metrics.csv").read_text().split() == [
        "step,val_loss",
        "3,0.5",
    ]
    assert loggers_of(["none"], tmp_path, SETTINGS) == []


def test_wandb_keeps_both_offline(tmp_path, picture, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    kept_by("wandb", tmp_path, picture).experiment.finish()
    wandb.teardown()  # waits for its process, which writes the file
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    assert b"val_loss" in next(run.glob("run-*.wandb")).read_bytes()
    assert len(list(run.glob("files/media/images/preview_*.png"))) == 1


def test_mlflow_keeps_both_in_the_folder(tmp_path, picture, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    logger = kept_by("mlflow", tmp_path, picture)
    run = logger.experiment.get_run(logger.run_id)
    assert run.data.metrics == {"val_loss": 0.5} and run.data.params["lr"] == "0.001"
    assert len(list(tmp_path.glob("mlruns/*/artifacts/preview/step_3.png"))) == 1


def test_what_a_logger_requires_is_said(monkeypatch):
    with pytest.raises(UserError, match="--logger none csv: expected none alone"):
        require_loggers(["none", "csv"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    require_loggers(["csv", "tensorboard"])
    with pytest.raises(UserError, match="--logger wandb: requires the package wandb: pip install wandb"):
        require_loggers(["csv", "wandb"])
