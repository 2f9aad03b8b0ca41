"""MVDoppler (Stanford University, 2023): 13 people, four ways of holding the hands, two radars at an angle.

Data/normal_00000.h5 holds `radar_dat` (velocity, time, radar), a ready matrix of each radar;
Labels_and_metadata/design_table.csv has a row for each file (fname, subject, pattern, exp_fname ...). What
the velocities, times and values are is in meta_data.json beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy

from configs.errors import UserError
from data.folders import GONE, UNLISTED, FileRecord, Found
from data.tables import read_rows
from preparation.public_sets.contract import PublicSet, files_with, records_of
from radar.captures import Capture, Contents, Hints, read_as
from radar.captures.arrays import load_hdf5
from radar.spectrogram import Spectrogram

TABLE, COLUMNS = "design_table.csv", ("fname", "subject", "pattern", "exp_fname")
RADARS = 2


def find(source: Path, leave_out: Sequence[str]) -> Found:
    """Each file twice, as normal_00000_radar0.h5 and ..._radar1.h5, of the people whom the table names."""
    paths, left_out = files_with(".h5", source, "Data/normal_00000.h5", leave_out)
    table, rows = design_table(source)
    left_out = {reason: [path for path in others if path != table] for reason, others in left_out.items()}
    left_out = {reason: others for reason, others in left_out.items() if others}
    named, files, gone = {}, {}, dict(rows)
    for path in paths:
        row = gone.pop(PurePosixPath(path).stem, None)
        if row is None:
            left_out.setdefault(UNLISTED, []).append(path)
            continue
        for radar in range(RADARS):
            part = f"{path.rpartition('.')[0]}_radar{radar}.h5"
            files[part] = path
            named[part] = {
                "person": f"P{row['subject']}",
                "condition": row["pattern"].replace("_", ""),
                "recording": PurePosixPath(row["exp_fname"]).stem,
                "view": f"radar{radar}",
            }
    if not named:
        raise UserError(
            f"{source / table}: names none of the {len(paths)} files, like {paths[0]}; download both again"
        )
    left_out |= {GONE: list(gone)} if gone else {}
    return records_of(source, named, leave_out, left_out, files)


def design_table(source: Path) -> tuple[str, dict[str, dict[str, str]]]:
    """Its path, and its rows by the name of the file; UserError: no such table, several, or other columns."""
    tables = sorted(source.rglob(TABLE))
    if len(tables) != 1:
        raise UserError(
            f"{source}: {len(tables)} files {TABLE}; expected one, which tells whose a file is: give the "
            "folder of one set"
        )
    rows = read_rows(tables[0], "a table", "download it again")
    if not rows or not all(row.get(name) for row in rows for name in COLUMNS):
        raise UserError(f"{tables[0]}: expected columns {', '.join(COLUMNS)}, in each row; download it again")
    named: dict[str, dict[str, str]] = {}
    for row in rows:
        name = PurePosixPath(row["fname"]).name.removesuffix(".h5")
        if named.setdefault(name, row) is not row:
            raise UserError(f"{tables[0]}: names {name} twice; keep one row")
    return tables[0].relative_to(source).as_posix(), named


def read(record: FileRecord, hints: Hints) -> Capture | Spectrogram:
    """The matrix of one of the two radars."""

    def load(path: Path, hints: Hints) -> Contents:
        arrays = load_hdf5(path, hints).arrays
        matrices = arrays.get("radar_dat")
        if matrices is None or matrices.ndim != 3 or matrices.shape[2] != RADARS:
            shapes = {name: array.shape for name, array in arrays.items() if array.ndim}
            raise UserError(
                f"holds {shapes}; expected radar_dat (velocity, time, {RADARS}): download it again"
            )
        matrix = matrices[..., int(record.relative.removesuffix(".h5")[-1])]
        matrix = numpy.abs(matrix) if numpy.iscomplexobj(matrix) else matrix
        return Contents({"radar_dat": matrix}, axes=("velocities", "times"))

    return read_as(record.path, "MVDoppler's HDF5", load, hints)


SET = PublicSet(
    title="MVDoppler (Stanford University)",
    citation="S. Hor et al., MVDoppler: Unleashing the Power of Multi-View Doppler for MicroMotion-based "
    "Gait Classification, NeurIPS 2023 (Datasets and Benchmarks)",
    licence="CC BY-NC-ND",
    find=find,
    asked=("velocity_range", "duration", "scale"),
    read=read,
    whole=True,
)
