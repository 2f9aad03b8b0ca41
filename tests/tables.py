"""CSV as what is tested writes it: read, and written."""

import csv
from pathlib import Path


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def figures_of(path: Path) -> list[dict[str, float]]:
    """Rows of numbers, without cells that are empty."""
    return [{name: float(value) for name, value in row.items() if value} for row in rows_of(path)]


def write_rows(path: Path, rows: list[dict]) -> None:
    """Rows of the same columns as the first one, or of fewer."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
