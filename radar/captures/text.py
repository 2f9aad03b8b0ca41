"""Numbers as text: tables with a header, one file each for I and Q, blocks of raw samples."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path

import numpy

from configs.errors import UserError
from radar.captures.contract import Contents, Format, Hints, NoCapture
from radar.captures.naming import PARTS

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+([eE][-+]?\d+)?")
COMPLEX = re.compile(rf"({NUMBER.pattern})?[-+]?({NUMBER.pattern})?[ij]")
BLOCK = re.compile(r"^[\s\-=#*]*([IQ])\s+raw\s+samples[\s\-=#*]*$", re.IGNORECASE)
STATED = re.compile(
    r"([A-Za-z][\w .\-]*?)\s*(?:\[(\w+)\]|\((\w+)\))?\s*[=:]\s*"
    r"([-+]?\d[\d.]*(?:[eE][-+]?\d+)?)\s*([kMG]?Hz|[mu]?s)?\b"
)
PART = re.compile(r"(.*?)[_\-. ]?(RE|IM|I|Q|real|imag)", re.IGNORECASE)


def part_of(path: Path) -> tuple[str, str] | None:
    """("rec1", "re") of rec1_RE.txt: the recording and which part the name says the file is."""
    match = PART.fullmatch(path.stem)
    bare = match is not None and match[1] == ""
    divided = match is not None and path.stem[len(match[1]) :][:1] in "_-. "
    return (match[1], match[2].lower()) if match and (bare or divided) else None


def other_part(path: Path) -> tuple[Path, bool] | None:
    """The file that holds the other part, whether or not it is there, and whether `path` is the real one."""
    named = part_of(path)
    if named is None:
        return None
    for real, imaginary in PARTS:
        if named[1] in (real, imaginary):
            other = imaginary if named[1] == real else real
            written = other.upper() if path.stem[-1].isupper() else other
            return path.with_name(path.stem[: -len(named[1])] + written + path.suffix), named[1] == real
    return None


def imaginary_part(path: Path, hints: Hints) -> tuple[Path, ...]:
    """The file of the imaginary part, of the real part's."""
    other = other_part(path)
    return (other[0],) if other and other[1] and other[0].is_file() else ()


def load_parts(path: Path, hints: Hints) -> Contents:
    """I and Q from two files of one column each."""
    named = other_part(path)
    assert named is not None, path
    other, is_real = named
    if not other.is_file():
        raise UserError(
            f"{'real' if is_real else 'imaginary'} part without its other part; expected "
            f"{other.name} beside it"
        )
    parts = {name: load_table(file, hints).arrays for name, file in (("I", path), ("Q", other))}
    columns = {name: next(iter(arrays.values())) for name, arrays in parts.items()}
    if any(len(arrays) != 1 or columns[name].ndim != 1 for name, arrays in parts.items()):
        raise UserError(f"expected one number a line here and in {other.name}; export them so")
    if columns["I"].size != columns["Q"].size:
        raise UserError(
            f"{columns['I'].size} samples here, {columns['Q'].size} in {other.name}; expected as "
            "many: one of them is cut short; export both again"
        )
    if not is_real:
        columns = {"I": columns["Q"], "Q": columns["I"]}
    return Contents(columns)


def load_table(path: Path, hints: Hints) -> Contents:
    """Columns by their header; without one, the bare array. `# fc = 24e9` above it is a fact of the radar."""
    lines = _lines(path)
    facts, start = {}, 0
    while start < len(lines) and not _numeric(lines[start]):
        for name, unit, also, value, after in STATED.findall(lines[start]):
            facts[f"{name.strip()}_{unit or also or after}"] = numpy.asarray(float(value))
        start += 1
    if start == len(lines):
        raise NoCapture("holds no numbers")
    header = _cells(lines[start - 1].lstrip("#% ")) if start else []
    body = [_cells(line) for line in lines[start:] if line.strip()]
    widths = {len(row) for row in body}
    if len(widths) > 1:
        short = next(number for number, row in enumerate(body, 1) if len(row) != len(body[0]))
        raise UserError(
            f"row {short} of numbers has {len(body[short - 1])} of them, the first has "
            f"{len(body[0])}; the file is cut short or of another kind: export it again"
        )
    table = _numbers(body)
    if len(header) == table.shape[1] and not any("=" in cell for cell in header):
        return Contents(facts | {_plain(name): column for name, column in zip(header, table.T)})
    return Contents(facts | {path.stem: table[:, 0] if table.shape[1] == 1 else table})


def load_blocks(path: Path, hints: Hints) -> Contents:
    """Blocks headed "I raw samples" and "Q raw samples": bursts, (bursts, pulses) each."""
    blocks_of: dict[str, list[list[str]]] = {"I": [], "Q": []}
    for line in _lines(path):
        heading = BLOCK.match(line)
        if heading:
            block: list[str] = []
            blocks_of[heading[1].upper()].append(block)
        elif line.strip() and any(blocks_of.values()):
            block += line.split()
    lengths = [len(block) for blocks in blocks_of.values() for block in blocks]
    if len(blocks_of["I"]) != len(blocks_of["Q"]) or len(set(lengths)) != 1:
        raise UserError(
            f"{len(blocks_of['I'])} blocks of I, {len(blocks_of['Q'])} of Q, of {sorted(set(lengths))} "
            "samples; expected as many of one length: the file is cut short; copy it again"
        )
    return Contents({part: _numbers(blocks) for part, blocks in blocks_of.items()}, axes=("bursts", "pulses"))


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8-sig", errors="replace").splitlines()


def _cells(line: str) -> list[str]:
    divider = next((mark for mark in ";\t," if mark in line), None)
    cells = [cell.strip().strip('"') for cell in line.split(divider)] if divider else line.split()
    return [cell.replace(",", ".") if DECIMAL_COMMA.fullmatch(cell) else cell for cell in cells]


def _numeric(line: str) -> bool:
    cells = _cells(line)
    return bool(cells) and all(
        NUMBER.fullmatch(cell) or COMPLEX.fullmatch(cell) or cell.lower() == "nan" for cell in cells
    )


def _numbers(rows: Iterable[list[str]]) -> numpy.ndarray:
    rows = list(rows)
    try:
        if any("i" in cell or "j" in cell for cell in rows[-1]):
            return numpy.array([[complex(cell.replace("i", "j")) for cell in row] for row in rows])
        return numpy.loadtxt(io.StringIO("\n".join(" ".join(row) for row in rows)), ndmin=2)
    except ValueError as error:
        raise UserError(f"not all numbers: {error}; export it again") from error


def _plain(name: str) -> str:
    """Time [ms] as Time_ms."""
    return re.sub(r"\s*[\[(]\s*(\w*)\s*[\])]", r"_\1", name)


def is_text(head: bytes) -> bool:
    """ASCII or UTF-8 without control characters."""
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return False
        text = head[: error.start].decode("utf-8-sig")
    return bool(text.strip()) and not re.search(r"[\x00-\x08\x0e-\x1f]", text)


def _has_blocks(path: Path, head: bytes) -> bool:
    return is_text(head) and any(BLOCK.match(line) for line in head.decode("utf-8", "replace").splitlines())


FORMATS = (
    Format("blocks of raw samples", (".txt",), _has_blocks, load_blocks),
    Format(
        "a file each for I and Q",
        (".csv", ".txt"),
        lambda path, head: is_text(head) and other_part(path) is not None,
        load_parts,
        imaginary_part,
    ),
    Format("text", (".csv", ".txt"), lambda path, head: is_text(head), load_table),
)
