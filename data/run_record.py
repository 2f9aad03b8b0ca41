"""A small record of the settings that made a folder, so that outputs of two configurations are never
mixed."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from configs.command_line import is_main_process
from configs.errors import UserError
from configs.json_text import parse_json
from data.atomic import read_object, write_text

try:
    import fcntl
except ImportError:  # no such locks on Windows
    fcntl = None  # type: ignore[assignment]

RECORD = "run.json"
FORMAT = 2  # of the record; 1 said less of inputs
WAY_OUT = "use another --output_dir, or delete the folder"


@contextmanager
def lock_folder(folder: Path, dry_run: bool = False, flag: str = "--output_dir") -> Iterator[None]:
    """Make `folder` and keep other processes out of it within the block. UserError: one is writing there, or
    a file stands in its place (the message names the `flag` that chose it).

    The further processes of a run pass: the main one holds the lock for them. The system frees the lock of a
    process that dies. In a dry run a folder that is not there is not made, only refused where it could not be
    (OSError).
    """
    if not is_main_process():
        yield
        return
    existing = existing_folder(folder, flag)
    if not dry_run:
        folder.mkdir(parents=True, exist_ok=True)
    elif not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    if fcntl is None or not folder.is_dir():
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _take(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def existing_folder(folder: Path, flag: str) -> Path:
    """`folder`, or of those above it the nearest that is there; UserError, naming the `flag` that chose it: a
    file stands in its place.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UserError(f"{existing}: is a file, expected a folder; use another {flag}")
    return existing


def _take(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(
            f"{folder}: another process is writing into it; wait for its end, or use another folder"
        ) from error
    except OSError:
        pass  # a file system without locks


@contextmanager
def claim_folder(
    folder: Path, settings: Mapping[str, Any], outputs: str, dry_run: bool = False
) -> Iterator[None]:
    """`lock_folder`, for a folder made with `settings`: others are refused (UserError), new ones recorded in
    its run.json.

    `settings` is a flat mapping of JSON values that determine the outputs; `outputs` is a glob pattern of
    files that may only be there together with a record. Calling again changes nothing, a dry run never does.
    """
    record = folder / RECORD
    with lock_folder(folder, dry_run):
        if record.is_file():
            check_record(folder, settings)
        elif is_main_process():  # under SLURM all processes come here at once
            unrecorded = next(folder.glob(outputs), None)
            if unrecorded is not None:
                raise UserError(
                    f"{folder}: holds {unrecorded.name} but no {RECORD} that says how it was made; {WAY_OUT}"
                )
            if not dry_run:
                content = {"format": FORMAT, **settings}
                write_text(record, json.dumps(content, indent=1, sort_keys=True) + "\n")
        yield


def check_record(folder: Path, settings: Mapping[str, Any], way_out: str = WAY_OUT) -> None:
    """UserError, naming the first keys that differ, where `folder` was made with other settings."""
    record, wanted = folder / RECORD, parse_json(json.dumps({"format": FORMAT, **settings}))
    earlier = read_object(record, way_out)
    if earlier.get("format") != FORMAT:
        version = earlier.get("format", 1)
        raise UserError(
            f"{folder} was made by another version of this project, whose {RECORD} says other "
            f"things of inputs (expected format {FORMAT}, found {version!r}); {way_out}"
        )
    earlier, wanted = _flat(earlier), _flat(wanted)
    changed = [key for key in {**earlier, **wanted} if earlier.get(key) != wanted.get(key)]
    if changed:
        listed = "; ".join(f"{key} was {earlier.get(key)!r}, now {wanted.get(key)!r}" for key in changed[:4])
        raise UserError(f"{folder} was made with other settings: {listed}; {way_out}")


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Settings within settings as `outer.inner`, so that what differs is named alone."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        inner = isinstance(value, dict)
        flat |= _flat(value, f"{before}{name}.") if inner else {f"{before}{name}": value}
    return flat
