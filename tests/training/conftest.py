"""What the tests of training read."""

from pathlib import Path

import pytest
from tiny_runs import write_tiny_latents


@pytest.fixture(scope="session")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny latents, which no test changes."""
    return write_tiny_latents(tmp_path_factory.mktemp("latents"))
