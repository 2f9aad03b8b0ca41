"""Recordings of radars in a folder tree; `radar.captures` reads them."""

from __future__ import annotations

import os
from pathlib import Path

from configs.errors import UserError
from data.labels import listing, natural_key

RECORDING_EXTENSIONS = (".npy", ".npz", ".mat", ".h5", ".hdf5", ".csv", ".txt", ".wav", ".bin", ".dat")


def list_recordings(source: str | os.PathLike) -> dict[Path, str]:
    """Recordings in a folder tree, naturally sorted, and the stem of their pictures' paths.

    ID_7/rec1.npy gives ID_7/rec1; what lies deeper keeps its folders in the name, ID_7/day2/rec1.npy gives
    ID_7/day2_rec1. A single file belongs to the person its folder names. FileNotFoundError: no such file or
    folder. UserError: no recording in it, or two with one stem.
    """
    source = Path(source)
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file or folder; expected recordings like ID_1/rec1.npy")
    paths = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
    paths = sorted((path for path in paths if path.suffix.lower() in RECORDING_EXTENSIONS),
                   key=lambda path: natural_key(str(path)))
    if not paths:
        raise UserError(f"{source}: holds no recording; expected {listing(RECORDING_EXTENSIONS)}")
    stems: dict[str, Path] = {}
    for path in paths:
        top = source if source.is_dir() else source.absolute().parents[1]
        user, *rest = path.absolute().relative_to(top.absolute()).with_suffix("").parts
        stem = "/".join([user, "_".join(rest)] if rest else [user])
        if stem in stems:
            raise UserError(f"{path} and {stems[stem]} would write the same pictures; rename one")
        stems[stem] = path
    return {path: stem for stem, path in stems.items()}
