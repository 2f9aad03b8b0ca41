"""Tables that tell whose generated images are: stage 3's samples.csv, metadata.csv or .jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from configs.errors import UserError
from configs.json_text import parse_json
from data.tables import read_rows

SAMPLES, TABLES = "samples.csv", ("metadata.csv", "metadata.jsonl")
Rows = dict[str, dict[str, str]]  # by the path below the folder


def tables_of(folder: Path, others: Mapping[str, Sequence[str]]) -> list[str]:
    """Paths below `folder` of the tables that tell whose the images are; stage 3's comes before others."""
    named = [path for paths in others.values() for path in paths]
    if (folder / SAMPLES).is_file():
        return [SAMPLES]
    unread = [path for path in named if PurePosixPath(path).name == "metadata.parquet"]
    if unread:
        raise UserError(f"{folder / unread[0]}: Parquet is not read; save the table as metadata.csv")
    return [path for path in named if PurePosixPath(path).name in TABLES]


def rows_of(folder: Path, tables: Sequence[str]) -> Rows:
    """Rows of all tables by the path of the image below `folder`; UserError: damaged, or at odds."""
    rows: Rows = {}
    for table in tables:
        path, column = folder / table, "file" if table == SAMPLES else "file_name"
        for row in _table(path):
            name = row.get(column, "")
            if not _is_image_path(name):
                raise UserError(
                    f"{path}: {ascii(name[:80])} is no name of an image there; expected them in its column "
                    f"{column}" + "; run stage 3 again" * (table == SAMPLES)
                )
            place = (PurePosixPath(table).parent / name).as_posix()
            if rows.setdefault(place, row) != row:
                raise UserError(f"{path}: names {place} twice, with different values; keep one row")
    if tables and not rows:
        raise UserError(f"{folder / tables[0]}: people: none; expected a row for each image")
    return rows


def _table(path: Path) -> list[dict[str, str]]:
    """Rows as text, their columns in small letters."""
    way_out = "run stage 3 again" if path.name == SAMPLES else "write it again, in UTF-8"
    if path.suffix == ".csv":
        lines: list[dict[Any, Any]] = [*read_rows(path, "a table", way_out)]
    else:
        try:
            text = path.read_text(encoding="utf-8-sig")
            lines = [dict(parse_json(line)) for line in text.split("\n") if line.strip()]
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}: not readable as a table ({error}); {way_out}") from error
    return [{str(name).strip().casefold(): _cell(value) for name, value in line.items()} for line in lines]


def _cell(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _is_image_path(name: str) -> bool:
    """Whether a cell names a file below the table's folder."""
    parts = PurePosixPath(name).parts
    return (
        name.isprintable()
        and bool(parts)
        and "/".join(parts) == name
        and not any(part == ".." or len(part) > 255 for part in parts)
    )
