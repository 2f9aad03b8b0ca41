"""Progress of long work: a bar on a terminal, a line every half minute elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from configs.command_line import is_main_process

SECONDS_BETWEEN_LINES = 30.0


def progress(
    iterable: Iterable[Any] | None = None,
    *,
    total: int | None = None,
    description: str = "",
    unit: str = "it",
) -> tqdm:
    """tqdm with rate and remaining time, in the main process; rare updates where stderr is no terminal."""
    interval = 0.2 if sys.stderr.isatty() else SECONDS_BETWEEN_LINES
    return tqdm(
        iterable,
        total=total,
        desc=description,
        unit=unit,
        mininterval=interval,
        maxinterval=2 * interval,
        dynamic_ncols=True,
        disable=not is_main_process(),
    )
