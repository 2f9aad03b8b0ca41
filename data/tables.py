"""Tables as CSV text, files of them, and lines to read."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.errors import UserError


def read_rows(path: Path, kind: str, way_out: str, column: str | None = None) -> list[dict[str, str]]:
    """Rows of a table with commas and a header; UserError, which says that the file is not the `kind` of
    table expected, with a `way_out`: it is no such table, or lacks the `column`.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not readable as {kind} ({error}); {way_out}") from error
    if column and any(column not in row for row in rows):
        raise UserError(f"{path}: not readable as {kind} (no column {column}); {way_out}")
    return rows


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV text, columns in order of first appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def aligned(rows: Sequence[Sequence[str]], left: bool = False) -> list[str]:
    """Rows of equally many cells as lines, a column's cells flush right, or flush `left`."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(map(str.ljust if left else str.rjust, row, widths)).rstrip() for row in rows]
