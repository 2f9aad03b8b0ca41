"""Fixtures and the golden weight rule shared by all tests."""

import os
import sys
import zlib
from pathlib import Path

import numpy
import pytest
import torch

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))  # more threads only wait here

CONSTRUCTED = ("pos_embed", "feat_rope.")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of the vectors that the published code made."""
    return PROJECT / "tests" / "golden"


@pytest.fixture(scope="module")
def brief_judges():
    """What the judges think does not matter in this module."""
    from evaluation.judge import train_judge

    usual = dict(train_judge.__kwdefaults__)
    train_judge.__kwdefaults__["epochs"] = 1
    yield
    train_judge.__kwdefaults__.update(usual)


@pytest.fixture
def clock(monkeypatch):
    """Of `--precision auto`: call with the seconds of a step by arithmetic; the list returned names the steps
    that are taken from then on.
    """
    from runtime import precision

    taken = []
    monkeypatch.setattr(precision, "worth_trying", lambda names, device: list(names))

    def show(**seconds: float) -> list[str]:
        def timed(step, name, device):
            step(name)
            taken.append(name)
            return seconds[name]

        taken.clear()
        monkeypatch.setattr(precision, "timed", timed)
        return taken

    return show


def reference_tensor(name: str, shape) -> torch.Tensor:
    """Weight that the golden rule gives to a parameter `name` of `shape`: anyone can rebuild it from the
    name.
    """
    draw = (
        numpy.random.default_rng(zlib.crc32(name.encode()))
        .standard_normal(tuple(shape))
        .astype(numpy.float32)
    )
    weight = torch.from_numpy(draw)
    if weight.ndim >= 2:
        return weight / float(numpy.sqrt(numpy.prod(shape[1:])))
    return 1 + 0.1 * weight if name.endswith(".weight") else 0.02 * weight


@torch.no_grad()
def reference_weights_(module: torch.nn.Module) -> torch.nn.Module:
    """Fill `module` in place by the golden rule and return it in evaluation mode."""
    for name, value in module.state_dict(keep_vars=True).items():
        if not name.startswith(CONSTRUCTED):
            value.copy_(reference_tensor(name, value.shape))
    return module.eval()


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Relative L2 distance, in float64."""
    actual, expected = actual.detach().double(), expected.detach().double()
    return float((actual - expected).norm() / expected.norm())


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """Stages 0 to 2 run once on toy data (`toy_run.Toy`); tests copy what they change."""
    from toy_run import make_toy  # here, because it imports the whole project

    return make_toy(tmp_path_factory.mktemp("toy"))
