"""Disk space, reckoned before it is taken."""

from __future__ import annotations

import shutil
from pathlib import Path

GIB = 2**30


def require_space(
    folder: Path, needed: int, what: str, way_out: str = "free some space, or choose another folder"
) -> None:
    """OSError, in one line, where the disk of `folder` (which need not exist) lacks `needed` bytes."""
    free = free_space(folder)
    if free < needed:
        raise OSError(
            f"{folder}: {free / GIB:.2f} GiB are free, {what} may take {needed / GIB:.2f} GiB; {way_out}"
        )


def free_space(folder: Path) -> int:
    """Bytes free on the disk that holds, or will hold, `folder`."""
    existing = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    return shutil.disk_usage(existing).free
